from __future__ import annotations

from typing import Any

import pytest

from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.metric import find_metric
from uncollapse.report.evaluation_units import counted, details, of_all, ratio, reference, told, unit


def estimate(name: str, value: float = 1.0, **found: Any) -> Estimate:
    return find_metric(name).estimate(value, level=0.95, n_real=9, n_fake=9, details=found)


@pytest.mark.parametrize(
    ("name", "found", "text"),
    [
        ("diversity", {"real": 22.35881320490865}, "real data: 22.36"),
        ("vendi_score", {"real": 5.625279893686423}, "real data: 5.63"),
        ("class_entropy", {"real": 3.3185772980754455}, "real data: 3.32 bits"),
        ("class_kl", {"floor": 0.010033144487946335, "unit": "nats"}, "by chance alone: 0.01 nats"),
        ("chi_square", {"freedom": 9}, "by chance alone: 9"),
        ("inception_score", {"classes": 10}, "at most: 10"),
        ("duplicates", {"real_share": 0.0}, "real data: 0"),
        ("density", {}, "ideal: 1"),
        ("c2st", {}, "a coin: 0.50"),
        # Nothing to compare with: files of old, and metrics whose best value is an end of their range.
        ("diversity", {}, ""),
        ("diversity", {"real": "many"}, ""),
        ("recall", {"real": 3.0}, ""),
    ],
)
def test_what_a_number_is_compared_with(name: str, found: dict[str, Any], text: str) -> None:
    assert told(reference(estimate(name, **found)), estimate(name, **found)) == text


def test_units() -> None:
    assert unit(estimate("class_entropy")) == "bits"
    assert unit(estimate("class_kl", unit="nats")) == "nats"
    assert unit(estimate("recall")) == ""


def test_counts_have_no_digits_after_the_point_and_their_whole() -> None:
    modes = estimate("mode_coverage", 8.0, classes=10)
    assert (counted(modes, 8.0), of_all(modes)) == ("8", 10.0)
    assert counted(modes, 7.5) == "7.50"
    assert of_all(estimate("mode_coverage", 8.0)) is None
    assert of_all(estimate("inception_score", 8.0, classes=10)) is None
    assert counted(estimate("recall"), 1.0) == "1.00"


def test_a_ratio_to_the_real_data_with_its_interval() -> None:
    known = estimate("diversity", ratio_to_real=1.0047, ratio_interval=(0.9937, 1.0159))
    assert ratio(known) == "ratio to the real data 1.00, interval 0.99 to 1.02"
    assert ratio(estimate("diversity", ratio_to_real=1.0047)) == "ratio to the real data 1.00"
    assert ratio(estimate("diversity", ratio_to_real=None)) == ""


def test_details_are_rounded() -> None:
    found = {
        "real": 22.35881320490865, "p_value": 1e-42, "groups": 1260, "classifier": "logistic", "order": 1.0,
        "ratio_interval": (0.9937, 1.0159), "rows_used": [6000, 5000],
    }  # fmt: skip
    assert details(estimate("diversity", **found)) == (
        ("real", "22.36"), ("p value", "below 0.001"), ("groups", "1,260"), ("classifier", "logistic"), ("order", "1"),
        ("ratio interval", "0.99 to 1.02"), ("rows used", "6,000, 5,000"),
    )  # fmt: skip
