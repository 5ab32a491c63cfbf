from __future__ import annotations

import re
from importlib import resources

import pytest

from uncollapse.report.anchors import LONGEST, PLACES, Anchors, slug


def test_the_same_key_has_the_same_name_and_no_two_keys_share_one() -> None:
    anchors = Anchors()
    keys = [("row", "a b"), ("row", "a-b"), ("row-a", "b"), ("row", "A B"), ("row", "a b", "2")]
    names = [anchors(*key) for key in keys]
    assert len(set(names)) == len(keys)
    assert [anchors(*key) for key in keys] == names
    assert names[0] == "row-a-b"


def test_no_name_takes_the_place_of_a_section() -> None:
    anchors = Anchors(PLACES)
    names = [anchors("table", "データ"), anchors("table", "模型"), anchors("table", "..."), anchors("table", "")]
    assert len(set(names)) == 4
    assert not PLACES & set(names)
    assert anchors("table", "データ") == names[0]
    assert names[0].startswith("table-")


def test_every_place_that_a_template_names_is_reserved() -> None:
    folder = resources.files("uncollapse.report")
    text = "".join(it.read_text(encoding="utf-8") for it in folder.iterdir() if it.name.endswith(".jinja"))
    found = re.findall(r'\bid="([a-z-]+)"|\bh[23]\("([a-z-]+)"', text)
    named = {one or other for one, other in found}
    assert len(named) > 20
    assert {name for name in named if not name.startswith("g-")} <= PLACES


@pytest.mark.parametrize("text", ['"><script>', "", "\u202e\x00", "模型", "a" * 500, "--a--"])
def test_whatever_a_name_holds_its_anchor_is_plain(text: str) -> None:
    name = slug(text)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert len(name) <= LONGEST
