"""Objects of `evaluation.json` -> the records of `evaluation_exhibits`.

Between `evaluation_values` and `evaluation_load`.
"""

from __future__ import annotations

from uncollapse.report.evaluation_exhibits import (
    Cluster,
    Dimension,
    DimensionTest,
    Gallery,
    Repeated,
    Same,
    Tile,
    Uncovered,
    Whole,
)
from uncollapse.report.evaluation_values import Node


def cluster(node: Node) -> Cluster:
    """One cluster."""
    return Cluster(
        name=node.text("name"),
        n_real=node.count("n_real"),
        n_fake=node.count("n_fake"),
        share_real=node.number("share_real"),
        share_fake=node.number("share_fake"),
        low=node.number("low"),
        high=node.number("high"),
        state=node.text("state"),
        p_adjusted=node.number("p_adjusted"),
        gallery=node.text("gallery"),
    )


def gallery(node: Node) -> Gallery:
    """One gallery; rows without a tile are left out together with what they are a part of."""
    rows = node.lists("tiles")
    wholes = [_whole(found) for found in node.nodes("wholes")]
    wholes += [None] * (len(rows) - len(wholes))
    kept = [(tuple(map(_tile, row)), whole) for row, whole in zip(rows, wholes, strict=False) if row]
    return Gallery(
        key=node.text("key"),
        kind=node.text("kind"),
        title=node.text("title"),
        sentence=node.sentence("sentence"),
        rows=tuple(row for row, _ in kept),
        wholes=tuple(whole for _, whole in kept),
    )


def _whole(node: Node) -> Whole | None:
    rows = node.count("rows")
    if rows is None:
        return None
    labels = tuple((pair.text("[0]"), pair.count("[1]") or 0) for pair in node.pairs("labels"))
    return Whole(rows=rows, labels=labels, kinds=node.count("kinds") or len(labels))


def _tile(node: Node) -> Tile:
    return Tile(
        side=node.text("side"),
        row=node.count("row"),
        name=node.text("name"),
        thumb=node.count("thumb"),
        label=node.text("label"),
        note=node.text("note"),
    )


def dimension(node: Node) -> Dimension:
    """One column of a table of vectors."""
    return Dimension(
        name=node.text("name"),
        real_mean=node.number("real_mean"),
        fake_mean=node.number("fake_mean"),
        real_sd=node.number("real_sd"),
        fake_sd=node.number("fake_sd"),
        effect=node.number("effect"),
        sentence=node.sentence("sentence"),
        p_adjusted=node.number("p_adjusted"),
        beyond_chance=_known(node, "beyond_chance"),
    )


def dimension_test(node: Node | None) -> DimensionTest | None:
    """What the test of all columns together says; None without one."""
    if node is None:
        return None
    return DimensionTest(
        sentence=node.sentence("sentence"),
        beyond_chance=node.count("beyond_chance"),
        n_real=node.count("n_real"),
        n_fake=node.count("n_fake"),
    )


def uncovered(node: Node | None) -> Uncovered | None:
    """How many real rows no fake comes near; None when the file does not say."""
    if node is None:
        return None
    return Uncovered(
        share=node.number("share"),
        expected=node.number("expected"),
        beyond_chance=_known(node, "beyond_chance"),
        rows=node.count("rows"),
        groups=node.count("groups"),
    )


def repeated(node: Node | None) -> Repeated | None:
    """How many groups of fakes repeat each other; None when the file does not say."""
    count = None if node is None else node.count("groups")
    if node is None or count is None:
        return None
    return Repeated(
        groups=count,
        all_groups=node.yes("all_groups"),
        share=node.number("share"),
    )


def same(node: Node) -> Same:
    """One lost mode with the other names of its rows."""
    return Same(
        mode=node.text("mode"),
        kind=node.text("kind"),
        modes=tuple((other.text("mode"), other.text("kind")) for other in node.nodes("modes")),
        groups=node.texts("groups"),
        clusters=node.texts("clusters"),
    )


def _known(node: Node, key: str) -> bool | None:
    """A truth value; None when it is missing or null."""
    return None if node.content.get(key) is None else node.yes(key)
