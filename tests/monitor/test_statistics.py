"""The further numbers against the project's metrics, SciPy and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, pdist

from uncollapse.metrics.manifold import coverage, recall
from uncollapse.monitor.statistics import NAMES, Anchor, Ordinary, effective_rank, ordinary


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


def test_ranges_enclose_what_they_should(usual: Ordinary) -> None:
    low, high = dict(zip(NAMES, usual.low, strict=True)), dict(zip(NAMES, usual.high, strict=True))
    assert low["diversity"] < 1 < high["diversity"]
    assert 0.8 < low["coverage"] < high["coverage"] <= 1  # 1 - 1 / 2^5 on average at equal sizes


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
