from __future__ import annotations

import json
import re

import pytest
from rich.console import Console

from uncollapse.errors import UserError
from uncollapse.features.extractors import EXTRACTORS, NAMES
from uncollapse.features.listing import cost, extractor_card, extractors_table, list_extractors


def printed(item: object, width: int = 160) -> str:
    console = Console(width=width, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as captured:
        console.print(item)
    return captured.get()


def test_the_list_is_json_and_in_order() -> None:
    cards = list_extractors(None)
    assert [card["name"] for card in cards] == list(NAMES)
    assert json.loads(json.dumps(cards, allow_nan=False)) == cards
    assert [card["name"] for card in list_extractors("pca[32]")] == ["pca"]
    with pytest.raises(UserError, match="There is no extractor 'resnet'"):
        list_extractors("resnet")


def test_the_table_names_all_and_fits_100_columns() -> None:
    text = printed(extractors_table(list_extractors(None)))
    squeezed = re.sub(r"\s", "", text)
    assert all(name in squeezed for name in NAMES)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    assert "--features auto chooses" in text


@pytest.mark.parametrize("name", NAMES)
def test_a_card_shows_all_that_is_known(name: str) -> None:
    text = " ".join(printed(extractor_card(list_extractors(name)[0])).split())
    entry = EXTRACTORS[name]
    for fact in (entry.title, entry.good, entry.blind, entry.licence, f"--features {entry.example}"):
        assert re.sub(r"\s", "", fact) in re.sub(r"\s", "", text)
    assert ("for 1,000 images on one core" in text) == (entry.seconds is not None)


def test_costs_in_words() -> None:
    assert [cost(None), cost(0.0), cost(0.043), cost(2.31), cost(160)] == ["", "none", "0.04 s", "2.3 s", "160 s"]
