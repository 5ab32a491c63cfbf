"""One look for each method through the whole page: colour, marker and line style, safe for colour-blind readers.

Vector charts are drawn in marker colours that are then replaced by CSS variables, so that they follow light and dark;
raster pictures use a middle tone of the same hue that reads on both backgrounds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# The eight hues of Okabe and Ito (2008, "Color Universal Design"), black replaced by the page's own ink.
HUES = ("vermilion", "blue", "bluish green", "reddish purple", "orange", "sky blue", "yellow", "ink")
TONES = ("#d8641b", "#2b86c5", "#109d75", "#c66fa3", "#d79312", "#4ba9dd", "#b3a414", "#85827c")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
DASHES: tuple[tuple[float, ...], ...] = ((), (6, 2), (2, 1.6), (8, 2, 2, 2), (4, 4), (1, 1.5), (10, 3), (3, 1, 1, 1))

INK, MUTED, LINE, REAL, PAPER, WARN = "#0a0c01", "#0a0c02", "#0a0c03", "#0a0c04", "#0a0c05", "#0a0c06"
REAL_TONE = "#85827c"


@dataclass(frozen=True, kw_only=True)
class Style:
    """How one method is drawn.

    Attributes:
        slot: Its place in the list of methods; hues repeat after eight, with another marker and dash.
    """

    slot: int

    @property
    def hue(self) -> int:
        """Which of the eight hues."""
        return self.slot % len(HUES)

    @property
    def ink(self) -> str:
        """The colour to use in a vector chart; replaced by a CSS variable when the chart is written."""
        return f"#0a0b{self.hue:02x}"

    @property
    def tone(self) -> str:
        """The colour to use in a raster picture."""
        return TONES[self.hue]

    @property
    def marker(self) -> str:
        """Matplotlib's name of the marker."""
        return MARKERS[(self.slot + self.slot // len(HUES)) % len(MARKERS)]

    @property
    def dash(self) -> tuple[float, ...]:
        """On-off lengths of the line, empty for a solid one."""
        return DASHES[(self.slot + self.slot // len(HUES)) % len(DASHES)]

    @property
    def linestyle(self) -> str | tuple[float, tuple[float, ...]]:
        """Matplotlib's line style."""
        return (0.0, self.dash) if self.dash else "-"


def styles(methods: Iterable[str]) -> dict[str, Style]:
    """A style for each method, by order of appearance."""
    return {method: Style(slot=slot) for slot, method in enumerate(dict.fromkeys(methods))}


def replacements() -> dict[str, str]:
    """Drawing colour -> CSS variable."""
    names = {INK: "ink", MUTED: "muted", LINE: "line", REAL: "real", PAPER: "paper", WARN: "warn"}
    names |= {f"#0a0b{hue:02x}": f"m{hue}" for hue in range(len(HUES))}
    return {colour: f"var(--{name})" for colour, name in names.items()}
