"""Differences of two generators: values against two plain calls, intervals against repeated draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from uncollapse.errors import UserError
from uncollapse.metrics.metric import find_metric
from uncollapse.metrics.versus import difference


def rows(n: int, seed: int, *, scale: float = 1.0, shift: float = 0.0, width: int = 2) -> torch.Tensor:
    return shift + scale * torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def value(metric: str, **sides) -> float:
    return find_metric(metric).function(level=None, **sides).value


@pytest.mark.parametrize("metric", ["frechet_distance", "coverage", "c2st", "kernel_distance"])
def test_the_value_is_the_difference_of_two_plain_calls(metric):
    real, fake, other = rows(90, 1), rows(80, 2, scale=0.6), rows(70, 3)
    found = difference(metric, real=real.numpy(), fake=fake, other=other, level=None)
    expected = value(metric, real=real, fake=fake) - value(metric, real=real, fake=other)
    assert found.value == pytest.approx(expected, rel=1e-9)
    assert found.details["fake"] - found.details["other"] == found.value
    assert (found.n_real, found.n_fake, found.details["n_other"]) == (90, 80, 70)
    assert (found.low, found.high, found.interval) == (None, None, "none was asked for")
    assert found.direction == find_metric(metric).direction


def test_exchanging_the_sides_changes_the_sign():
    real, fake, other = rows(100, 1), rows(100, 2, scale=0.5), rows(100, 3)
    one, two = (
        difference("coverage", real=real, fake=fake, other=other),
        difference("coverage", real=real, fake=other, other=fake),
    )
    assert one.value == pytest.approx(-two.value)
    assert one.value < 0
    assert one.high < 0 < two.low


def test_the_p_value_is_students_and_agrees_with_the_interval():
    found = difference("frechet_distance", real=rows(60, 1), fake=rows(60, 2, shift=0.4), other=rows(60, 3))
    error, freedom = found.details["standard_error"], found.details["freedom"]
    assert found.details["p_value"] == pytest.approx(2 * stats.t.sf(abs(found.value) / error, freedom))
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, freedom) * error)
    assert found.conservative


def test_metrics_of_fakes_alone_join_their_two_intervals():
    fake, other = rows(200, 1, scale=2.0), rows(150, 2)
    one, two = (find_metric("diversity").function(fake=side) for side in (fake, other))
    found = difference("diversity", fake=fake, other=other)
    assert found.value == pytest.approx(one.value - two.value)
    assert found.low == pytest.approx(found.value - math.hypot(one.value - one.low, two.high - two.value))
    assert found.high == pytest.approx(found.value + math.hypot(one.high - one.value, two.value - two.low))
    assert (found.n_real, found.n_fake, found.details["n_other"]) == (None, 200, 150)


def test_the_side_of_a_metric_of_fakes_alone_is_named():
    alike = torch.ones(60, 2)
    with pytest.raises(UserError, match=r"^birthday has no value here, for other: no two of 60 fakes"):
        difference("birthday", fake=alike, other=rows(60, 1))
    with pytest.raises(UserError, match="other has 3"):
        difference("diversity", fake=rows(60, 1), other=rows(60, 2, width=3))
    images = torch.rand(40, 2, 2, generator=torch.Generator().manual_seed(0))
    apart = difference("diversity", fake=images, other=0.5 * images, distance=lambda x, y: (x - y).abs().sum((1, 2)))
    assert apart.details["other"] == pytest.approx(apart.details["fake"] / 2, rel=0.2)


def test_pairs_from_the_same_latents_narrow_the_interval():
    fake = rows(200, 1, scale=2.0)
    other = fake * 0.9
    paired = difference("diversity", fake=fake, other=other, paired=True)
    loose = difference("diversity", fake=fake, other=other)
    assert paired.value == pytest.approx(loose.value)
    assert paired.high - paired.low < 0.4 * (loose.high - loose.low)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(5))
    moved = difference("diversity", fake=fake[order], other=other[order], paired=True)
    assert (moved.low, moved.high) == pytest.approx((paired.low, paired.high), rel=1e-9)
    mixed = difference("diversity", fake=fake, other=other[order], paired=True)
    assert mixed.high - mixed.low > 1.5 * (paired.high - paired.low)


def test_the_common_reference_cancels_in_the_interval():
    # Few real rows far out decide both distances; their difference hardly depends on them.
    real, fake, other = rows(60, 1), rows(400, 2, shift=1.0), rows(400, 3, shift=1.0)
    found = difference("frechet_distance", real=real, fake=fake, other=other)
    alone = [find_metric("frechet_distance").function(real=real, fake=side) for side in (fake, other)]
    apart = math.hypot(*(side.high - side.low for side in alone))
    assert found.high - found.low < 0.75 * apart


@pytest.mark.usefixtures("global_random_untouched")
def test_order_of_rows_library_and_repetition_do_not_matter():
    real, fake, other = rows(80, 1), rows(80, 2), rows(80, 3, scale=0.7)
    one = difference("coverage", real=real, fake=fake, other=other)
    two = difference("coverage", real=real.flip(0).numpy(), fake=fake.flip(0), other=other.flip(0))
    assert (one.value, one.low, one.high) == (two.value, two.low, two.high)
    other_draws = difference("coverage", real=real, fake=fake, other=other, generator=torch.Generator().manual_seed(1))
    assert (other_draws.value, other_draws.low != one.low) == (one.value, True)


def test_authenticity_takes_the_training_rows_as_real():
    train, fresh = rows(60, 1), rows(60, 2)
    found = difference("authenticity", real=train, fake=train, other=fresh)
    assert found.value == -value("authenticity", train=train, fake=fresh)


def test_a_difference_that_never_varies_claims_no_certainty():
    far = rows(100, 1) + 1_000
    found = difference("precision", real=rows(100, 2), fake=far, other=far + 1)
    # No change in 100 rows: up to 1 - .025^(1/100) = 3.6 % may differ.
    assert (found.value, found.details["p_value"]) == (0.0, 1.0)
    assert (found.low, found.high) == pytest.approx((-0.0362, 0.0362), abs=1e-4)
    same = difference("frechet_distance", real=torch.zeros(50, 2), fake=torch.ones(50, 2), other=torch.ones(50, 2))
    assert (same.value, same.low, same.high) == (0.0, None, None)
    assert "nothing tells its spread" in same.reason


def test_too_few_rows_give_the_value_and_say_why_there_is_no_interval():
    few = difference("frechet_distance", real=rows(3, 1), fake=rows(3, 2), other=rows(3, 3))
    assert few.low is None
    assert few.reason == "an interval needs at least 4 rows a side"
    some = difference("coverage", real=rows(9, 1), fake=rows(9, 2), other=rows(9, 3))
    assert some.low is None
    assert "a subsample of the rows is too small: real has 4 rows, too few for k = 5" in some.reason
    assert difference("coverage", real=rows(9, 1), fake=rows(9, 2), other=rows(9, 3), k=2).low is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": "class_kl"}, "class_kl takes labels.*; this works on metrics of features"),
        ({"metric": "covrage"}, "There is no metric 'covrage'; did you mean 'coverage'"),
        ({"real": None}, "coverage compares with real rows; give real="),
        ({"other": rows(20, 1, width=3)}, "fake has 2 features a row and other has 3"),
        ({"real": rows(20, 1, width=3)}, "real has 3 features a row and fake has 2"),
        ({"other": rows(19, 1), "paired": True}, r"paired needs as many rows of fake \(20\) as of other \(19\)"),
        ({"other": rows(20, 1) * np.inf}, "other has 20 rows that are not finite"),
        ({"level": 1.0}, "level must be between 0 and 1"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(changes, message):
    given = {"metric": "coverage", "real": rows(20, 4), "fake": rows(20, 5), "other": rows(20, 6)} | changes
    with pytest.raises(UserError, match=message):
        difference(given.pop("metric"), **given)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "at_most"),
    [("precision", 1.0), ("coverage", 0.985), ("kernel_distance", 1.0), ("frechet_distance", 1.0)],
)
def test_intervals_hold_the_mean_difference(metric, at_most):
    def sides(seed: int) -> dict[str, torch.Tensor]:
        seed *= 3
        return {
            "real": rows(200, seed), "fake": rows(200, seed + 1, scale=0.8), "other": rows(200, seed + 2, shift=0.6)
        }  # fmt: skip

    truth = np.mean([difference(metric, **sides(10_000 + i), level=None).value for i in range(600)])
    found = [difference(metric, **sides(i), generator=torch.Generator().manual_seed(i)) for i in range(200)]
    held = sum(one.holds(truth) for one in found)
    assert 0.91 * 200 <= held <= at_most * 200
    assert held <= 0.98 * 200 or found[0].conservative
