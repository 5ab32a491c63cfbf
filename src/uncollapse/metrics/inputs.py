"""What a metric accepts: feature rows checked, kept as they came, and ordered by their content before any draw."""

from __future__ import annotations

import operator
from collections.abc import Hashable
from functools import cached_property
from numbers import Real
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from uncollapse.dense import check_dense
from uncollapse.errors import UserError

FLOATS = (torch.float32, torch.float64)
CHUNK_NUMBERS = 2**21
# Smallest and largest size of the largest number of some rows whose products float32 can hold, cubes of them too.
MODERATE = 1e-6, 1e6
# An odd number without pattern, as a signed one: 0xBF58476D1CE4E5B9.
_STIR = 0xBF58476D1CE4E5B9 - 2**64


class Features:
    """The feature rows of one side.

    The rows are never copied as a whole; what draws or groups rows goes through `order`, so that no result depends on
    the order of files.

    Attributes:
        name: "real", "fake" or "train": what messages call the side.
        x: (n, d) float32 or float64, on the device where it was given.
        shared: What one metric computed of these rows and another can use.
    """

    def __init__(self, rows: ArrayLike | Tensor, *, name: str, least: int = 2) -> None:
        """Checks the rows.

        Args:
            rows: (n, d) numbers; NumPy, torch or nested lists. Half precision is widened, integers become float64.
            name: What messages call them.
            least: Fewest rows that the metric needs.

        Raises:
            UserError: Not a matrix, too few rows, no column, complex or not numbers, or a row that is not finite.
        """
        self.name = name
        self.x = _matrix(rows, name)
        self.shared: dict[Hashable, Any] = {}
        _check_count(self, least)
        _check_finite(self.x, name)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def width(self) -> int:
        """Number of features d."""
        return int(self.x.shape[1])

    @cached_property
    def keys(self) -> Tensor:
        """One int64 a row, (n,), equal for identical rows and (up to a chance of n^2 / 2^65) only for these."""
        return row_keys(self.x)

    @cached_property
    def order(self) -> Tensor:
        """The rows in an order that depends on their content alone, int64 (n,); identical rows are neighbours."""
        return torch.argsort(self.keys, stable=True)

    @property
    def ordered(self) -> Tensor:
        """The rows in that order, a copy."""
        return self.x[self.order]

    def exact(self, index: Tensor) -> Tensor:
        """Some of the ordered rows in float64."""
        return self.x[self.order[index]].double()

    @cached_property
    def mean(self) -> Tensor:
        """Mean row in float64, (d,)."""
        stretches = chunks(len(self), self.width)
        # One tensor for all sums: small ones that stay between large ones that go would hold the memory of all.
        sums = torch.empty(len(stretches), self.width, dtype=torch.float64, device=self.x.device)
        for number, part in enumerate(stretches):
            sums[number] = self.x[part].double().sum(0)
        return sums.sum(0) / len(self)

    def centred(self, centre: Tensor, dtype: torch.dtype) -> Tensor:
        """Ordered rows minus a centre, subtracted in float64, as `dtype` (n, d)."""
        result = torch.empty(len(self), self.width, dtype=dtype, device=self.x.device)
        for part in chunks(len(self), self.width):
            result[part] = (self.x[self.order[part]].double() - centre).to(dtype)
        return result


Rows = ArrayLike | Tensor | Features


def squares_fit(rows: Tensor) -> bool:
    """Whether products of these rows, and their cubes, stay ordinary numbers of float32, (n, d)."""
    low, high = torch.aminmax(rows)
    largest = max(-float(low), float(high))
    return largest == 0 or MODERATE[0] <= largest <= MODERATE[1]


def both(real: Rows, fake: Rows, *, least: int = 2) -> tuple[Features, Features]:
    """Two sides of equal width on one device; a side that was checked before stays as it is.

    Raises:
        UserError: As `Features`, or the sides differ in width or device.
    """
    sides = as_features(real, name="real", least=least), as_features(fake, name="fake", least=least)
    check_alike(*sides)
    return sides


def as_features(rows: Rows, *, name: str, least: int = 2) -> Features:
    """Rows as a checked side.

    Raises:
        UserError: As `Features`.
    """
    if not isinstance(rows, Features):
        return Features(rows, name=name, least=least)
    _check_count(rows, least)
    return rows


def check_alike(one: Features, other: Features) -> None:
    """Refuses sides that do not lie in the same space.

    Raises:
        UserError: They differ in width or device.
    """
    if one.width != other.width:
        raise UserError(
            f"{one.name} has {one.width} features a row and {other.name} has {other.width}; both sides need the same "
            "extractor."
        )
    if one.x.device != other.x.device:
        raise UserError(f"{one.name} is on {one.x.device} and {other.name} on {other.x.device}; move one of them.")


def check_level(level: float | None) -> None:
    """Refuses a level outside (0, 1); None asks for no interval.

    Raises:
        UserError: The level is not between 0 and 1.
    """
    if level is not None and not (isinstance(level, Real) and 0 < level < 1):
        raise UserError(f"level must be between 0 and 1, for example 0.95, or None for no interval, not {level!r}.")


def check_count(count: int, name: str, *, least: int = 1, more: str = "") -> None:
    """Refuses what is no whole number, or too small.

    Args:
        count: What was given.
        name: How it is called.
        least: The smallest that is possible.
        more: What a message adds of what is allowed.

    Raises:
        UserError: It is no such number.
    """
    try:
        fits = not isinstance(count, bool) and operator.index(count) >= least
    except TypeError:
        fits = False
    if not fits:
        raise UserError(f"{name} must be a whole number of at least {least}{more}, not {count!r}.")


def is_number(given: object) -> bool:
    """Whether something is a real number, of Python or NumPy, or a tensor or an array of one; a truth value is none."""
    if isinstance(given, Tensor | np.ndarray) and given.ndim == 0:
        given = given.item()
    return isinstance(given, Real) and not isinstance(given, bool)


def check_neighbours(k: int, *sides: Features) -> None:
    """Refuses a number of neighbours that a side cannot have.

    Raises:
        UserError: k is no whole number of 1 or more, or a side has no more than k rows.
    """
    check_count(k, "k")
    for side in sides:
        if len(side) <= k:
            raise UserError(
                f"{side.name} has {_count(len(side))}, too few for k = {k} neighbours; give at least {k + 1}, or a "
                "smaller k."
            )


def seeded(generator: torch.Generator | None, name: str = "generator") -> torch.Generator:
    """The caller's generator, or a fresh one of seed 0, so that a metric gives the same number every time.

    Raises:
        UserError: It is no generator of torch, or not on the CPU.
    """
    if generator is None:
        return torch.Generator().manual_seed(0)
    if not isinstance(generator, torch.Generator) or generator.device.type != "cpu":
        given = f"one on {generator.device}" if isinstance(generator, torch.Generator) else repr(generator)
        raise UserError(
            f"{name} must be a torch.Generator on the CPU, as torch.Generator().manual_seed(0), not {given}."
        )
    return generator


def row_keys(x: Tensor) -> Tensor:
    """A 64-bit hash of each row's bits, int64 (n,); minus zero counts as zero.

    Every 32 bits times a random odd weight of their place, mixed, and summed modulo 2^64. Without the mixing (shifts
    and a product, as in Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators") the sum is linear,
    and rows of few values, such as -1 and 1, whose numbers differ in one bit, would share most of its bits.
    """
    words = x.shape[1] * x.element_size() // 4
    weights = np.random.Generator(np.random.PCG64(20_260_101)).integers(-(2**63), 2**63 - 1, words + 1, dtype=np.int64)
    weight = torch.from_numpy(weights | 1).to(x.device)
    # Into one tensor, as in `mean`.
    mixed = torch.empty(len(x), dtype=torch.int64, device=x.device)
    for part in chunks(len(x), words):
        mixed[part] = _stirred(_words(x[part]) * weight[1:]).sum(1)
    return _stirred(mixed + weight[0])


def common_keys(*sides: Features) -> list[Tensor]:
    """The keys of several sides, (n,) each, equal for rows of equal numbers whatever their precision."""
    alike = len({side.x.dtype for side in sides}) == 1
    return [side.keys if alike else row_keys(side.x.double()) for side in sides]


def _words(x: Tensor) -> Tensor:
    return (x + 0.0).contiguous().view(torch.int32).to(torch.int64)


def _stirred(words: Tensor) -> Tensor:
    """Every bit of a word spread over all of it, in place."""
    # The mask makes the shifts those of unsigned numbers.
    words.bitwise_xor_((words >> 29) & (2**35 - 1)).mul_(_STIR)
    return words.bitwise_xor_((words >> 32) & (2**32 - 1))


def _check_count(side: Features, least: int) -> None:
    if len(side) < least:
        raise UserError(f"{side.name} has {_count(len(side))}, but this needs at least {least}; give more samples.")


def _matrix(rows: ArrayLike | Tensor, name: str) -> Tensor:
    check_dense(rows, name)
    x = rows.detach() if isinstance(rows, Tensor) else torch.as_tensor(_forward(_numbers(rows, name)))
    if x.ndim != 2 or x.shape[1] < 1:
        raise UserError(f"{name} must be a matrix (n, d) of feature rows, not of shape {tuple(x.shape)}.")
    if x.is_complex():
        raise UserError(f"{name} holds complex numbers; features are real numbers.")
    if x.dtype in FLOATS:
        return x
    return x.float() if x.is_floating_point() else x.double()


def _numbers(rows: ArrayLike, name: str) -> NDArray[Any]:
    """Anything that NumPy reads as numbers of a type that torch has."""
    try:
        x = np.asarray(rows)
    except ValueError as error:
        raise UserError(f"{name} must be a matrix of numbers (n, d), and its rows are not equally long.") from error
    except (TypeError, RuntimeError) as error:  # of tensors in a list, that need a gradient or are elsewhere
        raise UserError(f"{name} cannot be read as a matrix of numbers (n, d): {error}") from error
    if x.dtype.kind in "biufc" and x.dtype.itemsize <= (16 if x.dtype.kind == "c" else 8):
        return x.astype(x.dtype.newbyteorder("="), copy=False)  # torch takes no other order of bytes
    if isinstance(rows, str | bytes | PurePath):
        raise UserError(f"{name} must be a matrix of numbers (n, d), not a path; uncollapse.evaluate reads files.")
    given = f"entries of type {x.dtype}" if x.ndim else type(rows).__name__
    remedy = "; convert it, as by numpy.asarray(x, dtype=float)" if x.ndim else ""
    raise UserError(f"{name} must be a matrix of numbers (n, d) of at most 64 bits, not {given}{remedy}.")


def _forward(x: NDArray[Any]) -> NDArray[Any]:
    """The array itself, or a copy where it steps backwards or cannot be written, which torch refuses or warns of."""
    return x if x.flags.writeable and min(x.strides, default=0) >= 0 else x.copy()


def _check_finite(x: Tensor, name: str) -> None:
    # A sum is finite only if its terms are, and needs no array of flags; what overflows is looked at closely.
    if bool(torch.isfinite(x.sum())):
        return
    bad = torch.cat([~torch.isfinite(x[part]).all(1) for part in chunks(len(x), x.shape[1])]).nonzero()[:, 0]
    if len(bad):
        raise UserError(
            f"{name} has {_count(len(bad))} that {'is' if len(bad) == 1 else 'are'} not finite, the first at index "
            f"{int(bad[0])}; leave them out, and count them as failures of what made them."
        )


def _count(n: int) -> str:
    return "1 row" if n == 1 else f"{n:,} rows"


def chunks(n: int, width: int, *, least: int = 1) -> list[slice]:
    """Stretches of n rows that hold about 2 million numbers each (at least so many rows): float64 copies stay small."""
    size = max(least, CHUNK_NUMBERS // max(1, width))
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
