from __future__ import annotations

import re
from importlib import resources

import pytest
from tests.contrast import contrast

from uncollapse.report.palette import HUES, replacements, styles

TEXTS = ("ink", "muted", "link", "warn")
GROUNDS = ("paper", "panel", "tint")
STATUSES = ("healthy", "suspect", "collapsed", "inconclusive")


def palettes(kind: str) -> dict[str, str]:
    """Colour -> value of a page in "light", "dark" or "print": what the style sheets set, later over earlier."""
    found: dict[str, str] = {}
    for name in ("page.css", "evaluation.css"):
        sheet = resources.files("uncollapse.report").joinpath(name).read_text(encoding="utf-8")
        blocks = {
            "light": sheet.split("@media")[0],
            "dark": next(part for part in sheet.split("@media") if part.startswith(" (prefers-color-scheme: dark)")),
            "print": next(part for part in sheet.split("@media") if part.startswith(" print")),
        }
        for block in (blocks["light"], blocks[kind]):
            found |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})\b", block))
    return found


def test_the_contrast_of_known_pairs() -> None:
    # Published values: black on white, and the lightest grey that passes on white.
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("kind", ["light", "dark", "print"])
def test_texts_can_be_read_on_every_ground(kind: str) -> None:
    colours = palettes(kind)
    low = {
        (text, ground): round(contrast(colours[text], colours[ground]), 2)
        for text in (*TEXTS, *STATUSES)
        for ground in GROUNDS
        if contrast(colours[text], colours[ground]) < 4.5
    }
    assert low == {}
    assert contrast(colours["warn"], colours["warn-tint"]) >= 4.5
    # The value under the pointer is written the other way round.
    assert contrast(colours["paper"], colours["ink"]) >= 4.5


@pytest.mark.parametrize("kind", ["light", "dark", "print"])
def test_lines_and_marks_can_be_seen_on_every_ground(kind: str) -> None:
    colours = palettes(kind)
    low = {
        (mark, ground): round(contrast(colours[mark], colours[ground]), 2)
        for mark in (*(f"m{hue}" for hue in range(len(HUES))), "real")
        for ground in ("paper", "panel")
        if contrast(colours[mark], colours[ground]) < 3
    }
    assert low == {}


def test_each_method_has_its_own_look_and_keeps_it() -> None:
    looks = styles([f"m{i}" for i in range(16)])
    assert len({(look.hue, look.marker, look.dash) for look in looks.values()}) == 16
    assert styles(["a", "b", "a"])["b"].slot == 1


def test_every_drawing_colour_has_its_variable() -> None:
    known = replacements()
    assert {known[look.ink] for look in styles(map(str, range(8))).values()} == {f"var(--m{hue})" for hue in range(8)}
    assert len(set(known.values())) == len(known)
