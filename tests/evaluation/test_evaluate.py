from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from tests.conftest import no_global_draws
from tests.evaluation.making import FEW, cloud, digits, pngs, ring

import uncollapse as uc
from uncollapse.data.tables import NUMBERING
from uncollapse.errors import UserError
from uncollapse.evaluation import Evaluation, evaluate
from uncollapse.features.pixels import Pixels
from uncollapse.verdict.verdict import Status

STATUSES = get_args(Status)
IMAGES, LABELS = digits()
REAL, POOL, POOL_LABELS = IMAGES[:400], IMAGES[400:], LABELS[400:]


def judged(fake: object, real: object = REAL, **more: Any) -> Evaluation:
    return evaluate(real, fake, **{"metrics": FEW, "cache": False, **more})


def galleries(found: Evaluation, kind: str) -> list[dict[str, Any]]:
    return [gallery for gallery in found.document["galleries"] if gallery["kind"] == kind]


def numbers(found: Evaluation) -> dict[str, tuple[float | None, ...]]:
    return {name: (item.value, item.low, item.high) for name, item in found.metrics.items()}


def same_numbers(one: Evaluation, other: Evaluation) -> None:
    assert one.verdict.status == other.verdict.status
    assert [row.mode for row in one.verdict.lost] == [row.mode for row in other.verdict.lost]
    for a, b in zip(one.verdict.evidence, other.verdict.evidence, strict=True):
        np.testing.assert_allclose(
            [a.effect, a.p_adjusted], [b.effect, b.p_adjusted], rtol=1e-5, atol=1e-6, err_msg=a.metric
        )
    assert list(one.metrics) == list(other.metrics)
    for name, row in numbers(one).items():
        np.testing.assert_allclose(
            np.array(row, float), np.array(numbers(other)[name], float), rtol=1e-6, atol=1e-6, err_msg=name
        )


@pytest.fixture(scope="module")
def without_three() -> Evaluation:
    return judged(POOL[POOL_LABELS != 3][:400])


@pytest.fixture(scope="module")
def healthy() -> Evaluation:
    return judged(POOL[:400])


def test_a_missing_class_is_named_first_and_its_rows_are_shown(without_three: Evaluation) -> None:
    assert without_three.verdict.status == "collapsed"
    assert without_three.verdict.lost[0].mode == "3"
    assert without_three.document["verdict"]["lost"][0]["share_fake"] < 0.01
    assert without_three.document["classes"]["source"] == "classifier"
    assert without_three.document["classes"]["fake"][3] <= 2
    assert abs(without_three.document["classes"]["real"][3] - int((LABELS[:400] == 3).sum())) <= 2
    shown = [tile["row"] for tile in galleries(without_three, "uncovered")[0]["tiles"][0]]
    assert np.mean(LABELS[shown] == 3) >= 0.9
    assert galleries(without_three, "uncovered")[0]["title"].startswith("Never made, group 1: ")
    starved = [row for row in without_three.document["clusters"] if row["state"] == "starved"]
    assert starved
    assert starved[0]["share_fake"] < 0.2 * starved[0]["share_real"]
    assert any("missing-modes" in step for step in without_three.document["next"])


def test_equal_draws_stay_healthy(healthy: Evaluation) -> None:
    assert healthy.verdict.status in ("healthy", "inconclusive")
    assert healthy.verdict.lost == ()
    assert not galleries(healthy, "repeated")
    assert not any(gallery["title"].startswith("Never made") for gallery in galleries(healthy, "uncovered"))
    assert {row["state"] for row in healthy.document["clusters"]} == {"even"}


def test_with_rows_enough_equal_draws_are_called_healthy_and_a_lost_mode_is_not() -> None:
    real = ring(1_200, 0)[0]
    assert judged(ring(1_200, 1)[0], real).verdict.status == "healthy"
    lost = judged(ring(1_200, 2, modes=range(7))[0], real).verdict
    assert lost.status == "collapsed"
    # The place of the eighth mode is (cos 315, sin 315) degrees.
    assert re.fullmatch(r"region 1 \(x1 near 0\.7\d?, x2 near -0\.7\d?\)", lost.lost[0].mode)
    assert lost.lost[0].share_real == pytest.approx(1 / 8, abs=0.005)
    assert lost.lost[0].share_fake == 0


def test_copies_among_the_fakes_are_found_as_one_group() -> None:
    copied = np.concatenate([POOL[:340], np.repeat(POOL[400:401], 60, axis=0)])
    found = judged(copied)
    assert found.verdict.status == "collapsed"
    assert next(row for row in found.verdict.evidence if row.metric == "repeats").collapse
    first = galleries(found, "repeated")[0]
    assert first["title"] == "Made 60 times"
    assert all(340 <= tile["row"] < 400 for tile in first["tiles"][0])


def test_a_shrunken_spread_is_measured() -> None:
    real = ring(400, 0)[0]
    rows = {row.metric: row for row in judged(ring(400, 1, sd=0.025)[0], real).verdict.evidence}
    assert rows["spread within clusters"].collapse
    assert rows["spread within clusters"].effect == pytest.approx(0.5, abs=0.05)
    same = {row.metric: row for row in judged(ring(400, 1)[0], real).verdict.evidence}
    assert same["spread within clusters"].effect < 0.1
    assert not same["spread within clusters"].significant


def test_a_collapse_inside_labels_is_seen_only_label_by_label(tmp_path: Path) -> None:
    def save(name: str, points: np.ndarray, labels: np.ndarray) -> Path:
        np.savez(tmp_path / name, features=points, labels=labels)
        return tmp_path / f"{name}.npz"

    # Both labels live on the same four places; the fakes of one stay north and south, of the other east and west.
    real, _ = ring(600, 0, modes=[0, 2, 4, 6])
    fake, made = ring(600, 1, modes=[0, 2, 4, 6])
    labels = np.where(np.random.default_rng(2).permutation(600) < 300, "even", "odd")
    asked = np.where(np.isin(made, [0, 4]), "even", "odd")
    sides = str(save("real", real, labels)), str(save("fake", fake, asked))
    found = judged(sides[1], sides[0], per_class=True)
    assert found.verdict.status not in ("collapsed", "suspect")
    assert [row["status"] for row in found.document["per_class"]] == ["collapsed", "collapsed"]
    assert {row["label"] for row in found.document["per_class"]} == {"even", "odd"}
    assert judged(sides[1], sides[0]).document["per_class"] is None
    healthy = judged(str(save("same", fake, labels)), sides[0], per_class=True)
    assert {row["status"] for row in healthy.document["per_class"]} <= {"healthy", "inconclusive"}


def test_copies_of_training_rows_raise_the_flag_and_equal_draws_do_not() -> None:
    train, real = cloud(300, 0, 8), cloud(300, 1, 8)
    copied = train[np.random.default_rng(3).permutation(300)[:200]] + 1e-3 * cloud(200, 4, 8)
    fakes = np.concatenate([copied, cloud(100, 5, 8)])
    found = judged(fakes, real, train=train, metrics=["authenticity"])
    assert found.verdict.flags == ("memorised",)
    assert found.document["memorisation"]["share_fake"] == pytest.approx(2 / 3, abs=0.02)
    assert found.document["memorisation"]["share_real"] < 0.02
    assert 0.1 < (found.metrics["authenticity"].value or 0.0) < 1 / 3
    assert {tile["side"] for row in galleries(found, "neighbours")[0]["tiles"] for tile in row[1:]} == {"train"}
    assert any("copies of training rows" in step for step in found.document["next"])
    fresh = judged(cloud(300, 6, 8), real, train=train, metrics=["authenticity"])
    assert (fresh.metrics["authenticity"].value or 0.0) > 0.5
    assert fresh.verdict.flags == ()
    assert fresh.document["memorisation"]["p_value"] > 0.05


def test_versus_tells_the_better_of_two_generators() -> None:
    real = ring(300, 0)[0]
    good, bad = ring(300, 1)[0], ring(300, 2, modes=range(6))[0]
    found = judged(good, real, versus=bad)
    other = found.document["versus"]
    assert found.verdict.status != "collapsed"
    assert other["verdict"]["status"] == "collapsed"
    frechet, coverage = other["differences"]["frechet_distance"], other["differences"]["coverage"]
    assert frechet["high"] < 0 < coverage["low"]
    # A quarter of the real rows lies in the two lost modes.
    assert coverage["value"] == pytest.approx(0.25, abs=0.06)
    turned = judged(bad, real, versus=good).document["versus"]["differences"]["coverage"]
    assert turned["value"] == pytest.approx(-coverage["value"], abs=1e-12)
    assert found.document["inputs"].keys() == {"real", "fake", "other"}
    assert set(found.pictures["map_side"].tolist()) == {0, 1, 2}


def test_the_order_of_files_changes_no_number(folder: Path) -> None:
    order = np.random.default_rng(7).permutation(250)
    one = judged(pngs(folder / "one", POOL[:250]), pngs(folder / "real", REAL[:250]))
    two = judged(pngs(folder / "two", POOL[order]), pngs(folder / "shuffled", REAL[order[::-1]]))
    same_numbers(one, two)
    assert [row["share_fake"] for row in one.document["clusters"]] == [
        row["share_fake"] for row in two.document["clusters"]
    ]
    np.testing.assert_allclose(one.pictures["map_pca"], two.pictures["map_pca"], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(one.pictures["thumbs"], two.pictures["thumbs"])
    same_numbers(one, judged(POOL[:250], REAL[:250]))  # and an array gives what a folder gives


def test_a_zip_gives_the_numbers_of_its_folder(folder: Path) -> None:
    sides = pngs(folder / "some", POOL[:100]), pngs(folder / "true", REAL[:100])
    packed = []
    for place in sides:
        packed.append(place.with_suffix(".zip"))
        with zipfile.ZipFile(packed[-1], "w") as archive:
            for file in sorted(place.iterdir()):
                archive.write(file, file.name)
    one, two = judged(*sides), judged(*packed)
    same_numbers(one, two)
    assert one.document["inputs"]["fake"]["form"] == "folder of images"
    assert two.document["inputs"]["fake"]["form"] == "zip archive"


def test_torch_and_numpy_give_the_same() -> None:
    real, fake = cloud(120, 0).astype(np.float32), cloud(120, 1).astype(np.float32)
    same_numbers(judged(fake, real), judged(torch.from_numpy(fake), torch.from_numpy(real)))


def sample(n: int) -> np.ndarray:
    """What the tests name as tests.evaluation.test_evaluate:sample."""
    return np.random.normal(size=(n, 4))  # noqa: NPY002 - a user's sampler draws from the global stream


class Pairs(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """Grey images of torch with their labels."""

    def __len__(self) -> int:
        return 60

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        if row >= 60:
            raise IndexError(row)
        return torch.from_numpy(POOL[row])[None].float() / 255, int(POOL_LABELS[row])


def batches() -> Iterator[torch.Tensor]:
    """An iterable of batches."""
    for first in range(0, 60, 20):
        yield torch.from_numpy(POOL[first : first + 20])[:, None].float() / 255


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    """A tiny training on 2-D data."""
    uc.train("vanilla", "ring-8", seeds=[0], updates=6, batch=16, out=folder / "run")
    return folder / "run"


@pytest.mark.parametrize(
    ("kind", "form", "labelled"),
    [
        ("npz images", "NumPy archive", True),
        ("npy features", "NumPy file", False),
        ("csv", "CSV table", True),
        ("run", "run of uncollapse", False),
        ("reference", "generator", False),
        ("callable", "generator", False),
        ("dataset", "data set", True),
        ("iterable", "iterator", False),
    ],
)
def test_every_kind_of_input_from_end_to_end(
    kind: str, form: str, labelled: bool, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(np.random, "normal", np.random.default_rng(0).normal)
    np.savez(tmp_path / "images.npz", images=POOL[:60], labels=POOL_LABELS[:60])
    np.save(tmp_path / "features.npy", cloud(60, 1))
    lines = [f"{a},{b},{int(a > 0)}" for a, b in cloud(60, 2, 2)]
    (tmp_path / "table.csv").write_text("\n".join(["x,y,label", *lines]) + "\n")
    real, fake = {
        "npz images": (REAL[:60], str(tmp_path / "images.npz")),
        "npy features": (cloud(60, 0), tmp_path / "features.npy"),
        "csv": (cloud(60, 0, 2), str(tmp_path / "table.csv")),
        "run": (ring(60, 0)[0], run),
        "reference": (cloud(60, 0), "tests.evaluation.test_evaluate:sample"),
        "callable": (cloud(60, 0), lambda n: torch.randn(n, 4)),
        "dataset": (REAL[:60], Pairs()),
        "iterable": (REAL[:60], batches()),
    }[kind]
    found = judged(fake, real, metrics=["coverage"])
    assert found.verdict.status in STATUSES
    side = found.document["inputs"]["fake"]
    assert (side["form"], side["labelled"], side["rows"]) == (form, labelled, 60)
    assert found.metrics["coverage"].n_fake == 60
    assert found.metrics["coverage"].value is not None
    # Labels of one side alone are of no use, and that is said.
    assert any("Only the fake side has labels" in note for note in found.document["notes"]) == labelled
    page = found.save(tmp_path / "out")
    assert found.verdict.status.capitalize() in page.read_text(encoding="utf-8")


def test_it_leaves_threads_random_streams_and_inputs_as_they_were() -> None:
    real, fake = cloud(60, 0), torch.randn(60, 4, generator=torch.Generator().manual_seed(1))
    before = real.copy(), fake.clone()
    judged(fake, real)  # which imports what draws while it is imported
    torch.set_num_threads(2)
    try:
        with no_global_draws():
            judged(fake, real, versus=cloud(60, 2), train=cloud(60, 3))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    np.testing.assert_array_equal(real, before[0])
    assert torch.equal(fake, before[1])


def test_another_seed_changes_draws_only_and_the_same_seed_nothing() -> None:
    real, fake = cloud(100, 0), cloud(100, 1)
    one, two = judged(fake, real), judged(fake, real)
    seconds = {"seconds": None}
    assert {**one.document, **seconds} == {**two.document, **seconds}
    other = judged(fake, real, seed=5)
    assert one.metrics["frechet_distance"].value == other.metrics["frechet_distance"].value
    assert [row.p_value for row in one.verdict.evidence] != [row.p_value for row in other.verdict.evidence]


@pytest.mark.slow
def test_it_works_without_a_main_module_to_import(tmp_path: Path) -> None:
    code = (
        "import numpy as np, uncollapse as uc\n"
        "draws = np.random.default_rng(0)\n"
        "found = uc.evaluate(draws.normal(size=(40, 3)), draws.normal(size=(40, 3)))\n"
        "print(found.verdict.status, len(found.metrics))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-"], input=code, capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    status, count = done.stdout.split()
    assert status in STATUSES
    assert int(count) >= 14
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("real", "fake"),
    [
        (cloud(100, 0, 1), cloud(100, 1, 1)),
        (cloud(100, 0, 2) * [1, 0], cloud(100, 1, 2) * [1, 0]),
        (np.ones((60, 3)), np.ones((60, 3))),
        (np.ones((60, 3)), cloud(60, 1, 3)),
        (cloud(60, 1, 3), np.ones((60, 3))),
        (cloud(40, 0), cloud(400, 1)),
        (cloud(400, 0), cloud(40, 1)),
        (cloud(30, 0, 200), cloud(30, 1, 200)),
        (cloud(60, 0) * 1e15 / 6, cloud(60, 1) * 1e-3),
        (cloud(100, 0) + 1e9, cloud(100, 1) + 1e9),
        (cloud(60, 0) > 0, cloud(60, 1) > 0),
    ],
    ids=["one feature", "a constant feature", "all rows alike", "one real value", "one fake value", "ten times fakes",
         "ten times real", "wide", "far apart", "far from zero", "booleans"],
)  # fmt: skip
def test_rows_of_any_shape_give_a_strict_document_and_a_page(
    real: np.ndarray, fake: np.ndarray, tmp_path: Path
) -> None:
    found = judged(fake, real, metrics=["coverage", "kernel_distance"])
    json.dumps(found.document, allow_nan=False)
    assert all(np.isfinite(array).all() for array in found.pictures.values())
    assert found.verdict.status.capitalize() in found.save(tmp_path / "out").read_text(encoding="utf-8")
    assert len(found.document["dimensions"]) == min(40, real.shape[1])
    assert sum(row["n_real"] for row in found.document["clusters"]) <= len(real)


def test_one_value_of_a_generator_is_collapse_and_one_of_the_data_is_not() -> None:
    assert judged(np.ones((100, 3)), cloud(100, 1, 3)).verdict.status == "collapsed"
    assert judged(cloud(100, 1, 3), np.ones((100, 3))).verdict.status != "collapsed"


def test_where_only_one_class_is_seen_the_others_are_no_loss() -> None:
    zeros = IMAGES[LABELS == 0]
    found = judged(zeros[80:160], zeros[:80], metrics=["mode_coverage", "class_kl", "coverage"])
    assert found.document["classes"]["real"][0] == 80
    assert found.metrics["mode_coverage"].value == 1
    assert found.metrics["class_kl"].value is None
    assert "class shares" not in [row.metric for row in found.verdict.evidence]
    assert found.verdict.status in ("healthy", "inconclusive")
    lost = judged(zeros[80:160], REAL, metrics=[]).verdict
    assert lost.status == "collapsed"
    assert len([row for row in lost.lost if row.kind == "class"]) == 9


def test_a_run_itself_is_judged_as_its_directory(run: Path) -> None:
    real = ring(60, 0)[0]
    for sides in (lambda place: (real, place), lambda place: (place, real)):
        by_path, by_object = judged(*sides(run)), judged(*sides(uc.load(run)))
        assert by_object.document["inputs"] == by_path.document["inputs"]
        assert {name: estimate.value for name, estimate in by_object.metrics.items()} == {
            name: estimate.value for name, estimate in by_path.metrics.items()
        }
    assert judged(real, uc.load(run)).document["inputs"]["fake"]["rows"] == 60


def test_names_of_metrics_may_come_from_an_iterator_that_gives_them_once() -> None:
    names = ["coverage", "recall"]
    assert set(judged(cloud(60, 0), cloud(60, 1), metrics=iter(names)).metrics) == set(names)


def test_a_run_without_a_living_generator_is_refused(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    for lane in result["lanes"]:
        lane["diverged_at"] = 3
    (tmp_path / "run" / "result.json").write_text(json.dumps(result))
    with pytest.raises(UserError, match=r"^All seeds of .* diverged; there is no generator to draw from\.$"):
        judged(tmp_path / "run", ring(60, 0)[0])


def test_fewer_rows_of_each_side_but_all_training_rows() -> None:
    found = judged(cloud(200, 1), cloud(300, 0), n=50, train=cloud(80, 2))
    rows = {role: side["rows"] for role, side in found.document["inputs"].items()}
    assert rows == {"real": 50, "fake": 50, "train": 80}


def test_a_sampler_draws_as_many_as_are_real_and_other_samples_for_the_other_side() -> None:
    asked: list[int] = []

    def draw(n: int) -> torch.Tensor:
        asked.append(n)
        return torch.randn(n, 4)

    found = judged(draw, cloud(130, 0), versus=draw)
    assert sum(asked) == 260
    assert found.document["versus"]["metrics"]["coverage"]["value"] is not None
    assert found.document["versus"]["differences"]["frechet_distance"]["value"] != 0


def test_progress_tells_rows_and_then_each_step() -> None:
    told: list[tuple[str, int, int | None]] = []
    judged(cloud(60, 1), cloud(60, 0), versus=cloud(60, 2), progress=lambda *what: told.append(what))
    assert [what for what in told if what[1]] == [
        (f"{role}: ndarray of shape (60, 4)", 60, 60) for role in ("real", "fake", "other")
    ]
    steps = [what for what, done, count in told if not done and count == 0]
    assert steps == ["metrics", "verdict", "comparison", "pictures"]


def test_seconds_of_each_step_and_what_reproduces_it_are_kept() -> None:
    found = judged(cloud(40, 1), cloud(40, 0), command="uncollapse evaluate a b")
    assert set(found.document["seconds"]) == {"choosing", "reading", "metrics", "verdict", "pictures"}
    assert found.document["command"] == "uncollapse evaluate a b"
    assert found.document["versions"]["uncollapse"] == uc.__version__


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"alpha": 0.7}, "alpha must be from 0.001 to 0.5, for example 0.03, not 0.7."),
        ({"metrics": ["covrage"]}, "There is no metric 'covrage'; did you mean 'coverage'"),
        ({"metrics": ["authenticity"]}, "authenticity compares fakes with the training data; give them with --train."),
        ({"per_class": True}, "--per-class needs labels on both sides, and the real side has none; give class folders"),
        ({"seed": -1}, "seed must be a whole number from 0 to 4,294,967,291, not -1."),
        (
            {"label_column": "kind"},
            "--label-column kind names a column of a table (.csv, .parquet, DataFrame), but real (",
        ),
        ({"n": 0}, "n must be a whole number above 0, not 0."),
    ],
)
def test_a_mistake_is_told_in_one_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as error:
        judged(cloud(40, 1), cloud(40, 0), **options)
    assert str(error.value).startswith(sentence)
    assert "\n" not in str(error.value)


def test_the_index_of_a_table_hides_no_lost_mode(tmp_path: Path) -> None:
    """Numbers of rows are the same on both sides, so that as a feature they would bring all neighbours together."""
    for role, modes in (("real", range(8)), ("fake", range(5))):
        lines = [f"{x},{y}" for x, y in ring(300, len(role + str(modes)), modes=modes)[0]]
        (tmp_path / f"{role}.csv").write_text("\n".join(["x,y", *lines]))
        numbered = [f"{number},{line}" for number, line in enumerate(lines)]
        (tmp_path / f"{role}-indexed.csv").write_text("\n".join([",x,y", *numbered]))
    plain = judged(tmp_path / "fake.csv", tmp_path / "real.csv", metrics=["coverage"])
    indexed = judged(tmp_path / "fake-indexed.csv", tmp_path / "real-indexed.csv", metrics=["coverage"])
    same_numbers(plain, indexed)
    assert indexed.verdict.status == "collapsed"
    assert indexed.metrics["coverage"].value < 0.75
    assert list(indexed.document["inputs"]["fake"]["policies"]) == [NUMBERING.format("")]
    assert plain.document["inputs"]["fake"]["policies"] == {}


def test_a_function_or_a_network_may_be_the_extractor(without_three: Evaluation) -> None:
    def flat(x: torch.Tensor) -> torch.Tensor:
        assert x.shape[1:] == (1, 8, 8)
        assert 0 <= float(x.min()) <= float(x.max()) <= 1
        return x.flatten(1)

    fake = POOL[POOL_LABELS != 3][:400]
    for given, name in ((flat, "flat[8x8]"), (torch.nn.Flatten(), "Flatten[8x8]"), (Pixels(side=8), "pixels[8x8]")):
        found = judged(fake, features=given)
        assert found.document["extractor"]["name"] == name
        assert found.document["extractor"]["width"] == 64
        assert found.metrics["coverage"].value == judged(fake, features="pixels[8x8]").metrics["coverage"].value
    assert without_three.document["extractor"]["name"] == "classifier:digits"
    with pytest.raises(UserError, match="holds features already, which flat does not take; leave --features out"):
        judged(cloud(30, 0), cloud(30, 1), features=flat)
    with pytest.raises(UserError, match=r"^features must be the name of an extractor, .*, not None\.$"):
        judged(fake, features=None)


def test_a_mistake_in_the_choices_is_told_before_anything_is_read() -> None:
    def never(n: int) -> Any:
        raise AssertionError(f"{n} samples were drawn before the options were looked at")

    for options in ({"alpha": 0.9}, {"metrics": ["fid"]}, {"level": 2.0}, {"device": "tpu"}, {"resize": "nearest"}):
        with pytest.raises(UserError):
            evaluate(never, never, **options)  # type: ignore[arg-type]


def test_columns_of_training_rows_are_matched_to_the_real_ones(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    real, made = draws.normal(size=(2, 80, 2)) * [9, 6] + [170, 65]
    places = {}
    for name, heads, rows in (("real", "height,weight", real), ("fake", "height,weight", made), ("train", "", made)):
        turned = name == "train"  # the very fakes, in the other order of columns
        places[name] = tmp_path / f"{name}.csv"
        heads = "weight,height" if turned else heads
        np.savetxt(places[name], rows[:, ::-1] if turned else rows, delimiter=",", header=heads, comments="")
    found = evaluate(places["real"], places["fake"], train=places["train"], metrics=["authenticity"])
    assert found.verdict.flags == ("memorised",)
