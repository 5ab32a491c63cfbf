"""The Metric type and the list of all metrics: what each measures, its range, its blind spot, its estimand.

The facts are data (`facts/NAME.toml`); from them come the estimates' words, `uncollapse metrics` and docs/metrics/.
"""

from __future__ import annotations

import importlib
import math
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from uncollapse.errors import UserError, unknown
from uncollapse.metrics.estimate import Estimate

Direction = Literal["lower", "higher", "near"]
# What can be wrong with a generator in the planted examples of the documentation and the tests.
DEFECTS = ("modes lost", "variance shrunk", "duplicates", "blur", "memorised")
# Heading -> names, in the order of every list.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Distances between distributions": (
        "frechet_distance", "frechet_infinity", "kernel_distance", "mmd_rbf", "sliced_wasserstein",
    ),
    "Neighbours: quality and coverage apart": ("precision", "recall", "density", "coverage"),
    "Can anything tell them apart": ("c2st", "ndb"),
    "Variety of the fakes alone": ("diversity", "vendi_score", "duplicates", "birthday"),
    "Copies of the training data": ("authenticity",),
    "With a classifier or labels": (
        "inception_score", "mode_coverage", "class_entropy", "class_kl", "chi_square",
    ),
    "The generator itself": ("path_length",),
}  # fmt: skip
NAMES = tuple(name for names in GROUPS.values() for name in names)
# What others call them. FID and KID name the network too, and are written where that is the extractor.
ALIASES: Mapping[str, str] = {
    "fid": "frechet_distance", "kid": "kernel_distance", "is": "inception_score", "ppl": "path_length",
    "lpips": "diversity",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric and all that is known of it.

    Attributes:
        name: Its name, also that of its function.
        title: Its name in words.
        place: ``module:function`` within `uncollapse.metrics`.
        takes: What it looks at: "real and fake features", "fake features", "probabilities", "labels", "a generator".
        measures: What it measures, one sentence.
        equation: The definition, plain text.
        direction: Which values are good.
        low: Smallest possible value; -inf where there is none.
        high: Largest possible value; inf where there is none.
        ideal: The value of a perfect generator, in words and numbers.
        minimum: Fewest rows a side for a number that means something.
        estimand: What the interval is for.
        interval: How the interval is found.
        conservative: Whether the interval may hold more often than its level says: in some cases it does.
        strengths: What it is good at.
        weaknesses: What it is bad at.
        blind: What it cannot see.
        use: When to use it.
        sees: The planted defects that move it in its bad direction, from `DEFECTS`.
        misses: The planted defects that leave it unmoved or improve it.
        paper: Authors, year, title.
        arxiv: Number, or another address.
        differs: Every deviation from the paper.
    """

    name: str
    title: str
    place: str
    takes: str
    measures: str
    equation: str
    direction: Direction
    low: float = -math.inf
    high: float = math.inf
    ideal: str
    minimum: int
    estimand: str
    interval: str
    conservative: bool = False
    strengths: str
    weaknesses: str
    blind: str
    use: str
    sees: tuple[str, ...] = ()
    misses: tuple[str, ...] = ()
    paper: str
    arxiv: str
    differs: tuple[str, ...] = ()

    @property
    def function(self) -> Callable[..., Estimate]:
        """The function that computes it."""
        module, _, name = self.place.partition(":")
        found: Callable[..., Estimate] = getattr(importlib.import_module(f"uncollapse.metrics.{module}"), name)
        return found

    def estimate(
        self,
        value: float | None,
        ends: tuple[float | None, float | None] = (None, None),
        *,
        level: float | None,
        n_real: int | None = None,
        n_fake: int | None = None,
        reason: str | None = None,
        **changes: Any,
    ) -> Estimate:
        """An estimate with this metric's words; ends are cut at the metric's range and always hold the value.

        Args:
            value: The number.
            ends: Its interval; ignored when `level` is None.
            level: Nominal coverage.
            n_real: Real rows.
            n_fake: Fake rows.
            reason: Why something is missing.
            changes: Other fields of `Estimate` (`details`, or `estimand` and `interval` where they differ this time).
        """
        low, high = (None, None) if level is None or value is None else ends
        low = None if low is None else max(self.low, min(low, value if value is not None else low))
        high = None if high is None else min(self.high, max(high, value if value is not None else high))
        words = {"estimand": self.estimand, "interval": self.interval, "conservative": self.conservative}
        if level is None:
            words["interval"], words["conservative"] = "none was asked for", False
        return Estimate(
            **{
                "metric": self.name, "value": value, "low": low, "high": high, "level": level, "n_real": n_real,
                "n_fake": n_fake, "direction": self.direction, "reason": reason, **words, **changes,
            }
        )  # fmt: skip


def unknown_metric(name: object) -> UserError:
    """The error for a name that no metric has: what is called otherwise here, or the nearest names."""
    ours = ALIASES.get(str(name).lower())
    if ours is None:
        return unknown("metric", name, NAMES, see="`uncollapse metrics` lists them")
    return UserError(f"There is no metric {str(name)!r}; it is called {ours!r} here (`uncollapse metrics {ours}`).")


def as_names(metrics: Iterable[str]) -> tuple[str, ...]:
    """Names of metrics as they were given, once for all readers; whether there are such metrics is another question.

    Raises:
        UserError: One text in place of a list, no list, or functions in place of their names.
    """
    if isinstance(metrics, str):
        listed = [name.strip() for name in metrics.split(",") if name.strip()] or ["coverage"]
        raise UserError(f"metrics must be a list of names, for example {listed}, not the one text {metrics!r}.")
    if not isinstance(metrics, Iterable):
        raise UserError(f"metrics must be a list of names, for example ['coverage'], not {metrics!r}.")
    names = tuple(metrics)
    for name in names:
        if not isinstance(name, str):
            called = getattr(name, "__name__", "")
            known = f"its name {called!r}" if called in NAMES else "names, for example 'coverage'"
            raise UserError(f"A metric is something of type {type(name).__name__}, not a name; give {known}.")
    return names


@cache
def find_metric(name: str) -> Metric:
    """The metric of that name.

    Raises:
        UserError: There is none; names the nearest.
    """
    if name not in NAMES:
        raise unknown_metric(as_names([name])[0])
    text = resources.files("uncollapse.metrics").joinpath("facts", f"{name}.toml").read_text(encoding="utf-8")
    facts: dict[str, Any] = tomllib.loads(text)
    facts |= {key: tuple(facts.get(key, ())) for key in ("sees", "misses", "differs")}
    return Metric(name=name, **facts)
