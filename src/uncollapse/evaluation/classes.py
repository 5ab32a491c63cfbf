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

from uncollapse.data.labels import UNLABELLED
from uncollapse.evaluation.sides import Side
from uncollapse.verdict.judge import FEWEST, Classes

# Where fewer rows of a side than this share have a label, its labels say nothing of the side as a whole.
LEAST_LABELLED = 0.5


@dataclass(frozen=True, kw_only=True)
class Known:
    """Classes of the rows of the real side, the fakes, and of a further side where it has them.

    Attributes:
        source: "classifier" or "labels".
        names: Of the K classes.
        of: Role -> class of each row, int64, in 0..K-1; -1 where it has no label.
    """

    source: str
    names: tuple[str, ...]
    of: dict[str, NDArray[np.int64]]

    def kept(self, role: str) -> NDArray[np.int64] | None:
        """Numbers of the rows of a side that have a class; None where all have one."""
        having = self.of[role] >= 0
        return None if having.all() else np.flatnonzero(having)

    def pair(self, fake: str = "fake") -> Classes | None:
        """Classes of the real rows and of one side of fakes, for the verdict; None where that side has none.

        Only rows that have a class are in it, and of labels only the names that one of these two sides has: what
        another generator made says nothing about this one. Fakes whose labels are equally many, to one row, were asked
        for in equal numbers: their shares say nothing.
        """
        if fake not in self.of:
            return None
        real, made = (rows[rows >= 0] for rows in (self.of["real"], self.of[fake]))
        counts = [np.bincount(rows, minlength=len(self.names)) for rows in (real, made)]
        there = np.flatnonzero(counts[0] + counts[1]) if self.source == "labels" else np.arange(len(self.names))
        place = np.full(len(self.names), -1)
        place[there] = np.arange(len(there))
        asked = self.source == "labels" and int(np.ptp(counts[1][there])) <= 1
        names = tuple(self.names[k] for k in there)
        return Classes(names=names, real=place[real], fake=place[made], balanced=asked)

    def asked(self) -> tuple[Tensor, Tensor] | None:
        """Class of every real row and fake, where the fakes' shares were chosen by whoever asked for them.

        Rows without a class are of one that the other side has not, so that no mixture of both holds them.
        """
        pair = self.pair()
        if pair is None or not pair.balanced:
            return None
        real, fake = (
            np.where(self.of[role] < 0, len(self.names) + place, self.of[role])
            for place, role in enumerate(("real", "fake"))
        )
        return torch.from_numpy(real), torch.from_numpy(fake)

    def to_json(self) -> dict[str, Any]:
        """Names and counts of each side."""
        counts = {
            role: np.bincount(rows[rows >= 0], minlength=len(self.names)).tolist() for role, rows in self.of.items()
        }
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
    if not alike(real, fake) or not (mostly_labelled(real) and mostly_labelled(fake)):
        return None
    named = [side for side in sides if mostly_labelled(side) and alike(real, side)]
    labels = {side.role: side.rows.labels or () for side in named}
    known = sorted({label for rows in labels.values() for label in rows} - {UNLABELLED}, key=natural)
    place = {label: number for number, label in enumerate(known)} | {UNLABELLED: -1}
    of = {role: np.array([place[label] for label in rows], dtype=np.int64) for role, rows in labels.items()}
    return Known(source="labels", names=tuple(known), of=of)


def alike(real: Side, fake: Side) -> bool:
    """Whether both sides have labels and at least one name is on both."""
    return bool(names_of(real) & names_of(fake))


def names_of(side: Side) -> set[str]:
    """The labels that a side has; rows without one have none."""
    return set(side.rows.labels or ()) - {UNLABELLED}


def unlabelled(side: Side) -> int:
    """Rows without a label, of a side where others have one."""
    return (side.rows.labels or ()).count(UNLABELLED)


def mostly_labelled(side: Side) -> bool:
    """Whether labels can stand for a side: every row has one, or enough of them have to judge by these."""
    return side.rows.labels is not None and enough_labels(side.rows.labels)


def enough_labels(labels: Sequence[str]) -> bool:
    """Whether every row has a label, or enough have one to judge by these."""
    missing = list(labels).count(UNLABELLED)
    return not missing or len(labels) - missing >= max(FEWEST, LEAST_LABELLED * len(labels))


def natural(label: str) -> tuple[bool, float, str]:
    """A key that puts numbers in their order before words in theirs."""
    try:
        number = float(label)
    except ValueError:
        number = math.nan
    return (True, 0.0, label) if math.isnan(number) else (False, number, label)
