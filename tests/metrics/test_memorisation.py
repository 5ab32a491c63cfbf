from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from uncollapse.errors import UserError
from uncollapse.metrics import authenticity
from uncollapse.metrics.inputs import both
from uncollapse.metrics.memorisation import AuthenticityJob
from uncollapse.metrics.pairs import Pair

Array = NDArray[np.float64]


def normal(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def by_definition(train: Array, fake: Array) -> float:
    count = 0
    for y in fake:
        star = int(np.argmin(((train - y) ** 2).sum(1)))
        others = np.delete(train, star, axis=0)
        count += ((train[star] - y) ** 2).sum() > ((others - train[star]) ** 2).sum(1).min()
    return count / len(fake)


@pytest.mark.parametrize(("n", "m", "d"), [(200, 150, 2), (150, 300, 20)])
def test_it_equals_the_papers_definition(n: int, m: int, d: int) -> None:
    train, fake = normal(0, n, d), normal(1, m, d)
    fake[: m // 3] = train[: m // 3] + 0.01 * fake[: m // 3]
    found = authenticity(train=train, fake=fake)
    assert found.value == pytest.approx(by_definition(train, fake), abs=1e-12)
    assert 0.2 < found.value < 0.7
    assert found.low < found.value < found.high
    assert (found.n_real, found.n_fake) == (n, m)
    assert found.details["too_near"] == round((1 - found.value) * m)


def test_on_a_line_it_equals_a_count_by_hand() -> None:
    # Gaps of the training rows: 1, 1, 3. Fakes: copy of 0; .4 from 1; 1.4 from 2 (nearest 2, gap 1); 20 from 5 (gap 3).
    train, fake = [[0.0], [1.0], [2.0], [5.0]], [[0.0], [1.4], [3.4], [25.0]]
    found = authenticity(train=train, fake=fake, level=None)
    assert found.value == 2 / 4
    assert found.details == {"copies": 1, "too_near": 2}


def test_copies_give_0_far_fakes_1_and_both_an_interval_of_some_width() -> None:
    train = normal(2, 300, 8)
    copies, far = authenticity(train=train, fake=train), authenticity(train=train, fake=train + 50)
    assert (copies.value, copies.low, copies.details["copies"]) == (0, 0, 300)
    assert 0 < copies.high < 0.05
    assert (far.value, far.high) == (1, 1)
    assert 0.95 < far.low < 1


def test_repeated_training_rows_have_radius_0_so_that_only_their_copies_are_too_near() -> None:
    train = np.repeat(normal(3, 20, 3), 2, axis=0)
    fake = np.concatenate([train[:10], train[:30] + 1e-6])
    assert authenticity(train=train, fake=fake).value == 30 / 40


def test_a_fake_exactly_as_near_as_the_next_row_is_not_authentic() -> None:
    assert authenticity(train=[[0.0, 0.0], [3.0, 4.0]], fake=[[-4.0, -3.0]], level=None).value == 0


def test_the_order_of_rows_the_tiles_and_the_type_do_not_matter() -> None:
    train, fake = normal(4, 250, 6).astype(np.float32), normal(5, 200, 6).astype(np.float32)
    first = authenticity(train=train, fake=fake)
    again = authenticity(train=torch.from_numpy(train).flip(0), fake=torch.from_numpy(fake).flip(0))
    assert [again.value, again.low, again.high] == pytest.approx([first.value, first.low, first.high], rel=1e-9)
    pair = Pair(*both(train, fake))
    job = AuthenticityJob(pair)
    pair.walk(job.visitors, tile=50)
    assert job.finish()["authenticity"].value == first.value


def test_few_rows_and_wrong_input() -> None:
    one = authenticity(train=normal(6, 50, 2), fake=normal(7, 1, 2))
    assert (one.low, one.high) == (None, None)
    assert "too few rows for an interval" in str(one.reason)
    with pytest.raises(UserError, match=r"train has 1 row, but this needs at least 2; give more samples"):
        authenticity(train=[[0.0]], fake=[[1.0]])
    with pytest.raises(UserError, match=r"train has 2 features a row and fake has 3"):
        authenticity(train=normal(0, 9, 2), fake=normal(0, 9, 3))
    with pytest.raises(UserError, match=r"level must be between 0 and 1"):
        authenticity(train=normal(0, 9, 2), fake=normal(0, 9, 2), level=2)


@pytest.mark.slow
def test_the_interval_holds_the_mean_of_fresh_draws() -> None:
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(150):
        train, fake = (torch.randn(300, 4, generator=generator) for _ in range(2))
        found.append(authenticity(train=train, fake=fake, generator=generator))
    mean = float(np.mean([float(estimate) for estimate in found]))
    assert np.mean([estimate.holds(mean) for estimate in found]) >= 0.92
