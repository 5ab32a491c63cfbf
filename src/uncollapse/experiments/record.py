"""Run directories -> one record a cell: every seed's measures, their intervals, the success rate, the cost.

Reads `result.json` and `timing.jsonl` only; runs of one cell are merged by seed. Nothing is dropped silently:
a diverged seed counts as having covered nothing, and where that is not a number the note says who is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uncollapse.errors import UserError
from uncollapse.experiments.plan import WEIGHTS
from uncollapse.files import read_lines


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One seed's result; `measures` is weights -> key -> value."""

    seed: int
    diverged: bool
    measures: Mapping[str, Mapping[str, float | None]]


def seconds(directory: Path) -> float:
    """Seconds a run has trained, over all its sittings; the clock begins again at 0 in each.

    A sitting is known by the update that it started ``from``; two that started from the same one (a damaged checkpoint
    was skipped) by a clock that falls.
    """
    total = last = 0.0
    sitting = None
    for line in read_lines(directory / "timing.jsonl"):
        clock = line.get("seconds")
        if isinstance(clock, int | float):
            same = line.get("from") == sitting and clock >= last
            total += clock - last if same else clock
            last, sitting = clock, line.get("from")
    return total


def cell_record(
    method: str,
    task: str,
    results: Mapping[str, dict[str, Any]],
    *,
    weights: str = "averaged",
    failed: Sequence[Mapping[str, Any]] = (),
    unfinished: Sequence[int] = (),
    run_seconds: float = 0.0,
) -> dict[str, Any]:
    """The record of one cell, as `comparison.json` holds it.

    Args:
        method: The method's name in tables.
        task: The task's name.
        results: Run directory name -> its `result.json`, of the finished runs.
        weights: Which generator the plain keys are about; the other one's keys carry its name as a suffix.
        failed: ``{"run", "seeds", "error"}`` of each run that failed.
        unfinished: Seeds still to be trained.
        run_seconds: Seconds that the runs have trained, summed.
    """
    lanes = merge(results)
    first = next(iter(results.values()), None)
    mode_weights = first["modes"]["weights"] if first else []
    measures: dict[str, Any] = {}
    for kind in (weights, *(name for name in WEIGHTS if name != weights)):
        suffix = "" if kind == weights else f"_{kind}"
        for key in _applicable(lanes, kind):
            measures[key + suffix] = summarise(key, lanes, kind, mode_weights)
    return {
        "method": method,
        "task": task,
        "seeds": [lane.seed for lane in lanes],
        "runs": list(results),
        "diverged": [lane.seed for lane in lanes if lane.diverged],
        "failed": [dict(row) for row in failed],
        "unfinished": list(unfinished),
        "measures": measures,
        "success_rate": success_rate(
            lanes, weights, len(mode_weights), failed=sum(len(row["seeds"]) for row in failed)
        ),
        "cost": _cost(list(results.values()), run_seconds),
    }


def _applicable(lanes: Sequence[Lane], weights: str) -> list[str]:
    """The measures that have a value in at least one seed, or in none because all diverged."""
    from uncollapse.metrics.modes import COVERAGE

    alive = [lane for lane in lanes if not lane.diverged] or list(lanes)
    keys = dict.fromkeys(key for lane in lanes for key in lane.measures.get(weights, {}))
    silent = {key for key in keys if all(lane.measures.get(weights, {}).get(key) is None for lane in alive)}
    if all(lane.diverged for lane in lanes):
        silent -= set(COVERAGE)
    return [key for key in keys if key not in silent]


def merge(results: Mapping[str, dict[str, Any]]) -> list[Lane]:
    """The lanes of several runs of one cell, by seed.

    Raises:
        UserError: A seed is in two runs.
    """
    lanes: dict[int, Lane] = {}
    for name, result in results.items():
        for lane in result["lanes"]:
            seed = lane["seed"]
            if seed in lanes:
                raise UserError(f"Seed {seed} is in run {name} and in another run of its cell; remove one of the two.")
            lanes[seed] = Lane(seed=seed, diverged=lane["diverged_at"] is not None, measures=lane["measures"])
    return [lanes[seed] for seed in sorted(lanes)]


def seed_values(key: str, lanes: Sequence[Lane], weights: str) -> list[float | None]:
    """One value a seed; for a diverged one what `diverged_value` says, None where no number is right."""
    from uncollapse.metrics.modes import diverged_value

    values: list[float | None] = []
    for lane in lanes:
        if lane.diverged:
            values.append(diverged_value(key))
        else:
            value = lane.measures.get(weights, {}).get(key)
            values.append(value if value is not None and math.isfinite(value) else None)
    return values


def summarise(key: str, lanes: Sequence[Lane], weights: str, mode_weights: Sequence[float]) -> dict[str, Any]:
    """Mean over the seeds with its interval, every seed's value, and a note on seeds that are left out."""
    from uncollapse.metrics.intervals import mean_interval
    from uncollapse.metrics.modes import measure_bounds

    values = seed_values(key, lanes, weights)
    known = [value for value in values if value is not None]
    left_out = [lane for lane, value in zip(lanes, values, strict=True) if value is None]
    row: dict[str, Any] = {"per_seed": values, "n": len(known)}
    if known:
        limits = measure_bounds(key, mode_weights)
        interval = mean_interval(known, bounds=limits)
        row |= {"mean": interval.mean, "low": interval.low, "high": interval.high}
        row |= {"level": interval.level, "method": interval.method}
        row["bounds"] = list(limits) if limits is not None and math.isfinite(limits[1]) else None
    else:
        row |= {"mean": None, "low": None, "high": None, "level": None, "method": None}
    if left_out:
        row["note"] = _note(left_out)
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }


def _note(left_out: Sequence[Lane]) -> str:
    diverged = [str(lane.seed) for lane in left_out if lane.diverged]
    silent = [str(lane.seed) for lane in left_out if not lane.diverged]
    parts = []
    if diverged:
        parts.append(f"left out because training diverged: seed {', '.join(diverged)}")
    if silent:
        parts.append(f"left out because the measure has no value there: seed {', '.join(silent)}")
    return "; ".join(parts)


def by_seed(cell: Mapping[str, Any], measure: str) -> dict[int, float | None]:
    """A measure of a cell's record, by seed."""
    return dict(zip(cell["seeds"], cell["measures"][measure]["per_seed"], strict=True))


def success_rate(lanes: Sequence[Lane], weights: str, modes: int, *, failed: int = 0) -> dict[str, Any]:
    """The share of seeds with every mode solid, with its Wilson interval; a diverged or failed seed is no success.

    Args:
        lanes: The seeds that have a result.
        weights: Which generator is judged.
        modes: K, the number of modes.
        failed: Seeds whose run failed; they count in n.
    """
    from uncollapse.metrics.intervals import wilson

    n = len(lanes) + failed
    if not n:
        return {"value": None, "low": None, "high": None, "successes": 0, "n": 0}
    successes = sum(value == modes for value in seed_values("modes_solid", lanes, weights)) if modes else 0
    low, high = wilson(successes, n)
    return {"value": successes / n, "low": low, "high": high, "successes": successes, "n": n}


def _cost(results: Sequence[Mapping[str, Any]], run_seconds: float) -> dict[str, Any]:
    """What one seed was given (the same for all seeds of a cell), where, and the seconds of all runs together."""
    if not results:
        return {}
    first = dict(results[0]["cost"])
    devices = list(dict.fromkeys(str(result["cost"].get("device")) for result in results))
    return {**first, "device": ", ".join(devices), "seconds": round(run_seconds, 3)}
