from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import uncollapse.metrics.neighbours as neighbours
import uncollapse.metrics.pairs as pairs
from uncollapse.metrics.inputs import Features, both
from uncollapse.metrics.neighbours import Balls, Nearest, exact_squared, first_copies, rounding
from uncollapse.metrics.pairs import Pair

Array = NDArray[np.float64]


def distances(one: Array, other: Array) -> Array:
    """All squared distances by differences, the slow sure way."""
    return np.stack([((row - other) ** 2).sum(1) for row in one])


def draws() -> dict[str, tuple[Array, Array]]:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(400, 24)).astype(np.float32).astype(float)
    modes = [np.where(rng.random((size, 1)) < 0.5, 10, -10) + 1e-3 * rng.normal(size=(size, 24)) for size in (300, 250)]
    return {
        "a plane": (rng.normal(size=(300, 2)), rng.normal(size=(450, 2)) * 0.9),
        "64 features": (rng.normal(size=(700, 64)), 0.1 + rng.normal(size=(300, 64))),
        "whole numbers with ties": (rng.integers(0, 3, (500, 8)) * 1.0, rng.integers(0, 3, (400, 8)) * 1.0),
        "identical sides": (base, base),
        "collapsed to a real row": (base, np.repeat(base[:1], 300, 0)),
        "collapsed on both sides": (np.repeat(base[:1], 200, 0), np.repeat(base[:1], 300, 0)),
        "copied three times": (base, np.concatenate([base[:100]] * 3)),
        "two tight modes far apart": (modes[0], modes[1]),
        "far from the origin": (base + 1e4, base[:200] * 0.9 + 1e4),
        "fewer rows than are kept": (base[:5], base[5:10]),
    }


@pytest.mark.parametrize("name", draws())
@pytest.mark.parametrize("single", [False, True], ids=["float64 tiles", "float32 tiles"])
@pytest.mark.parametrize("tile", [2048, 96])
def test_radii_and_balls_equal_the_slow_definition_with_every_tie(
    name: str, single: bool, tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, fake = draws()[name]
    if single:
        monkeypatch.setattr(pairs, "EXACT_WORK", 0)
        # Promotion to float64 also where few pairs are close, so that its path is walked.
        monkeypatch.setattr(neighbours, "STRIP", 2**12)
        real, fake = real.astype(np.float32).astype(float), fake.astype(np.float32).astype(float)
    kind = np.float32 if single else np.float64
    pair = Pair(*both(real.astype(kind), fake.astype(kind)))
    assert pair.dtype == (torch.float32 if single else torch.float64)
    within = {"real": Nearest(pair, "real", 3), "fake": Nearest(pair, "fake", 3)}
    balls = {side: Balls(pair, found, (1, 3)) for side, found in within.items()}
    across = Nearest(pair, "cross", 1)
    pair.walk([*within.values(), *balls.values(), across], tile=tile)

    real, fake = real[pair.real.order.numpy()], fake[pair.fake.order.numpy()]
    cross = distances(real, fake)
    for side, rows, toward in (("real", real, cross), ("fake", fake, cross.T)):
        own = distances(rows, rows)
        np.fill_diagonal(own, np.inf)
        for k in (1, 3):
            radius = np.sort(own, 1)[:, k - 1]
            np.testing.assert_allclose(within[side].exact(k)[0].numpy(), radius, rtol=1e-12, atol=0)
            inside = toward <= (1 + 1e-12) * radius[:, None]
            assert balls[side].counts[k].tolist() == inside.sum(0).tolist()
            assert balls[side].holding[k].tolist() == inside.any(1).tolist()
    np.testing.assert_allclose(across.exact(1)[0].numpy(), cross.min(0), rtol=1e-12, atol=0)
    chosen = cross[across.exact(1)[1].numpy(), np.arange(len(fake))]
    np.testing.assert_allclose(chosen, cross.min(0), rtol=1e-12, atol=0)


def test_the_bound_of_rounding_holds_and_is_not_idle() -> None:
    generator = torch.Generator().manual_seed(0)
    for width in (2, 64, 1024):
        x = torch.randn(500, width, generator=generator)
        norms = (x * x).sum(1)
        tile = norms[:, None] + norms - 2 * (x @ x.T)
        error = (tile.double() - torch.cdist(x.double(), x.double()).square()).abs() / (norms[:, None] + norms).double()
        assert error.max() < rounding(torch.float32, width) < 1e-4


def test_exact_distances_of_identical_rows_are_zero_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.randn(50, 7, generator=torch.Generator().manual_seed(1)) + 1e3
    side = Features(torch.cat([rows, rows]), name="fake")
    i, j = torch.arange(100), torch.arange(100).flip(0)
    whole = exact_squared(side, i, side, j)
    assert exact_squared(side, i, side, i).eq(0).all()
    monkeypatch.setattr(neighbours, "NUMBERS", 20)
    assert exact_squared(side, i, side, j).equal(whole)
    assert exact_squared(side, i[:0], side, j[:0]).shape == (0,)
    # Identical rows are neighbours in the order: 0 0 2 2 4 4 ...
    assert first_copies(side).tolist() == [index // 2 * 2 for index in range(100)]


@pytest.mark.parametrize("far", [1e6, 1e10])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_one_row_far_away_changes_no_neighbours(far: float, kind: type) -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(300, 2)).astype(kind), rng.normal(size=(200, 2)).astype(kind)
    real[0] = far
    pair = Pair(*both(real, fake))
    within, across = Nearest(pair, "real", 3), Nearest(pair, "cross", 1)
    pair.walk([within, across])
    ordered = pair.real.ordered.double().numpy(), pair.fake.ordered.double().numpy()
    among = np.sort(distances(ordered[0], ordered[0]), 1)[:, 3]
    toward = distances(ordered[1], ordered[0])
    np.testing.assert_allclose(within.exact(3)[0].numpy(), among, rtol=1e-8)
    np.testing.assert_allclose(across.exact(1)[0].numpy(), toward.min(1), rtol=1e-8)
    assert (across.exact(1)[1].numpy() == toward.argmin(1)).all()
