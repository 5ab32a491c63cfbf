from __future__ import annotations

from typing import Any

import pytest

from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.metric import GROUPS, find_metric
from uncollapse.report.evaluation_metrics import differences, interval_text, metric_groups, metric_row, sizes


def estimate(name: str, value: float | None, low: float | None, high: float | None, **more: Any) -> Estimate:
    settings: dict[str, Any] = {"level": 0.95, "n_real": 1000, "n_fake": 2000} | more
    return find_metric(name).estimate(value, (low, high), **settings)


def test_groups_follow_the_list_of_metrics() -> None:
    own = Estimate(
        metric="mine", value=1.0, low=None, high=None, level=None, n_real=None, n_fake=5, estimand="", interval="",
        direction="",
    )  # fmt: skip
    found = metric_groups(
        {
            "mine": own,
            "recall": estimate("recall", 0.5, 0.4, 0.6),
            "frechet_distance": estimate("frechet_distance", 3, 2, 4),
        },
        {},
    )
    titles = list(GROUPS)
    assert [title for title, _ in found] == [titles[0], titles[1], "Others"]
    mine = found[2][1][0]
    assert (mine.title, mine.value, mine.interval, mine.sizes, mine.strip, mine.blind) == (
        "mine", "1.00", "", "n = 5 generated", None, "",
    )  # fmt: skip


def test_a_metric_is_shown_with_interval_n_direction_ideal_and_blind_spot() -> None:
    row = metric_row("recall", estimate("recall", 0.5, 0.4, 0.6, details={"k": 3}), {"recall": "Recall [mine]"})
    facts = find_metric("recall")
    assert (row.title, row.value, row.interval) == ("Recall [mine]", "0.50", "95 % interval 0.40 to 0.60")
    assert row.sizes == "n = 1,000 real, 2,000 generated"
    assert (row.good, row.ideal, row.blind, row.measures) == (
        "higher is better", facts.ideal, facts.blind, facts.measures,
    )  # fmt: skip
    assert row.estimand == facts.estimand
    assert row.method.endswith("conservative: it may hold more often than its level says")
    assert row.details == (("k", "3"),)
    assert row.strip is not None
    assert (row.strip.spans, row.strip.marks, row.ends) == (((40.0, 40.0, "span"),), ((50.0, "mean"),), ("0", "1"))


def test_only_a_finite_range_has_a_line() -> None:
    assert metric_row("frechet_distance", estimate("frechet_distance", 3.0, 2.0, 4.0), {}).strip is None


def test_without_a_value_there_is_the_reason() -> None:
    row = metric_row("recall", estimate("recall", None, None, None, reason="there are 3 rows"), {})
    assert (row.value, row.interval, row.reason, row.strip) == ("", "", "There are 3 rows.", None)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(0.4, None, "95 % interval at least 0.40"), (None, 0.6, "95 % interval at most 0.60"), (None, None, "")],
)
def test_one_sided_intervals(low: float | None, high: float | None, text: str) -> None:
    assert interval_text(estimate("recall", 0.5, low, high, reason="one-sided")) == text


def test_the_n_of_training_rows_is_called_so() -> None:
    assert sizes(estimate("authenticity", 0.5, 0.4, 0.6), find_metric("authenticity")) == (
        "n = 1,000 training, 2,000 generated"
    )


@pytest.mark.parametrize(
    ("name", "change", "reading"),
    [
        ("recall", (0.1, 0.05, 0.15), "A is better"),  # higher is better
        ("recall", (-0.1, -0.15, -0.05), "B is better"),
        ("frechet_distance", (0.1, 0.05, 0.15), "B is better"),  # lower is better
        ("frechet_distance", (-0.1, -0.15, -0.05), "A is better"),
        ("recall", (0.1, -0.05, 0.25), "cannot be told apart"),
        ("diversity", (0.1, 0.05, 0.15), "they differ"),
        ("recall", (0.1, None, None), "no interval, so chance cannot be ruled out"),
        ("recall", (None, None, None), "too few rows"),
    ],
)
def test_a_difference_is_read_by_its_interval_and_direction(
    name: str, change: tuple[float | None, float | None, float | None], reading: str
) -> None:
    both = {name: estimate(name, 0.5, 0.4, 0.6)}
    gone = None if None not in change else "too few rows"
    # A difference leaves the metric's own range, so it is made by hand.
    value, low, high = change
    row = Estimate(
        metric=name, value=value, low=low, high=high, level=0.95, n_real=9, n_fake=9, estimand="", interval="",
        direction=find_metric(name).direction, reason=gone,
    )  # fmt: skip
    (found,) = differences(both, both, {name: row}, {}, ("A", "B"))
    assert found.reading == reading
    assert (found.fake, found.other) == ("0.50", "0.50")
    assert (found.strip is None) is (value is None)


def near(name: str, value: float, real: float | None = None) -> Estimate:
    details = {} if real is None else {"real": real}
    return estimate(name, value, value - 0.1, value + 0.1, details=details)


@pytest.mark.parametrize(
    ("first", "second", "reading"),
    [
        (near("diversity", 22.5, 22.4), near("diversity", 18.7, 22.4), "on two sides of the real data; A is nearer"),
        (near("diversity", 21.5, 22.4), near("diversity", 18.7, 22.4), "A is nearer to the real data"),
        (near("diversity", 25.5, 22.4), near("diversity", 23.7, 22.4), "B is nearer to the real data"),
        (near("diversity", 25.5), near("diversity", 23.7), "they differ"),  # nobody knows the real data's
        (near("diversity", 21.4, 22.4), near("diversity", 23.4, 22.4), "they differ"),
        (near("density", 0.4), near("density", 0.8), "B is nearer to the ideal"),
        (None, near("density", 0.8), "they differ"),
    ],
)
def test_of_two_numbers_that_are_best_near_an_ideal_the_nearer_is_named(
    first: Estimate | None, second: Estimate, reading: str
) -> None:
    change = Estimate(
        metric=second.metric, value=1.0, low=0.5, high=1.5, level=0.95, n_real=9, n_fake=9, estimand="", interval="",
        direction="near",
    )  # fmt: skip
    given = {} if first is None else {second.metric: first}
    (found,) = differences(given, {second.metric: second}, {second.metric: change}, {}, ("A", "B"))
    assert found.reading == reading


def test_what_is_best_is_named_as_a_number_where_it_is_one() -> None:
    change = near("diversity", 1.0)
    both = {"diversity": near("diversity", 22.5, 22.4)}
    (found,) = differences(both, both, {"diversity": change}, {}, ("A", "B"))
    assert found.good == "nearest to 22.40 (real data) is best"
    (old,) = differences({"diversity": change}, {"diversity": change}, {"diversity": change}, {}, ("A", "B"))
    assert old.good == "near its ideal is best"


def test_a_number_stands_beside_what_it_is_compared_with() -> None:
    details = {"real": 22.36, "ratio_to_real": 1.005, "ratio_interval": (0.99, 1.02)}
    row = metric_row("diversity", estimate("diversity", 22.46, 22.29, 22.64, details=details), {})
    assert row.beside == ("real data: 22.36", "ratio to the real data 1.00, interval 0.99 to 1.02")
    assert row.strip is not None
    # From 0 to 1.15 x 22.64, rounded to 26.
    assert row.ends == ("0", "26")
    assert row.strip.marks == ((86.0, "reference"), (86.38, "mean"))
    old = metric_row("diversity", estimate("diversity", 22.46, 22.29, 22.64), {})
    assert (old.beside, old.strip, old.ends) == ((), None, ("", ""))


def test_a_count_says_of_how_many() -> None:
    row = metric_row("mode_coverage", estimate("mode_coverage", 8.0, 8.0, 9.0, details={"classes": 10}), {})
    assert (row.value, row.unit, row.interval, row.ends) == ("8 of 10", "classes", "95 % interval 8 to 9", ("0", "10"))
    assert row.strip is not None
    assert row.strip.marks == ((80.0, "mean"),)
    assert metric_row("mode_coverage", estimate("mode_coverage", 8.0, 8.0, 9.0), {}).value == "8"


def test_a_number_has_its_unit_and_its_details_are_rounded() -> None:
    details = {"floor": 0.010033144487946335, "unit": "nats"}
    row = metric_row("class_kl", estimate("class_kl", 0.2474, 0.2, 0.29, details=details), {})
    assert (row.value, row.unit, row.beside) == ("0.25", "nats", ("by chance alone: 0.01 nats",))
    assert row.details == (("floor", "0.01"), ("unit", "nats"))
    gone = metric_row("class_kl", estimate("class_kl", None, None, None, reason="too few", details=details), {})
    assert (gone.value, gone.unit, gone.strip) == ("", "", None)


def test_a_negative_number_has_no_line_from_zero() -> None:
    details = {"floor": 0.01, "unit": "nats"}
    assert metric_row("class_kl", estimate("class_kl", 0.1, -0.2, 0.4, details=details), {}).strip is None
    zero = metric_row("duplicates", estimate("duplicates", 0.0, 0.0, 0.1, details={"real_share": 0.0}), {})
    assert zero.strip is not None
    assert zero.strip.marks == ((0.0, "reference"), (0.0, "mean"))
