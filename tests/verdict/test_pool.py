from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from uncollapse.metrics.inputs import Features
from uncollapse.verdict import pool as module
from uncollapse.verdict.pool import Pool, cross_distances, drawn_in, p_value


def features(rows: np.ndarray, name: str) -> Features:
    return Features(rows.astype(np.float32), name=name)


def close_up_to_scale(found: torch.Tensor, expected: np.ndarray) -> None:
    """Equal after the mean of both is brought to one, because a pool has a scale of its own."""
    np.testing.assert_allclose(found.numpy() / float(found.mean()), expected / expected.mean(), rtol=1e-4, atol=1e-4)


def small(n: int = 30, m: int = 20, d: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray, Pool]:
    draws = np.random.default_rng(seed)
    real, fake = draws.normal(size=(n, d)), draws.normal(size=(m, d)) + 1
    pool = Pool(
        features(real, "real"), features(fake, "fake"), generator=torch.Generator().manual_seed(1), assignments=50
    )
    return real, fake, pool


def test_rows_keep_their_side_their_number_and_their_distances() -> None:
    real, fake, pool = small()
    assert (len(pool), pool.n_real, pool.n_fake) == (50, 30, 20)
    given = np.where(pool.fake[:, None].numpy(), fake[pool.number.numpy() % 20], real[pool.number.numpy() % 30])
    squared = pool.squared.clone().fill_diagonal_(0)
    close_up_to_scale(squared, cdist(given, given) ** 2)


def test_assignments_have_the_given_sizes_and_the_first_is_the_observed_one() -> None:
    _, _, pool = small()
    assert pool.sides.shape == (51, 50)
    assert (pool.sides.sum(1) == 20).all()
    assert torch.equal(pool.sides[0].bool(), pool.fake)
    assert not torch.equal(pool.sides[1], pool.sides[2])


def test_every_row_is_on_the_fake_side_equally_often() -> None:
    real, fake, _ = small()
    draws = torch.Generator().manual_seed(2)
    pool = Pool(features(real, "real"), features(fake, "fake"), generator=draws, assignments=20_000)
    share = pool.sides[1:].mean(0)
    assert float(share.max() - share.min()) < 8 * (0.4 * 0.6 / 20_000) ** 0.5
    assert abs(float(share.mean()) - 0.4) < 1e-6


def test_the_order_of_rows_changes_nothing() -> None:
    real, fake, pool = small()
    turned = Pool(
        features(real[::-1].copy(), "real"), features(fake[::-1].copy(), "fake"),
        generator=torch.Generator().manual_seed(1), assignments=50,
    )  # fmt: skip
    torch.testing.assert_close(turned.rows.abs(), pool.rows.abs(), rtol=1e-5, atol=1e-5)
    assert torch.equal(turned.sides, pool.sides)
    back = torch.where(turned.fake, 19 - turned.number, 29 - turned.number)
    assert torch.equal(back, pool.number)


def test_components_are_ordered_and_keep_all_variance_of_few_features() -> None:
    real, fake, pool = small(d=5)
    variance = pool.rows.var(0)
    assert (variance[:-1] >= variance[1:]).all()
    everything = np.concatenate([real, fake])
    largest = np.abs(everything - everything.mean(0)).max()  # what a pool divides by
    np.testing.assert_allclose(float(variance.sum()), everything.var(0, ddof=1).sum() / largest**2, rtol=1e-5)


def test_more_features_than_rows_keep_their_distances() -> None:
    draws = np.random.default_rng(0)
    real, fake = draws.normal(size=(12, 300)), draws.normal(size=(10, 300))
    pool = Pool(features(real, "real"), features(fake, "fake"), generator=torch.Generator(), assignments=9)
    given = np.stack([(fake if f else real)[int(i)] for f, i in zip(pool.fake, pool.number, strict=True)])
    squared = pool.squared.clone().fill_diagonal_(0)
    close_up_to_scale(squared, cdist(given, given) ** 2)


def test_large_sides_are_cut_to_the_stated_number(monkeypatch: object) -> None:
    draws = np.random.default_rng(0)
    rows = draws.normal(size=(module.MOST + 50, 2))
    pool = Pool(features(rows, "real"), features(rows[:40] + 1, "fake"), generator=torch.Generator(), assignments=3)
    assert (pool.n_real, pool.n_fake) == (module.MOST, 40)
    assert len(set(pool.number[~pool.fake].tolist())) == module.MOST


def test_nearest_are_the_nearest() -> None:
    _, _, pool = small()
    squared, index = pool.nearest
    assert squared.shape == (50, module.NEAREST)
    order = pool.squared.argsort(1)[:, : module.NEAREST]
    torch.testing.assert_close(squared, pool.squared.gather(1, order))
    assert not (index == torch.arange(50)[:, None]).any()


def test_numbers_are_of_one_side() -> None:
    _, _, pool = small()
    every = torch.arange(50)
    assert sorted(pool.numbers(every, fake=True)) == list(range(20))
    assert sorted(pool.numbers(every, fake=False)) == list(range(30))


def test_cross_distances_are_those_of_scipy() -> None:
    draws = np.random.default_rng(3)
    left, right = draws.normal(size=(7, 4)), draws.normal(size=(5, 4))
    found = cross_distances(torch.tensor(left), torch.tensor(right))
    np.testing.assert_allclose(found.numpy(), cdist(left, right) ** 2, rtol=1e-9)


def test_a_p_value_counts_the_observed_one_and_ties() -> None:
    assert p_value(torch.tensor([3.0, 1.0, 2.0, 4.0])) == 0.5
    assert p_value(torch.tensor([3.0, 3.0, 0.0, 0.0])) == 0.5
    assert p_value(torch.tensor([9.0, *[0.0] * 99])) == torch.tensor(0.01)


def test_p_values_are_exact_to_the_last_digit() -> None:
    statistics = torch.cat([torch.ones(6), torch.zeros(994)])
    assert p_value(statistics) == 6 / 1_000
    assert 5 * p_value(statistics) <= 0.03


def test_identical_rows_of_two_precisions_do_not_stand_apart_by_their_sides() -> None:
    atoms = np.arange(10.0).reshape(5, 2)
    draws = np.random.default_rng(0)
    real, fake = (atoms[draws.integers(5, size=400)] for _ in range(2))
    pool = Pool(
        Features(real.astype(np.float32), name="real"), Features(fake, name="fake"), assignments=9,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    # Of two neighbours in the pool's order, half are of different sides; sorted by sides it would be one pair in 80.
    assert float((pool.fake[1:] != pool.fake[:-1]).double().mean()) == pytest.approx(0.5, abs=0.06)


def test_a_thinned_pool_has_one_mixture_on_both_sides_however_many_rows_there_are() -> None:
    draws = np.random.default_rng(0)
    classes = np.repeat(np.arange(4), [6_000, 2_000, 1_000, 1_000]), np.repeat(np.arange(4), [2_500] * 4)
    rows = [draws.normal(size=(10_000, 2)) for _ in classes]
    pool = Pool(
        *(features(side, "real") for side in rows), assignments=9, generator=torch.Generator().manual_seed(0),
        classes=(torch.from_numpy(classes[0]), torch.from_numpy(classes[1])),
    )  # fmt: skip
    expected = np.array([2, 2, 1, 1]) / 6
    for is_fake, known in zip((False, True), classes, strict=True):
        numbers = pool.number[pool.fake == is_fake].numpy()
        assert len(numbers) == len(set(numbers)) == module.MOST
        assert np.bincount(known[numbers]) / module.MOST == pytest.approx(expected, abs=0.03)


def test_rows_that_exploded_are_drawn_in_and_all_others_stay() -> None:
    rows = torch.randn(200, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    scaled = rows / rows.abs().max()
    assert torch.equal(drawn_in(rows), scaled)
    rows[3], rows[7] = 1e8 * torch.ones(3), 1e9 * torch.ones(3)
    found = drawn_in(rows)
    unit = float(found[[0, 1]].diff(dim=0).norm() / rows[[0, 1]].diff(dim=0).norm())
    others = [number for number in range(200) if number not in (3, 7)]
    torch.testing.assert_close(
        cross_distances(found[others] / unit, found[others] / unit),
        cross_distances(rows[others], rows[others]), rtol=1e-6, atol=1e-6,
    )  # fmt: skip
    median = rows.median(0).values
    far = 1_000 * torch.quantile((rows - median).norm(dim=1), 0.75)
    for number in (3, 7):
        ratio = (rows[number] - median).norm() / far
        reached = (found[number] / unit - found[others].mean(0) / unit).norm()
        assert float(reached) == pytest.approx(float(far * (1 + ratio.log().log1p())), rel=1e-3)


def test_where_most_rows_are_one_nothing_is_drawn_in() -> None:
    rows = torch.zeros(100, 2, dtype=torch.float64)
    rows[0] = 5
    assert torch.equal(drawn_in(rows), rows / 5)
