"""What a user chooses: what passes, what is refused with which sentence, and the way through JSON."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import numpy as np
import pytest

from uncollapse.errors import UserError
from uncollapse.monitor import CollapseMonitor
from uncollapse.monitor.choices import FEWEST, MonitorChoice, as_count, check_share
from uncollapse.verdict.judge import ALPHA as OF_EVALUATE
from uncollapse.verdict.judge import FEWEST as FEWEST_OF_EVALUATE


def test_whole_numbers_pass_whatever_their_type() -> None:
    assert as_count(np.int64(3), name="step", least=0) == 3
    assert as_count(0, name="step", least=0) == 0


@pytest.mark.parametrize("wrong", [True, "3", None, -1, 2.0])
def test_what_is_no_whole_number_is_refused(wrong: object) -> None:
    with pytest.raises(UserError, match="step must be a whole number of at least 0, not "):
        as_count(wrong, name="step", least=0)


def test_a_share_lies_strictly_between_its_ends() -> None:
    check_share(0.5, name="alpha", low=0, high=1, example=0.1)


@pytest.mark.parametrize("wrong", [True, 0, 1, 1.5, float("nan"), "half"])
def test_what_is_no_share_is_refused(wrong: object) -> None:
    with pytest.raises(UserError, match=r"alpha must lie between 0 and 1, for example 0\.1, not "):
        check_share(wrong, name="alpha", low=0, high=1, example=0.1)


# --- the choice of a run --------------------------------------------------------------------------------------------


def test_a_number_is_the_interval_and_none_is_no_monitor() -> None:
    assert MonitorChoice.of(None) is None
    assert MonitorChoice.of(250) == MonitorChoice(every=250)
    chosen = MonitorChoice(every=7, margin=0.05)
    assert MonitorChoice.of(chosen) is chosen
    back = MonitorChoice.of(chosen, rollback=True)
    assert back is not None
    assert (back.every, back.margin, back.on_alarm) == (7, 0.05, "rollback")


def test_its_defaults_are_those_of_the_monitor_in_anyones_loop() -> None:
    usual = {name: item.default for name, item in inspect.signature(CollapseMonitor).parameters.items()}
    choice = MonitorChoice()
    for name in ("every", "margin", "alpha", "healthy", "patience", "on_alarm"):
        assert getattr(choice, name) == usual[name]
    # As strict, and as few, as `evaluate` is.
    assert (choice.alpha, FEWEST) == (OF_EVALUATE, FEWEST_OF_EVALUATE)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"every": 0}, "monitor.every must be a whole number of at least 1, not 0."),
        ({"every": 2.0}, "monitor.every must be a whole number of at least 1, not 2.0."),
        ({"patience": True}, "monitor.patience must be a whole number of at least 1, not True."),
        ({"samples": 19}, "monitor.samples must be a whole number of at least 20, not 19."),
        ({"margin": 1}, "monitor.margin must lie between 0 and 1, for example 0.15, not 1."),
        ({"alpha": 0.5}, "monitor.alpha must lie between 0 and 0.5, for example 0.03, not 0.5."),
        ({"healthy": "high"}, "monitor.healthy must lie between 0 and 1, for example 0.6, not 'high'."),
        ({"weights": "ema"}, "There is no monitor.weights 'ema'"),
        ({"on_alarm": "rolback"}, "There is no monitor.on_alarm 'rolback'; did you mean 'rollback'?"),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        MonitorChoice(**wrong)  # type: ignore[arg-type]
    assert str(caught.value).startswith(sentence)


def test_a_rollback_without_a_monitor_is_refused() -> None:
    with pytest.raises(UserError, match=r"^A rollback needs a monitor .* give monitor=500 \(--monitor 500\), too\.$"):
        MonitorChoice.of(None, rollback=True)
    with pytest.raises(UserError, match="monitor must be a whole number of at least 1, not True"):
        MonitorChoice.of(True)


def test_a_setting_is_replaced_or_refused_by_name() -> None:
    assert MonitorChoice().with_setting("margin", 0.05) == MonitorChoice(margin=0.05)
    with pytest.raises(UserError, match=r"There is no setting 'monitor\.margn'; did you mean 'monitor\.margin'"):
        MonitorChoice().with_setting("margn", 0.05)


def test_json_and_back_also_of_numpys_numbers() -> None:
    chosen = MonitorChoice(every=np.int64(30), samples=np.int64(50), on_alarm="stop")  # type: ignore[arg-type]
    assert MonitorChoice.from_json(json.loads(json.dumps(chosen.to_json()))) == chosen
    assert chosen.changes() == {"every": 30, "samples": 50, "on_alarm": "stop"}
    assert MonitorChoice().changes() == {}
    with pytest.raises(UserError, match=r"^A spec's monitor is a table of its settings, not \[500\]; restore the file"):
        MonitorChoice.from_json([500])  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"There is no setting 'monitor\.colour'"):
        MonitorChoice.from_json({"every": 3, "colour": 1})


def test_a_choice_imports_nothing_heavy() -> None:
    code = "import sys, uncollapse.monitor.choices; print([m for m in ('torch', 'numpy', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
