from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from uncollapse.errors import UserError
from uncollapse.metrics.bins import _deviates, _different, _p_values, ndb


def modes(random: np.random.Generator, n: int, count: int = 8, features: int = 2) -> np.ndarray:
    x = 0.05 * random.standard_normal((n, features))
    turn = 2 * np.pi * random.integers(0, count, n) / 8
    x[:, 0] += np.cos(turn)
    x[:, 1] += np.sin(turn)
    return x


def test_a_lost_mode_is_found_with_its_shares() -> None:
    random = np.random.default_rng(1)
    found = ndb(real=modes(random, 2000), fake=modes(random, 1000, 7), bins=8)
    worst = found.details["worst"][0]
    assert found.value >= 1 / 8
    assert worst["fake_share"] == 0
    assert worst["real_share"] == pytest.approx(1 / 8, abs=0.03)
    n, m = found.details["counted_real"], 1000
    pooled = worst["real_share"] * n / (n + m)
    assert worst["z"] == pytest.approx(-worst["real_share"] / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m)))


def test_jensen_shannon_of_disjoint_sides_is_one_bit() -> None:
    random = np.random.default_rng(2)
    found = ndb(real=modes(random, 800, 4), fake=modes(random, 400, 4) + np.array([9, 0]), bins=4)
    assert 0 < found.details["jensen_shannon_bits"] <= 1
    assert found.value == 1
    assert found.high == 1
    assert found.low < 1


@pytest.mark.parametrize("features", [2, 64])
def test_classic_share_is_alpha_and_the_corrected_one_none_when_nothing_differs(features: int) -> None:
    random = np.random.default_rng(3)
    classic, corrected = [], []
    for _ in range(15):
        sides = {"real": modes(random, 800, features=features), "fake": modes(random, 400, features=features)}
        classic.append(ndb(**sides, correction=False))
        corrected.append(ndb(**sides))
    # 15 repeats of 40 bins: .05 +- 3 standard errors of .009.
    assert np.mean([float(one) for one in classic]) == pytest.approx(0.05, abs=0.03)
    assert np.mean([float(one) for one in corrected]) < 0.01
    assert sum(one.holds(0.05) for one in classic) >= 13


def test_benjamini_hochberg_agrees_with_scipy() -> None:
    random = np.random.default_rng(4)
    for _ in range(20):
        p = random.random(30) ** 3
        assert (_different(p, 0.05, True) == (stats.false_discovery_control(p) <= 0.05)).all()


def test_constant_and_repeated_rows_make_fewer_bins() -> None:
    found = ndb(real=np.ones((200, 3)), fake=np.ones((100, 3)))
    assert (found.value, found.details["bins"]) == (0, 1)
    two = ndb(real=np.repeat([[0.0], [1.0]], 100, 0), fake=np.zeros((100, 1)))
    assert (two.value, two.details["bins"]) == (1, 2)


def test_row_order_container_and_global_streams_do_not_matter() -> None:
    random = np.random.default_rng(5)
    real, fake = modes(random, 300), modes(random, 200, 6)
    state = torch.get_rng_state()
    found = ndb(real=real, fake=fake)
    assert found == ndb(real=torch.from_numpy(real).flip(0), fake=torch.from_numpy(fake).flip(0))
    assert torch.equal(state, torch.get_rng_state())
    other = ndb(real=real, fake=fake, generator=torch.Generator().manual_seed(7))
    assert other.details["worst"] != found.details["worst"]
    assert ndb(real=real, fake=fake, level=None).low is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": 1}, "bins must be a whole number of at least 2, not 1"),
        ({"bins": 4.5}, r"bins must be a whole number of at least 2, not 4\.5"),
        ({"alpha": 0.0}, "alpha must be between 0 and 1, for example 0.05, not 0.0"),
        ({"real": np.ones((30, 2))}, "real has 30 rows, but two bins with 10 rows each need at least 40"),
        ({"fake": np.ones((10, 2))}, "fake has 10 rows"),
        ({"fake": np.full((50, 2), np.nan)}, "not finite"),
        ({"fake": np.ones((50, 3))}, "need the same extractor"),
        ({"level": 2.0}, "level must be between 0 and 1"),
    ],
)
def test_what_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ndb(**({"real": np.ones((50, 2)), "fake": np.ones((50, 2))} | options))  # type: ignore[arg-type]


def test_a_bins_p_value_is_that_of_the_hypergeometric_law_by_hand() -> None:
    # 3 of 5 rows against 1 of 10, others 2 and 9: of C(15, 4) ways to choose a bin's four rows.
    ways = {k: math.comb(5, k) * math.comb(10, 4 - k) for k in range(5)}
    total = math.comb(15, 4)
    upper = (ways[3] / 2 + ways[4]) / total
    found = _p_values(np.array([3.0, 2.0]), np.array([1.0, 9.0]))
    assert found[0] == pytest.approx(2 * upper)
    assert _p_values(np.array([1.0, 9.0]), np.array([3.0, 2.0]))[0] == pytest.approx(2 * upper), (
        "either side may be first"
    )


@pytest.mark.parametrize(("n", "m"), [(1_000, 10_000), (10_000, 500), (1_000, 1_000)])
def test_equal_shares_differ_as_rarely_as_the_level_says_whatever_the_sizes(n: int, m: int) -> None:
    """Read as normal, z found a bin that differs in up to 16 % of draws, not 5 %, where sides are unequal."""
    stream = np.random.default_rng(n + m)
    shares = stream.dirichlet(np.full(60, 0.5))
    found, normal = 0, 0
    for _ in range(400):
        real, fake = (stream.multinomial(size, shares).astype(float) for size in (n, m))
        kept = (real + fake) > 0
        found += bool(_different(_p_values(real, fake)[kept], 0.05, correction=True).any())
        normal += bool(_different(2 * stats.norm.sf(np.abs(_deviates(real, fake)))[kept], 0.05, correction=True).any())
    assert found / 400 <= 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5
    if n != m:
        assert normal > 1.5 * found


@pytest.mark.parametrize("offset", [1e7, 1e9])
def test_what_all_rows_share_hides_no_lost_mode(offset: float) -> None:
    random = np.random.default_rng(1)
    real, fake = modes(random, 2000), modes(random, 1000, 4)
    near, far = ndb(real=real, fake=fake, bins=8), ndb(real=real + offset, fake=fake + offset, bins=8)
    assert far.value == pytest.approx(near.value, abs=1 / 8)
    assert far.value > 0.5
