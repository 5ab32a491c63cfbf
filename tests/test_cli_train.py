"""`uncollapse train`: monitor, rollback and loggers of the command line, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from uncollapse import loggers
from uncollapse.cli import app
from uncollapse.errors import UserError
from uncollapse.files import read_lines
from uncollapse.loop import Trainer
from uncollapse.monitor import MonitorChoice
from uncollapse.run import load

SMALL = ("--seeds", "3,5", "--updates", "60", "--batch", "8", "--set", "networks.width=8", "--set", "networks.depth=1")


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNCOLLAPSE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def train(*more: str) -> Result:
    return CliRunner().invoke(app, ["train", "vanilla", "blobs-4", *SMALL, *more])


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks of seed 5 lose half of the modes after update 30."""
    real = Trainer.lane_samples

    def planted(self: Trainer, lane: int, n: int, *, draw: int = 0, purpose: str = "sampling", **options: Any) -> Any:
        if purpose != "monitor":
            return real(self, lane, n, draw=draw, purpose=purpose, **options)
        from uncollapse.draws import stream

        x, component = self.spec.task.sample(4 * n, stream(self.spec.seeds[lane], "planted", draw))
        assert component is not None
        return x[component < 2][:n] if self.spec.seeds[lane] == 5 and draw > 30 else x[:n]

    monkeypatch.setattr(Trainer, "lane_samples", planted)


def test_a_monitor_with_a_rollback(plant: None, tmp_path: Path) -> None:
    done = train("--monitor", "10", "--rollback", "--set", "monitor.samples=200", "--out", str(tmp_path / "run"))
    assert done.exit_code == 0, done.output
    run = load(tmp_path / "run")
    assert run.spec.monitor == MonitorChoice(every=10, samples=200, on_alarm="rollback")
    healthy, lost = (lane["monitor"] for lane in run.metrics)
    assert (healthy["alarms"], healthy["rolled_back"]) == (0, None)
    assert lost["rolled_back"] == {"update": lost["first_alarm"], "to": 30}


def test_an_alarm_that_is_to_stop_is_exit_code_3_and_the_same_command_trains_on(plant: None, tmp_path: Path) -> None:
    given = ("--monitor", "10", "--set", "monitor.on_alarm=stop", "--out", str(tmp_path / "run"))
    done = train(*given)
    assert done.exit_code == 3
    assert done.stdout == ""
    assert "Stopped by the alarm of seed 5 at update " in done.stderr
    assert f"A checkpoint is in {tmp_path / 'run'}; the same command trains on." in done.stderr
    again = train(*given, "--json")
    assert again.exit_code == 0
    facts = [lane["monitor"] for lane in json.loads(again.stdout)["lanes"]]
    assert [lane["looks"] for lane in facts] == [6, 6]
    assert [lane["alarms"] for lane in facts] == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--rollback"], "A rollback needs a monitor that raises alarms; give monitor=500 (--monitor 500), too."),
        (["--monitor", "0"], "--monitor 0 is not possible; give a whole number of at least 1."),
        (["--set", "monitor.margn=1"], "There is no setting 'monitor.margn'; did you mean 'monitor.margin'"),
        (["--log", "tensorbord"], "There is no logger 'tensorbord'; did you mean 'tensorboard'"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    done = train(*arguments, "--out", str(tmp_path / "run"))
    assert isinstance(done.exception, UserError)
    assert str(done.exception).startswith(sentence)
    assert not (tmp_path / "run").exists()


class Remembering:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def start(self, spec: Mapping[str, object], directory: Path) -> None:
        self.told.append((spec, directory))

    def log(self, row: Mapping[str, object]) -> None:
        self.told.append(row)

    def finish(self, result: Mapping[str, object]) -> None:
        self.told.append(result)


def test_a_logger_is_told_what_is_written(plant: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Remembering()
    asked: list[object] = []
    monkeypatch.setattr(loggers, "find_loggers", lambda names: asked.append(tuple(names)) or (kept,))
    done = train("--log", "tensorboard", "--monitor", "10", "--out", str(tmp_path / "run"))
    assert done.exit_code == 0, done.output
    assert asked == [("tensorboard",)]
    (spec, directory), *rows, result = kept.told
    assert spec == json.loads((tmp_path / "run/spec.json").read_text())
    assert directory == tmp_path / "run"
    assert rows == read_lines(tmp_path / "run/history.jsonl")
    assert sum("alarm" in row for row in rows) == 1
    assert result == json.loads((tmp_path / "run/result.json").read_text())
