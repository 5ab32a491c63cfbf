"""A group of loggers: everyone is told everything, and none of them can stop a training."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from uncollapse.errors import UserError
from uncollapse.loggers import Guarded, final_scalars, find_loggers, scalars


class Recorder:
    """A logger that remembers, and raises `error` at the calls named in `at`."""

    def __init__(self, error: BaseException | None = None, at: tuple[str, ...] = ()) -> None:
        self.calls: list[object] = []
        self.error, self.at = error, at

    def _told(self, name: str, content: object) -> None:
        self.calls.append((name, content))
        if self.error is not None and name in self.at:
            raise self.error

    def start(self, spec: Mapping[str, object], directory: Path) -> None:
        self._told("start", dict(spec))

    def log(self, row: Mapping[str, object]) -> None:
        self._told("log", dict(row))

    def finish(self, result: Mapping[str, object]) -> None:
        self._told("finish", dict(result))


def whole_run(group: Guarded) -> None:
    group.start({"seeds": [0]}, Path())
    group.log({"update": 1})
    group.log({"update": 2})
    group.finish({"status": "finished"})


@pytest.mark.parametrize("at", ["start", "log", "finish"])
def test_a_logger_that_raises_is_told_once_and_left_out(at: str, caplog: pytest.LogCaptureFixture) -> None:
    bad, good = Recorder(OSError("no\n  \x1b[31mroom"), (at,)), Recorder()
    with caplog.at_level(logging.WARNING):
        whole_run(Guarded([bad, good]))
    assert len(good.calls) == 4
    assert [name for name, _ in bad.calls] == {"start": ["start"], "log": ["start", "log"]}.get(
        at, ["start", "log", "log", "finish"]
    )
    assert [record.getMessage() for record in caplog.records] == [
        "Recorder failed and is not used any more, training goes on (OSError: no [31mroom)"
    ]


def test_what_a_logger_does_to_its_numbers_or_to_torch_reaches_nobody() -> None:
    class Vandal(Recorder):
        def log(self, row: Mapping[str, object]) -> None:
            row["measures"]["modes_solid"][0] = 8.0  # type: ignore[index]
            row["measures"].clear()  # type: ignore[attr-defined]
            torch.set_grad_enabled(False)
            torch.set_default_dtype(torch.float64)

    row, good = {"update": 1, "measures": {"modes_solid": [1.0]}}, Recorder()
    Guarded([Vandal(), good]).log(row)
    assert row == {"update": 1, "measures": {"modes_solid": [1.0]}}
    assert good.calls == [("log", row)]
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32


def test_two_equal_loggers_are_two(caplog: pytest.LogCaptureFixture) -> None:
    class Equal(Recorder):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    first, second = Equal(), Equal(ValueError("no"), ("log",))
    group = Guarded([first, second])
    whole_run(group)
    assert len(group) == 1
    assert (len(first.calls), len(second.calls)) == (4, 2)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143)])
def test_a_wish_to_end_the_program_passes(error: BaseException) -> None:
    with pytest.raises(type(error)):
        whole_run(Guarded([Recorder(error, ("log",))]))


def test_without_loggers_nothing_happens() -> None:
    whole_run(Guarded(()))


def test_every_list_with_one_number_a_seed_is_a_scalar() -> None:
    row = {
        "update": 3,
        "losses": {"critic": [1.0, None, 3], "generator": [0.5, 0.25, 0.0]},
        "measures": {"modes_solid": [8, 7, 6]},
        "measures_live": {"modes_solid": [None, None, None]},
        "shares": [[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]],
        "state": {"k": [0.1, 0.2], "flag": [True, False, True], "table": [[1], [2], [3]]},
    }
    found = {scalar.name: (scalar.values, scalar.mean) for scalar in scalars(row, 3)}
    assert found == {
        "losses/critic": ((1.0, None, 3.0), 2.0),
        "losses/generator": ((0.5, 0.25, 0.0), 0.25),
        "averaged/modes_solid": ((8.0, 7.0, 6.0), 7.0),
        "live/modes_solid": ((None, None, None), None),
    }


def test_final_measures_are_those_of_both_weights() -> None:
    lanes = [
        {"seed": 4, "measures": {"averaged": {"modes_hit": 8.0, "sigma": None}, "live": {"modes_hit": 2.0}}},
        {"seed": 9, "measures": {"averaged": {"modes_hit": 4.0}, "live": {"modes_hit": 3.0}}},
    ]
    found = {scalar.name: scalar.values for scalar in final_scalars({"lanes": lanes})}
    assert found == {
        "final/averaged/modes_hit": (8.0, 4.0),
        "final/averaged/sigma": (None, None),
        "final/live/modes_hit": (2.0, 3.0),
    }
    assert list(final_scalars({})) == []


def test_a_diverged_seed_has_covered_nothing_at_the_end_as_in_a_comparison() -> None:
    lanes = [
        {"seed": 4, "diverged_at": None, "measures": {"averaged": {"modes_hit": 1.0, "kl_all": 2.0}}},
        {"seed": 9, "diverged_at": 70, "measures": {"averaged": {"modes_hit": 2.0, "kl_all": 0.5}}},
    ]
    found = {scalar.name: (scalar.values, scalar.mean) for scalar in final_scalars({"lanes": lanes})}
    assert found == {
        "final/averaged/modes_hit": ((1.0, 0.0), 0.5),
        "final/averaged/kl_all": ((2.0, None), 2.0),
    }


def test_an_unknown_logger_is_told() -> None:
    with pytest.raises(UserError, match=r"There is no logger 'tensorbord'; did you mean 'tensorboard'\?"):
        find_loggers(["tensorbord"])


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_missing_package_is_told_with_its_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf"needs {name}; install it with pip install 'uncollapse\[{name}\]'\.$"):
        find_loggers([name])
