"""The small search that a plan with ``[tuning]`` gives to every method: equally many trials in a fixed order.

A method's own default is always the first trial. Nothing here trains; `tuning.py` runs the trials and chooses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uncollapse.errors import UserError

if TYPE_CHECKING:
    from uncollapse.method import Method

RATES = ("dynamics.lr_critic", "dynamics.lr_generator")
# Bounded measures of which more is better, so that trials of all tasks can be compared as a share of the best value.
TUNED_FOR = ("modes_solid", "modes_hit", "high_quality_share", "tutorial_coverage")


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What every method may try before it is reported.

    Attributes:
        seeds: Seeds of the trials; none of them is reported.
        trials: Trials of every method on every task, its default among them.
        rates: Factors on both learning rates, nearest to be tried first; the factor 1 comes before them by itself.
        sensitive: Factors on the method's one sensitive setting, likewise.
        updates: Critic updates of a trial; None = those of the cell.
        measure: What the best trial has most of; ties are broken by the high-quality share, as far as it is
            at most that of real data, then by the order.
    """

    seeds: tuple[int, ...]
    trials: int
    rates: tuple[float, ...]
    sensitive: tuple[float, ...] = ()
    updates: int | None = None
    measure: str = "modes_solid"


def candidates(method: Method, tuning: Tuning) -> list[dict[str, Any]]:
    """The settings of each trial of a method; the first is empty, which is the method as it stands.

    One thing is moved at a time, the sensitive setting and the learning rates in turn, each by the next factor of its
    list; pairs of factors follow, by the sum of their places. A method whose sensitive setting is no number of its own
    spends its trials on more learning rates. A value that the method refuses is passed over, so that every method has
    equally many trials.

    Raises:
        UserError: The lists do not hold enough factors for this method.
    """
    found: list[dict[str, Any]] = []
    for settings in _grid(method, tuning):
        if settings not in found and _is_possible(method, settings):
            found.append(settings)
        if len(found) == tuning.trials:
            return found
    raise UserError(
        f"{method.name} finds {len(found)} of the {tuning.trials} trials that [tuning] promises to every method;"
        ' give more factors in "dynamics.lr", or fewer trials.'
    )


def _grid(method: Method, tuning: Tuning) -> Iterator[dict[str, Any]]:
    now = method.settings()
    own = sensitive_paths(method)
    rates, others = (1.0, *tuning.rates), (1.0, *(tuning.sensitive if own else ()))
    places = [(i, j) for i in range(len(rates)) for j in range(len(others))]
    for i, j in sorted(places, key=lambda place: (min(place) > 0, sum(place), place[0])):
        factors = dict.fromkeys(RATES, rates[i]) | dict.fromkeys(own, others[j])
        yield {path: scaled(now[path], factor) for path, factor in factors.items() if factor != 1}


def sensitive_paths(method: Method) -> tuple[str, ...]:
    """The paths of a method's one sensitive setting; empty where it is a learning rate or not a number with a point.

    Where the part stands more than once (R1 and R2 of one method), all of its kind are set together.
    """
    path = method.facts.sensitive
    if path in RATES or not isinstance(method.settings().get(path), float):
        return ()
    axis, place, *rest = path.split(".")
    if not place.isdecimal():
        return (path,)
    parts = getattr(method, axis)
    kind = type(parts[int(place)])
    return tuple(".".join([axis, str(i), *rest]) for i, part in enumerate(parts) if isinstance(part, kind))


def scaled(value: float, factor: float) -> float:
    """The product without the digits that binary numbers add.

    >>> scaled(1e-4, 3)
    0.0003
    """
    return float(f"{value * factor:.6g}")


def _is_possible(method: Method, settings: dict[str, Any]) -> bool:
    try:
        for path, value in settings.items():
            method = method.with_setting(path, value)
    except UserError:
        return False
    return True
