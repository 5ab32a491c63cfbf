from __future__ import annotations

from uncollapse.report.palette import replacements, styles


def test_each_method_has_its_own_look_and_keeps_it() -> None:
    looks = styles([f"m{i}" for i in range(16)])
    assert len({(look.hue, look.marker, look.dash) for look in looks.values()}) == 16
    assert styles(["a", "b", "a"])["b"].slot == 1


def test_every_drawing_colour_has_its_variable() -> None:
    known = replacements()
    assert {known[look.ink] for look in styles(map(str, range(8))).values()} == {f"var(--m{hue})" for hue in range(8)}
    assert len(set(known.values())) == len(known)
