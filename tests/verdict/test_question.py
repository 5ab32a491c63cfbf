from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from uncollapse.verdict.question import (
    Finding,
    even_rows,
    half_made,
    lost_share,
    percent,
    standard_scores,
    step_max,
)


def finding(statistics: torch.Tensor, **changes: object) -> Finding:
    given = {
        "metric": "m", "statistics": statistics, "effect": 0.0, "minimum_effect": 0.5, "signal": 4.0,
        "rows": 100.0, "value_real": None, "value_fake": None, "sentence": "s",
    }  # fmt: skip
    return Finding(**(given | changes))  # type: ignore[arg-type]


def test_power_is_that_of_a_normal_test() -> None:
    null = torch.randn(200_001, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    power, needed = finding(null).power(0.01)
    limit = norm.ppf(0.99)
    assert power == pytest.approx(norm.cdf(4 - limit), abs=0.01)
    assert needed == pytest.approx(100 * ((limit + norm.ppf(0.8)) / 4) ** 2, rel=0.03)


def test_at_the_needed_number_of_rows_the_power_is_four_fifths() -> None:
    null = torch.randn(200_001, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    _, needed = finding(null).power(0.01)
    assert needed is not None
    again, _ = finding(null, signal=4.0 * math.sqrt(needed / 100), rows=float(needed)).power(0.01)
    assert again == pytest.approx(0.8, abs=0.01)


def test_the_needed_rows_are_those_of_sides_of_one_size() -> None:
    null = torch.randn(200_001, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    power, needed = finding(null, noise=0.7, even=(2.0, 1.5)).power(0.01)
    limit = norm.ppf(0.99)
    assert power == pytest.approx(norm.cdf((4 - limit) / 0.7), abs=0.01)  # what these sizes do stays theirs
    assert needed == pytest.approx(100 * ((limit + 1.5 * norm.ppf(0.8)) / 2) ** 2, rel=0.03)


def test_the_skew_of_other_sizes_does_not_enter_the_needed_rows() -> None:
    null = torch.randn(200_001, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    _, symmetric = finding(null).power(0.01)
    up, down = null.clamp_min(0) * 1.2 + null.clamp_max(0) * 0.8, null.clamp_min(0) * 0.8 + null.clamp_max(0) * 1.2
    assert finding(up).power(0.01)[1] == pytest.approx(symmetric, rel=0.02)
    assert finding(up, mirrored=-up).power(0.01) == finding(up).power(0.01)
    # A base is where the statistic stands, and where its mirror image stands on the other side.
    assert finding(down + 5, base=5.0).power(0.01)[1] == pytest.approx(symmetric, rel=0.02)
    assert finding(up).power(0.01)[0] != pytest.approx(finding(down).power(0.01)[0], abs=0.05)  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{"signal": None}, {"signal": 0.0}, {"noise": 0.0}])
def test_without_a_signal_or_noise_nothing_is_known_of_power(changes: dict[str, float]) -> None:
    assert finding(torch.zeros(10), **changes).power(0.01) == (None, None)


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


@pytest.mark.parametrize(("n", "m"), [(1_000, 1_000), (1_000, 5_000), (5_000, 1_000)])
def test_a_group_made_at_half_has_the_score_of_such_counts(n: int, m: int) -> None:
    # 20 % of the real rows, 10 % of the fakes.
    fake, total = torch.tensor([[0.1 * m]]), torch.tensor([0.2 * n + 0.1 * m])
    score = standard_scores(fake, total, n, m)[0, 0].item()
    assert half_made(0.2, n, m)[0] == pytest.approx(score, rel=1e-6)


@pytest.mark.parametrize(
    ("n", "m", "least", "most"), [(800, 800, 0.96, 1.01), (400, 20_000, 1.3, 1.4), (20_000, 400, 0.7, 0.8)]
)
def test_the_score_of_a_group_made_at_half_scatters_as_said(n: int, m: int, least: float, most: float) -> None:
    draws = np.random.default_rng(0)
    real, fake = (torch.tensor(draws.binomial(rows, p, 20_000)).double() for rows, p in ((n, 0.1), (m, 0.05)))
    scores = standard_scores(fake, real + fake, n, m)  # as if each draw were a group of its own
    signal, noise = half_made(0.1, n, m)
    assert least < noise < most
    assert scores.std().item() == pytest.approx(noise, rel=0.06)
    assert scores.mean().item() == pytest.approx(signal, abs=0.05)


def test_even_rows_are_the_harmonic_mean() -> None:
    assert even_rows(500, 500) == pytest.approx(500)
    assert even_rows(300, 600) == even_rows(600, 300) == pytest.approx(400)
    assert even_rows(100, 10**9) == pytest.approx(200)


def test_a_lost_share_has_wilsons_interval() -> None:
    row = lost_share("x", "class", (0.1, 0.02), 2, 100, 0.01)
    assert (row.kind, row.share_real, row.share_fake) == ("class", 0.1, 0.02)
    assert row.low == pytest.approx(0.005502, abs=1e-5)  # Wilson 1927 for 2 of 100
    assert row.high == pytest.approx(0.070007, abs=1e-5)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0965, "9.7 %"), (1.0, "100 %"), (2.1e-8, "under 0.01 %"), (1.2e-4, "0.012 %"), (0.996, "100 %"), (0.5, "50 %")],
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text
