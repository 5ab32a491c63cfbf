from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import binom, t

from uncollapse.metrics import pairs, resampling
from uncollapse.metrics.inputs import both
from uncollapse.metrics.pairs import Pair
from uncollapse.metrics.resampling import (
    Ranks,
    Spread,
    cut,
    enough_neighbours,
    fraction,
    on_parts,
    scale,
    spread,
    subsamples,
)


def test_the_error_of_a_mean_is_that_of_the_textbook() -> None:
    draws = torch.Generator().manual_seed(3)
    n, sigma = 1000, 2.0
    x = sigma * torch.randn(n, generator=draws, dtype=torch.float64)
    pairs = list(subsamples((n,), generator=draws, splits=400))
    first = torch.stack([x[one[0]].mean() for one, _ in pairs])
    second = torch.stack([x[other[0]].mean() for _, other in pairs])
    found = spread(first, second, fraction((n,)))
    assert found.error == pytest.approx(float(x.std()) / math.sqrt(n), rel=0.08)
    assert found.freedom == 400


def test_subsamples_are_disjoint_and_keep_the_proportion() -> None:
    for one, other in subsamples((100, 40), generator=torch.Generator().manual_seed(0), splits=3):
        assert [len(side) for side in one] == [50, 20]
        for a, b, size in zip(one, other, (100, 40), strict=True):
            assert len(set(a.tolist()) | set(b.tolist())) == size


def test_large_sides_are_cut_to_the_same_share() -> None:
    assert fraction((10_000, 4_000)) == 0.1
    one, other = next(subsamples((10_000, 4_000), generator=torch.Generator().manual_seed(0)))
    assert [len(side) for side in (*one, *other)] == [1000, 400, 1000, 400]


def test_the_interval_is_students() -> None:
    low, high = Spread(error=0.5, freedom=10).around(3.0, 0.95)
    assert (low, high) == pytest.approx((3 - 0.5 * t.ppf(0.975, 10), 3 + 0.5 * t.ppf(0.975, 10)))


def sides_of_subsamples(single: bool) -> tuple[Pair, np.ndarray, np.ndarray]:
    draws = np.random.default_rng(4)
    real, fake = draws.normal(size=(120, 5)), 0.9 * draws.normal(size=(90, 5))
    # Whole numbers bring ties, and copies distances of 0.
    real[:40], fake[:30] = np.round(real[:40]), np.round(fake[:30])
    fake[40:60] = real[60:80]
    kind = np.float32 if single else np.float64
    pair = Pair(*both(real.astype(kind), fake.astype(kind)))
    return pair, pair.real.ordered.double().numpy(), pair.fake.ordered.double().numpy()


@pytest.mark.parametrize("single", [False, True], ids=["float64", "float32"])
@pytest.mark.parametrize("side", ["real", "fake"])
def test_ranks_find_the_balls_of_subsamples(side: str, single: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if single:
        monkeypatch.setattr(pairs, "EXACT_WORK", 0)
    monkeypatch.setattr(resampling, "RANKED_ROWS", 50)
    pair, real, fake = sides_of_subsamples(single)
    own, other = (real, fake) if side == "real" else (fake, real)
    ranks = Ranks(pair, side, 60)
    for first, _ in subsamples((len(own), len(other)), generator=torch.Generator().manual_seed(1), splits=5):
        rows, others = (index.numpy() for index in first)
        x, y = own[rows], other[others]
        within = ((x[:, None] - x) ** 2).sum(2)
        np.fill_diagonal(within, np.inf)
        across, radii = ((x[:, None] - y) ** 2).sum(2), np.sort(within, 1)
        for k, found in ranks.inside(*first, (1, 4)).items():
            radius = radii[:, k - 1 : k]
            # Rounding may decide what is near the surface of a ball, but what lies on it is inside.
            clear = np.abs(across - radius) > (1e-3 if single else 1e-12) * radius
            assert (found == (across <= radius))[clear].all()
            assert clear.mean() > 0.95
            assert found[np.abs(across - radius) <= 1e-12 * radius].all()
    assert not ranks.short


def test_too_few_kept_neighbours_are_noticed() -> None:
    pair, *_ = sides_of_subsamples(single=False)
    ranks = Ranks(pair, "real", 6)
    first, _ = next(subsamples((120, 90), generator=torch.Generator().manual_seed(1)))
    ranks.inside(*first, (1,))
    ranks.inside(*first, (5,))
    assert ranks.short
    # All others are always enough.
    everybody = Ranks(pair, "real", 500)
    everybody.inside(*first, (5,))
    assert everybody.kept == 119
    assert not everybody.short


@pytest.mark.parametrize(("k", "share"), [(1, 0.5), (5, 0.5), (5, 0.25), (100, 0.3)])
def test_so_many_neighbours_nearly_always_hold_k_of_a_subsample(k: int, share: float) -> None:
    assert 4000 * 40 * binom.cdf(k - 1, enough_neighbours(k, share), share) < 1e-2


def test_a_small_side_gives_ten_rows_and_the_scale_follows() -> None:
    one, _ = next(subsamples((20_000, 40), generator=torch.Generator().manual_seed(0)))
    assert [len(side) for side in one] == [1_000, 10]
    assert scale((20_000, 40)) == 0.25
    one, other = next(subsamples((20_000, 9), generator=torch.Generator().manual_seed(0)))
    assert [len(side) for side in (*one, *other)] == [1_000, 4, 1_000, 4]
    assert scale((20_000, 9)) == 4 / 9
    assert scale((10_000, 4_001)) == fraction((10_000, 4_001)) == 0.1


def test_the_error_of_a_difference_of_means_holds_for_very_unequal_sides() -> None:
    draws = torch.Generator().manual_seed(0)
    real, fake = torch.randn(20_000, generator=draws), torch.randn(16, generator=draws)
    pairs = list(subsamples((20_000, 16), generator=draws, splits=400))
    gaps = [torch.stack([fake[pair[k][1]].mean() - real[pair[k][0]].mean() for pair in pairs]) for k in (0, 1)]
    found = spread(*gaps, scale((20_000, 16)))
    assert found.error == pytest.approx(float(fake.std()) / 4, rel=0.08)


def test_parts_of_a_subsample_are_disjoint_and_keep_the_proportion_of_its_sides() -> None:
    whole = torch.arange(9), torch.arange(100, 120)
    parts = cut(whole, 4)
    assert [[len(side) for side in part] for part in parts] == [[2, 5]] * 4
    assert torch.equal(torch.cat([part[1] for part in parts]), whole[1])
    assert torch.equal(torch.cat([part[0] for part in parts]), whole[0][:8])


def test_numbers_on_parts_come_by_split_and_from_fewer_splits_the_more_parts() -> None:
    splits = list(subsamples((80, 40), generator=torch.Generator().manual_seed(0), splits=8))
    found = on_parts(dict.fromkeys((1, 2, 4), lambda i, j: [float(i.sum()), float(len(j))]), splits)
    assert {parts: tuple(values.shape) for parts, values in found.items()} == {1: (8, 2, 2), 2: (4, 4, 2), 4: (2, 8, 2)}
    for parts, values in found.items():
        assert bool((values[..., 1] == 20 // parts).all())
        # The parts of both subsamples of a split are all of its rows.
        assert bool((values[..., 0].sum(1) == sum(range(80))).all())
