from __future__ import annotations

import inspect
import math

import pytest

import uncollapse.metrics
from uncollapse.errors import UserError
from uncollapse.metrics.metric import DEFECTS, GROUPS, NAMES, Metric, as_names, find_metric


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_has_its_facts_and_its_function(name: str) -> None:
    metric = find_metric(name)
    for field in ("title", "takes", "measures", "equation", "estimand", "interval", "strengths", "weaknesses", "blind"):
        assert getattr(metric, field), field
    assert metric.use
    assert metric.ideal
    assert metric.paper
    assert metric.direction in ("lower", "higher", "near")
    assert metric.low < metric.high
    assert metric.minimum >= 2
    assert set(metric.sees) | set(metric.misses) <= set(DEFECTS)
    assert not set(metric.sees) & set(metric.misses)
    assert metric.function is getattr(uncollapse.metrics, name)


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_takes_keywords_only_and_a_level(name: str) -> None:
    parameters = inspect.signature(find_metric(name).function).parameters.values()
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in parameters)
    assert next(parameter.default for parameter in parameters if parameter.name == "level") == 0.95


def test_every_public_name_loads_and_is_documented() -> None:
    assert dir(uncollapse.metrics) == uncollapse.metrics.__all__
    for name in uncollapse.metrics.__all__:
        assert inspect.getdoc(getattr(uncollapse.metrics, name)), name
    with pytest.raises(AttributeError, match="no_such_metric"):
        uncollapse.metrics.no_such_metric  # noqa: B018


def test_no_metric_is_listed_twice() -> None:
    assert len(NAMES) == len(set(NAMES)) == sum(len(names) for names in GROUPS.values())


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("fid", "frechet_distance"), ("KID", "kernel_distance"), ("is", "inception_score"), ("ppl", "path_length"),
        ("lpips", "diversity"),
    ],
)  # fmt: skip
def test_the_names_of_others_lead_to_ours(name: str, ours: str) -> None:
    with pytest.raises(UserError) as error:
        find_metric(name)
    assert str(error.value) == f"There is no metric {name!r}; it is called {ours!r} here (`uncollapse metrics {ours}`)."
    assert find_metric(ours).name == ours


def test_an_unknown_metric_names_its_nearest() -> None:
    with pytest.raises(UserError, match="There is no metric 'precison'; did you mean 'precision'"):
        find_metric("precison")


def made(**changes: object) -> Metric:
    fields = {
        "name": "share", "title": "t", "place": "m:f", "takes": "x", "measures": "x", "equation": "x",
        "direction": "higher", "low": 0.0, "high": 1.0, "ideal": "1", "minimum": 2, "estimand": "e", "interval": "i",
        "strengths": "s", "weaknesses": "w", "blind": "b", "use": "u", "paper": "p", "arxiv": "a",
    }  # fmt: skip
    return Metric(**(fields | changes))


def test_ends_are_cut_at_the_range_and_hold_the_value() -> None:
    metric = made()
    estimate = metric.estimate(0.9, (0.5, 1.4), level=0.9, n_fake=10)
    assert (estimate.low, estimate.high) == (0.5, 1.0)
    assert (metric.estimate(0.2, (0.3, 0.6), level=0.9).low, metric.estimate(0.7, (0.3, 0.6), level=0.9).high) == (
        0.2,
        0.7,
    )
    assert made(low=-math.inf).estimate(0.2, (-3.0, 0.6), level=0.9).low == -3


def test_without_a_level_there_is_no_interval_and_it_says_so() -> None:
    estimate = made(conservative=True).estimate(0.5, (0.1, 0.9), level=None)
    assert (estimate.low, estimate.high, estimate.conservative) == (None, None, False)
    assert estimate.interval == "none was asked for"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("a, b", "metrics must be a list of names, for example ['a', 'b'], not the one text 'a, b'."),
        ("", "metrics must be a list of names, for example ['coverage'], not the one text ''."),
        (3, "metrics must be a list of names, for example ['coverage'], not 3."),
        ([uncollapse.metrics.recall], "A metric is something of type function, not a name; give its name 'recall'."),
        ([None], "A metric is something of type NoneType, not a name; give names, for example 'coverage'."),
    ],
)
def test_what_is_no_list_of_names_is_told_how_to_become_one(given: object, sentence: str) -> None:
    with pytest.raises(UserError) as told:
        as_names(given)  # type: ignore[arg-type]
    assert str(told.value) == sentence


def test_names_are_taken_as_they_come() -> None:
    assert as_names(name for name in ("recall", "coverage")) == ("recall", "coverage")
    assert as_names([]) == ()
