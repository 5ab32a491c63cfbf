from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import norm

from uncollapse.verdict.question import Finding, lost_share, percent, signal_of_half, standard_scores, step_max


def finding(statistics: torch.Tensor, **changes: object) -> Finding:
    given = {
        "metric": "m", "statistics": statistics, "effect": 0.0, "minimum_effect": 0.5, "signal": 4.0,
        "value_real": None, "value_fake": None, "sentence": "s",
    }  # fmt: skip
    return Finding(**(given | changes))  # type: ignore[arg-type]


def test_power_is_that_of_a_normal_test() -> None:
    null = torch.randn(200_001, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    power, needed = finding(null).power(0.01, 100)
    limit = norm.ppf(0.99)
    assert power == pytest.approx(norm.cdf(4 - limit), abs=0.01)
    assert needed == pytest.approx(100 * ((limit + norm.ppf(0.8)) / 4) ** 2, rel=0.03)


def test_at_the_needed_number_of_rows_the_power_is_four_fifths() -> None:
    null = torch.randn(200_001, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    _, needed = finding(null).power(0.01, 100)
    assert needed is not None
    again, _ = finding(null, signal=4.0 * math.sqrt(needed / 100)).power(0.01, needed)
    assert again == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("changes", [{"signal": None}, {"signal": 0.0}, {"noise": 0.0}])
def test_without_a_signal_or_noise_nothing_is_known_of_power(changes: dict[str, float]) -> None:
    assert finding(torch.zeros(10), **changes).power(0.01, 100) == (None, None)


def test_standard_scores_are_those_of_two_shares() -> None:
    # 30 of 100 real rows and 10 of 50 fakes: shares .3 and .2, pooled 40/150.
    both = 40 / 150
    expected = (0.3 - 0.2) / math.sqrt(both * (1 - both) * (1 / 100 + 1 / 50))
    found = standard_scores(torch.tensor([[10.0, 0.0]]), torch.tensor([40.0, 0.0]), 100, 50)
    assert found[0, 0].item() == pytest.approx(expected)
    assert found[0, 1].item() == 0.0  # a group that nobody has says nothing


def test_too_many_fakes_score_below_zero() -> None:
    assert standard_scores(torch.tensor([[30.0]]), torch.tensor([40.0]), 100, 50)[0, 0] < 0


def test_step_max_is_the_share_of_maxima_that_reach_a_score() -> None:
    scores = torch.tensor([[3.0, 1.0], [0.0, 2.0], [4.0, 0.0], [1.0, 0.5]])
    assert step_max(scores).tolist() == [0.5, 1.0]  # maxima 3, 2, 4, 1


def test_the_signal_of_half_is_the_score_of_such_counts() -> None:
    # 20 % of 1,000 real rows, 10 % of 1,000 fakes.
    score = standard_scores(torch.tensor([[100.0]]), torch.tensor([300.0]), 1_000, 1_000)[0, 0].item()
    assert signal_of_half(0.2, 1_000, 1_000) == pytest.approx(score, rel=1e-6)


def test_a_lost_share_has_wilsons_interval() -> None:
    row = lost_share("x", "class", (0.1, 0.02), 2, 100, 0.01)
    assert (row.kind, row.share_real, row.share_fake) == ("class", 0.1, 0.02)
    assert row.low == pytest.approx(0.005502, abs=1e-5)  # Wilson 1927 for 2 of 100
    assert row.high == pytest.approx(0.070007, abs=1e-5)


@pytest.mark.parametrize(("share", "text"), [(0.0965, "9.7 %"), (1.0, "100 %"), (0.996, "100 %"), (0.5, "50 %")])
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text
