from __future__ import annotations

import numpy as np
from tests.verdict.making import pool_of

from uncollapse.verdict.mixing import difference_sentence


def test_sides_far_apart_are_told_apart_wholly() -> None:
    draws = np.random.default_rng(0)
    said = difference_sentence(pool_of(draws.normal(size=(60, 3)), draws.normal(size=(40, 3)) + 50), 0.03)
    assert said is not None
    assert "100 % of a row's nearest neighbours" in said
    # (60 x 59 + 40 x 39) / (100 x 99) = .515
    assert "52 % by chance" in said


def test_equal_sides_are_told_apart_as_rarely_as_alpha_says() -> None:
    draws = np.random.default_rng(0)
    said = [
        difference_sentence(pool_of(draws.normal(size=(60, 3)), draws.normal(size=(60, 3)), seed=i), 0.1)
        for i in range(60)
    ]
    assert sum(one is not None for one in said) <= 14  # binomial(60, .1): 99.9 %
