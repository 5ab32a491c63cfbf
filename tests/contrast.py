"""How well two colours can be told apart, for the tests of every page."""

from __future__ import annotations


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours ``#rrggbb`` by WCAG 2.2, 1 to 21."""
    lights = []
    for colour in (one, other):
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)
