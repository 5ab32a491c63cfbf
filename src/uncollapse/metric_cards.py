"""What the list of metrics tells people: groups, directions, ranges, calls; as tables and cards on stdout.

Between `metrics.metric` (facts) and what prints them: the command line and the generated documentation. Nothing heavy
is imported, so that the list answers at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from uncollapse.console import NAME_WIDTH, PAGE_WIDTH, card_table
from uncollapse.metrics.estimate import CAUTION
from uncollapse.metrics.metric import GROUPS, NAMES, Metric, find_metric
from uncollapse.text import clean, web_address

GOOD = {"lower": "lower is better", "higher": "higher is better", "near": "near its ideal is best"}
GOOD_WIDTH = max(map(len, GOOD))
# What a metric looks at -> how it is called, and what is counted; what else it takes stands in its docstring.
TAKES = {
    "real and fake features": ("real=real, fake=fake", "rows a side"),
    "training and fake features": ("train=train, fake=fake", "rows a side"),
    "fake features": ("fake=fake", "rows"),
    "probabilities": ("probabilities=probabilities", "rows"),
    "labels": ("real=real_labels, fake=fake_labels", "labels a side"),
    "a generator": ("generator=generator, latent=sampler", "paths"),
}


def list_metrics(name: str | None) -> list[dict[str, Any]]:
    """What is known of all metrics, or of the one of that name, as JSON values; an end without limit is None.

    Raises:
        UserError: There is no metric of that name.
    """
    return [metric_facts(find_metric(item)) for item in (NAMES if name is None else (name,))]


def metric_facts(metric: Metric) -> dict[str, Any]:
    """All facts of a metric as JSON values, with its group and its call."""
    facts: dict[str, Any] = asdict(metric) | {
        "group": group_of(metric.name),
        "call": call(metric),
        "needs": least(metric),
    }
    limits = {side: facts[side] if math.isfinite(facts[side]) else None for side in ("low", "high")}
    lists = {key: list(facts[key]) for key in ("sees", "misses", "differs")}
    return facts | limits | lists


def group_of(name: str) -> str:
    """The heading under which a metric stands.

    >>> group_of("recall")
    'Neighbours: quality and coverage apart'
    """
    return next(title for title, names in GROUPS.items() if name in names)


def call(metric: Metric) -> str:
    """How the metric is called on what it looks at."""
    return f"uc.metrics.{metric.name}({TAKES[metric.takes][0]})"


def least(metric: Metric) -> str:
    """Fewest samples for a number that means something, in words."""
    return f"{metric.minimum:,} {TAKES[metric.takes][1]}"


def span(low: float | None, high: float | None) -> str:
    """The values that a metric can take, in words.

    >>> [span(0.0, 1.0), span(1.0, None), span(None, None)]
    ['0 to 1', '1 and above', 'any number']
    """
    if low is None and high is None:
        return "any number"
    if high is None:
        return f"{low:g} and above"
    return f"{high:g} and below" if low is None else f"{low:g} to {high:g}"


def outcome(sees: Sequence[str], misses: Sequence[str]) -> tuple[str, str]:
    """The planted defects that a metric sees and misses, in words; empty where they do not apply.

    >>> outcome(["blur"], ["duplicates", "memorised"])
    ('blur', 'duplicates, memorised')
    >>> outcome(["blur"], [])
    ('blur', 'none')
    """
    if not sees and not misses:
        return "", ""
    return ", ".join(sees) or "none", ", ".join(misses) or "none"


def metrics_table(cards: Sequence[Mapping[str, Any]]) -> Group:
    """The list of metrics under their headings, at most 100 columns wide."""
    known = {str(card["name"]): card for card in cards}
    parts: list[Table | Text] = []
    for title, names in GROUPS.items():
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(width=NAME_WIDTH, overflow="fold")
        table.add_column(width=GOOD_WIDTH)
        table.add_column(max_width=PAGE_WIDTH - NAME_WIDTH - GOOD_WIDTH - 4)
        for name in names:
            card = known[name]
            table.add_row(Text(name), Text(str(card["direction"])), Text(clean(card["measures"])))
        parts += [Text(title, style="bold"), table, Text()]
    parts.append(Text("lower, higher, near: good values are low, high, or near the ideal of the metric's card."))
    parts.append(Text("`uncollapse metrics NAME` shows one in full."))
    return Group(*parts)


def metric_card(card: Mapping[str, Any]) -> Table:
    """Everything about one metric: equation, range, estimand, interval, blind spot, defects seen and missed, paper."""
    sees, misses = outcome(card["sees"], card["misses"])
    caution = CAUTION if card["conservative"] else ""
    return card_table(
        {
            "name": f"{card['name']}: {card['title']}",
            "measures": card["measures"],
            "equation": card["equation"],
            "takes": card["takes"],
            "call": card["call"],
            "good values": f"{GOOD[card['direction']]}, {span(card['low'], card['high'])}",
            "ideal": card["ideal"],
            "needs": f"at least {card['needs']}",
            "estimand": card["estimand"],
            "interval": f"{card['interval']}{caution}",
            "good at": card["strengths"],
            "bad at": card["weaknesses"],
            "blind to": card["blind"],
            "when to use": card["use"],
            "sees": sees and f"{sees} (planted in digits, see docs/metrics.md)",
            "misses": misses,
            "paper": "\n".join(line for line in (card["paper"], web_address(str(card["arxiv"]))) if line),
            "deviations": [f"- {sentence}" for sentence in card["differs"]],
        }
    )
