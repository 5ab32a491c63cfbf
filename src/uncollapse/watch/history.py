"""What the lines of `history.jsonl` say, kept in bounded memory: losses, measures, shares of modes, alarms, divergence.

`run` hands over every line once. A line that does not look like one of ours is counted and left out, never trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.monitoring_rows import MonitorRow, monitor_row
from uncollapse.watch.curve import Curve
from uncollapse.watch.documents import at, text, whole
from uncollapse.watch.lives import Lives

LOSSES = ("critic", "generator")
MEASURES = ("modes_solid", "modes_hit", "high_quality_share")
MOST_ALARMS = 200


class History:
    """The history of one run, so far as it was read.

    Attributes:
        update: The newest update.
        curves: By key of `LOSSES` and `MEASURES`.
        lives: Of the modes.
        diverged: Lane -> first update at which it had no loss.
        alarms: The newest `MOST_ALARMS` rows of the monitors, oldest first: ``update``, ``seed`` (or None),
            ``status``, ``sentence``; among them what is no alarm, of the status "never-healthy" or "rolled back".
        alarm_count: Of all alarms.
        told_count: Of all rows of the monitors.
        odd: Lines that could not be understood.
    """

    def __init__(self, lanes: int, *, weights: str = "averaged") -> None:
        """Empty.

        Args:
            lanes: Number of seeds.
            weights: Which generator the measures are taken of, "averaged" or "live".
        """
        self.update = self.alarm_count = self.told_count = self.odd = 0
        self.curves = {key: Curve(lanes) for key in (*LOSSES, *MEASURES)}
        self.lives = Lives(lanes)
        self.diverged: dict[int, int] = {}
        self.alarms: list[dict[str, Any]] = []
        self._lanes = lanes
        self._suffix = "_live" if weights == "live" else ""

    def take(self, line: Mapping[str, Any]) -> None:
        """One line."""
        update = whole(line.get("update"))
        if update is None:
            self.odd += 1
            return
        self.update = max(self.update, update)
        sound = True
        if "losses" in line:
            sound &= self._losses(update, line["losses"])
        if line.get("snapshot"):
            sound &= self._snapshot(update, line)
        if (told := monitor_row(line)) is not None:
            self.alarm_count += told.raised
            self.told_count += 1
            self._keep(told)
        self.odd += not sound

    def _losses(self, update: int, losses: object) -> bool:
        found = {key: self._values(at(losses, key)) for key in LOSSES}
        for key, values in found.items():
            if values is not None:
                self.curves[key].add(update, values)
                for lane in np.flatnonzero(np.isnan(values)):
                    self.diverged.setdefault(int(lane), update)
        return any(values is not None for values in found.values())

    def _snapshot(self, update: int, line: Mapping[str, Any]) -> bool:
        # Snapshots of old runs judge the averaged generator only.
        measures = line.get(f"measures{self._suffix}", line.get("measures"))
        shares = line.get(f"shares{self._suffix}", line.get("shares"))
        sound = isinstance(shares, list) and self.lives.add(update, shares)
        for key in MEASURES:
            values = self._values(at(measures, key))
            if values is not None:
                self.curves[key].add(update, values)
        return sound

    def _keep(self, told: MonitorRow) -> None:
        self.alarms.append(
            {"update": told.update, "seed": told.seed, "status": text(told.status), "sentence": text(told.sentence)}
        )
        del self.alarms[:-MOST_ALARMS]

    def _values(self, values: object) -> NDArray[np.float64] | None:
        """One number a lane (lanes,), NaN where there is none; None for anything else."""
        if not isinstance(values, list) or len(values) != self._lanes:
            return None
        try:
            found = np.array(values, np.float64)
        except (TypeError, ValueError, OverflowError):
            return None
        if found.ndim != 1:
            return None
        found[~(np.abs(found) < 1e300)] = np.nan  # also NaN itself
        return found
