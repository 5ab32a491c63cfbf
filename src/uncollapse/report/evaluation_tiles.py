"""Galleries of single samples: each thumbnail a small PNG with words, in rows that wrap on a narrow screen.

Groups and tiles are limited, because a page must stay below 5 MB whatever it is given; what is left out is counted.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

from PIL import Image

from uncollapse.report.evaluation_exhibits import Gallery, Tile, Whole
from uncollapse.report.evaluation_pictures import Array
from uncollapse.report.evaluation_record import SIDES, Evaluation
from uncollapse.report.evaluation_rows import Line, line, pair
from uncollapse.report.evaluation_same import of_group
from uncollapse.report.evaluation_values import shortened

LONGEST_WORDS = 60  # of a name beside a picture
LONGEST_CAPTION = 24  # of the line under a picture
MOST_LINES = 4  # rows of one gallery that are no pairs


# Most samples in a row of each kind of gallery; the small thumbnails of `evaluation.css` fill one or two lines.
TILES = {"uncovered": 32, "sample": 28, "cluster": 14, "repeated": 12, "neighbours": 7}


@dataclass(frozen=True, kw_only=True)
class Detail:
    """How much of the galleries and maps is drawn.

    Attributes:
        groups: Most galleries of a kind.
        tiles: The part of `TILES` that is drawn of a row.
        pairs: Most rows of the gallery of nearest neighbours.
        points: Most points of each side in a map.
    """

    groups: int
    tiles: float
    pairs: int
    points: int

    def most(self, kind: str) -> int:
        """Most samples in a row of a gallery of this kind, at least 3."""
        return max(3, round(self.tiles * TILES.get(kind, 12)))


# From everything to what fits for certain: the last shows at most 80 thumbnails, each at most 17 kB.
DETAILS = (
    Detail(groups=24, tiles=1.0, pairs=24, points=6000),
    Detail(groups=16, tiles=0.6, pairs=16, points=4000),
    Detail(groups=10, tiles=0.4, pairs=12, points=2500),
    Detail(groups=6, tiles=0.3, pairs=8, points=1500),
    Detail(groups=4, tiles=0.2, pairs=6, points=1000),
    Detail(groups=3, tiles=0.1, pairs=6, points=800),
)


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One sample as it is shown: its picture, its words, the short line under it, and which side it is from."""

    uri: str
    alt: str
    caption: str
    side: str
    sharp: bool


@dataclass(frozen=True, kw_only=True)
class ShotRow:
    """A row of samples.

    Attributes:
        lead: What stands before it.
        side: The side that all of them are from; empty when they are of several.
        shots: The samples.
        more: How many are not drawn, of the whole group where the file counts it.
        labelled: How many of the whole group have the label, in words; empty without a label of all or of most.
        label: That label; where all that are drawn have it, it does not stand under each.
    """

    lead: str
    side: str
    shots: tuple[Shot, ...]
    more: int
    labelled: str
    label: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """One gallery as it is shown.

    Attributes:
        key: Its key in the file.
        title: What stands above it.
        sentence: What it shows, in words.
        also: The lost modes that it is of; empty without any.
        rows: Its rows of pictures; empty where the samples are vectors.
        lines: For vectors, one list a row with the numbers of the rows.
    """

    key: str
    title: str
    sentence: str
    also: str
    rows: tuple[ShotRow, ...]
    lines: tuple[Line, ...]


class Thumbs:
    """The thumbnails as data URIs, each encoded once however often the page is drawn."""

    def __init__(self, thumbs: Array | None) -> None:
        self._thumbs = thumbs
        self._made: dict[int, str] = {}

    @property
    def any(self) -> bool:
        """Whether there is any thumbnail."""
        return self._thumbs is not None and len(self._thumbs) > 0

    @property
    def sharp(self) -> bool:
        """Whether they are so small that they are shown enlarged, with sharp pixels."""
        return self._thumbs is not None and max(self._thumbs.shape[1:3]) <= 32

    def uri(self, place: int | None) -> str:
        """The PNG of one thumbnail; empty when there is none."""
        if self._thumbs is None or place is None or not 0 <= place < len(self._thumbs):
            return ""
        if place not in self._made:
            self._made[place] = _png(self._thumbs[place])
        return self._made[place]


def _png(image: Array) -> str:
    """A picture (h, w, 3) uint8 as a data URI; grey pictures are stored with one channel."""
    grey = bool((image == image[..., :1]).all())
    stream = io.BytesIO()
    Image.fromarray(image[..., 0].copy() if grey else image).save(stream, format="PNG", compress_level=9)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def groups(record: Evaluation, kind: str, thumbs: Thumbs, detail: Detail) -> tuple[list[Group], int]:
    """The galleries of one kind as they are shown, and how many are left out."""
    found = record.of(kind)
    if kind == "sample":  # the numbers of random rows say nothing without pictures
        found = tuple(gallery for gallery in found if thumbs.any)
    shown = found[: detail.groups]
    drawn = [group(gallery, thumbs, detail, of_group(record.same, gallery.key)) for gallery in shown]
    return drawn, len(found) - len(shown)


def group(gallery: Gallery, thumbs: Thumbs, detail: Detail, also: str = "") -> Group:
    """One gallery as it is shown."""
    pairs, most = gallery.kind == "neighbours", detail.most(gallery.kind)
    rows = gallery.rows[: detail.pairs] if pairs else gallery.rows[:MOST_LINES]
    wholes = (gallery.wholes or (None,) * len(gallery.rows))[: len(rows)]
    drawn = any(thumbs.uri(tile.thumb) for row in rows for tile in row)
    parts = list(zip(rows, wholes, strict=True))
    lines = [Line(lead=pair(row)) if pairs else line(row, whole) for row, whole in parts]
    return Group(
        key=gallery.key,
        title=gallery.title,
        sentence=gallery.sentence,
        also=also,
        rows=tuple(_row(row, whole, thumbs, most, gallery.kind) for row, whole in parts) if drawn else (),
        lines=() if drawn else tuple(lines),
    )


def _row(tiles: tuple[Tile, ...], whole: Whole | None, thumbs: Thumbs, most: int, kind: str) -> ShotRow:
    pairs = kind == "neighbours"
    shown = [tile for tile in tiles if thumbs.uri(tile.thumb)][:most]
    sides, labels = {tile.side for tile in tiles}, {tile.label for tile in tiles}
    side = sides.pop() if len(sides) == 1 else ""
    alike = labels.pop() if len(labels) == 1 and len(tiles) > 1 and not pairs else ""
    labelled, label = ("", "") if pairs else _of_label(alike, whole, len(tiles))
    count = max(len(tiles), 0 if whole is None else whole.rows)
    return ShotRow(
        lead=SIDES.get(side, side),
        side=side if side in SIDES else "",
        shots=tuple(_shot(tile, thumbs, tile.note or ("" if alike else tile.label)) for tile in shown),
        # Of samples chosen at random the title says of how many.
        more=0 if pairs or (kind == "sample" and whole is not None) else count - len(shown),
        labelled=labelled,
        label=label,
    )


def _of_label(alike: str, whole: Whole | None, tiles: int) -> tuple[str, str]:
    """How many rows have a label, in words, and that label: of the whole group where it is counted.

    Args:
        alike: The label of all tiles; empty where they have several or none.
        whole: The group that the tiles are a part of; None where the file does not say.
        tiles: How many tiles the file has.
    """
    if whole is None:
        return ("those in the file are all labelled", alike) if alike else ("", "")
    label, count = whole.labels[0] if whole.labels else ("", 0)
    if count == whole.rows and count > 1:
        return "all labelled", label
    if alike and whole.rows > tiles:
        count = dict(whole.labels).get(alike, tiles)
        return f"those shown and {count:,} of all {whole.rows:,} labelled", alike
    if alike:
        return "all labelled", alike
    return (f"{count:,} of {whole.rows:,} labelled", label) if 2 * count > whole.rows > 2 else ("", "")


def _shot(tile: Tile, thumbs: Thumbs, caption: str) -> Shot:
    return Shot(
        uri=thumbs.uri(tile.thumb),
        alt=_words(tile),
        caption=shortened(caption, LONGEST_CAPTION),
        side=tile.side if tile.side in SIDES else "",
        sharp=thumbs.sharp,
    )


def _words(tile: Tile) -> str:
    """What a sample is: "real sample a/b.png (row 12), label 7, 0.31"."""
    name = shortened(tile.name, LONGEST_WORDS)
    row = "" if tile.row is None else f"row {tile.row}"
    where = f"{name} ({row})" if name and row else name or row
    label = f", label {shortened(tile.label, LONGEST_WORDS)}" if tile.label else ""
    note = f", {shortened(tile.note, LONGEST_WORDS)}" if tile.note else ""
    return f"{SIDES.get(tile.side, tile.side)} sample {where}{label}{note}".strip()
