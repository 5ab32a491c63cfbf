"""One walk over all pairs of rows, tile by tile: what neighbours, kernels and mean distances share.

A tile is a small matrix of dot products of centred rows; visitors take what they need from it, so that several metrics
cost one pass, and memory never holds a whole matrix of pairs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import torch
from torch import Tensor

from uncollapse.metrics.inputs import Features, squares_fit

Side = Literal["real", "fake", "cross"]
# Tables of some megabytes stay near the processor, and memory for larger ones is fetched anew every time.
TILE_ROWS, GPU_TILE_ROWS = 1_024, 2_048
# Products of sizes up to which float64 costs next to nothing.
EXACT_WORK = 4e9


@dataclass(frozen=True)
class Tile:
    """Some rows against some columns of one side, or of real (rows) against fake (columns).

    Attributes:
        side: "real" and "fake" are a side against itself, "cross" is real rows against fake columns.
        rows: Which ordered rows.
        columns: Which ordered rows of the other.
        products: Dot products of the centred rows (rows, columns).
        row_norms: Squared norms of the centred rows (rows,).
        column_norms: Squared norms (columns,).
    """

    side: Side
    rows: slice
    columns: slice
    products: Tensor
    row_norms: Tensor
    column_norms: Tensor

    @property
    def on_diagonal(self) -> bool:
        """Whether the tile holds rows against themselves."""
        return self.side != "cross" and self.rows == self.columns

    @cached_property
    def squared(self) -> Tensor:
        """Squared distances (rows, columns), at least 0; shared by the visitors, who may not change it."""
        apart = (self.row_norms[:, None] + self.column_norms).sub_(self.products, alpha=2)
        return apart.clamp_(min=0)

    def mirrored(self) -> Tile:
        """The same pairs with rows and columns exchanged."""
        other = Tile(self.side, self.columns, self.rows, self.products.T, self.column_norms, self.row_norms)
        if "squared" in self.__dict__:
            other.__dict__["squared"] = self.squared.T
        return other


class Visitor(Protocol):
    """What wants to see pairs of rows."""

    @property
    def sides(self) -> Collection[Side]:
        """Which sides it needs."""
        ...

    def visit(self, tile: Tile) -> None:
        """Takes one tile. Of "real" and "fake" only tiles on or above the diagonal come: mirror the others."""
        ...


class Pair:
    """Real and fake rows prepared for walks: ordered by content, centred at the real mean, in one precision."""

    def __init__(self, real: Features, fake: Features) -> None:
        """Centres both sides; float64 when that is cheap, or asked for by the data's own type or range."""
        self.real, self.fake = real, fake
        work = float(max(len(real), len(fake))) ** 2 * real.width
        exact = work <= EXACT_WORK or torch.float64 in (real.x.dtype, fake.x.dtype)
        exact = exact or not (squares_fit(real.x) and squares_fit(fake.x))
        self.dtype = torch.float64 if exact else torch.float32

    @property
    def sides(self) -> dict[str, Features]:
        """Side -> its rows, whatever they call themselves in messages."""
        return {"real": self.real, "fake": self.fake}

    @cached_property
    def centred(self) -> dict[str, Tensor]:
        """Side -> centred rows (n, d); one tensor when a side is paired with itself."""
        real = self.real.centred(self.real.mean, self.dtype)
        return {"real": real, "fake": real if self.fake is self.real else self.fake.centred(self.real.mean, self.dtype)}

    @cached_property
    def norms(self) -> dict[str, Tensor]:
        """Side -> squared norms of the centred rows (n,)."""
        return {name: torch.einsum("nd,nd->n", rows, rows) for name, rows in self.centred.items()}

    def walk(self, visitors: Sequence[Visitor], *, tile: int | None = None) -> None:
        """Shows every tile that a visitor needs to the visitors that need it.

        Args:
            visitors: Who looks.
            tile: Rows and columns of a tile, chosen by the machine when None; results do not depend on it beyond
                rounding.
        """
        tile = tile or (TILE_ROWS if self.real.x.device.type == "cpu" else GPU_TILE_ROWS)
        sides: tuple[Side, ...] = ("real", "fake", "cross")
        for side in sides:
            looking = [visitor for visitor in visitors if side in visitor.sides]
            if looking:
                for shown in self._tiles(side, tile):
                    for visitor in looking:
                        visitor.visit(shown)

    def _tiles(self, side: Side, size: int) -> Iterator[Tile]:
        names = ("real", "fake") if side == "cross" else (side, side)
        left, right = (self.centred[name] for name in names)
        left_norms, right_norms = (self.norms[name] for name in names)
        with full_precision():
            for top in range(0, len(left), size):
                rows = slice(top, min(top + size, len(left)))
                for start in range(0 if side == "cross" else top, len(right), size):
                    columns = slice(start, min(start + size, len(right)))
                    products = left[rows] @ right[columns].T
                    yield Tile(side, rows, columns, products, left_norms[rows], right_norms[columns])


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """No TF32 inside: its distances are off by 4e-3, which moves neighbours."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
