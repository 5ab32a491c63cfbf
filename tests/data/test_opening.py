from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.data.making import encoded, everything, features, opened, pictures, png_files, write_folder, write_zip

from uncollapse.data.opening import MODELS, open_source
from uncollapse.errors import UserError

X = pictures(10)


def test_text_path_and_home_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_zip(tmp_path / "a.zip", png_files(X))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    wanted = everything(opened(tmp_path / "a.zip"))[2]
    for given in (str(tmp_path / "a.zip"), "a.zip", "./a.zip", "~/a.zip"):
        assert everything(opened(given))[2] == wanted
        assert opened(given).name == given


def test_an_opened_source_passes_through(tmp_path: Path) -> None:
    source = opened(X)
    assert opened(source) is source
    with pytest.raises(UserError, match="is an opened source; give n and labels where it is opened"):
        opened(source, n=3)


def test_one_image_of_pillow_is_a_data_set_of_one() -> None:
    images, _, _ = everything(opened(Image.fromarray(X[0])))
    np.testing.assert_array_equal(np.stack(images), X[:1])


def test_a_pair_of_arrays_is_rows_and_labels() -> None:
    for given in ((X, np.arange(10) % 2), (torch.from_numpy(X.copy()), torch.arange(10) % 2), (X, list("0101010101"))):
        images, labels, _ = everything(opened(given))
        np.testing.assert_array_equal(np.stack(images), X)
        assert labels == list("0101010101")
    assert everything(opened((X, np.arange(10)), labels=list("abcdefghij")))[1] == list("abcdefghij")
    with pytest.raises(UserError, match="one number"):
        everything(opened((X, X[:9])))


def test_a_list_of_lists_of_numbers_is_an_array() -> None:
    np.testing.assert_array_equal(features(opened([[1, 2], [3, 4], [5, 6]])), [[1, 2], [3, 4], [5, 6]])


@pytest.mark.parametrize("make", ["folder", "zip", "array", "tensor"])
def test_fewer_rows_are_chosen_at_random_and_keep_their_order(tmp_path: Path, make: str) -> None:
    rows = np.arange(100, dtype=np.uint8).reshape(100, 1, 1).repeat(5, 1).repeat(6, 2)
    files = {f"{k:03}.png": encoded(row) for k, row in enumerate(rows)}
    given = {
        "folder": lambda: write_folder(tmp_path / "f", files),
        "zip": lambda: write_zip(tmp_path / "a.zip", files),
        "array": lambda: rows,
        "tensor": lambda: torch.from_numpy(rows.copy()),
    }[make]()
    chosen = [int(image[0, 0]) for image in everything(opened(given, n=30))[0]]
    assert chosen == sorted(set(chosen))
    assert len(chosen) == 30
    assert max(chosen) > 60  # not simply the first ones
    assert [int(image[0, 0]) for image in everything(opened(given, n=30))[0]] == chosen
    assert [int(image[0, 0]) for image in everything(opened(given, n=30, seed=1))[0]] != chosen
    assert opened(given, n=30).count == 30
    assert opened(given, n=100).count == 100
    with pytest.raises(UserError, match="has 100 rows, fewer than the 101 asked for"):
        opened(given, n=101)


def test_labels_from_outside_come_before_the_datas_own(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "f", png_files(X[:3], ["a/0.png", "b/1.png", "b/2.png"]))
    assert everything(opened(folder, labels=["x", "y", "z"]))[1] == ["x", "y", "z"]
    with pytest.raises(UserError, match="has 3 rows and 2 labels"):
        opened(folder, labels=[1, 2])


@pytest.mark.parametrize("ending", MODELS)
def test_weights_of_models_are_refused_with_what_to_do_instead(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"model{ending}").write_bytes(pickle.dumps({"g": 1}))
    with pytest.raises(
        UserError, match=r"give samples that it draws, as .npz or as a folder of images. Such files can run code"
    ):
        opened(tmp_path / f"model{ending}")


def test_what_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(X[0]))
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "a.tar.xz").write_bytes(b"x")
    (tmp_path / "noending").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe.zip")
    for name, message in (
        ("gone", r"real \(.*gone\) does not exist; give a folder of images, .zip"),
        ("a.png/x", "does not exist"),
        ("a.png", "is a single image; give the folder"),
        ("a.txt", "is of no kind that is read; give a folder"),
        ("noending", "is of no kind that is read"),
        ("a.tar.xz", "packed in a way that is not read; pack it as .zip"),
        ("pipe.zip", "is neither a file nor a folder"),
        ("n" * 300, "cannot be opened: file name too long"),
        ("nul\0byte", "cannot be opened"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            opened(f"{tmp_path}/{name}")
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="neither a file nor a folder"):
        opened("")
    with pytest.raises(UserError, match=r"cannot be opened|does not exist"):
        opened("~nobodyhere/x")


def test_what_was_saved_to_be_shared_is_opened_in_python(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"is a generator that was saved to be shared; open it in Python, run = uc\.hub"
    ):
        opened(write_folder(tmp_path / "s", {"config.json": b"{}", "model.safetensors": b"", "samples.png": b""}))


def test_a_comparison_is_many_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a comparison of many runs; give one of the run folders in it"):
        opened(write_folder(tmp_path / "c", {"comparison.json": b"{}", "plan.lock.json": b"{}"}))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "NoneType. gives no rows; give a folder of images"),
        (3, "gives no rows"),
        ({"a": 1}, r"dict. is a collection of several things; give the one that holds the rows, .* or the path of"),
        (b"abc", "gives no rows"),
        (dict, "gives no rows"),
        (torch.nn.Linear(2, 2), "is a network; give a function of the number of samples"),
    ],
)
def test_objects_without_rows(given: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        opened(given)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("n", 0),
        ("n", 2.5),
        ("n", "3"),
        ("n", True),
        ("max_bad", None),
        ("max_bad", "1"),
        ("max_bad", -0.1),
        ("max_bad", 1.5),
    ],
)
def test_settings_out_of_range(option: str, value: object) -> None:
    with pytest.raises(UserError, match=rf"^{option}( \(--max-bad\))? must"):
        open_source(X, side="real", **{option: value})  # type: ignore[arg-type]


def test_statistics_have_no_rows_to_choose(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", mu=np.zeros(2), sigma=np.eye(2))
    with pytest.raises(UserError, match="no rows to choose 5 of"):
        opened(tmp_path / "s.npz", n=5)
    with pytest.raises(UserError, match="takes no labels"):
        opened(tmp_path / "s.npz", labels=[1])


def test_the_side_names_itself_in_messages(tmp_path: Path) -> None:
    for side in ("fake", "train"):
        with pytest.raises(UserError, match=rf"^{side} \("):
            open_source(tmp_path / "gone", side=side)


def test_a_run_that_was_saved_to_be_shared_names_how_its_samples_are_given() -> None:
    class Saved:
        seeds = (3,)

        def samples(self, n: int, *, seed: int) -> np.ndarray:
            return np.full((n, 2), float(seed))

    with pytest.raises(UserError, match=r"give run\.samples\(2_000, seed=run\.seeds\[0\]\)"):
        opened(Saved())

    class Drawing(Saved):
        def __call__(self, n: int) -> np.ndarray:
            return self.samples(n, seed=3)

    class Rows(Saved):
        def __iter__(self) -> Iterator[np.ndarray]:
            return iter(self.samples(20, seed=3))

    for given in (Drawing(), Rows()):  # which say themselves how they are read
        assert opened(given, n=20).kind == "features"
    assert opened(np.zeros((20, 2)), max_bad=np.float32(0.1)).kind == "features"
    chunk = next(opened(lambda n: Saved().samples(n, seed=3), n=20).chunks(20))
    assert chunk.features is not None
    assert (chunk.features == 3.0).all()
