"""What the report shows beside numbers: groups of rows as pictures, clusters, dimensions, maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from uncollapse.evaluation.classes import Known
from uncollapse.evaluation.dimensions import dimensions, whereabouts
from uncollapse.evaluation.galleries import Album
from uncollapse.evaluation.lost import Cluster, Uncovered, clusters, uncovered
from uncollapse.evaluation.maps import choose, maps
from uncollapse.evaluation.memorised import Copies, apart
from uncollapse.evaluation.same import same_rows
from uncollapse.evaluation.sides import Side
from uncollapse.verdict.pool import cross_distances
from uncollapse.verdict.question import percent
from uncollapse.verdict.repeats import MOST_GROUPS, REPEATS
from uncollapse.verdict.verdict import Verdict

# Tiles in a row, of groups, of clusters and of repeats; fakes with their neighbours, and neighbours of each.
GROUP, CLUSTER, REPEATED, PAIRS, NEIGHBOURS = 28, 14, 12, 8, 5
# Galleries of repeats and of clusters.
MOST_REPEATED, MOST_CLUSTERS = 6, 8
# Rows whose distances are looked at together.
BLOCK = 65_536


@dataclass(frozen=True, kw_only=True)
class Exhibits:
    """Parts of the document, and the arrays that go with them."""

    document: dict[str, Any]
    pictures: dict[str, NDArray[Any]]


def exhibits(
    sides: Mapping[str, Side], known: Known | None, verdict: Verdict, copied: Copies | None, *, alpha: float, seed: int
) -> Exhibits:
    """Everything to be shown about these sides."""
    real, fake = sides["real"], sides["fake"]
    images = real.source.kind == "images"
    album = Album(sides, known)
    missed = uncovered(real, fake, seed=seed, alpha=alpha, classes=None if known is None else known.asked())
    parts = clusters(verdict.details.get("clusters", ()), alpha=alpha)
    repeated = verdict.details.get("repeated", ())
    _add_sample(album, real, fake, seed)
    groups = _add_uncovered(album, missed)
    _add_repeated(album, repeated)
    rows = [_cluster(album, part, real, fake) for part in parts]
    _add_neighbours(album, sides, copied, seed)
    marked = {
        "real": {row for group in missed.groups for row in group},
        "fake": {row for group in repeated for row in group},
    }
    shown = [side for role, side in sides.items() if role != "train"]
    pictures = maps(shown, known, marked, seed=seed)
    if images:
        pictures["thumbs"] = album.thumbs()
    differing = None if images else dimensions(real, fake, alpha=alpha, seed=seed)
    document = {
        "clusters": rows,
        "galleries": album.galleries,
        "dimensions": None if differing is None else differing.rows,
        "dimension_test": None if differing is None else differing.test,
        "uncovered": missed.to_json(),
        "repeated": _repeats(verdict),
        "same": same_rows(verdict, known, groups, [part for part in parts if part.state != "even"]),
    }
    return Exhibits(document=document, pictures=pictures)


def located(verdict: Verdict, real: Side) -> Verdict:
    """The verdict with where each lost region lies, for rows that are no images: nobody can look at these."""
    if real.source.kind == "images":
        return verdict
    lost = [
        replace(row, mode=f"{row.mode} ({whereabouts(real, row.real)})") if row.kind == "cluster" and row.real else row
        for row in verdict.lost
    ]
    return replace(verdict, lost=tuple(lost))


def _add_sample(album: Album, real: Side, fake: Side, seed: int) -> None:
    for side, what in ((real, "real rows"), (fake, "fakes")):
        rows = choose(side, GROUP, seed=seed)
        title = f"{len(rows):,} of the {len(side):,} {what}, chosen at random"
        if len(rows) == len(side):
            title = f"All {len(rows):,} {what}"
        tiles = [album.tile(side.role, int(row)) for row in rows]
        album.add(f"sample-{side.role}", "sample", title, "", [tiles], [(side.role, range(len(side)))])


def _add_uncovered(album: Album, missed: Uncovered) -> dict[str, tuple[int, ...]]:
    """Key of each gallery -> the rows of its group."""
    # What a perfect generator would leave too was not "never made".
    word = "Never made" if missed.beyond_chance else "Farthest from all fakes"
    groups = {f"uncovered-{number}": group for number, group in enumerate(missed.groups)}
    for number, (key, group) in enumerate(groups.items()):
        title = f"{word}, group {number + 1}: {len(group):,} of the {missed.rows:,} real rows without a near fake"
        tiles = [album.tile("real", row) for row in group[:GROUP]]
        album.add(key, "uncovered", title, missed.sentence if not number else "", [tiles], [("real", group)])
    return groups


def _add_repeated(album: Album, groups: Sequence[Sequence[int]]) -> None:
    for number, group in enumerate(groups[:MOST_REPEATED]):
        sentence = f"{len(group):,} fakes that are nearly the same."
        tiles = [album.tile("fake", row) for row in group[:REPEATED]]
        title = f"Made {len(group):,} times"
        album.add(f"repeated-{number}", "repeated", title, sentence, [tiles], [("fake", group)])


def _repeats(verdict: Verdict) -> dict[str, Any] | None:
    """How many groups of fakes repeat each other, and how many fakes do; None where nobody asked.

    The verdict hands over its largest groups; where these may not be all, their number is the least that there are.
    """
    groups = verdict.details.get("repeated")
    if groups is None:
        return None
    count = verdict.details.get("repeated_groups")
    share = next((row.value_fake for row in verdict.evidence if row.metric == REPEATS), None)
    return {
        "groups": len(groups) if count is None else int(count),
        "all_groups": count is not None or len(groups) < MOST_GROUPS,
        "share": share,
    }


def _cluster(album: Album, part: Cluster, real: Side, fake: Side) -> dict[str, Any]:
    key = part.name.replace(" ", "-")
    name = part.name
    if real.source.kind != "images":
        name += f" ({whereabouts(real, part.real) if part.real else whereabouts(fake, part.fake)})"
    word = {"starved": "made too rarely", "over-fed": "made too often", "even": "as often as it should be"}[part.state]
    sentence = f"{percent(part.share_real)} of the real rows, {percent(part.share_fake)} of the fakes."
    tiles = [
        [album.tile("real", row) for row in part.real[:CLUSTER]],
        [album.tile("fake", row) for row in part.fake[:CLUSTER]],
    ]
    pictured = part.state != "even" and sum(it["kind"] == "cluster" for it in album.galleries) < MOST_CLUSTERS
    if pictured:
        wholes = [("real", part.real), ("fake", part.fake)]
        album.add(key, "cluster", f"{name.capitalize()}, {word}", sentence, tiles, wholes)
    return {
        "name": name, "n_real": len(part.real), "n_fake": len(part.fake), "share_real": part.share_real,
        "share_fake": part.share_fake, "low": part.low, "high": part.high, "state": part.state,
        "p_adjusted": part.p_adjusted, "gallery": key if pictured else None,
    }  # fmt: skip


def _add_neighbours(album: Album, sides: Mapping[str, Side], copied: Copies | None, seed: int) -> None:
    """Fakes with their nearest rows: of the training data where they are given, else of the real ones."""
    role = "real" if copied is None else "train"
    among, fake = sides[role], sides["fake"]
    first = list(copied.copies[:PAIRS]) if copied is not None else []
    others = [int(row) for row in choose(fake, 2 * PAIRS, seed=seed) if int(row) not in set(first)]
    chosen = torch.tensor([*first, *others][:PAIRS])
    centre = among.checked.mean.cpu()
    tiles = []
    for row, index in zip(chosen.tolist(), _nearest(fake.centred(chosen, centre), among, centre), strict=True):
        far = apart(fake, torch.full((len(index),), row), among, index)
        found = sorted(zip(far.tolist(), index.tolist(), strict=True))
        tiles.append([album.tile("fake", row), *(album.tile(role, place, f"{gap:.3g}") for gap, place in found)])
    what = "training rows" if role == "train" else "real rows"
    sentence = f"Numbers are distances between features; 0 is a copy. {_which(len(first), len(tiles), copied)}"
    album.add("neighbours", "neighbours", f"Fakes and their nearest {what}", sentence, tiles)


def _which(first: int, shown: int, copied: Copies | None) -> str:
    """Which fakes are shown, because these are few of all."""
    if not first or copied is None:
        return "The fakes were chosen at random."
    those = f"The first {first} fakes" if first < shown else f"The {shown} fakes"
    others = " The others were chosen at random." if first < shown else ""
    nearest = f" are the nearest of {len(copied.copies):,} that" if first < len(copied.copies) else ""
    return f"{those}{nearest} lie on top of a training row.{others}"


def _nearest(rows: Tensor, among: Side, centre: Tensor) -> Tensor:
    """Numbers of the rows of a side that are nearest to each of some rows (m, d), nearest first (m, `NEIGHBOURS`)."""
    kept, numbers = torch.zeros(len(rows), 0), torch.zeros(len(rows), 0, dtype=torch.int64)
    for part in torch.split(torch.arange(len(among)), BLOCK):
        apart_ = torch.cat([kept, cross_distances(rows, among.centred(part, centre))], 1)
        numbers = torch.cat([numbers, part.expand(len(rows), -1)], 1)
        near = apart_.topk(min(NEIGHBOURS, apart_.shape[1]), largest=False)
        kept, numbers = near.values, numbers.gather(1, near.indices)
    return numbers
