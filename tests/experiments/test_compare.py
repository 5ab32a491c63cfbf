"""Comparisons: complete, repeatable, interrupted at any moment, stopped in time, and with runs that fail."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import uncollapse.run
from uncollapse.errors import UserError
from uncollapse.experiments.compare import Comparison, _command, compare, prepare
from uncollapse.experiments.plan import Plan, load_plan
from uncollapse.lease import Lease, LeaseLost
from uncollapse.methods import VANILLA

TOML = """
[plan]
name = "tiny"
seeds = { first = 0, count = 2 }
updates = 60
batch = 8
[[cells]]
methods = ["vanilla", "lsgan", "cgan"]
tasks = ["blobs-4"]
set = { networks.width = 4, networks.depth = 1 }
[compare]
baseline = "lsgan"
"""


def run_tiny(out: Path, **options: Any) -> Comparison:
    """The tiny plan in this process."""
    return compare(Plan.from_toml(TOML), out=out, jobs=1, device="cpu", progress=False, **options)


def cells(directory: Path) -> list[dict[str, Any]]:
    """The cells without their clocks."""
    found: list[dict[str, Any]] = json.loads((directory / "comparison.json").read_text(encoding="utf-8"))["cells"]
    for cell in found:
        cell["cost"].pop("seconds", None)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted comparison."""
    return run_tiny(tmp_path_factory.mktemp("whole") / "c").directory


def test_a_comparison_holds_what_its_contract_says(whole: Path) -> None:
    document = json.loads((whole / "comparison.json").read_text(encoding="utf-8"))
    assert {"schema", "plan", "weights", "cells", "differences", "versions", "command", "seconds"} <= set(document)
    assert (document["schema"], document["status"], document["unfinished"]) == (1, "finished", [])
    assert document["command"] == f"uncollapse compare {whole}/plan.toml"
    assert (whole / "plan.toml").exists()
    for cell in document["cells"]:
        assert cell["seeds"] == [0, 1]
        for key in ("modes_hit", "modes_solid", "high_quality_share", "kl_all", "modes_solid_live"):
            assert {"mean", "low", "high", "level", "per_seed", "method"} <= set(cell["measures"][key])
        assert cell["success_rate"]["n"] == 2
        assert cell["cost"]["critic_updates"] == 60
        assert cell["cost"]["real_samples"] == 60 * 8
        assert cell["cost"]["seconds"] > 0
        for name in cell["runs"]:
            assert (whole / "runs" / name / "result.json").exists()
    assert [row["method"] for row in document["differences"] if row["measure"] == "modes_solid"] == ["vanilla", "cgan"]
    assert {row["baseline"] for row in document["differences"]} == {"lsgan"}
    assert (whole / "plan.toml").read_text(encoding="utf-8") == TOML
    assert (whole / "report.html").stat().st_size > 1000


def test_the_record_is_what_the_runs_say(whole: Path) -> None:
    for cell in cells(whole):
        (name,) = cell["runs"]
        lanes = json.loads((whole / "runs" / name / "result.json").read_text(encoding="utf-8"))["lanes"]
        for key in ("modes_hit", "high_quality_share", "kl_all"):
            per_seed = [lane["measures"]["averaged"][key] for lane in lanes]
            assert cell["measures"][key]["per_seed"] == per_seed
            assert cell["measures"][key]["mean"] == pytest.approx(sum(per_seed) / 2, abs=1e-12)


def test_started_again_it_trains_nothing_and_says_the_same(whole: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.glob("runs/*/*")}
    numbers = cells(whole)
    assert run_tiny(whole).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in whole.glob("runs/*/*")} == before
    assert cells(whole) == numbers


def test_another_plan_in_the_same_directory_is_refused(whole: Path) -> None:
    with pytest.raises(UserError, match="batch is 8 there and 16 here"):
        compare(Plan.from_toml(TOML.replace("batch = 8", "batch = 16")), out=whole, progress=False)


@pytest.mark.long
def test_the_time_limit_stops_cleanly_and_the_rest_gives_the_same_numbers(whole: Path, tmp_path: Path) -> None:
    first = run_tiny(tmp_path / "c", time_limit=1e-4)
    assert first.exit_code == 0
    assert "Stopped by the time limit; 3 runs are unfinished" in first.stopped
    document = json.loads((tmp_path / "c" / "comparison.json").read_text(encoding="utf-8"))
    assert document["status"] == "unfinished"
    assert len(document["unfinished"]) == 3
    assert [cell["unfinished"] for cell in document["cells"]] == [[0, 1]] * 3
    second = run_tiny(tmp_path / "c")
    assert (second.exit_code, second.stopped) == (0, "")
    assert cells(tmp_path / "c") == cells(whole)


@pytest.mark.long
def test_a_stop_in_the_middle_of_a_run_changes_no_number(whole: Path, tmp_path: Path) -> None:
    real = uncollapse.run.execute
    polls = iter([False, False, True])

    def stop_soon(spec: Any, directory: Path, **options: Any) -> Any:
        return real(spec, directory, **{**options, "stop": lambda: next(polls, True)})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uncollapse.run, "execute", stop_soon)
        assert run_tiny(tmp_path / "c").stopped
    assert any((tmp_path / "c").glob("runs/*/checkpoints/step-*"))
    assert run_tiny(tmp_path / "c").stopped == ""
    assert cells(tmp_path / "c") == cells(whole)
    for name in (run.name for run in whole.glob("runs/*")):
        histories = [(root / "runs" / name / "history.jsonl").read_bytes() for root in (whole, tmp_path / "c")]
        assert histories[0] == histories[1], name


def kill_and_finish(out: Path, delay: float) -> None:
    """Starts the tiny plan in two workers, kills the whole group after a delay, and finishes it."""
    plan = out.parent / "tiny.toml"
    plan.write_text(TOML, encoding="utf-8")
    command = [sys.executable, "-m", "uncollapse", "compare", str(plan), "--out", str(out), "--jobs", "2"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as one:
        time.sleep(delay)
        os.killpg(one.pid, signal.SIGKILL)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_killed_at_a_random_moment_it_finishes_with_the_same_numbers(whole: Path, tmp_path: Path) -> None:
    kill_and_finish(tmp_path / "c", random.uniform(4, 12))
    assert cells(tmp_path / "c") == cells(whole)


@pytest.mark.slow
@pytest.mark.parametrize("delay", [1, 3, 5, 6, 7, 8, 10, 14])
def test_killed_at_many_moments_it_finishes_with_the_same_numbers(whole: Path, tmp_path: Path, delay: float) -> None:
    kill_and_finish(tmp_path / "c", delay)
    assert cells(tmp_path / "c") == cells(whole)


@pytest.mark.long
def test_a_failing_run_is_a_row_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = uncollapse.run.execute

    def fail(spec: Any, *args: Any, **options: Any) -> Any:
        if spec.method.name == "lsgan":
            raise RuntimeError("a planted failure")
        return real(spec, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(uncollapse.run, "execute", fail)
        result = run_tiny(tmp_path / "c")
    assert result.exit_code == 1
    by_method = {cell["method"]: cell for cell in result.document["cells"]}
    (row,) = by_method["lsgan"]["failed"]
    assert (row["seeds"], row["error"]) == ([0, 1], "RuntimeError: a planted failure")
    assert by_method["vanilla"]["seeds"] == by_method["cgan"]["seeds"] == [0, 1]
    log = tmp_path / "c" / "runs" / row["run"] / "error.log"
    assert "a planted failure" in log.read_text(encoding="utf-8")
    again = run_tiny(tmp_path / "c")
    assert again.exit_code == 0
    assert again.document["status"] == "finished"
    assert not log.exists()


@pytest.mark.slow
def test_a_comparison_that_lost_its_directory_writes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check, taken = Lease.check, []

    def checked(self: Lease) -> None:
        if taken:
            raise LeaseLost("taken over")
        check(self)

    def trained(*_: Any) -> dict[str, Any]:
        taken.append(True)
        return {}

    monkeypatch.setattr(Lease, "check", checked)
    monkeypatch.setattr("uncollapse.experiments.compare._train", trained)
    with pytest.raises(LeaseLost):
        run_tiny(tmp_path / "c")
    assert (tmp_path / "c" / "plan.lock.json").exists()
    assert not (tmp_path / "c" / "comparison.json").exists()
    taken.clear()
    monkeypatch.setattr("uncollapse.experiments.compare._train", lambda *_: {})
    run_tiny(tmp_path / "c")
    assert (tmp_path / "c" / "comparison.json").exists()


def test_a_script_without_a_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from uncollapse.experiments.compare import compare\n"
        "from uncollapse.experiments.plan import Plan\n"
        f"print(compare(Plan.from_toml({TOML!r}), out='c', jobs=2, progress=False).exit_code)\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.strip() == "1"
    assert "put its compare() under `if __name__ == '__main__':`" in done.stderr
    document = json.loads((tmp_path / "c" / "comparison.json").read_text(encoding="utf-8"))
    assert all("its own message is above" in cell["failed"][0]["error"] for cell in document["cells"])


def test_a_plan_with_an_unknown_method_says_how_to_bring_ones_own() -> None:
    plan = Plan.from_toml(TOML.replace('"cgan"', '"mine"'))
    with pytest.raises(UserError, match=r"no method 'mine'.*--plugin module:attr"):
        prepare(plan, [])


def test_a_plan_object_names_no_command_that_does_not_exist(tmp_path: Path) -> None:
    named = Plan.from_toml(TOML)
    for changed in (replace(named, text=""), replace(named, seeds=(0,))):
        assert _command(changed, tmp_path, []) == ""
    assert _command(named, tmp_path, [VANILLA]) == ""
    assert _command(named, tmp_path, ["mine:M"]) == f"uncollapse compare {tmp_path}/plan.toml --plugin mine:M"
    assert _command(load_plan("demo"), tmp_path, []) == "uncollapse compare demo"


@pytest.mark.slow
def test_the_report_is_copied_to_where_it_is_wanted(whole: Path, tmp_path: Path) -> None:
    result = run_tiny(whole)
    assert result.report(tmp_path / "mine.html") == tmp_path / "mine.html"
    assert (tmp_path / "mine.html").read_bytes() == (whole / "report.html").read_bytes()
    assert result.report(whole / "report.html") == whole / "report.html"
