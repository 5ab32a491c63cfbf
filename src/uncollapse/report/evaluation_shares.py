"""How the rows are shared out: bars of the classes, clusters that starve or are over-fed, dimensions of vectors.

Counts and shares come from the file; the one thing computed here is Wilson's interval of a counted share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from uncollapse.report.evaluation_record import Classes, Cluster, Dimension, Evaluation
from uncollapse.report.evaluation_strips import Scale, Strip, ratio_strip, spread_strip
from uncollapse.report.evaluation_tiles import Detail, Group, Thumbs, group
from uncollapse.report.evaluation_words import amount, between, ratios, times
from uncollapse.report.measures import number, p_text

MOST_BARS, MOST_ROWS, MOST_DIMENSIONS = 24, 200, 40


@dataclass(frozen=True, kw_only=True)
class ClassBar:
    """One class: a line a side, as (side, share, interval, count, strip)."""

    name: str
    sides: tuple[tuple[str, str, str, str, Strip], ...]


@dataclass(frozen=True, kw_only=True)
class ClassBars:
    """The bars of all classes.

    Attributes:
        bars: In the order of the classes; where they are many, the most changed ones first.
        folded: Further classes, most changed first.
        left_out: How many classes are not listed at all.
        top: The share at the right end of the lines.
        note: Where the classes come from, and n of each side.
    """

    bars: tuple[ClassBar, ...]
    folded: tuple[ClassBar, ...]
    left_out: int
    top: str
    note: str


def class_bars(classes: Classes | None, other: str = "") -> ClassBars | None:
    """Shares of the classes among real rows and fakes, with intervals; None without classes.

    Args:
        classes: Their counts.
        other: Name of the second generator, where there is one.
    """
    if classes is None or not any(classes.real) or not any(classes.fake):
        return None
    sides = {"real": classes.real, "fake": classes.fake}
    if classes.other is not None and any(classes.other):
        sides["other"] = classes.other
    totals = {side: sum(counts) for side, counts in sides.items()}
    ends = {side: [_wilson(count, totals[side]) for count in counts] for side, counts in sides.items()}
    top = min(1.0, 1.03 * max(high for rows in ends.values() for _, high in rows))
    change = [abs(f / totals["fake"] - r / totals["real"]) for r, f in zip(classes.real, classes.fake, strict=True)]
    order = sorted(range(len(change)), key=lambda k: -change[k])
    many = len(order) > MOST_BARS
    shown = order[: MOST_BARS + MOST_ROWS] if many else sorted(order)
    bars = [_class_bar(classes.names[k], k, sides, totals, ends, Scale(low=0.0, high=top)) for k in shown]
    how = "given labels" if classes.source == "labels" else "the classes that a classifier sees"
    words = {"real": "real", "fake": "generated", "other": other or "other"}
    sizes = ", ".join(f"{total:,} {words[side]}" for side, total in totals.items())
    changed = f" The {MOST_BARS} classes that changed most stand first." if many else ""
    note = f"Shares of {how}; n = {sizes} rows; bars are shares, lines their 95 % intervals (Wilson).{changed}"
    return ClassBars(
        bars=tuple(bars[:MOST_BARS]),
        folded=tuple(bars[MOST_BARS:]),
        left_out=len(order) - len(bars),
        top=number(top, "share"),
        note=note,
    )


def _wilson(count: int, total: int) -> tuple[float, float]:
    from uncollapse.metrics.intervals import wilson

    return wilson(count, total)


def _class_bar(
    name: str,
    place: int,
    sides: dict[str, tuple[int, ...]],
    totals: dict[str, int],
    ends: dict[str, list[tuple[float, float]]],
    scale: Scale,
) -> ClassBar:
    rows = []
    for side, counts in sides.items():
        low, high = ends[side][place]
        value = counts[place] / totals[side]
        share, interval = number(value, "share"), between(low, high)
        label = f"{name}, {side}: {share}, interval {interval}, {counts[place]:,} of {totals[side]:,}"
        strip = Strip(label=label, spans=(scale.span(0.0, value, f"bar {side}"), scale.span(low, high, "whisker")))
        rows.append((side, share, interval, f"{counts[place]:,}", strip))
    return ClassBar(name=name, sides=tuple(rows))


@dataclass(frozen=True, kw_only=True)
class ClusterRow:
    """One cluster of real data as text.

    Attributes:
        name: Its name.
        state: "starved", "over-fed" or "even".
        real: Its share of the real rows.
        n_real: How many rows that are.
        fake: Its share of the fakes.
        n_fake: How many fakes that are.
        ratio: The second share divided by the first.
        interval: Interval of the ratio.
        p: Adjusted p.
        strip: The ratio on a logarithmic line; None without one.
        pictures: Its gallery; None without pictures.
        by: What the columns "real", "fake", "ratio" and "p" are sorted by.
    """

    name: str
    state: str
    real: str
    n_real: str
    fake: str
    n_fake: str
    ratio: str
    interval: str
    p: str
    strip: Strip | None
    pictures: Group | None
    by: Mapping[str, float | None]


def clusters(record: Evaluation, thumbs: Thumbs, detail: Detail) -> tuple[list[ClusterRow], list[ClusterRow], int]:
    """The clusters to show with pictures, all clusters as a table, and how many the table leaves out."""
    found = {gallery.key: gallery for gallery in record.of("cluster")}
    rows = []
    for cluster in record.clusters[:MOST_ROWS]:
        gallery = found.get(cluster.gallery) if cluster.state != "even" else None
        rows.append(_cluster(cluster, None if gallery is None else group(gallery, thumbs, detail)))
    pictured = [row for row in rows if row.pictures is not None and row.pictures.rows]
    return pictured[: detail.groups], rows, len(record.clusters) - len(rows)


def _cluster(cluster: Cluster, pictures: Group | None) -> ClusterRow:
    ratio = None
    if cluster.share_real and cluster.share_fake is not None:
        ratio = cluster.share_fake / cluster.share_real
    interval = ratios(cluster.low, cluster.high)
    real, fake = number(cluster.share_real, "share"), number(cluster.share_fake, "share")
    label = f"{cluster.name}: made {times(ratio)} times as often as in the real data, interval {interval}"
    return ClusterRow(
        name=cluster.name,
        state=cluster.state,
        real=real,
        n_real="" if cluster.n_real is None else f"{cluster.n_real:,}",
        fake=fake,
        n_fake="" if cluster.n_fake is None else f"{cluster.n_fake:,}",
        ratio=times(ratio),
        interval=interval,
        p=p_text(cluster.p_adjusted),
        strip=None if ratio is None else ratio_strip(label, ratio, cluster.low, cluster.high),
        pictures=pictures,
        by={"real": cluster.share_real, "fake": cluster.share_fake, "ratio": ratio, "p": cluster.p_adjusted},
    )


@dataclass(frozen=True, kw_only=True)
class DimensionRow:
    """One column of a table of vectors: mean and standard deviation of both sides, the effect, and its sentence.

    `by` holds what the columns "real", "fake" (by their means) and "effect" are sorted by.
    """

    name: str
    real: str
    fake: str
    effect: str
    strip: Strip | None
    sentence: str
    by: Mapping[str, float | None]


def dimensions(rows: tuple[Dimension, ...]) -> tuple[list[DimensionRow], int]:
    """The dimensions that changed most, and how many are left out."""
    shown = [_dimension(row) for row in rows[:MOST_DIMENSIONS]]
    return shown, len(rows) - len(shown)


def _dimension(row: Dimension) -> DimensionRow:
    strip = None
    values = (row.real_mean, row.real_sd, row.fake_mean, row.fake_sd)
    real, fake = (
        f"{amount(mean)} ± {amount(sd)}" for mean, sd in ((row.real_mean, row.real_sd), (row.fake_mean, row.fake_sd))
    )
    if None not in values:
        mean, sd, other, spread = (float(value or 0.0) for value in values)
        low, high = min(mean - sd, other - spread), max(mean + sd, other + spread)
        margin = 0.08 * (high - low) or 1.0
        scale = Scale(low=low - margin, high=high + margin)
        label = f"{row.name}: real {real}, generated {fake}"
        strip = spread_strip(label, scale, (mean, sd), (other, spread))
    by = {"real": row.real_mean, "fake": row.fake_mean, "effect": row.effect}
    effect = amount(row.effect)
    return DimensionRow(name=row.name, real=real, fake=fake, effect=effect, strip=strip, sentence=row.sentence, by=by)
