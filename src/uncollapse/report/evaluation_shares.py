"""How the rows are shared out: bars of the classes, and clusters that starve or are over-fed.

Counts and shares come from the file; the one thing computed here is Wilson's interval of a counted share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from uncollapse.report.evaluation_exhibits import Cluster
from uncollapse.report.evaluation_record import Classes, Evaluation
from uncollapse.report.evaluation_same import of_cluster
from uncollapse.report.evaluation_strips import Scale, Strip, ratio_strip
from uncollapse.report.evaluation_tiles import Detail, Group, Thumbs, group
from uncollapse.report.evaluation_words import between, places, ratios, share, times
from uncollapse.report.measures import p_text

MOST_BARS, MOST_ROWS = 24, 200
WHOLE = 0.999  # of the real rows: what is left out is rounding


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
    digits = places(count / totals[side] for side, counts in sides.items() for count in counts)
    bars = [_class_bar(classes.names[k], k, sides, totals, ends, Scale(low=0.0, high=top), digits) for k in shown]
    how = "given labels" if classes.source == "labels" else "the classes that a classifier sees"
    words = {"real": "real", "fake": "generated", "other": other or "other"}
    sizes = ", ".join(f"{total:,} {words[side]}" for side, total in totals.items())
    changed = f" The {MOST_BARS} classes that changed most stand first." if many else ""
    note = f"Shares of {how}; n = {sizes} rows; bars are shares, lines their 95 % intervals (Wilson).{changed}"
    return ClassBars(
        bars=tuple(bars[:MOST_BARS]),
        folded=tuple(bars[MOST_BARS:]),
        left_out=len(order) - len(bars),
        top=share(top, digits),
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
    digits: int,
) -> ClassBar:
    rows = []
    for side, counts in sides.items():
        low, high = ends[side][place]
        value = counts[place] / totals[side]
        part, interval = share(value, digits), between(low, high, digits)
        label = f"{name}, {side}: {part}, interval {interval}, {counts[place]:,} of {totals[side]:,}"
        strip = Strip(label=label, spans=(scale.span(0.0, value, f"bar {side}"), scale.span(low, high, "whisker")))
        rows.append((side, part, interval, f"{counts[place]:,}", strip))
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
        also: The lost modes that it is of; empty without any.
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
    also: str
    by: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """The clusters of a page.

    Attributes:
        pictured: Those with pictures.
        rows: All of them, for the table.
        left_out: How many the table leaves out.
        head: How many there are, and whether these are all.
        note: The same as a sentence, with how many rows they are of.
        further: How many further ones do not have their share, without pictures.
    """

    pictured: tuple[ClusterRow, ...]
    rows: tuple[ClusterRow, ...]
    left_out: int
    head: str
    note: str
    further: int


def clusters(record: Evaluation, thumbs: Thumbs, detail: Detail) -> Clusters:
    """The clusters to show with pictures, all clusters as a table, and how much of all rows these are."""
    found = {gallery.key: gallery for gallery in record.of("cluster")}
    digits = places(value for it in record.clusters for value in (it.share_real, it.share_fake))
    rows = []
    for cluster in record.clusters[:MOST_ROWS]:
        gallery = found.get(cluster.gallery) if cluster.state != "even" else None
        pictures = None if gallery is None else group(gallery, thumbs, detail)
        rows.append(_cluster(cluster, pictures, digits, of_cluster(record.same, cluster.name)))
    pictured = [row for row in rows if row.pictures is not None and row.pictures.rows][: detail.groups]
    return Clusters(
        pictured=tuple(pictured),
        rows=tuple(rows),
        left_out=len(record.clusters) - len(rows),
        head=_cluster_head(record.clusters),
        note=_cluster_note(record.clusters),
        further=sum(row.state != "even" for row in rows) - len(pictured),
    )


def _held(clusters: Sequence[Cluster]) -> float:
    """The part of the real rows that some clusters hold; files of old hold but the first clusters."""
    return sum(cluster.share_real or 0.0 for cluster in clusters)


def _cluster_head(clusters: Sequence[Cluster]) -> str:
    count = f"{len(clusters)} cluster{'s' * (len(clusters) != 1)}"
    return f"All {count}" if _held(clusters) > WHOLE else f"The first {count}"


def _cluster_note(clusters: Sequence[Cluster]) -> str:
    """How many clusters there are, of how many rows (as a cluster's count and share say), and what part is listed."""
    counts = []
    for word, pairs in (
        ("real", [(it.n_real, it.share_real) for it in clusters]),
        ("generated", [(it.n_fake, it.share_fake) for it in clusters]),
    ):
        known = [(n, part) for n, part in pairs if n and part]
        if known:
            n, part = max(known)
            counts.append(f"{round(n / part):,} {word}")
    rows = f", of {' and '.join(counts)} rows that were looked at closely" if counts else ""
    some = "" if _held(clusters) > WHOLE else f" They hold {share(_held(clusters), 0)} of these real rows."
    return f"{_cluster_head(clusters)}{rows}.{some}"


def _cluster(cluster: Cluster, pictures: Group | None, digits: int, also: str) -> ClusterRow:
    ratio = None
    if cluster.share_real and cluster.share_fake is not None:
        ratio = cluster.share_fake / cluster.share_real
    interval = ratios(cluster.low, cluster.high)
    real, fake = share(cluster.share_real, digits), share(cluster.share_fake, digits)
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
        also=also,
        by={"real": cluster.share_real, "fake": cluster.share_fake, "ratio": ratio, "p": cluster.p_adjusted},
    )
