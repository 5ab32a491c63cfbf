"""What the page is told of a run: a row of the table, and all that is drawn of it but its samples.

Everything here is plain JSON: numbers are finite or None, texts are clean and short.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from uncollapse.watch.documents import at, items, number, open_regular, text, whole
from uncollapse.watch.history import LOSSES, MEASURES
from uncollapse.watch.run import WatchedRun

POINTS, FEWEST_POINTS = 12_000, 80  # of one measure over all lanes, and of one lane
MOST_WARNINGS = 50
END_OF_LOG = 8_192


def row(run: WatchedRun, *, wall: float, steady: float) -> dict[str, Any]:
    """One line of the table of runs.

    Args:
        run: The run.
        wall: The time of day in seconds.
        steady: A clock that never jumps, in seconds.
    """
    state, silent = run.status(wall=wall, steady=steady)
    now = run.pace()
    left = now.seconds_left(run.update, run.updates) if state == "training" else None
    return {
        "id": run.id,
        "version": run.version,
        "folder": text(run.directory.name),
        "method": run.name("method"),
        "task": run.name("task"),
        "seeds": run.seeds,
        "n": len(run.seeds),
        "update": run.updates if state == "finished" else min(run.update, run.updates or run.update),
        "updates": run.updates,
        "status": state,
        "speed": number(now.speed) if state == "training" else None,
        "left": None if left is None else round(left),
        # In minutes, so that a silent run is not news every second.
        "silent": int(silent // 60) if state == "stalled" else None,
        "modes": len(run.mode_names or ()) or run.history.lives.modes or None,
        "solid": _spread(run),
        "diverged": len(run.diverged()),
        "alarms": run.history.alarm_count,
        "behind": run.behind,
        "trouble": run.trouble,
    }


def _spread(run: WatchedRun) -> list[float] | None:
    """Lowest, median and highest number of solid modes over the seeds that have one."""
    outcomes = run.outcomes()
    judged = [number(at(lane, "measures", run.weights, "modes_solid")) for lane in outcomes.values()]
    values = np.array(judged, float) if judged else run.history.curves["modes_solid"].last
    values = values[np.isfinite(values)]
    return [float(values.min()), float(np.median(values)), float(values.max())] if len(values) else None


def per_seed(run: WatchedRun) -> list[dict[str, Any]]:
    """One entry a seed: where it diverged, its newest losses, and its measures (those of the result, once there)."""
    outcomes, diverged, curves = run.outcomes(), run.diverged(), run.history.curves
    entries = []
    for place, seed in enumerate(run.seeds):
        judged = at(outcomes.get(seed), "measures", run.weights)
        measures = {
            key: number(judged.get(key) if isinstance(judged, Mapping) else float(curves[key].last[place]))
            for key in MEASURES
        }
        losses = {key: number(float(curves[key].last[place])) for key in LOSSES}
        entries.append({"seed": seed, "diverged": diverged.get(seed), "measures": measures, "losses": losses})
    return entries


def detail(run: WatchedRun) -> dict[str, Any]:
    """All that is drawn of a run but its samples."""
    points = max(FEWEST_POINTS, POINTS // max(len(run.seeds), 1))
    weights, history = run.mode_weights, run.history
    return {
        "id": run.id,
        "version": run.version,
        "command": text(run.spec.get("command") or "", 2_000),
        "weights": run.weights,
        "names": run.mode_names,
        "fair": None if weights is None else [round(weight, 5) for weight in weights.tolist()],
        "curves": {key: curve.to_json(points) for key, curve in history.curves.items() if curve.count},
        "map": history.lives.to_json(weights),
        "seeds": per_seed(run),
        "alarms": history.alarms[::-1],
        "told": history.told_count,
        "verdict": text(at(run.result, "verdict", "status") or ""),
        "evidence": [text(at(line, "sentence")) for line in items(run.result, "verdict", "evidence")[:MOST_WARNINGS]],
        "samples_judged": whole(at(run.result, "n_samples")),
        "warnings": _warnings(run),
        "error": _error(run),
    }


def _warnings(run: WatchedRun) -> list[str]:
    told = [*run.clocks, run.result]
    found = [text(line) for source in told for line in items(source, "warnings")]
    if run.damaged:
        lines, are = ("1 line", "is") if run.damaged == 1 else (f"{run.damaged:,} lines", "are")
        found.append(f"{lines} of history.jsonl could not be understood and {are} left out.")
    if run.trouble:
        found.append(run.trouble)
    return list(dict.fromkeys(found))[:MOST_WARNINGS]


def _error(run: WatchedRun) -> str:
    """The last line of `error.log`, which names what was raised; empty without one."""
    stream = open_regular(run.directory / "error.log")
    if stream is None:
        return ""
    with stream:
        stream.seek(0, 2)
        stream.seek(max(0, stream.tell() - END_OF_LOG))
        lines = stream.read(END_OF_LOG).decode("utf-8", "replace").strip().splitlines()
    return text(lines[-1]) if lines else ""
