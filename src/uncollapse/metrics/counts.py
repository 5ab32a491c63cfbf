"""How often each class occurs on each side: labels or counts, checked and brought to one list of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from uncollapse.errors import UserError

Name = int | str
Labels = ArrayLike | Tensor
CountsLike = Mapping[Name, float] | Sequence[float] | NDArray[np.generic] | Tensor
# How far exact shares may be from summing to 1.
SUM_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Table:
    """Counts of the classes that occur on either side, K of them.

    Attributes:
        names: The classes, sorted.
        fake: Fakes of each class, float64 whole numbers (K,).
        real: Real samples of each class (K,), or their exact shares where `exact`; None without a real side.
        exact: Whether `real` holds shares that are known, not counted.
    """

    names: tuple[Name, ...]
    fake: NDArray[np.float64]
    real: NDArray[np.float64] | None
    exact: bool

    @property
    def n_fake(self) -> int:
        """Fakes in all."""
        return int(self.fake.sum())

    @property
    def n_real(self) -> int | None:
        """Real samples in all; None when there are none or their shares are exact."""
        return None if self.real is None or self.exact else int(self.real.sum())


def tabulate(
    *,
    real: Labels | None,
    fake: Labels | None,
    real_counts: CountsLike | None,
    fake_counts: CountsLike | None,
    need_real: bool = True,
) -> Table:
    """Both sides over one sorted list of classes; classes that neither side has are left out.

    Args:
        real: Labels, whole numbers or strings (n,).
        fake: Labels of the same kind.
        real_counts: Instead of `real`: a count for each class, or exact shares (floats that sum to 1).
        fake_counts: Instead of `fake`: a count for each class.
        need_real: Whether a missing real side is an error.

    Raises:
        UserError: A side is missing, given twice, empty, negative, not whole numbers, or its classes are named
            otherwise than those of the other.
    """
    fakes, _ = _side("fake", fake, fake_counts, shares=False, needed=True)
    reals, exact = _side("real", real, real_counts, shares=True, needed=need_real)
    if _plain(fake_counts) and _plain(real_counts) and len(fakes) != len(reals):
        raise UserError(
            f"real_counts has {len(reals)} classes and fake_counts {len(fakes)}; write a 0 for a class without "
            "samples, or give mappings from class to count."
        )
    kinds = {type(name) for name in (*fakes, *reals)}
    if len(kinds) > 1:
        raise UserError(
            "real and fake name their classes differently: some are whole numbers and some are strings; "
            "use one kind for both."
        )
    names = sorted(name for name in {*fakes, *reals} if fakes.get(name) or reals.get(name))
    return Table(
        names=tuple(names),
        fake=np.array([fakes.get(name, 0.0) for name in names]),
        real=np.array([reals.get(name, 0.0) for name in names]) if reals else None,
        exact=exact,
    )


def _plain(counts: CountsLike | None) -> bool:
    return counts is not None and not isinstance(counts, Mapping)


def _side(
    side: str, labels: Labels | None, counts: CountsLike | None, *, shares: bool, needed: bool
) -> tuple[dict[Name, float], bool]:
    """Class -> count of one side, and whether these are exact shares; empty when the side may be missing and is."""
    if (labels is None) == (counts is None):
        if labels is None and not needed:
            return {}, False
        given = "neither was" if labels is None else "both were"
        raise UserError(f"Give either {side}= (labels) or {side}_counts=; {given} given.")
    if labels is not None:
        return _from_labels(side, labels), False
    assert counts is not None
    return _from_counts(side, counts, shares)


def _from_labels(side: str, labels: Labels) -> dict[Name, float]:
    given = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    mixed = isinstance(labels, Sequence) and given.dtype.kind == "U" and not all(isinstance(x, str) for x in labels)
    if given.dtype.kind == "O" and all(isinstance(x, str) for x in given.ravel()):
        given = given.astype(str)
    if given.size and (mixed or given.dtype.kind not in "iuU"):
        raise UserError(
            f"{side} labels must be all whole numbers or all strings, not {'a mixture' if mixed else given.dtype}."
        )
    if given.ndim != 1:
        raise UserError(f"{side} labels must be a list of one label a sample, not of shape {given.shape}.")
    if not len(given):
        raise UserError(f"{side} has no labels; give at least one sample.")
    names, times = np.unique(given, return_counts=True)
    return dict(zip(names.tolist(), times.astype(float).tolist(), strict=True))


def _from_counts(side: str, counts: CountsLike, shares: bool) -> tuple[dict[Name, float], bool]:
    what = f"{side}_counts"
    names = list(counts) if isinstance(counts, Mapping) else None
    if names is not None and not (all(_whole(x) for x in names) or all(isinstance(x, str) for x in names)):
        raise UserError(f"The classes of {what} must be all whole numbers or all strings.")
    listed = list(counts.values()) if isinstance(counts, Mapping) else counts
    given = listed.detach().cpu().numpy() if isinstance(listed, Tensor) else np.asarray(listed)
    if given.ndim != 1 or given.dtype.kind not in "iuf":
        raise UserError(f"{what} must be a mapping from class to count, or a list of counts, not {counts!r:.60}.")
    values = given.astype(np.float64)
    if not np.isfinite(values).all() or (values < 0).any():
        bad = values[~np.isfinite(values) | (values < 0)][0]
        raise UserError(f"{what} must be numbers from 0 up, not {bad:g}.")
    if not values.sum():
        raise UserError(f"{what} are all 0; give at least one sample.")
    exact = shares and given.dtype.kind == "f" and abs(values.sum() - 1) <= SUM_TOLERANCE
    if not exact and (values != np.round(values)).any():
        hint = "; exact shares must sum to 1" if shares else ""
        raise UserError(f"{what} must be whole numbers, but hold {values[values != np.round(values)][0]:g}{hint}.")
    keys: list[Name] = (
        list(range(len(values))) if names is None else [x if isinstance(x, str) else int(x) for x in names]
    )
    return dict(zip(keys, (values / values.sum() if exact else values).tolist(), strict=True)), exact


def _whole(name: object) -> bool:
    return isinstance(name, int | np.integer) and not isinstance(name, bool)
