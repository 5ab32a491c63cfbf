"""The list of metrics for people: complete facts, a list that fits the terminal, a card with all that is known."""

from __future__ import annotations

import json
import re

import pytest
from rich.console import Console

from uncollapse.errors import UserError
from uncollapse.metric_cards import (
    GOOD,
    TAKES,
    call,
    group_of,
    least,
    list_metrics,
    metric_card,
    metrics_table,
    outcome,
    span,
)
from uncollapse.metrics.metric import DEFECTS, GROUPS, NAMES, Metric, find_metric

SAMPLE = Metric(
    name="recall", title="A title", place="no:thing", takes="labels", measures="Something.", equation="a = b\nc = d",
    direction="near", high=1.0, ideal="1", minimum=2_500, estimand="a mean", interval="a normal one",
    conservative=True, strengths="Good.", weaknesses="Bad.", blind="Blind.", use="Now.", sees=("blur",),
    misses=("duplicates",), paper="Nobody 2020, A paper", arxiv="2001.00001", differs=("It differs.",),
)  # fmt: skip


def printed(item: object, width: int = 160) -> str:
    """What a table looks like."""
    console = Console(width=width)
    with console.capture() as captured:
        console.print(item)
    return captured.get()


@pytest.mark.parametrize("name", NAMES)
def test_the_facts_of_a_metric_are_complete(name: str) -> None:
    metric = find_metric(name)
    for text in (metric.measures, metric.strengths, metric.weaknesses, metric.blind, metric.use, *metric.differs):
        assert text.endswith("."), text
        assert text[0].isupper() or text[0].isdigit(), text
    for text in (metric.title, metric.ideal, metric.estimand, metric.interval, metric.paper):
        assert text

    assert re.search(r"\b(1[89]|20)\d\d\b", metric.paper), "a paper has a year"
    assert re.fullmatch(r"\d{4}\.\d{4,5}|https://\S+", metric.arxiv)
    assert metric.takes in TAKES
    assert metric.direction in GOOD
    assert metric.low < metric.high
    assert metric.minimum >= 1
    lines = metric.equation.strip().splitlines()
    assert lines
    assert max(map(len, lines)) <= 130
    assert metric.place.split(":")[1] == name


@pytest.mark.parametrize("name", NAMES)
def test_the_function_of_a_metric_is_the_public_one_and_takes_what_its_call_says(name: str) -> None:
    import inspect

    import uncollapse as uc

    function = find_metric(name).function
    assert getattr(uc.metrics, name) is function
    parameters = inspect.signature(function).parameters
    assert all(item.kind is inspect.Parameter.KEYWORD_ONLY for item in parameters.values())
    asked = re.findall(r"(\w+)=", call(find_metric(name)))
    needed = {key for key, item in parameters.items() if item.default is inspect.Parameter.empty}
    assert needed <= set(asked) <= set(parameters)


def test_the_list_fits_a_hundred_columns_under_its_headings() -> None:
    text = printed(metrics_table(list_metrics(None)))
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    places = [text.index(f"\n{name} ") for name in NAMES]
    assert places == sorted(places)
    assert all(title in text for title in GROUPS)


@pytest.mark.parametrize("name", NAMES)
def test_a_card_fits_a_terminal_and_is_json(name: str) -> None:
    (card,) = list_metrics(name)
    text = printed(metric_card(card))
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 104
    words = " ".join(text.split())
    for part in ("measures", "estimand", "blind to", "when to use", call(find_metric(name)), "paper"):
        assert part in words
    assert json.loads(json.dumps(card, allow_nan=False)) == card


def test_a_card_says_everything() -> None:
    words = " ".join(printed(metric_card(list_of(SAMPLE))).split())
    for part in (
        "recall: A title",
        "a = b c = d",
        "uc.metrics.recall(real=real_labels, fake=fake_labels)",
        "near its ideal is best, 1 and below",
        "at least 2,500 labels a side",
        "a normal one; conservative",
        "sees blur (planted in digits, see docs/metrics.md)",
        "misses duplicates",
        "https://arxiv.org/abs/2001.00001",
        "- It differs.",
    ):
        assert part in words
    assert "sees" not in printed(metric_card(list_of(SAMPLE) | {"sees": [], "misses": []}))


def list_of(metric: Metric) -> dict[str, object]:
    from uncollapse.metric_cards import metric_facts

    return metric_facts(metric)


def test_words_of_ranges_addresses_groups_and_outcomes() -> None:
    assert [span(None, None), span(None, 2.0), span(0.0, None), span(0.5, 1.0)] == [
        "any number", "2 and below", "0 and above", "0.5 to 1",
    ]  # fmt: skip
    assert [group_of(names[0]) for names in GROUPS.values()] == list(GROUPS)
    assert outcome([], DEFECTS) == ("none", ", ".join(DEFECTS))
    assert outcome([], []) == ("", "")
    assert least(SAMPLE) == "2,500 labels a side"


def test_a_wrong_name_gets_the_nearest() -> None:
    with pytest.raises(UserError, match="no metric 'vendi'; did you mean 'vendi_score'"):
        list_metrics("vendi")
