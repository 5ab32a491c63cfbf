"""Evaluation directories in the documented format, made without evaluating anything.

Counts, clusters and pictures follow from the samples that are given, so that page and numbers agree; effects, p values
and metrics are set by hand, so that a test can say which of them must appear.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from uncollapse.metrics.metric import find_metric

Array = np.ndarray[Any, Any]
LOST = ("3", "7")  # the digits that `digit_images` never makes
VERSIONS = {"uncollapse": "0.1.0", "torch": "2.13.0", "numpy": "2.4.0", "python": "3.11.7"}
EXTRACTOR = {"name": "pixels", "sha256": "0123456789abcdef" * 4, "why": "Small images are their own features."}
# By hand: (value, low, high) of each metric for a collapsed generator; real and fake n are 600 and 500.
METRICS: dict[str, tuple[float, float | None, float | None]] = {
    "frechet_distance": (41.3, 38.9, 44.0),
    "kernel_distance": (0.0213, 0.0187, 0.0241),
    "precision": (0.982, 0.961, 0.993),
    "recall": (0.713, 0.664, 0.758),
    "coverage": (0.607, 0.561, 0.652),
    "c2st": (0.684, 0.642, 0.724),
    "diversity": (8.21, 8.02, 8.40),
    "duplicates": (0.122, 0.093, 0.158),
    "birthday": (1874.0, 960.0, None),
    "class_kl": (0.214, 0.171, 0.263),
}


@dataclass(kw_only=True)
class Samples:
    """One side: feature rows (n, d), labels as texts (or none), and thumbnails (n, s, s, 3) uint8 (or none)."""

    features: Array
    labels: list[str] | None = None
    thumbs: Array | None = None


def digit_images(
    seed: int = 0, *, n_real: int = 600, n_fake: int = 500, healthy: bool = False
) -> tuple[Samples, Samples]:
    """Scikit-learn's 8x8 digits, enlarged; unless healthy the fakes lack `LOST` and repeat twelve images."""
    rng = np.random.default_rng(seed)
    data = load_digits()
    order = rng.permutation(len(data.images))
    real, pool = order[:n_real], order[n_real:]
    labels = np.array([str(k) for k in data.target])
    if not healthy:
        pool = pool[~np.isin(labels[pool], LOST)]
        pool = np.concatenate([pool, np.repeat(pool[:12], 12)])
    fake = rng.choice(pool, n_fake, replace=False)
    sides = []
    for rows in (real, fake):
        grey = np.clip(data.images[rows] * 16, 0, 255).astype(np.uint8).repeat(3, 1).repeat(3, 2)
        thumbs = np.repeat(grey[..., None], 3, -1)
        sides.append(Samples(features=data.data[rows], labels=list(labels[rows]), thumbs=thumbs))
    return sides[0], sides[1]


def estimate(name: str, ends: tuple[float, float | None, float | None], **more: Any) -> dict[str, Any]:
    """One estimate as in the file."""
    reason = None if None not in ends else "no pair of fakes was alike often enough for an upper end"
    value, low, high = ends
    settings = {"level": 0.95, "n_real": 600, "n_fake": 500, "reason": reason} | more
    return find_metric(name).estimate(value, (low, high), **settings).to_json()


def verdict(status: str, lost: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """A verdict of a status, with numbers and sentences that fit it."""
    sentences = {
        "collapsed": "Collapsed: 2 of 10 classes are gone, with 19.8 % of the real data, and 12 images come back again "
        "and again.",
        "suspect": "A loss was seen that is beyond chance, but smaller than what counts as collapse: class 3 is made "
        "half as often as in the real data.",
        "healthy": "No collapse: every class is there in about its share, and variety is that of the real data.",
        "inconclusive": "Nothing was lost as far as can be seen, but 60 fakes are too few to say so.",
    }
    sizes = {"collapsed": 1.0, "suspect": 0.5, "healthy": 0.02, "inconclusive": 0.3}
    p = {"collapsed": 0.0004, "suspect": 0.004, "healthy": 0.81, "inconclusive": 0.21}[status]
    strong = status in ("collapsed", "suspect")
    shared = {"p_adjusted": p, "significant": strong}
    rows = [
        {
            "metric": "class share", "value_real": 0.103, "value_fake": 0.103 * (1 - sizes[status]),
            "effect": sizes[status] * (0.6 if status == "suspect" else 1.0), "minimum_effect": 0.5, **shared,
            "sentence": "Class 3 is 10.3 % of the real data and is hardly made.",
        },
        {
            "metric": "spread within classes", "value_real": 1.0, "value_fake": 0.94, "effect": 0.06,
            "minimum_effect": 0.2, "p_adjusted": 0.31, "significant": False,
            "sentence": "Within the classes the fakes are as spread as the real rows.",
        },
        {
            "metric": "repeats", "value_real": 0.0, "value_fake": 0.122 if strong else 0.0,
            "effect": 0.122 if strong else -0.01, "minimum_effect": 0.05, "p_adjusted": 0.001 if strong else 0.7,
            "significant": status == "collapsed", "sentence": "12.2 % of the fakes have a near-duplicate.",
        },
    ]  # fmt: skip
    for row in rows:
        row |= {"p_value": row["p_adjusted"] / 3, "power": 0.41 if status == "inconclusive" else 0.97}
        row["needed"] = 1200 if status == "inconclusive" else None
    needed = {"n": 1200, "sentence": "1,200 samples a side would tell; see `uncollapse sample`."}
    return {
        "status": status,
        "flags": ["memorised"] if status == "collapsed" else [],
        "alpha": 0.03,
        "sentence": sentences[status],
        "quality": "The fakes are a little blurred, which is no collapse."
        if status in ("healthy", "suspect")
        else None,
        "evidence": rows,
        "lost": list(lost),
        "needed": needed if status == "inconclusive" else None,
    }


class Album:
    """Collects thumbnails and hands out tiles that point to them."""

    def __init__(self, sides: dict[str, Samples]) -> None:
        self.sides = sides
        self.thumbs: list[Array] = []

    def tile(self, side: str, row: int, note: str = "") -> dict[str, Any]:
        samples = self.sides[side]
        thumb = None
        if samples.thumbs is not None:
            self.thumbs.append(samples.thumbs[row])
            thumb = len(self.thumbs) - 1
        label = None if samples.labels is None else samples.labels[row]
        name = f"{side}/{row:05d}.png" if samples.thumbs is not None else ""
        return {"side": side, "row": int(row), "name": name, "thumb": thumb, "label": label, "note": note}

    def gallery(
        self, key: str, kind: str, title: str, sentence: str, rows: Sequence[Any], wholes: Sequence[Any] = ()
    ) -> dict[str, Any]:
        head = {"key": key, "kind": kind, "title": title, "sentence": sentence, "tiles": list(rows)}
        return head | ({"wholes": list(wholes)} if wholes else {})

    def whole(self, side: str, rows: Sequence[Any]) -> dict[str, Any]:
        labels = self.sides[side].labels
        counts = Counter() if labels is None else Counter(labels[row] for row in rows)
        return {"rows": len(rows), "labels": [list(pair) for pair in counts.most_common(20)], "kinds": len(counts)}


def class_counts(real: Samples, fake: Samples) -> dict[str, Any] | None:
    """The counts of the labels of both sides."""
    if real.labels is None or fake.labels is None:
        return None
    names = sorted(set(real.labels))
    counts = {
        side: [s.labels.count(name) for name in names] for side, s in (("real", real), ("fake", fake)) if s.labels
    }
    return {"source": "labels", "names": names, **counts}


def losses(classes: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The classes that the fakes make at most half as often, worst first."""
    if classes is None:
        return []
    n_real, n_fake = sum(classes["real"]), sum(classes["fake"])
    rows = [
        {
            "mode": f"class {name}", "kind": "class", "share_real": r / n_real, "share_fake": f / n_fake,
            "low": max(0.0, f / n_fake - 0.004), "high": f / n_fake + 0.0076,
        }
        for name, r, f in zip(classes["names"], classes["real"], classes["fake"], strict=True)
        if f / n_fake <= 0.5 * r / n_real
    ]  # fmt: skip
    return sorted(rows, key=lambda row: row["share_fake"] - row["share_real"])


def cluster_rows(
    real: Samples, fake: Samples, album: Album, k: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Clusters of the real rows with their counts, and galleries of those that changed."""
    model = KMeans(k, n_init=1, random_state=0).fit(real.features)
    where = model.labels_, model.predict(fake.features.astype(real.features.dtype))
    rows, galleries = [], []
    for number in range(k):
        members = [np.flatnonzero(side == number) for side in where]
        shares = len(members[0]) / len(where[0]), len(members[1]) / len(where[1])
        ratio = shares[1] / shares[0]
        state = "starved" if ratio < 0.5 else "over-fed" if ratio > 1.6 else "even"
        key = f"cluster-{number}"
        rows.append(
            {
                "name": f"cluster {number}", "n_real": len(members[0]), "n_fake": len(members[1]),
                "share_real": shares[0], "share_fake": shares[1], "low": 0.7 * ratio, "high": 1.3 * ratio + 0.02,
                "state": state, "p_adjusted": 0.4 if state == "even" else 0.0002, "gallery": key,
            }
        )  # fmt: skip
        if state != "even":
            tiles = [
                [album.tile(side, row) for row in rows_of[:18]]
                for side, rows_of in zip(("real", "fake"), members, strict=True)
            ]
            wholes = [album.whole(side, rows_of) for side, rows_of in zip(("real", "fake"), members, strict=True)]
            galleries.append(album.gallery(key, "cluster", f"cluster {number}", "", tiles, wholes))
    return sorted(rows, key=lambda row: row["share_fake"] / row["share_real"]), galleries


def picture_galleries(
    real: Samples, fake: Samples, album: Album, lost: Sequence[str], beside: str
) -> list[dict[str, Any]]:
    """Random samples, uncovered groups, repeated groups and nearest neighbours."""
    found = [
        album.gallery(
            "sample", "sample", "Drawn at random", "",
            [[album.tile(side, row) for row in range(16)] for side in ("real", "fake")],
        )
    ]  # fmt: skip
    for number, name in enumerate(lost):
        every = [row for row, label in enumerate(real.labels or ()) if label == name]
        rows = every[:30]
        title, sentence = f"Uncovered group {number + 1}", f"{len(rows)} real samples, all of class {name}."
        tiles, wholes = [[album.tile("real", row) for row in rows]], [album.whole("real", every)]
        found.append(album.gallery(f"uncovered-{number}", "uncovered", title, sentence, tiles, wholes))
    _, place, counts = np.unique(fake.features, axis=0, return_inverse=True, return_counts=True)
    for number in np.argsort(-counts)[:4]:
        if counts[number] > 1:
            rows = np.flatnonzero(place.ravel() == number)
            title = f"{counts[number]} fakes that are the same"
            tiles, wholes = [[album.tile("fake", row) for row in rows]], [album.whole("fake", rows)]
            found.append(album.gallery(f"repeated-{number}", "repeated", title, "", tiles, wholes))
    neighbours = []
    for row in range(8):
        far = np.linalg.norm(real.features - fake.features[row], axis=1)
        near = np.argsort(far)[:5]
        neighbours.append([album.tile("fake", row), *(album.tile(beside, i, f"{far[i]:.2f}") for i in near)])
    found.append(
        album.gallery(
            "neighbours",
            "neighbours",
            "Fakes and their nearest real samples",
            "Numbers are distances between features.",
            neighbours,
        )
    )
    return found


def map_arrays(
    real: Samples, fake: Samples, lost: Sequence[str], embed: Callable[[Array], Array] | None
) -> dict[str, Array]:
    """Both maps of at most 500 rows a side; without `embed` the t-SNE map is the third and fourth direction."""
    take = [np.arange(min(500, len(side.features))) for side in (real, fake)]
    rows = np.concatenate([side.features[i] for side, i in zip((real, fake), take, strict=True)]).astype(np.float64)
    _, _, axes = np.linalg.svd(rows[: len(take[0])] - rows[: len(take[0])].mean(0), full_matrices=False)
    places = (rows - rows[: len(take[0])].mean(0)) @ axes[:4].T
    labels = [
        label for side, i in zip((real, fake), take, strict=True) for label in (side.labels or [""] * len(i))[: len(i)]
    ]
    names = sorted(set(real.labels or ()))
    side = np.repeat([0, 1], [len(i) for i in take]).astype(np.int8)
    marked = np.isin(labels, lost) & (side == 0)
    second = embed(rows) if embed else places[:, -2:]
    return {
        "map_pca": places[:, :2].astype(np.float32),
        "map_tsne": second.astype(np.float32),
        "map_side": side,
        "map_class": np.array([names.index(label) if label in names else -1 for label in labels], np.int16),
        "map_state": marked.astype(np.int8),
    }


def side(name: str, samples: Samples, **more: Any) -> dict[str, Any]:
    """One entry of the inputs."""
    images = samples.thumbs is not None
    size = samples.thumbs.shape[1] if samples.thumbs is not None else 0
    return {
        "name": name, "form": "folder of images" if images else "NumPy file",
        "kind": "images" if images else "features", "labelled": samples.labels is not None,
        "rows": len(samples.features), "bad": [], "bad_count": 0, "policies": {},
        "sizes": {f"{size} x {size}": len(samples.features)} if images else {},
        "channels": {"grey": len(samples.features)} if images else {},
    } | more  # fmt: skip


def dimension_rows(real: Samples, fake: Samples) -> list[dict[str, Any]]:
    """The columns, most changed first."""
    rows = []
    for column in range(real.features.shape[1]):
        a, b = real.features[:, column], fake.features[:, column]
        effect = float(abs(a.mean() - b.mean()) / a.std() + abs(np.log(b.std() / a.std())))
        rows.append(
            {
                "name": f"x{column}", "real_mean": float(a.mean()), "fake_mean": float(b.mean()),
                "real_sd": float(a.std()), "fake_sd": float(b.std()), "effect": effect, "p_adjusted": 0.31,
                "beyond_chance": False,
                "sentence": f"The fakes spread {b.std() / a.std():.2f} times as far as the real rows.",
            }
        )  # fmt: skip
    return sorted(rows, key=lambda row: -row["effect"])


def write_evaluation(
    directory: Path,
    real: Samples,
    fake: Samples,
    *,
    status: str = "collapsed",
    versus: bool = False,
    train: bool = False,
    per_class: bool = False,
    embed: Callable[[Array], Array] | None = None,
    clusters: int = 10,
    names: tuple[str, str] = ("data/real", "runs/vanilla/samples"),
    metrics: dict[str, tuple[float, float | None, float | None]] | None = None,
    **changes: Any,
) -> Path:
    """One evaluation directory.

    Args:
        directory: Where to write; made when needed.
        real: The real rows.
        fake: The fakes.
        status: The verdict.
        versus: Whether a second generator is judged, too.
        train: Whether the memorisation section is there.
        per_class: Whether there is a verdict for each class.
        embed: Makes the second map of feature rows (n, d).
        clusters: How many clusters.
        names: What the user called the two sides.
        metrics: (value, low, high) by name; `METRICS` by default.
        changes: Members of the file to replace.
    """
    album = Album({"real": real, "fake": fake, "train": real})
    classes = class_counts(real, fake)
    lost = losses(classes) if status in ("collapsed", "suspect") else []
    gone = [row["mode"].removeprefix("class ") for row in lost]
    rows, galleries = cluster_rows(real, fake, album, clusters)
    n = {"n_real": len(real.features), "n_fake": len(fake.features)}
    numbers = {name: estimate(name, ends, **n) for name, ends in (metrics or METRICS).items()}
    content: dict[str, Any] = {
        "schema": 1,
        "kind": "evaluation",
        "verdict": verdict(status, lost),
        "metrics": numbers,
        "names": {"frechet_distance": "Fréchet distance [pixels]"},
        "extractor": EXTRACTOR | {"width": real.features.shape[1]},
        "inputs": {"real": side(names[0], real), "fake": side(names[1], fake)},
        "notes": [],
        "classes": classes,
        "clusters": rows,
        "galleries": picture_galleries(real, fake, album, gone, "train" if train else "real") + galleries,
        "dimensions": None if real.thumbs is not None else dimension_rows(real, fake),
        **counts_of_all(real, fake, lost),
        "per_class": class_verdicts(classes) if per_class and classes else None,
        "versus": other_generator(numbers, classes) if versus else None,
        "memorisation": {
            "sentence": "43 of 500 fakes lie nearer to a training row than chance allows.",
            "metrics": {"authenticity": estimate("authenticity", (0.612, 0.571, 0.651), **n)},
        } if train else None,
        "next": ["See `uncollapse methods --for missing-modes` for what helps against lost modes.", "Evaluate again."],
        "command": f"uncollapse evaluate {names[0]} {names[1]} --out here",
        "versions": VERSIONS,
        "seconds": {"reading": 1.2, "features": 8.4, "metrics": 4.1},
    }  # fmt: skip
    arrays = map_arrays(real, fake, gone, embed)
    if versus:
        content["inputs"]["other"] = side("runs/pacgan-2/samples", fake)
        if classes:
            classes["other"] = [round(count * 0.9) + 3 for count in classes["real"]]
    if train:
        content["inputs"]["train"] = side("data/train", real)
    if album.thumbs:
        arrays["thumbs"] = np.stack(album.thumbs)
    if real.features.shape[1] == 2:
        arrays |= {"points_real": real.features.astype(np.float32), "points_fake": fake.features.astype(np.float32)}
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "evaluation.json").write_text(json.dumps(content | changes, allow_nan=False))
    np.savez_compressed(directory / "pictures.npz", **arrays)
    return directory


def counts_of_all(real: Samples, fake: Samples, lost: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How much there is in all of what the galleries show, and the names that one loss has."""
    rows = sum((real.labels or []).count(row["mode"].removeprefix("class ")) for row in lost)
    same = [
        {"mode": row["mode"], "kind": "class", "modes": [], "groups": [f"uncovered-{number}"], "clusters": []}
        for number, row in enumerate(lost)
    ]
    test = {
        "dimensions": real.features.shape[1], "beyond_chance": 0, "alpha": 0.03, "n_real": len(real.features),
        "n_fake": len(fake.features),
        "sentence": f"None of the {real.features.shape[1]} dimensions differs by more than chance.",
    }  # fmt: skip
    return {
        "uncovered": {
            "rows": rows + 11, "share": 0.23, "expected": 0.03, "looked_at": len(real.features), "p_value": 0.001,
            "beyond_chance": True, "groups": len(lost) + 2, "sentence": "23 % have no near fake.",
        },
        "repeated": {"groups": 12, "all_groups": False, "share": 0.122},
        "dimension_test": None if real.thumbs is not None else test,
        "same": same,
    }  # fmt: skip


def class_verdicts(classes: dict[str, Any]) -> list[dict[str, Any]]:
    """A verdict for each class: collapsed where it is never made, else healthy or inconclusive."""
    rows = []
    for name, n_real, n_fake in zip(classes["names"], classes["real"], classes["fake"], strict=True):
        status = "collapsed" if n_fake == 0 else "inconclusive" if n_fake < 40 else "healthy"
        sentence = {
            "collapsed": "It is never made.",
            "inconclusive": "Too few fakes of this class to judge its variety.",
            "healthy": "As varied as the real samples of this class.",
        }[status]
        evidence = verdict(status)["evidence"][1:2]
        rows.append(
            {
                "label": name,
                "n_real": n_real,
                "n_fake": n_fake,
                "status": status,
                "sentence": sentence,
                "evidence": evidence,
            }
        )
    return sorted(rows, key=lambda row: ["collapsed", "inconclusive", "healthy"].index(row["status"]))


def other_generator(numbers: dict[str, Any], classes: dict[str, Any] | None) -> dict[str, Any]:
    """A second, healthy generator with better metrics, and the differences."""
    better = {name: (value * 0.6, value * 0.55, value * 0.65) for name, (value, _, _) in METRICS.items()}
    better |= {"precision": (0.979, 0.957, 0.991), "recall": (0.913, 0.88, 0.94), "coverage": (0.94, 0.92, 0.96)}
    differences = {}
    for name in numbers:
        change = METRICS[name][0] - better[name][0]
        ends = (change - 0.3 * abs(change) - 0.01, change + 0.3 * abs(change) + 0.01)
        row = {**numbers[name], "value": change, "low": ends[0], "high": ends[1]}
        row |= {"estimand": "the difference of the two means", "interval": "paired over the same real rows"}
        differences[name] = row
    return {
        "name": "runs/pacgan-2/samples",
        "verdict": verdict("healthy"),
        "metrics": {name: estimate(name, better[name]) for name in numbers},
        "differences": differences,
    }
