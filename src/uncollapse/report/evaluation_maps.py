"""Where the samples lie: maps of the features as points, and the points and densities of 2-D rows.

Maps are SVG in the page's own colours, a few bytes a point; nothing is measured in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from uncollapse.report import raster
from uncollapse.report.evaluation_pictures import FAKE, OTHER, REAL, Array, Pictures
from uncollapse.report.evaluation_values import shortened
from uncollapse.report.palette import REAL_TONE, TONES
from uncollapse.report.planar import Picture
from uncollapse.report.raster import Frame

SIZE = 400  # of a map's viewBox
# Class of the mark in `evaluation.css` -> its outline around the place. A stroke of no length with round ends is a dot;
# square ends would make a square, but are lost in print.
SHAPES = {
    "dot-real": "h0",
    "dot-other": "m-2.5 0h5m-2.5-2.5v5",
    "dot-fake": "m-1.6-1.6h3.2v3.2h-3.2z",
    "ring-fake": "m-4.5 0l4.5-4.5 4.5 4.5-4.5 4.5z",
    "ring-real": "m-4 0a4 4 0 1 1 8 0a4 4 0 1 1-8 0",
}
MOST_LABELS = 20
LETTER, LINE_HEIGHT = 8.4, 15.0  # of a label, in units of the viewBox
CAPTIONS = {
    "Features": "The two features as they are, not turned.",
    "PCA": "Two main directions of all rows on the map, whatever side they are of: far is far, but what lies in other "
    "directions falls together.",
    "t-SNE": "Neighbours stay neighbours: groups can be seen, but their sizes and far distances mean nothing.",
}


@dataclass(frozen=True, kw_only=True)
class Map:
    """One map with the line under it."""

    title: str
    markup: Markup
    caption: str


@dataclass(frozen=True, kw_only=True)
class Key:
    """One entry of the legend of the maps: the mark as a small picture, and its meaning."""

    markup: Markup
    text: str


def maps(pictures: Pictures, classes: Sequence[str], points: int) -> list[Map]:
    """The maps of an evaluation, at most `points` points of each side, every marked one among them."""
    return [_map(title, places, pictures, classes, points) for title, places in pictures.maps.items()]


def keys(pictures: Pictures, fake: str, other: str, *, surplus: bool = True) -> list[Key]:
    """The legend of the maps: what is on them, and with two generators which of them a ring is about.

    Args:
        pictures: What is on them.
        fake: Name of the first generator.
        other: Name of the second; empty without one.
        surplus: Whether more real rows lie far from all fakes than a perfect generator leaves.
    """
    side, marked = pictures.side, pictures.marked
    if side is None:
        return []
    lost = marked is not None and bool((marked & (side == REAL)).any())
    repeated = marked is not None and bool((marked & (side == FAKE)).any())
    who, by = (fake, f" by {fake}") if other else ("the generator", "")
    far = f"real, and {who} never comes near"
    if not surplus:
        far = "real, farthest from all fakes" + (f" of {fake}" if other else "")
    meanings = {
        "dot-real": "real",
        "dot-fake": f"generated{f' ({fake})' if other else ''}",
        "dot-other": other if (side == OTHER).any() else "",
        "ring-real": far if lost else "",
        "ring-fake": f"generated again and again{by}" if repeated else "",
    }
    return [Key(markup=_key(kind), text=text) for kind, text in meanings.items() if text]


def _key(kind: str) -> Markup:
    layer = _layer(kind, np.array([[5.5, 5.5]]))
    return Markup(f'<svg class="map map-key" aria-hidden="true" viewBox="0 0 11 11">{layer}</svg>')


def _map(title: str, places: Array, pictures: Pictures, classes: Sequence[str], points: int) -> Map:
    side = pictures.side
    assert side is not None  # a map is read only together with its sides
    finite = np.isfinite(places).all(1)
    frame = _window(places[finite]) if finite.any() else Frame(left=0.0, bottom=0.0, side=1.0)
    at = np.full(places.shape, np.nan)
    at[finite] = SIZE * frame.unit(places)
    shown: Array = np.array(finite, bool)
    shown[finite] = ((at[finite] >= 0) & (at[finite] <= SIZE)).all(1)
    marked = np.zeros(len(side), bool) if pictures.marked is None else pictures.marked
    chosen = np.zeros(len(side), bool)
    for which in (REAL, FAKE, OTHER):
        chosen[_thinned(np.flatnonzero(shown & (side == which)), marked, points)] = True
    picked = {
        "dot-real": side == REAL,
        "dot-other": side == OTHER,
        "dot-fake": side == FAKE,
        "ring-fake": marked & (side == FAKE),
        "ring-real": marked & (side == REAL),
    }
    parts = [_layer(kind, at[chosen & rows]) for kind, rows in picked.items()]
    parts.append(_labels(at, chosen & (side == REAL), marked & (side == REAL), pictures.classes, classes))
    counts = [int((chosen & (side == which)).sum()) for which in (REAL, FAKE, OTHER)]
    said = f"{counts[0]:,} real and {counts[1]:,} generated points" + (f", {counts[2]:,} others" if counts[2] else "")
    gone = int((~shown).sum())
    cut = f" {gone:,} points lie outside the picture." if gone else ""
    head = f'<svg class="map" role="img" aria-label="{title} map of {said}" viewBox="0 0 {SIZE} {SIZE}">'
    markup = Markup(head + "".join(parts) + "</svg>")
    return Map(title=title, markup=markup, caption=f"{CAPTIONS.get(title, '')} {said}.{cut}".strip())


def _window(places: Array) -> Frame:
    """The square around the points; where a few lie far off, around the middle 99 % of them."""
    low, high = np.percentile(places, (0.5, 99.5), axis=0)
    inner, full = float(max(high - low)), float(max(np.ptp(places, axis=0)))
    inside = ((places >= low) & (places <= high)).all(1)
    crop = inner > 0 and full > 3 * inner and inside.any()
    return Frame.around(places[inside] if crop else places, margin=0.06)


def _thinned(rows: Array, marked: Array, most: int) -> Array:
    """At most `most` of the rows at even distances, the marked ones first."""
    kept = rows[marked[rows]][:most]
    rest = rows[~marked[rows]]
    count = min(len(rest), most - len(kept))
    spread = rest[np.linspace(0, len(rest) - 1, count).astype(int)] if count else rest[:0]
    return np.concatenate([kept, spread])


def _layer(kind: str, at: Array) -> str:
    """One path with the mark of a kind at each place."""
    if not len(at):
        return ""
    return f'<path class="{kind}" d="{"".join(f"M{x:.1f} {y:.1f}{SHAPES[kind]}" for x, y in at)}"/>'


def _labels(at: Array, real: Array, marked: Array, which: Array | None, names: Sequence[str]) -> str:
    """The names of the classes at the middle of their real points, the most lost first, where they do not overlap."""
    if which is None or not 2 <= len(names) <= MOST_LABELS:
        return ""
    order = sorted(range(len(names)), key=lambda k: (-int((marked & (which == k)).sum()), -int((which == k).sum())))
    placed: list[tuple[float, float, float]] = []
    found = []
    for number in order:
        members = at[real & (which == number)]
        text = shortened(names[number], 16)
        half = LETTER * len(text) / 2
        if not len(members):
            continue
        x, y = (float(value) for value in np.median(members, 0))
        x = min(max(x, half + 2), SIZE - half - 2)
        if all(abs(y - v) > LINE_HEIGHT or abs(x - u) > half + other for u, v, other in placed):
            placed.append((x, y, half))
            found.append(f'<text x="{x:.0f}" y="{y:.0f}">{escape(text)}</text>')
    return "".join(found)


def planar(pictures: Pictures, points: int) -> list[Picture]:
    """Densities, then points, of 2-D real rows and fakes in one window; empty for other rows."""
    clouds = [_finite(cloud) for cloud in (pictures.points_real, pictures.points_fake)]
    real, fake = clouds
    if real is None or fake is None or not len(real) or not len(fake):
        return []
    low, high = np.percentile(fake, (1, 99), axis=0)
    frame = Frame.around(np.concatenate([real, np.clip(fake, low, high)]))
    pixels = 400
    densities = [raster.density(cloud, frame, pixels=pixels) for cloud in (real, fake)]
    top = float(densities[0].max())
    words = (("real rows", "Real", REAL_TONE), ("fakes", "Generated", TONES[0]))
    dense, dots = [], []
    for (what, caption, tone), cloud, values in zip(words, (real, fake), densities, strict=True):
        uri = raster.filled(values, top, tone)
        dense.append(Picture(uri=uri, alt=f"Density of the {what}", caption=f"{caption}, density"))
        some = cloud[np.linspace(0, len(cloud) - 1, min(len(cloud), points)).astype(int)]
        uri = raster.scatter(some, frame, tone, pixels=pixels, radius=pixels / 145, ink=110)
        share = frame.outside(cloud)
        cut = f"; {max(100 * share, 0.1):.1f} % outside the picture" if share > 0 else ""
        dots.append(
            Picture(uri=uri, alt=f"{len(some):,} {what} as points", caption=f"{caption}, {len(some):,} points{cut}")
        )
    return [*dense, *dots]


def _finite(cloud: Array | None) -> Array | None:
    return None if cloud is None else cloud[np.isfinite(cloud).all(1)].astype(np.float64)
