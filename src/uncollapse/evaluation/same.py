"""Which findings are about the same rows: a lost class, a lost region, a group that is never made, a cluster.

Each way of looking gives what it finds a name of its own; a reader has to know which names mean one loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.evaluation.classes import Known
from uncollapse.evaluation.lost import Cluster
from uncollapse.verdict.verdict import Lost, Verdict

# Two lost modes are one when they share this part of all their rows; a group or cluster belongs to a mode when this
# part of its rows does, of at least so many.
ALIKE, WITHIN, FEWEST = 0.5, 0.8, 3
Numbers = NDArray[np.int64]


def same_rows(
    verdict: Verdict, known: Known | None, groups: Mapping[str, Sequence[int]], clusters: Sequence[Cluster]
) -> list[dict[str, Any]]:
    """For each lost mode the other modes that are the same rows, and the groups and clusters that lie in it.

    Args:
        verdict: With the rows of each lost region, of those that it looked at closely.
        known: Classes of all rows.
        groups: Key of a gallery -> numbers of real rows that no fake comes near.
        clusters: Those that do not have their share.
    """
    parts = verdict.details.get("clusters", ())
    looked_at = _numbers(row for part in parts for row in part[0])
    modes = [_Mode(lost, known, looked_at) for lost in verdict.lost]
    rows = []
    for mode in modes:
        rows.append(
            {
                "mode": mode.lost.mode,
                "kind": mode.lost.kind,
                "modes": [{"mode": other.lost.mode, "kind": other.lost.kind} for other in modes if mode.alike(other)],
                "groups": [key for key, group in groups.items() if mode.holds(_numbers(group))],
                "clusters": [cluster.name for cluster in clusters if mode.holds(_numbers(cluster.real))],
            }
        )
    return [row for row in rows if row["modes"] or row["groups"] or row["clusters"]]


def _numbers(rows: Iterable[int]) -> Numbers:
    return np.unique(np.fromiter(rows, dtype=np.int64))


class _Mode:
    """A lost mode, and which real rows it has."""

    def __init__(self, lost: Lost, known: Known | None, looked_at: Numbers) -> None:
        self.lost = lost
        self._looked_at = looked_at
        self._rows = _numbers(lost.real)
        self._classes: Numbers | None = None
        if lost.kind == "class" and known is not None and lost.mode in known.names:
            self._classes, self._class = known.of["real"], known.names.index(lost.mode)
            self._rows = looked_at[self._classes[looked_at] == self._class]

    def holds(self, rows: Numbers) -> bool:
        """Whether most of some rows belong to it, of those of which that is known."""
        if self._classes is not None:
            inside = self._classes[rows] == self._class
        else:
            inside = np.isin(rows[np.isin(rows, self._looked_at)], self._rows)
        return len(inside) >= FEWEST and float(inside.mean()) >= WITHIN

    def alike(self, other: _Mode) -> bool:
        """Whether another mode, found in another way, has the same rows."""
        if other.lost.kind == self.lost.kind:
            return False
        both, either = np.intersect1d(self._rows, other._rows), np.union1d(self._rows, other._rows)
        return len(both) >= FEWEST and len(both) >= ALIKE * len(either)
