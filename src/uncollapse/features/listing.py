"""The list of extractors for people: JSON values, a table, and a card of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from uncollapse.console import NAME_WIDTH, PAGE_WIDTH, card_table
from uncollapse.features.extractors import NAMES, find_entry
from uncollapse.text import clean, web_address

COST_WIDTH = 10


def list_extractors(name: str | None) -> list[dict[str, Any]]:
    """What is known of all extractors, or of the one of that name, as JSON values.

    Raises:
        UserError: There is no extractor of that name.
    """
    return [asdict(find_entry(item)) for item in (NAMES if name is None else (name,))]


def cost(seconds: float | None) -> str:
    """The measured cost in words.

    >>> [cost(None), cost(0.0), cost(0.043), cost(2.31), cost(160)]
    ['', 'none', '0.04 s', '2.3 s', '160 s']
    """
    if seconds is None:
        return ""
    if seconds == 0:
        return "none"
    return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def extractors_table(cards: Sequence[Mapping[str, Any]]) -> Group:
    """The list of extractors, at most 100 columns wide."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(width=NAME_WIDTH, overflow="fold")
    table.add_column(width=COST_WIDTH, justify="right")
    table.add_column(max_width=PAGE_WIDTH - NAME_WIDTH - COST_WIDTH - 4)
    for card in cards:
        told = f"{card['title']}. {card['use']}"
        table.add_row(Text(clean(card["name"])), Text(cost(card["seconds"])), Text(clean(told)))
    return Group(
        table,
        Text(),
        Text("Seconds are for 1,000 images on one core (measured). --features auto chooses and says why."),
        Text("`uncollapse extractors NAME` shows one in full."),
    )


def extractor_card(card: Mapping[str, Any]) -> Table:
    """Everything about one extractor."""
    price = cost(card["seconds"])
    return card_table(
        {
            "name": f"{card['name']}: {card['title']}",
            "a row holds": card["gives"],
            "good at": card["good"],
            "bad at": card["bad"],
            "blind to": card["blind"],
            "when to use": card["use"],
            "other sizes": card["resizing"],
            "cost": price and f"{price} for 1,000 images on one core ({card['measured']})",
            "needs": card["needs"],
            "use it as": f"--features {card['example']}",
            "paper": "\n".join(line for line in (card["paper"], web_address(str(card["arxiv"]))) if line),
            "licence": card["licence"],
        }
    )
