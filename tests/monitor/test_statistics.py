"""The further numbers against the project's metrics, SciPy and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, pdist

from uncollapse.draws import stream
from uncollapse.metrics.manifold import coverage, recall
from uncollapse.monitor.encoding import Space
from uncollapse.monitor.statistics import DUPLICATES, NAMES, Anchor, Ordinary, effective_rank, ordinary
from uncollapse.tasks import find


def cloud(n: int, d: int = 5, seed: int = 0) -> torch.Tensor:
    """Normal rows."""
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def usual() -> Ordinary:
    """The ranges of 400 normal rows."""
    return ordinary(cloud(400), size=200, generator=torch.Generator().manual_seed(0))


def test_the_numbers_are_those_of_the_metrics_and_of_scipy() -> None:
    real, fake = cloud(150), 0.8 * cloud(150, seed=1)
    found = dict(zip(NAMES, Anchor(real).numbers(fake), strict=True))
    assert found["coverage"] == pytest.approx(coverage(real=real, fake=fake, level=None).value)
    assert found["recall"] == pytest.approx(recall(real=real, fake=fake, level=None).value)
    assert found["diversity"] == pytest.approx(pdist(fake.numpy()).mean() / pdist(real.numpy()).mean(), rel=1e-5)
    nearest = np.sort(cdist(real.numpy(), real.numpy()), 1)[:, 1]
    own = np.sort(cdist(fake.numpy(), fake.numpy()), 1)[:, 1]
    assert found["duplicates"] == pytest.approx((own <= np.quantile(nearest, 0.75) / 4).mean(), abs=0.01)


def test_effective_rank_in_closed_form() -> None:
    # Covariance diag(1, 1, 1, 0): three directions; diag(3, 1): exp of the entropy of (3/4, 1/4).
    corners = torch.tensor([[1.0, 0, 0, 0], [-1, 0, 0, 0], [0, 1, 0, 0], [0, -1, 0, 0], [0, 0, 1, 0], [0, 0, -1, 0]])
    assert effective_rank(corners) == pytest.approx(3.0)
    uneven = torch.tensor([[3.0**0.5, 0], [-(3.0**0.5), 0], [0, 1.0], [0, -1.0]])
    assert effective_rank(uneven) == pytest.approx(math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25)))
    assert effective_rank(torch.ones(5, 3)) == 1.0
    assert effective_rank(cloud(3, 50)) <= 2.0 + 1e-9  # three rows span two directions


def test_copies_are_duplicates() -> None:
    fake = cloud(100, seed=2)
    fake[50:] = fake[:50]
    assert Anchor(cloud(100)).numbers(fake)[NAMES.index("duplicates")] == 1.0


def test_other_real_rows_are_ordinary_and_losses_are_not(usual: Ordinary) -> None:
    fresh = [usual.signs(cloud(200, seed=seed)) for seed in range(10, 40)]
    assert np.mean([sign.loss for signs in fresh for sign in signs]) < 0.05
    one_point = {sign.name: sign for sign in usual.signs(cloud(200, seed=3) * 0.01)}
    assert all(one_point[name].loss for name in ("diversity", "duplicates", "coverage", "recall"))
    flat = cloud(200, seed=4)
    flat[:, 1:] *= 0.05
    assert {sign.name: sign.loss for sign in usual.signs(flat)}["effective_rank"]
    # More variety than real rows have is no loss.
    assert not any(sign.loss for sign in usual.signs(2 * cloud(200, seed=5)) if sign.name == "diversity")


def of_blobs(n: int, seed: int) -> torch.Tensor:
    """Points of eight blobs."""
    return find("blobs-8").held_out(n, stream(seed, "ranges"))[0]


def test_a_healthy_generator_is_flagged_in_few_looks_and_a_loss_in_most() -> None:
    healthy, repeated, narrow = [], [], []
    for number in range(16):
        made = ordinary(of_blobs(100, 100 * number), size=50, generator=torch.Generator().manual_seed(number))
        fresh = [of_blobs(50, 100 * number + look) for look in range(1, 21)]
        healthy += [[sign.loss for sign in made.signs(fake)] for fake in fresh]
        repeated += [made.signs(torch.cat([fake[:25]] * 2))[DUPLICATES].loss for fake in fresh]
        narrow += [made.signs(0.6 * fake)[0].loss for fake in fresh]
    assert np.mean(healthy, axis=0).max() < 0.02
    assert np.any(np.array(healthy)[:, : DUPLICATES + 1], axis=1).mean() < 0.02
    assert min(np.mean(repeated), np.mean(narrow)) > 0.95


def test_coordinates_that_were_learnt_from_the_reference_are_allowed_for() -> None:
    flagged = []
    for seed in range(2):
        features = cloud(200, 128, seed) / torch.arange(1, 129).sqrt()
        space = Space.of(features)
        fresh = space.project(cloud(100, 128, 50 + seed) / torch.arange(1, 129).sqrt())
        rows, half = space.project(features), torch.cat([fresh[:50]] * 2)
        made = ordinary(rows, size=100, generator=torch.Generator().manual_seed(seed), features=features)
        blind = ordinary(rows, size=100, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(made.anchor_rows, blind.anchor_rows)
        assert not any(sign.loss for sign in made.signs(fresh))
        assert {sign.name for sign in made.signs(half) if sign.loss} >= {"duplicates"}
        assert made.signs(0.7 * fresh)[0].loss
        flagged.append(any(sign.loss for sign in blind.signs(fresh)))
    assert all(flagged)


def test_rows_that_are_nearly_all_the_same_have_ranges() -> None:
    features = torch.zeros(60, 80)
    features[0] = 1.0
    made = ordinary(Space.of(features).project(features), size=30, generator=torch.Generator(), features=features)
    assert np.isfinite([made.low, made.high]).all()


def test_one_pair_by_chance_is_no_loss_and_three_are() -> None:
    made = ordinary(cloud(200, 20), size=100, generator=torch.Generator().manual_seed(0))
    fake = cloud(100, 20, seed=1)
    for pairs, loss in ((0, False), (1, False), (3, True)):
        fake[50 : 50 + pairs] = fake[:pairs]
        sign = made.signs(fake)[DUPLICATES]
        assert (sign.value, sign.loss) == (pytest.approx(pairs / 50), loss)


def test_a_cache_gives_the_same_ranges_and_none_of_an_older_way(usual: Ordinary) -> None:
    kept = usual.arrays()
    again = Ordinary.of_arrays(kept)
    assert again is not None
    assert again.signs(cloud(200, seed=8)) == usual.signs(cloud(200, seed=8))
    assert Ordinary.of_arrays({**kept, "way": np.array([1])}) is None
    assert Ordinary.of_arrays({name: kept[name] for name in ("anchor", "low", "high")}) is None


def test_ranges_enclose_what_they_should(usual: Ordinary) -> None:
    low, high = dict(zip(NAMES, usual.low, strict=True)), dict(zip(NAMES, usual.high, strict=True))
    assert low["diversity"] < 1 < high["diversity"]
    assert 0.8 < low["coverage"] < high["coverage"] <= 1  # 1 - 1 / 2^5 on average at equal sizes
    assert all(0 <= low[name] < high[name] <= 1 for name in ("duplicates", "coverage", "recall"))


def test_fewer_fakes_than_real_rows_have_values_without_a_range(usual: Ordinary) -> None:
    signs = usual.signs(cloud(30, seed=6))
    assert [sign.name for sign in signs] == list(NAMES)
    assert all(sign.low is None and not sign.loss for sign in signs)
    assert usual.signs(cloud(1)) == ()
    assert len(usual.signs(cloud(3))) == len(NAMES)


def test_sentences_say_value_and_range(usual: Ordinary) -> None:
    sign = usual.signs(cloud(200, seed=7))[0]
    assert (
        f"{sign.value:.2f} times that of real rows; other real rows: {sign.low:.3g} to {sign.high:.3g}."
        in sign.sentence
    )
    repeats = usual.signs(cloud(200, seed=7) * 0.01)[2]
    assert repeats.sentence.startswith("100 % of the fakes nearly repeat another; other real rows: ")
