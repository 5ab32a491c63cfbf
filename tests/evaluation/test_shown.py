from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.evaluation.making import cloud, digits, ring, side
from torch.overrides import TorchFunctionMode

from uncollapse.evaluation.memorised import copies
from uncollapse.evaluation.shown import (
    CLUSTER,
    GROUP,
    MOST_CLUSTERS,
    NEIGHBOURS,
    PAIRS,
    REPEATED,
    Exhibits,
    exhibits,
    located,
)
from uncollapse.evaluation.sides import Side
from uncollapse.features.pixels import Pixels
from uncollapse.verdict.judge import judge
from uncollapse.verdict.repeats import MOST_GROUPS
from uncollapse.verdict.verdict import Verdict

IMAGES, LABELS = digits()


def judged(sides: dict[str, Side]) -> Verdict:
    images = sides["real"].source.kind == "images"
    return judge(real=sides["real"].rows.features, fake=sides["fake"].rows.features, images=images)


def shown(sides: dict[str, Side]) -> Exhibits:
    copied = copies(sides["real"], sides["fake"], sides["train"], alpha=0.03) if "train" in sides else None
    return exhibits(sides, None, judged(sides), copied, alpha=0.03, seed=0)


def of(found: Exhibits, kind: str) -> list[dict[str, Any]]:
    return [gallery for gallery in found.document["galleries"] if gallery["kind"] == kind]


@pytest.fixture(scope="module")
def vectors() -> Exhibits:
    real, fake = ring(400, 0)[0], ring(400, 1, modes=range(6))[0]
    return shown({"real": side(real), "fake": side(fake, "fake")})


@pytest.fixture(scope="module")
def images() -> tuple[dict[str, Side], Exhibits]:
    pool, labels = IMAGES[400:], LABELS[400:]
    fakes = np.concatenate([pool[labels != 4][:280], np.repeat(pool[:1], 20, 0)])
    sides = {
        role: side(rows, role, extractor=Pixels(side=8)) for role, rows in (("real", IMAGES[:300]), ("fake", fakes))
    }
    return sides, shown(sides)


def test_galleries_are_as_large_as_the_report_shows_them(images: tuple[dict[str, Side], Exhibits]) -> None:
    _, found = images
    most = {"sample": GROUP, "uncovered": GROUP, "repeated": REPEATED, "cluster": CLUSTER, "neighbours": NEIGHBOURS + 1}
    for gallery in found.document["galleries"]:
        assert max(len(row) for row in gallery["tiles"]) <= most[gallery["kind"]]
    assert [gallery["key"] for gallery in of(found, "sample")] == ["sample-real", "sample-fake"]
    assert len(of(found, "neighbours")[0]["tiles"]) == PAIRS
    keys = [gallery["key"] for gallery in found.document["galleries"]]
    assert len(keys) == len(set(keys))
    assert {row["gallery"] for row in found.document["clusters"] if row["gallery"]} <= set(keys)


def test_every_thumbnail_is_the_picture_that_its_tile_names(images: tuple[dict[str, Side], Exhibits]) -> None:
    sides, found = images
    thumbs = found.pictures["thumbs"]
    for gallery in found.document["galleries"]:
        for tile in (tile for row in gallery["tiles"] for tile in row):
            (image,) = sides[tile["side"]].source.fetch([tile["row"]])
            np.testing.assert_array_equal(thumbs[tile["thumb"]][::8, ::8, 0], image)


def test_the_lost_digit_and_the_repeated_one_are_shown(images: tuple[dict[str, Side], Exhibits]) -> None:
    _, found = images
    rows = [tile["row"] for tile in of(found, "uncovered")[0]["tiles"][0]]
    assert np.mean(LABELS[rows] == 4) > 0.85
    repeated = of(found, "repeated")[0]
    assert {tile["row"] for tile in repeated["tiles"][0]} <= {*range(280, 300), 0}
    assert found.document["dimensions"] is None
    assert found.document["dimension_test"] is None
    assert found.document["uncovered"]["share"] > found.document["uncovered"]["expected"]
    assert found.pictures["map_state"].sum() > 0


def test_every_row_of_tiles_says_of_how_many_it_is_a_part(images: tuple[dict[str, Side], Exhibits]) -> None:
    sides, found = images
    for kind in ("sample", "uncovered", "repeated", "cluster"):
        for gallery in of(found, kind):
            assert len(gallery["wholes"]) == len(gallery["tiles"])
            assert all(
                whole["rows"] >= len(row) for whole, row in zip(gallery["wholes"], gallery["tiles"], strict=True)
            )
    first, told = of(found, "uncovered")[0], found.document["uncovered"]
    count = first["wholes"][0]["rows"]
    cut = [len(gallery["tiles"][0]) < gallery["wholes"][0]["rows"] for gallery in of(found, "cluster")]
    assert any(cut)
    assert first["title"] == f"Never made, group 1: {count} of the {told['rows']} real rows without a near fake"
    assert [gallery["title"] for gallery in of(found, "sample")] == [
        "28 of the 300 real rows, chosen at random", "28 of the 300 fakes, chosen at random",
    ]  # fmt: skip
    assert len(sides["fake"]) == 300


def test_all_clusters_are_in_the_file_and_the_first_have_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = ring(600, 0)[0], ring(600, 1, modes=[0, 0, 0, 1, 2, 3])[0]
    sides = {"real": side(real), "fake": side(fake, "fake")}
    found = shown(sides)
    rows = found.document["clusters"]
    assert sum(row["n_real"] for row in rows) == sum(row["n_fake"] for row in rows) == 600
    assert len(rows) > MOST_CLUSTERS
    monkeypatch.setattr(sys.modules["uncollapse.evaluation.shown"], "MOST_CLUSTERS", 2)
    less = shown(sides).document
    uneven = [row["gallery"] for row in less["clusters"] if row["state"] != "even"]
    assert len(uneven) > 2
    assert len([key for key in uneven if key]) == sum(g["kind"] == "cluster" for g in less["galleries"]) == 2
    assert all(row["gallery"] is None for row in less["clusters"] if row["state"] == "even")


def test_groups_of_repeats_are_counted_or_said_to_be_the_least(images: tuple[dict[str, Side], Exhibits]) -> None:
    sides, found = images
    verdict = judged(sides)
    groups = verdict.details["repeated"]
    assert found.document["repeated"] == {
        "groups": len(groups), "all_groups": len(groups) < MOST_GROUPS,
        "share": next(row.value_fake for row in verdict.evidence if row.metric == "repeats"),
    }  # fmt: skip

    def told(**details: Any) -> Any:
        changed = replace(verdict, details={key: value for key, value in details.items() if value is not None})
        return exhibits(sides, None, changed, None, alpha=0.03, seed=0).document["repeated"]

    many = [(number, number + 1) for number in range(0, 2 * MOST_GROUPS, 2)]
    assert told(repeated=many) == {**found.document["repeated"], "groups": MOST_GROUPS, "all_groups": False}
    assert told(repeated=many[:-1])["all_groups"] is True
    assert told(repeated=many, repeated_groups=260) == {**told(repeated=many), "groups": 260, "all_groups": True}
    assert told(repeated=None) is None


def test_the_lost_digit_has_its_names_beside_each_other(images: tuple[dict[str, Side], Exhibits]) -> None:
    _, found = images
    same = found.document["same"]
    assert any("uncovered-0" in row["groups"] for row in same)
    keys = {gallery["key"] for gallery in of(found, "uncovered")}
    assert {key for row in same for key in row["groups"]} <= keys


def test_neighbours_are_the_nearest_rows_with_their_distances(images: tuple[dict[str, Side], Exhibits]) -> None:
    sides, found = images
    real, fake = (sides[role].rows.features for role in ("real", "fake"))
    for first, *others in of(found, "neighbours")[0]["tiles"]:
        distance = np.linalg.norm(real - fake[first["row"]], axis=1)
        expected = np.sort(distance)[:NEIGHBOURS]
        np.testing.assert_allclose(distance[[tile["row"] for tile in others]], expected, rtol=1e-5)
        assert [tile["note"] for tile in others] == [f"{gap:.3g}" for gap in expected]


def test_vectors_have_places_instead_of_pictures(vectors: Exhibits) -> None:
    assert "thumbs" not in vectors.pictures
    assert {tile["thumb"] for gallery in vectors.document["galleries"] for row in gallery["tiles"] for tile in row} == {
        None
    }
    starved = [row for row in vectors.document["clusters"] if row["state"] == "starved"]
    assert starved
    assert all(" (x1 near " in row["name"] and ", x2 near " in row["name"] for row in vectors.document["clusters"])
    assert [row["name"] for row in vectors.document["dimensions"]] != []
    assert vectors.document["dimension_test"]["dimensions"] == 2
    # The lost modes lie at 270 and 315 degrees.
    assert any("x2 near -1" in row["name"] for row in starved)


def test_lost_regions_of_vectors_say_where_they_are_and_those_of_images_do_not(
    images: tuple[dict[str, Side], Exhibits],
) -> None:
    real, fake = side(ring(400, 0)[0]), side(ring(400, 1, modes=range(7))[0], "fake")
    verdict = judged({"real": real, "fake": fake})
    found = located(verdict, real)
    assert verdict.lost[0].mode == "region 1"
    assert found.lost[0].mode.startswith("region 1 (x1 near 0.7")
    assert found.lost[0].real == verdict.lost[0].real
    sides, _ = images
    pictured = judged(sides)
    assert located(pictured, sides["real"]) is pictured


def test_with_training_rows_the_copies_stand_first_beside_what_they_copy() -> None:
    train = cloud(200, 0)
    fakes = np.concatenate([cloud(150, 1), train[[7, 8, 9]].repeat(10, 0)])
    found = shown({"real": side(cloud(150, 2)), "fake": side(fakes, "fake"), "train": side(train, "train")})
    rows = of(found, "neighbours")[0]["tiles"]
    assert all(row[0]["row"] >= 150 for row in rows)
    assert {(row[1]["side"], row[1]["note"]) for row in rows} == {("train", "0")}
    assert all(row[1]["row"] == 7 + (row[0]["row"] - 150) // 10 for row in rows)
    assert of(found, "neighbours")[0]["title"] == "Fakes and their nearest training rows"
    # The sentence on copies stands above; here it says which of them are shown.
    assert of(found, "neighbours")[0]["sentence"] == (
        "Numbers are distances between features; 0 is a copy. The 8 fakes are the nearest of 31 that lie on top of a "
        "training row."  # one of those that are no copies is very near one by chance
    )
    assert set(found.pictures["map_side"].tolist()) == {0, 1}


def test_few_copies_and_none_are_told_too() -> None:
    train = cloud(200, 0, 9)

    def sentence(count: int) -> str:
        fakes = np.concatenate([cloud(150, 1, 9), train[:count]])
        found = shown({"real": side(cloud(150, 2, 9)), "fake": side(fakes, "fake"), "train": side(train, "train")})
        told: str = of(found, "neighbours")[0]["sentence"]
        return told.removeprefix("Numbers are distances between features; 0 is a copy. ")

    assert sentence(3) == "The first 3 fakes lie on top of a training row. The others were chosen at random."
    assert sentence(8) == "The 8 fakes lie on top of a training row."
    assert sentence(0) == "The fakes were chosen at random."


class Largest(TorchFunctionMode):
    """Notes how many numbers the largest tensor holds that any function returns."""

    numbers = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        for item in found if isinstance(found, tuple) else (found,):
            self.numbers = max(self.numbers, item.numel() if isinstance(item, torch.Tensor) else 0)
        return found


def test_nothing_grows_with_the_square_of_the_rows() -> None:
    n = 9_000
    sides = {role: side(cloud(n, seed), role) for seed, role in enumerate(("real", "fake", "train"))}
    verdict = Verdict(status="healthy", alpha=0.03, sentence="So it is.", n_real=n, n_fake=n)
    with Largest() as largest:
        copied = copies(sides["real"], sides["fake"], sides["train"], alpha=0.03)
        exhibits(sides, None, verdict, copied, alpha=0.03, seed=0)
    assert 10 * n < largest.numbers < n * n / 10


@pytest.mark.slow
def test_twenty_thousand_rows_a_side_take_no_more_memory_than_five_thousand(tmp_path: Path) -> None:
    code = (
        "import resource, sys, numpy as np, torch, uncollapse as uc\n"
        "torch.set_num_threads(1)\n"
        "draws, n = np.random.default_rng(0), int(sys.argv[1])\n"
        "real, fake, train = (draws.normal(size=(n, 64)).astype('f') for _ in range(3))\n"
        "uc.evaluate(real, fake, train=train, metrics=[])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    peaks = [
        int(subprocess.run([sys.executable, "-c", code, str(n)], capture_output=True, check=True, cwd=tmp_path).stdout)
        for n in (5_000, 20_000)
    ]
    assert peaks[1] < 1.25 * peaks[0]


def test_rows_by_chance_without_a_near_fake_are_not_called_never_made() -> None:
    found = shown({"real": side(cloud(120, 0)), "fake": side(cloud(300, 1), "fake")})
    titles = [gallery["title"] for gallery in of(found, "uncovered")]
    assert found.document["uncovered"]["beyond_chance"] is False
    assert titles
    assert all(title.startswith("Farthest from all fakes, group ") for title in titles)


def test_a_folder_names_its_tiles_by_its_files(tmp_path: Path) -> None:
    from tests.evaluation.making import pngs

    names = [f"a/<b>{number}.png" if number % 2 else f"c/\x1b[31m{number}.png" for number in range(40)]
    place = pngs(tmp_path / "files", list(IMAGES[:40]), names)
    sides = {role: side(place, role, extractor=Pixels(side=8)) for role in ("real", "fake")}
    found = shown(sides)
    tiles = [tile for gallery in found.document["galleries"] for row in gallery["tiles"] for tile in row]
    assert {tile["name"] for tile in tiles} <= set(names)
    assert {tile["label"] for tile in tiles} == {"a", "c"}


def test_the_nearest_rows_do_not_depend_on_the_blocks_in_which_they_are_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = sys.modules["uncollapse.evaluation.shown"]
    among, rows = side(cloud(300, 0)), torch.from_numpy(cloud(8, 1)).float()
    centre = torch.zeros(4, dtype=torch.float64)
    exact = torch.cdist(rows, torch.from_numpy(among.rows.features).float()).topk(NEIGHBOURS, largest=False).indices
    for block in (65_536, 100, 7, 3):
        monkeypatch.setattr(module, "BLOCK", block)
        assert torch.equal(module._nearest(rows, among, centre), exact)
    assert module._nearest(rows, side(cloud(3, 2)), centre).shape == (8, 3)
