"""Samples as files: forms, pixels, grids and tables, counted by hand; `test_cli` draws them from real runs."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import uncollapse as uc
from uncollapse import checkpoint
from uncollapse.data.opening import open_source
from uncollapse.errors import UserError
from uncollapse.networks.mlp import MLP
from uncollapse.run import execute, make_spec
from uncollapse.sampling import check_form, class_number, grid, pixels, upright, write, write_samples
from uncollapse.tasks import Arrays, find


def test_pixels_reach_black_and_white_and_are_clipped() -> None:
    values = np.array([[[-1.0, -2.0], [1.0, 7.0]]])
    assert pixels(values).tolist() == [[[0, 0], [255, 255]]]
    assert pixels(np.array([[[0.0, 8.0, 16.0]]]), (0.0, 16.0)).tolist() == [[[0, 128, 255]]]
    assert pixels(np.zeros((1, 2, 2)), (0.0, 0.0)).tolist() == [[[0, 0], [0, 0]]]


def test_a_grid_holds_every_image_once_in_reading_order() -> None:
    images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1).repeat(40, axis=1).repeat(40, axis=2)
    picture = grid(images)
    assert picture.shape == (2 * 41 + 1, 3 * 41 + 1)
    centres = [[int(picture[1 + 41 * row + 20, 1 + 41 * column + 20]) for column in range(3)] for row in range(2)]
    assert centres == [[0, 1, 2], [3, 4, 255]]


def test_small_images_are_enlarged_by_a_whole_factor() -> None:
    assert grid(np.zeros((1, 8, 8), dtype=np.uint8)).shape == (34, 34)
    assert grid(np.zeros((1, 8, 8, 3), dtype=np.uint8)).shape == (34, 34, 3)


def test_a_table_has_a_header_and_the_labels(tmp_path: Path) -> None:
    write(tmp_path / "x.csv", np.array([[0.5, -1.0], [2.0, 3.0]]), np.array([7, 8]))
    assert (tmp_path / "x.csv").read_text().splitlines() == ["x0,x1,label", "0.5,-1.0,7", "2.0,3.0,8"]


@pytest.mark.parametrize("name", ["s.npz", "s.csv"])
def test_what_is_written_is_a_task_and_a_side_of_an_evaluation(tmp_path: Path, name: str) -> None:
    samples = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    write(tmp_path / name, samples, np.arange(60) % 3)
    task = find(f"array:{tmp_path / name}")
    assert isinstance(task, Arrays)
    np.testing.assert_allclose(task.x, samples, rtol=1e-6)
    assert task.modes.names == ("label 0", "label 1", "label 2")
    chunk = next(open_source(tmp_path / name, side="fake").chunks(60))
    assert chunk.features is not None
    assert chunk.labels is not None
    np.testing.assert_allclose(chunk.features, samples, rtol=1e-6)
    assert chunk.labels[:4] == ("0", "1", "2", "0")


@pytest.mark.parametrize("name", ["s.npz", "s.csv"])
def test_samples_that_find_no_room_leave_those_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    out, samples = tmp_path / name, np.zeros((3, 2), np.float32)
    write(out, samples, None)
    before = out.read_bytes()

    def full(*arguments: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez_compressed", full)
        patch.setattr("uncollapse.sampling._write_csv", full)
        with pytest.raises(OSError, match="No space left"):
            write(out, samples + 1, None)
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [name]
    write(out, samples + 1, None)
    assert out.read_bytes() != before


def test_a_folder_names_number_and_class(tmp_path: Path) -> None:
    write(tmp_path / "f", np.full((2, 8, 8), -1.0), np.array([4, 9]))
    assert sorted(path.name for path in (tmp_path / "f").iterdir()) == ["000000-class-4.png", "000001-class-9.png"]
    picture = np.asarray(Image.open(tmp_path / "f" / "000000-class-4.png"))
    assert picture.shape == (8, 8)
    assert not picture.any()


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("x.jpg", (8, 8), "'.jpg'; use .npz"),
        ("x.png", (2,), r"shape \(2,\) are no images"),
        ("folder", (2,), "are no images"),
        ("x.csv", (8, 8), "are images"),
    ],
)
def test_a_form_that_does_not_fit_is_refused(name: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_form(Path(name), shape)


def test_a_full_folder_is_not_mixed_with_new_pictures(tmp_path: Path) -> None:
    (tmp_path / "old.png").touch()
    with pytest.raises(UserError, match="not an empty folder"):
        check_form(tmp_path, (8, 8))


def test_a_users_arrays_come_back_in_their_own_units(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    Arrays(1_000 + 5 * rng.normal(size=(200, 2)), clusters=2).save(tmp_path / "data.npz")
    spec = make_spec("vanilla", f"array:{tmp_path}/data.npz", seeds=(1,), updates=2, batch=8)
    execute(spec, tmp_path / "run", device="cpu")
    write_samples(tmp_path / "run", 50, tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as archive:
        assert np.abs(archive["samples"] - 1_000).max() < 100


def test_impossible_numbers_and_labels_are_refused(tmp_path: Path) -> None:
    spec = make_spec("vanilla", "blobs-4", seeds=(1, 2), updates=2, batch=8)
    execute(spec, tmp_path / "run", device="cpu")
    out = tmp_path / "x.npz"
    for options, message in [
        ({"n": 0}, "--n 0"),
        ({"n": 1, "draw": -1}, "--draw -1"),
        ({"n": 1, "label": "0"}, "vanilla is not conditional"),
        ({"n": 1, "seed": 3}, "seed"),
        ({"n": 1, "weights": "worst"}, "Known: best, ema, live"),
    ]:
        with pytest.raises(UserError, match=message):
            write_samples(tmp_path / "run", out=out, **options)  # type: ignore[arg-type]
    assert not out.exists()


def test_the_best_weights_are_those_of_the_best_checkpoint(tmp_path: Path) -> None:
    spec = make_spec("vanilla", "blobs-4", seeds=(1, 2), updates=6, batch=8)
    run = execute(spec, tmp_path / "run", device="cpu")
    best, _ = checkpoint.best(tmp_path / "run" / "checkpoints")
    assert best is not None
    samples = {}
    for weights, name in (("best", "best"), ("ema", "averaged"), ("live", "live")):
        written = write_samples(tmp_path / "run", 9, tmp_path / f"{weights}.npz", seed=2, weights=weights, draw=3)
        assert written["weights"] == name
        with np.load(tmp_path / f"{weights}.npz") as archive:
            samples[weights] = archive["samples"]
    np.testing.assert_array_equal(samples["best"], run.samples(9, seed=2, weights="best", draw=3).numpy())
    assert (best.update == 6) == np.array_equal(samples["best"], samples["ema"])
    assert not np.array_equal(samples["best"], samples["live"])
    for path in (tmp_path / "run" / "checkpoints").glob("*/MANIFEST.json"):
        path.write_text("{")
    with pytest.raises(
        UserError, match=r"holds no best checkpoint: none was saved .*; choose averaged \(ema\) or live"
    ):
        write_samples(tmp_path / "run", 9, tmp_path / "none.npz", weights="best")
    assert not (tmp_path / "none.npz").exists()


def test_a_class_is_what_the_data_call_it() -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    numbers = Arrays(x, np.arange(60) % 5 + 1)
    assert [class_number(numbers, text) for text in ("1", "5", "label 2")] == [0, 4, 1]
    assert class_number(Arrays(x, np.arange(60) % 5 + 1.0), "3") == 2
    assert class_number(Arrays(x, np.array(["1", "0"] * 30)), "1") == 1
    assert class_number(find("digits"), "3") == class_number(find("digits"), "digit 3") == 3
    for task, text in ((numbers, "0"), (numbers, "6"), (numbers, "two"), (Arrays(x, np.array(["a", "b"] * 30)), "1")):
        with pytest.raises(UserError, match=r"does not exist; classes are [1a], [2b]"):
            class_number(task, text)


@pytest.mark.parametrize(
    ("values", "text"), [([3, 4, 5], "4"), (["ash", "elm/oak", "fir"], "elm/oak"), ([-1.5, 0.5, 2.0], "0.5")]
)
def test_labels_are_written_as_the_user_wrote_them(tmp_path: Path, values: list[object], text: str) -> None:
    labels = np.array(values)[np.arange(60) % 3]
    Arrays(np.random.default_rng(0).normal(size=(60, 2)), labels).save(tmp_path / "data.npz")
    spec = make_spec("cgan", f"array:{tmp_path}/data.npz", seeds=(1,), updates=2, batch=8)
    execute(spec, tmp_path / "run", device="cpu")
    write_samples(tmp_path / "run", 4, tmp_path / "one.csv", label=text)
    rows = (tmp_path / "one.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[-1] for row in rows] == ["label", *[text] * 4]
    write_samples(tmp_path / "run", 30, tmp_path / "all.npz")
    with np.load(tmp_path / "all.npz") as archive:
        assert sorted(set(archive["labels"].tolist())) == values


def test_a_label_in_a_files_name_names_no_folder(tmp_path: Path) -> None:
    write(tmp_path / "f", np.zeros((1, 8, 8)), np.array(["../up"]))
    assert [path.name for path in (tmp_path / "f").iterdir()] == ["000000-class-..-up.png"]


@pytest.mark.parametrize("first", [True, False])
def test_colours_stay_colours_whatever_axis_they_are_on(first: bool) -> None:
    red = np.zeros((2, 5, 7, 3))
    red[..., 0] = 1.0
    given = np.moveaxis(red, -1, 1) if first else red
    assert (upright(given, first=first) == red).all()
    grey = np.ones((2, 1, 5, 7)) if first else np.ones((2, 5, 7, 1))
    assert upright(grey, first=first).shape == (2, 5, 7)
    with pytest.raises(UserError, match="2 channels"):
        upright(np.ones((4, 2, 5, 7)), first=True)


def test_a_users_colour_images_are_drawn_with_their_colours(tmp_path: Path) -> None:
    images = np.zeros((60, 8, 6, 3))
    images[..., 0] = np.random.default_rng(0).uniform(0.5, 1, size=(60, 8, 6))  # shades of red
    Arrays(images, clusters=2).save(tmp_path / "data.npz")
    settings = {"networks.family": "dcgan", "networks.width": 4}
    spec = make_spec("vanilla", f"array:{tmp_path}/data.npz", seeds=(1,), updates=1, batch=8, settings=settings)
    assert spec.task.shape == (3, 8, 6)
    execute(spec, tmp_path / "run", device="cpu")
    write_samples(tmp_path / "run", 4, tmp_path / "x.npz")
    write_samples(tmp_path / "run", 4, tmp_path / "pictures")
    write_samples(tmp_path / "run", 4, tmp_path / "x.png")
    with np.load(tmp_path / "x.npz") as archive:
        assert archive["samples"].shape == (4, 8, 6, 3)
        assert np.abs(archive["samples"][..., 1:]).max() < 0.5 < archive["samples"][..., 0].mean()
    with Image.open(tmp_path / "pictures" / "000000.png") as picture, Image.open(tmp_path / "x.png") as table:
        assert np.asarray(picture).shape == (8, 6, 3)
        assert table.mode == "RGB"


def test_a_colour_task_of_ours_is_drawn(tmp_path: Path) -> None:
    task = find("stacked-digits", measure_size=1_000)
    execute(make_spec("vanilla", task, seeds=(1,), updates=1, batch=8), tmp_path / "run", device="cpu")
    write_samples(tmp_path / "run", 3, tmp_path / "pictures")
    write_samples(tmp_path / "run", 3, tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as archive:
        first = archive["samples"][0]
    assert first.shape[0] == 3
    with Image.open(tmp_path / "pictures" / "000000.png") as picture:
        found = np.asarray(picture)
    assert (found == pixels(np.moveaxis(first, 0, -1)[None])[0]).all()


def test_samples_of_ones_own_arrays_are_in_their_units(tmp_path: Path) -> None:
    """They were standardised: a good generator of numbers around 100 was judged as collapsed at 0."""
    rows = np.random.default_rng(0).normal((100, -40), (7, 2), (600, 2)).astype(np.float32)
    uc.tasks.Arrays(rows).save(tmp_path / "rows.npz")
    task = uc.tasks.find(f"array:{tmp_path / 'rows.npz'}")
    assert isinstance(task, Arrays)
    run = uc.train("vanilla", task, seeds=[0], updates=2, batch=8, out=tmp_path / "run", networks=MLP(width=4))
    drawn = run.samples(50, seed=0)
    raw = run._trainers[False].lane_samples(0, 50)
    torch.testing.assert_close(drawn, raw * torch.tensor(task._scale[1]) + torch.tensor(task._scale[0]))
    assert abs(drawn.mean(0) - torch.tensor([100.0, -40.0])).max() < 15
    uc.hub.save(run, tmp_path / "saved")
    torch.testing.assert_close(uc.hub.load(tmp_path / "saved").samples(50, seed=0), drawn)
    write_samples(tmp_path / "run", 50, tmp_path / "a.npz")
    np.testing.assert_allclose(np.load(tmp_path / "a.npz")["samples"], drawn.numpy(), rtol=1e-6)


@pytest.mark.parametrize("form", [list, np.array, torch.tensor])
def test_labels_may_be_a_list_an_array_or_a_tensor(form: Callable[[list[int]], object], tmp_path: Path) -> None:
    run = uc.train("cgan", "blobs-3", seeds=[0], updates=1, batch=8, out=tmp_path, networks=MLP(width=4))
    asked = torch.tensor([2, 0, 1])
    given: Any = form([2, 0, 1])
    assert torch.equal(run.samples(3, seed=0, labels=given), run.samples(3, seed=0, labels=asked))
    wrong: tuple[object, ...] = ([0.0, 1.0, 2.0], [0, 1, 3], [0, 1], [True, False, True], "abc", [[0], [1], [2]])
    for labels in wrong:
        with pytest.raises(UserError, match="labels must be 3 whole numbers from 0 to 2, one a sample"):
            run.samples(3, seed=0, labels=labels)  # type: ignore[arg-type]
