from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pytest
import torch

from uncollapse.metrics.inputs import Features
from uncollapse.metrics.metric import find_metric
from uncollapse.metrics.pairs import Pair, Tile, full_precision

DRAWS = np.random.default_rng(0)
REAL, FAKE = DRAWS.normal(5, 1, (37, 4)), DRAWS.normal(4, 2, (23, 4))


class Recorder:
    """Puts the tiles together again."""

    def __init__(self, pair: Pair, sides: Collection[str]) -> None:
        """Nothing is seen yet."""
        self.sides = sides
        shapes = {"real": (37, 37), "fake": (23, 23), "cross": (37, 23)}
        self.squared = {side: torch.full(shapes[side], torch.nan, dtype=pair.dtype) for side in sides}
        self.diagonal = dict.fromkeys(sides, 0)

    def visit(self, tile: Tile) -> None:
        """Copies it and, off the diagonal of a side, its mirror image."""
        assert torch.isnan(self.squared[tile.side][tile.rows, tile.columns]).all(), "seen twice"
        self.squared[tile.side][tile.rows, tile.columns] = tile.squared
        if tile.side != "cross" and not tile.on_diagonal:
            other = tile.mirrored()
            self.squared[tile.side][other.rows, other.columns] = other.squared
        self.diagonal[tile.side] += tile.on_diagonal


@pytest.mark.parametrize("size", [5, 37, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_walk_shows_every_pair_once_whatever_the_tile(size: int, dtype: type) -> None:
    pair = Pair(Features(REAL.astype(dtype), name="real"), Features(FAKE.astype(dtype), name="fake"))
    recorder = Recorder(pair, ("real", "cross"))
    pair.walk([recorder], tile=size)
    real, fake = (side.ordered.double().numpy() for side in (pair.real, pair.fake))
    for side, other in (("real", real), ("cross", fake)):
        truth = ((real[:, None] - other[None]) ** 2).sum(-1)
        np.testing.assert_allclose(recorder.squared[side].numpy(), truth, rtol=0, atol=1e-12)
    assert recorder.diagonal == {"real": -(-37 // size), "cross": 0}


def test_small_problems_and_float64_data_are_computed_in_float64() -> None:
    small = torch.zeros(10, 3)
    assert Pair(Features(small, name="real"), Features(small, name="fake")).dtype == torch.float64
    large = torch.zeros(60_000, 2)
    assert Pair(Features(large, name="real"), Features(small[:, :2], name="fake")).dtype == torch.float32
    exact = Pair(Features(large.double(), name="real"), Features(small[:, :2], name="fake"))
    assert exact.dtype == torch.float64


def test_a_far_away_mean_costs_no_digits() -> None:
    far = REAL.astype(np.float32) + np.float32(4096)
    pair = Pair(Features(far, name="real"), Features(far, name="fake"))
    pair.dtype = torch.float32
    recorder = Recorder(pair, ("real",))
    pair.walk([recorder])
    real = pair.real.ordered.double().numpy()
    truth = ((real[:, None] - real[None]) ** 2).sum(-1)
    np.testing.assert_allclose(recorder.squared["real"].numpy(), truth, rtol=1e-5, atol=1e-4)


def test_full_precision_puts_the_setting_back() -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    with full_precision():
        assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize("name", ["diversity", "mmd_rbf", "kernel_distance", "precision", "density"])
def test_what_the_sides_call_themselves_decides_nothing(name: str) -> None:
    draws = torch.Generator().manual_seed(3)
    real, fake = torch.randn(60, 3, generator=draws), 0.5 * torch.randn(50, 3, generator=draws)
    function = find_metric(name).function
    given = {"fake": Features(fake, name="same")} | (
        {} if name == "diversity" else {"real": Features(real, name="same")}
    )
    plain = function(fake=fake, **({} if name == "diversity" else {"real": real}))
    assert function(**given).value == plain.value


@pytest.mark.parametrize("scale", [1e18, 1e-24])
def test_numbers_whose_squares_float32_cannot_hold_are_computed_in_float64(scale: float) -> None:
    """The same rows must give the same answers whatever their unit, also where there is much work."""
    draws = np.random.default_rng(1)
    rows = [draws.normal(size=(2_100, 1_000)).astype(np.float32) for _ in range(2)]
    plain = Pair(Features(rows[0], name="real"), Features(rows[1], name="fake"))
    scaled = [Features(side * np.float32(scale), name=name) for side, name in zip(rows, ("real", "fake"), strict=True)]
    assert (plain.dtype, Pair(*scaled).dtype) == (torch.float32, torch.float64)
    far = Pair(*scaled).norms["real"] / scale**2
    # Ordered by content, which the unit changes.
    np.testing.assert_allclose(sorted(far.numpy()), sorted(plain.norms["real"].double().numpy()), rtol=1e-5)
