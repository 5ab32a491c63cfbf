"""The kernels of a tile against their definitions on raw rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from uncollapse.errors import UserError
from uncollapse.metrics.inputs import Features, both
from uncollapse.metrics.kernel_functions import CubicKernel, GaussianKernel, squared_lengths, unit_lengths
from uncollapse.metrics.pairs import Pair, Tile


class _Collect:
    sides = ("real", "fake", "cross")

    def __init__(self) -> None:
        self.tiles: list[Tile] = []

    def visit(self, tile: Tile) -> None:
        self.tiles.append(tile)


def _tiles() -> tuple[Pair, list[Tile]]:
    draw = np.random.default_rng(0)
    pair, seen = Pair(*both(draw.normal(size=(9, 4)) + 2, draw.normal(size=(7, 4)))), _Collect()
    pair.walk([seen], tile=5)
    return pair, seen.tiles


def _raw(pair: Pair, tile: Tile) -> tuple[torch.Tensor, torch.Tensor]:
    left = pair.fake if tile.side == "fake" else pair.real
    right = pair.real if tile.side == "real" else pair.fake
    return left.ordered[tile.rows], right.ordered[tile.columns]


def test_cubic_kernel_is_its_definition_less_a_constant() -> None:
    pair, tiles = _tiles()
    kernel = CubicKernel(pair)
    constant = float(1 + pair.real.mean @ pair.real.mean / 4) ** 3
    for tile in tiles:
        x, y = _raw(pair, tile)
        expected = (x @ y.T / 4 + 1) ** 3 - constant
        torch.testing.assert_close(kernel(tile) * kernel.unit, expected, rtol=1e-9, atol=1e-9)
        assert float(kernel(tile).abs().max()) <= 1
    expected = ((pair.fake.x.square().sum(1) / 4 + 1) ** 3).mean() - constant
    assert kernel.itself(pair.fake) * kernel.unit == pytest.approx(float(expected), rel=1e-9)


def test_gaussian_kernel_is_its_definition_on_unit_rows_less_1() -> None:
    pair, tiles = _tiles()
    kernel = GaussianKernel(pair, 0.7)
    for tile in tiles:
        x, y = (rows / rows.norm(dim=1, keepdim=True) for rows in _raw(pair, tile))
        expected = torch.exp(-torch.cdist(x, y).square() / (2 * 0.7**2)) - 1
        torch.testing.assert_close(kernel(tile), expected, rtol=1e-6, atol=1e-9)


def test_lengths() -> None:
    side = Features([[3.0, 4.0], [0.0, 2.0]], name="fake")
    assert sorted(unit_lengths(side).tolist()) == [2.0, 5.0]
    assert squared_lengths(side.x).tolist() == [25.0, 4.0]
    with pytest.raises(UserError, match="fake has 2 rows of zeros only, which cannot be scaled to unit length"):
        unit_lengths(Features(np.zeros((2, 2)), name="fake"))
