"""Which class every row is of: what a classifier sees, or the labels that both sides have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.evaluation.sides import Side
from uncollapse.verdict.judge import Classes


@dataclass(frozen=True, kw_only=True)
class Known:
    """Classes of the rows of all sides.

    Attributes:
        source: "classifier" or "labels".
        names: Of the K classes.
        of: Role -> class of each row, int64, in 0..K-1.
    """

    source: str
    names: tuple[str, ...]
    of: dict[str, NDArray[np.int64]]

    def pair(self, fake: str = "fake") -> Classes:
        """Classes of the real rows and of one side of fakes, for the verdict.

        Fakes whose labels are equally many were asked for in equal numbers: their shares say nothing.
        """
        found = self.of[fake]
        counts = np.bincount(found, minlength=len(self.names))
        asked = self.source == "labels" and len(set(counts.tolist())) == 1
        return Classes(names=self.names, real=self.of["real"], fake=found, balanced=asked)

    def to_json(self) -> dict[str, Any]:
        """Names and counts of each side."""
        counts = {role: np.bincount(rows, minlength=len(self.names)).tolist() for role, rows in self.of.items()}
        return {"source": self.source, "names": list(self.names), **counts}


def find_classes(sides: Sequence[Side], names: Sequence[str]) -> Known | None:
    """Classes by the classifier where there is one, by labels where all sides have them, else None.

    Args:
        sides: Real first.
        names: Of the classifier's classes; empty without one.
    """
    if names:
        seen = {}
        for side in sides:
            if side.rows.probabilities is None:
                return None
            seen[side.role] = side.rows.probabilities.argmax(1).astype(np.int64)
        return Known(source="classifier", names=tuple(names), of=seen)
    labels = {side.role: side.rows.labels for side in sides}
    if any(rows is None for rows in labels.values()):
        return None
    known = sorted({label for rows in labels.values() for label in rows or ()}, key=_natural)
    place = {label: number for number, label in enumerate(known)}
    of = {role: np.array([place[label] for label in rows or ()], dtype=np.int64) for role, rows in labels.items()}
    return Known(source="labels", names=tuple(known), of=of)


def _natural(label: str) -> tuple[bool, float, str]:
    """Numbers in their order before words in theirs."""
    try:
        return False, float(label), label
    except ValueError:
        return True, 0.0, label
