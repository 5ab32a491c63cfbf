"""Which class every row is of: what a classifier sees, or the labels that both sides have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uncollapse.evaluation.sides import Side
from uncollapse.verdict.judge import Classes


@dataclass(frozen=True, kw_only=True)
class Known:
    """Classes of the rows of the real side, the fakes, and of a further side where it has them.

    Attributes:
        source: "classifier" or "labels".
        names: Of the K classes.
        of: Role -> class of each row, int64, in 0..K-1.
    """

    source: str
    names: tuple[str, ...]
    of: dict[str, NDArray[np.int64]]

    def pair(self, fake: str = "fake") -> Classes | None:
        """Classes of the real rows and of one side of fakes, for the verdict; None where that side has none.

        Fakes whose labels are equally many, to one row, were asked for in equal numbers: their shares say nothing.
        """
        if fake not in self.of:
            return None
        found = self.of[fake]
        counts = np.bincount(found, minlength=len(self.names))
        asked = self.source == "labels" and int(counts.max() - counts.min()) <= 1
        return Classes(names=self.names, real=self.of["real"], fake=found, balanced=asked)

    def asked(self) -> tuple[Tensor, Tensor] | None:
        """Classes of the real rows and of the fakes, where the fakes' shares were chosen by whoever asked for them."""
        pair = self.pair()
        return None if pair is None or not pair.balanced else (torch.from_numpy(pair.real), torch.from_numpy(pair.fake))

    def to_json(self) -> dict[str, Any]:
        """Names and counts of each side."""
        counts = {role: np.bincount(rows, minlength=len(self.names)).tolist() for role, rows in self.of.items()}
        return {"source": self.source, "names": list(self.names), **counts}


def find_classes(sides: Sequence[Side], names: Sequence[str]) -> Known | None:
    """Classes by the classifier where there is one, by labels where real rows and fakes have some in common, else None.

    Args:
        sides: Real, fake and perhaps other.
        names: Of the classifier's classes; empty without one.
    """
    real, fake = sides[:2]
    if names:
        seen = {
            side.role: side.rows.probabilities.argmax(1).astype(np.int64)
            for side in sides
            if side.rows.probabilities is not None
        }
        return Known(source="classifier", names=tuple(names), of=seen) if {"real", "fake"} <= set(seen) else None
    if not alike(real, fake):
        return None
    labels = {side.role: side.rows.labels for side in sides if side.rows.labels is not None}
    known = sorted({label for rows in labels.values() for label in rows}, key=natural)
    place = {label: number for number, label in enumerate(known)}
    of = {role: np.array([place[label] for label in rows], dtype=np.int64) for role, rows in labels.items()}
    return Known(source="labels", names=tuple(known), of=of)


def alike(real: Side, fake: Side) -> bool:
    """Whether both sides have labels and at least one name is on both."""
    labels = real.rows.labels, fake.rows.labels
    return labels[0] is not None and labels[1] is not None and bool(set(labels[0]) & set(labels[1]))


def natural(label: str) -> tuple[bool, float, str]:
    """A key that puts numbers in their order before words in theirs."""
    try:
        number = float(label)
    except ValueError:
        number = math.nan
    return (True, 0.0, label) if math.isnan(number) else (False, number, label)
