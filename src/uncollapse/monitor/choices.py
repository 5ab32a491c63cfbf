"""What a user chooses of a monitor: `MonitorChoice`, as the spec of a run holds it; each value checked with a sentence.

Imports nothing heavy, because every spec knows it.
"""

from __future__ import annotations

import operator
from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from uncollapse.errors import UserError, unknown

EVERY, SAMPLES, MARGIN, HEALTHY, PATIENCE, ALPHA = 500, 500, 0.15, 0.6, 40, 0.03
# A look at fewer fakes says nothing.
FEWEST = 20
# The least that each whole number may be, and between which numbers each share lies.
COUNTS = {"every": 1, "samples": FEWEST, "patience": 1}
SHARES = {"alpha": (0.0, 0.5, ALPHA), "margin": (0.0, 1.0, MARGIN), "healthy": (0.0, 1.0, HEALTHY)}
ON_ALARM, WEIGHTS = ("log", "stop", "rollback"), ("live", "averaged")


@dataclass(frozen=True, kw_only=True)
class MonitorChoice:
    """How our own trainer watches each seed of a run; part of the run's spec.

    Attributes:
        every: Critic updates from look to look.
        samples: Fakes of a look; None: 500, or 20 for each mode of the task where that is more.
        margin: By how much coverage may fall below its best.
        alpha: Chance of any false alarm of one seed in the whole run.
        healthy: Coverage that counts as healthy.
        patience: Looks after which a seed that was not healthy once is reported.
        weights: Which generator is judged: ``"live"``, or ``"averaged"``, which shows a loss later, or never.
        on_alarm: ``"log"``; ``"stop"`` ends the sitting with a checkpoint; ``"rollback"`` puts the seed, once, back to
            the last look that proved health.
    """

    every: int = EVERY
    samples: int | None = None
    margin: float = MARGIN
    alpha: float = ALPHA
    healthy: float = HEALTHY
    patience: int = PATIENCE
    weights: str = "live"
    on_alarm: str = "log"

    def __post_init__(self) -> None:
        """Refuses what cannot be, before anything starts."""
        numbers = {name: getattr(self, name) for name in (*COUNTS, *SHARES)}
        for name, value in check_numbers(numbers, prefix="monitor.", chosen=("samples",)).items():
            object.__setattr__(self, name, value)
        for name, known in (("weights", WEIGHTS), ("on_alarm", ON_ALARM)):
            if getattr(self, name) not in known:
                raise unknown(f"monitor.{name}", str(getattr(self, name)), known)

    @classmethod
    def of(cls, given: int | MonitorChoice | None, *, rollback: bool = False) -> MonitorChoice | None:
        """The choice that a user means: a number is `every`, None is no monitor.

        Raises:
            UserError: It is neither, or a rollback without a monitor.
        """
        if given is None:
            if rollback:
                raise UserError("A rollback needs a monitor that raises alarms; give monitor=500 (--monitor 500), too.")
            return None
        chosen = given if isinstance(given, cls) else cls(every=as_count(given, name="monitor", least=1))
        return replace(chosen, on_alarm="rollback") if rollback else chosen

    def with_setting(self, name: str, value: object) -> MonitorChoice:
        """The choice with one value replaced.

        Raises:
            UserError: There is no such value, or it cannot be this one.
        """
        known = [item.name for item in fields(self)]
        if name not in known:
            raise unknown("setting", f"monitor.{name}", [f"monitor.{item}" for item in known])
        return replace(self, **{name: value})  # type: ignore[arg-type]

    def changes(self) -> dict[str, Any]:
        """What is not as it is by default, by name."""
        usual = MonitorChoice().to_json()
        return {name: value for name, value in self.to_json().items() if value != usual[name]}

    def to_json(self) -> dict[str, Any]:
        """All of it, so that other defaults of a later version change no run."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> MonitorChoice:
        """The choice that `to_json` wrote.

        Raises:
            UserError: It holds something that is not known here.
        """
        if not isinstance(kept, Mapping):
            raise UserError(f"A spec's monitor is a table of its settings, not {kept!r}; restore the file.")
        choice = cls()
        for name, value in kept.items():
            choice = choice.with_setting(name, value)
        return choice


def as_count(value: object, *, name: str, least: int) -> int:
    """A whole number.

    Raises:
        UserError: It is none, or too small.
    """
    try:
        found = -1 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        found = -1
    if found < least:
        raise UserError(f"{name} must be a whole number of at least {least}, not {value!r}.")
    return found


def check_share(value: object, *, name: str, low: float, high: float, example: float) -> None:
    """Refuses what does not lie strictly between two numbers.

    Raises:
        UserError: It does not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low < value < high:
        raise UserError(f"{name} must lie between {low:g} and {high:g}, for example {example:g}, not {value!r}.")


def check_numbers(values: Mapping[str, Any], *, prefix: str = "", chosen: Container[str] = ()) -> dict[str, Any]:
    """The numbers of a monitor by name, whole ones as python's own.

    Args:
        values: By the names of `COUNTS` and `SHARES`.
        prefix: What stands before the names in a message.
        chosen: Names of those that may be None, and are then chosen.

    Raises:
        UserError: One of them cannot be.
    """
    found = dict(values)
    for name, least in COUNTS.items():
        if found[name] is not None or name not in chosen:
            found[name] = as_count(found[name], name=f"{prefix}{name}", least=least)
    for name, (low, high, example) in SHARES.items():
        check_share(found[name], name=f"{prefix}{name}", low=low, high=high, example=example)
    return found
