from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.verdict.making import groups, pool_of

from uncollapse.verdict.pool import Pool, p_value
from uncollapse.verdict.question import Finding
from uncollapse.verdict.spread import MINIMUM_OVERALL, _log_ratio, overall_spread, spread


def kinds(pool: Pool, real: np.ndarray, fake: np.ndarray) -> torch.Tensor:
    return torch.tensor([int((fake if f else real)[int(i)]) for f, i in zip(pool.fake, pool.number, strict=True)])


def sides(scale: float, *, all_: float = 1.0, d: int = 8, seed: int = 0) -> tuple[Pool, torch.Tensor]:
    draws = np.random.default_rng(seed)
    real, kind = groups([80] * 5, draws, d=d)
    fake, made = groups([80] * 5, draws, d=d, spread=scale)
    pool = pool_of(real, all_ * fake)
    return pool, kinds(pool, kind, made)


@pytest.mark.parametrize("images", [True, False])
def test_a_shrunken_group_is_found_with_its_ratio(images: bool) -> None:
    pool, kind = sides(0.7)
    found = spread(pool, kind, images=images)
    assert p_value(found.statistics) == pytest.approx(1 / 200)
    assert found.effect == pytest.approx(0.3, abs=0.05)
    assert found.value_fake == pytest.approx(0.7, abs=0.05)
    assert "less than the real rows" in found.sentence


@pytest.mark.long
@pytest.mark.parametrize(("n", "m"), [(150, 150), (90, 900), (900, 90)])
def test_power_and_needed_rows_hold_at_any_sizes(n: int, m: int) -> None:
    def asked(n: int, m: int, seed: int, *, shrunk: bool) -> Finding:
        draws = np.random.default_rng(seed)
        fake = (0.9 if shrunk else 1.0) * draws.normal(size=(m, 4))
        return overall_spread(pool_of(draws.normal(size=(n, 4)), fake, seed=seed), images=False)

    def found(n: int, m: int) -> float:
        return np.mean([p_value(asked(n, m, 100 + s, shrunk=True).statistics) <= 0.05 for s in range(200)])

    stated = [asked(n, m, seed, shrunk=False).power(0.05) for seed in range(8)]
    assert np.mean([power for power, _ in stated]) == pytest.approx(found(n, m), abs=0.1)
    needed = int(np.mean([rows for _, rows in stated]))
    assert 0.72 <= found(needed, needed) <= 0.9


def test_a_wider_group_is_no_loss() -> None:
    pool, kind = sides(1.4)
    found = spread(pool, kind, images=False)
    assert p_value(found.statistics) > 0.9
    assert found.effect == 0.0


def test_scaling_everything_is_no_loss_of_images_but_one_of_vectors() -> None:
    pool, kind = sides(1.0, all_=0.8)
    as_images = spread(pool, kind, images=True)
    assert as_images.effect < 0.06
    as_vectors = spread(pool, kind, images=False)
    assert as_vectors.effect == pytest.approx(0.2, abs=0.05)
    assert p_value(as_vectors.statistics) == pytest.approx(1 / 200)


def test_the_ratio_by_hand() -> None:
    # Group 0: real -1, 1, 0 and fake -2, 2, 0 (variances 1 and 4); group 1: all rows alike, which is left out.
    rows = torch.tensor([[-1.0], [1.0], [0.0], [-2.0], [2.0], [0.0], [9.0], [9.0], [9.0], [9.0], [9.0], [9.0]])
    group = torch.tensor([0] * 6 + [1] * 6)
    sides = torch.tensor([[0.0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1]])
    found = _log_ratio(rows, torch.nn.functional.one_hot(group).float(), sides, False)
    assert found.item() == pytest.approx(-np.log(2.0), abs=1e-5)


def test_two_groups_weigh_by_their_rows() -> None:
    draws = np.random.default_rng(0)
    real = np.concatenate([draws.normal(size=(200, 1)), 50 + draws.normal(size=(50, 1))])
    fake = np.concatenate([0.5 * draws.normal(size=(200, 1)), 50 + draws.normal(size=(50, 1))])
    rows = torch.tensor(np.concatenate([real, fake]), dtype=torch.float32)
    group = (rows[:, 0] > 25).long()
    side = torch.cat([torch.zeros(250), torch.ones(250)])[None]
    found = _log_ratio(rows, torch.nn.functional.one_hot(group).float(), side, False).item()
    variances = [[np.var(s[:200], ddof=1), np.var(s[200:], ddof=1)] for s in (real, fake)]
    by_hand = 0.8 * np.log(variances[1][0] / variances[0][0]) / 2 + 0.2 * np.log(variances[1][1] / variances[0][1]) / 2
    assert found == pytest.approx(-by_hand, rel=1e-3)


def test_overall_spread_is_that_around_each_sides_mean() -> None:
    draws = np.random.default_rng(0)
    real, fake = draws.normal(size=(400, 3)), 0.7 * draws.normal(size=(300, 3)) + 0.4
    found = overall_spread(pool_of(real, fake), images=True)
    expected = np.sqrt(fake.var(0, ddof=1).sum() / real.var(0, ddof=1).sum())
    assert found.value_fake == pytest.approx(expected, rel=1e-4)
    assert found.effect == pytest.approx(1 - expected, rel=1e-3)
    assert found.minimum_effect == MINIMUM_OVERALL[True] == 0.2
    assert overall_spread(pool_of(real, fake), images=False).minimum_effect == 0.1


def test_fakes_that_are_one_point_have_lost_all_spread() -> None:
    draws = np.random.default_rng(0)
    found = overall_spread(pool_of(draws.normal(size=(100, 3)), np.ones((100, 3))), images=False)
    assert found.effect > 0.99
    assert np.isfinite(found.statistics.numpy()).all()


def test_constant_rows_on_both_sides_say_nothing() -> None:
    found = overall_spread(pool_of(np.ones((50, 2)), np.ones((50, 2))), images=False)
    assert found.effect == 0.0
    assert p_value(found.statistics) == 1.0


@pytest.mark.parametrize("sigma", [1e-2, 1e-3, 1e-4])
def test_the_ratio_of_narrow_groups_far_apart_is_not_lost_in_rounding(sigma: float) -> None:
    draws = np.random.default_rng(0)
    kind = np.repeat([0, 1], 200)
    around = np.where(kind[:, None] == 0, 1.0, -1.0)
    real, fake = (around + sigma * scale * draws.normal(size=(400, 2)) for scale in (1.0, 0.5))
    pool = pool_of(real, fake)
    found = spread(pool, kinds(pool, kind, kind), images=False)
    assert found.value_fake == pytest.approx(0.5, abs=0.04)
    assert p_value(found.statistics) == pytest.approx(1 / 200)
