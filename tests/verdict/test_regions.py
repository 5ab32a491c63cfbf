from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from uncollapse.metrics.inputs import Features
from uncollapse.verdict.pool import Pool
from uncollapse.verdict.regions import MOVES, STEPS, TOGETHER, VOTERS, WALKED, Regions, _aligned, _branches, _diffused


def pool_of(real: np.ndarray, fake: np.ndarray) -> Pool:
    sides = [Features(rows.astype(np.float32), name=name) for rows, name in ((real, "real"), (fake, "fake"))]
    return Pool(*sides, generator=torch.Generator().manual_seed(0), assignments=9)


def two_groups(real: tuple[int, int], fake: tuple[int, int], *, apart: float = 20.0, d: int = 4) -> Pool:
    draws = np.random.default_rng(0)
    place = np.zeros(d)
    place[0] = apart
    sides = [np.concatenate([draws.normal(size=(a, d)), draws.normal(size=(b, d)) + place]) for a, b in (real, fake)]
    return pool_of(*sides)


def group_of(pool: Pool, first: int) -> torch.Tensor:
    """Whether a row is of the first group, whose real rows and fakes come first."""
    return torch.where(pool.fake, pool.number < 30, pool.number < first)


def test_two_far_groups_are_branches() -> None:
    pool = two_groups((40, 60), (30, 70))
    first = group_of(pool, 40).float()
    regions = Regions(pool)
    same = (regions.members == first).all(1)
    assert int(same.sum()) >= 1


def test_walks_know_the_classes_of_digits_better_than_distances_alone() -> None:
    images, kind = load_digits(return_X_y=True)
    chosen = np.random.default_rng(0).permutation(len(kind))[:600]
    pool = pool_of(images[chosen[:300]], images[chosen[300:]])
    digit = torch.from_numpy(kind[chosen])[torch.where(pool.fake, pool.number + 300, pool.number)]

    def agreement(members: torch.Tensor) -> float:
        """Mean over the digits of the largest share that a region has in common with one (both over either)."""
        best = []
        for number in range(10):
            wanted = (digit == number).float()
            best.append(float(((members * wanted).sum(1) / torch.maximum(members, wanted).sum(1)).max()))
        return float(np.mean(best))

    regions = Regions(pool)
    ward = agreement(_branches(regions._ward, len(pool)))
    assert ward > 0.75
    assert agreement(regions.members) > ward + 0.05


def test_sketched_walks_keep_the_diffusion_distances() -> None:
    pool = two_groups((20, 30), (30, 20), apart=3.0)
    near, count = pool.nearest[1][:, :WALKED], len(pool)
    ties = torch.zeros(count, count, dtype=torch.float64).scatter_(1, near, 1.0)
    ties = ties + ties.T
    degree = ties.sum(1)
    ends = torch.linalg.matrix_power(ties / degree[:, None], STEPS) / degree.sqrt()
    found, exact = torch.pdist(_diffused(pool).double()), torch.pdist(ends)
    ratio = found / exact
    # A projection on 128 directions keeps a distance to about 1 / sqrt(256).
    assert float((ratio / ratio.median() - 1).abs().quantile(0.99)) < 0.25


def test_branches_of_a_known_tree() -> None:
    # 0-1, 2-3, (0-1)-(2-3), everything with 4 to 19 one by one.
    tree = [[0, 1, 1, 2], [2, 3, 1, 2], [20, 21, 2, 4]]
    last = 22
    for leaf in range(4, 20):
        tree.append([last, leaf, 3, leaf + 1])
        last += 1
    found = _branches(np.array(tree, dtype=float), 20)
    assert found.sum(1).tolist() == [10.0]  # none below 10 rows, none above half of 20
    assert found[0, :10].all()
    assert not found[0, 10:].any()


def test_clusters_part_all_rows_and_far_groups_share_none() -> None:
    pool = two_groups((40, 60), (30, 70))
    regions = Regions(pool)
    first = group_of(pool, 40)
    assert not set(regions.clusters[first].tolist()) & set(regions.clusters[~first].tolist())
    parts = regions.parts()
    assert sorted(row for real, _ in parts for row in real) == list(range(100))
    assert sorted(row for _, fake in parts for row in fake) == list(range(100))


def test_votes_count_the_groups() -> None:
    pool = two_groups((40, 60), (30, 70))
    share = Regions(pool).shares_by_vote(group_of(pool, 40).float())
    assert share == pytest.approx((0.4, 0.3), abs=1e-6)


def test_a_group_without_fakes_gets_no_votes_from_them() -> None:
    draws = np.random.default_rng(0)
    real = np.concatenate([draws.normal(size=(30, 3)), draws.normal(size=(70, 3)) + 20])
    fake = draws.normal(size=(100, 3)) + 20
    pool = pool_of(real, fake)
    region = (~pool.fake & (pool.number < 30)).float()
    assert Regions(pool).shares_by_vote(region) == pytest.approx((0.3, 0.0), abs=1e-6)


def test_fakes_that_are_moved_a_little_still_vote_for_every_region() -> None:
    draws = np.random.default_rng(0)
    places = 6 * draws.normal(size=(8, 12))
    kind = np.arange(800) % 8
    real = places[kind] + draws.normal(size=(800, 12))
    fake = places[kind] + draws.normal(size=(800, 12)) + 1.2  # a shift that parts the sides completely
    pool = pool_of(real, fake)
    for one in range(8):
        region = (~pool.fake & (pool.number % 8 == one)).float()
        of_real, of_fake = Regions(pool).shares_by_vote(region)
        assert of_real == pytest.approx(1 / 8, abs=0.01)
        assert of_fake == pytest.approx(1 / 8, abs=0.02)


def test_each_kind_of_fakes_is_brought_back_by_its_own_way() -> None:
    draws = np.random.default_rng(0)
    places = 12 * np.eye(4)[:, :3] + draws.normal(size=(4, 3))
    kind = np.arange(800) % 4
    away = np.array([[2.0, 0, 0], [0, -2, 0], [0, 0, 2], [-1, 1, 1]])
    real = places[kind] + draws.normal(size=(800, 3))
    fake = places[kind] + draws.normal(size=(800, 3)) + away[kind]
    pool = pool_of(real, fake)
    moved, number = _aligned(pool), pool.number % 4
    assert bool((moved[~pool.fake] == pool.rows[~pool.fake]).all())
    for one in range(4):
        middle = [rows[pool.fake & (number == one)].mean(0) for rows in (pool.rows, moved)]
        target = pool.rows[~pool.fake & (number == one)].mean(0)
        before, after = ((place - target).norm() for place in middle)
        assert float(after) < 0.6 * float(before)


def test_alignment_is_the_mean_way_of_the_fakes_around_to_the_real_rows_near_them() -> None:
    draws = np.random.default_rng(1)
    pool = pool_of(draws.normal(size=(120, 3)), draws.normal(size=(90, 3)) + 0.5)
    real, fake = (pool.rows[pool.fake == side].double().numpy() for side in (False, True))
    around = [np.linalg.norm(fake - row, axis=1).argsort()[:TOGETHER] for row in fake]
    moved = fake.copy()
    for _ in range(MOVES):
        way = np.array([real[np.linalg.norm(real - row, axis=1).argsort()[:VOTERS]].mean(0) - row for row in moved])
        moved = moved + np.array([way[rows].mean(0) for rows in around])
    np.testing.assert_allclose(_aligned(pool)[pool.fake].numpy(), moved, atol=1e-4)


def test_alignment_does_not_fill_a_kind_that_is_not_made() -> None:
    draws = np.random.default_rng(2)
    places = 4 * draws.normal(size=(8, 12))
    kind, made = np.arange(800) % 8, 1 + np.arange(800) % 7
    pool = pool_of(places[kind] + draws.normal(size=(800, 12)), places[made] + draws.normal(size=(800, 12)))
    region = (~pool.fake & (pool.number % 8 == 0)).float()
    of_real, of_fake = Regions(pool).shares_by_vote(region)
    assert of_real == pytest.approx(1 / 8, abs=0.01)
    assert of_fake == pytest.approx(0.0, abs=0.01)


def test_few_fakes_are_aligned_all_together() -> None:
    draws = np.random.default_rng(3)
    pool = pool_of(draws.normal(size=(40, 2)), draws.normal(size=(20, 2)) + 3)
    steps = (_aligned(pool) - pool.rows)[pool.fake]
    torch.testing.assert_close(steps, steps[:1].expand_as(steps), atol=1e-5, rtol=0)


def test_identical_rows_have_regions_too() -> None:
    regions = Regions(pool_of(np.zeros((50, 3)), np.zeros((50, 3))))
    assert regions.clusters.shape == (100,)
    assert torch.isfinite(regions.members).all()
