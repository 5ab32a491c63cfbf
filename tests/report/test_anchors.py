from __future__ import annotations

import re

import pytest

from uncollapse.report.anchors import LONGEST, Anchors, slug


def test_the_same_key_has_the_same_name_and_no_two_keys_share_one() -> None:
    anchors = Anchors()
    keys = [("row", "a b"), ("row", "a-b"), ("row-a", "b"), ("row", "A B"), ("row", "a b", "2")]
    names = [anchors(*key) for key in keys]
    assert len(set(names)) == len(keys)
    assert [anchors(*key) for key in keys] == names
    assert names[0] == "row-a-b"


@pytest.mark.parametrize("text", ['"><script>', "", "\u202e\x00", "模型", "a" * 500, "--a--"])
def test_whatever_a_name_holds_its_anchor_is_plain(text: str) -> None:
    name = slug(text)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert len(name) <= LONGEST
