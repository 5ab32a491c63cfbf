from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.data.making import everything, features, opened, pictures

from uncollapse.data import hdf5 as module
from uncollapse.data.limits import short_label
from uncollapse.errors import UserError

h5py = pytest.importorskip("h5py", reason="h5py (the extra [hdf5]) is not installed here")

X = pictures(20)


@pytest.mark.parametrize("ending", [".h5", ".hdf5"])
@pytest.mark.parametrize(
    "labels", [np.arange(20) % 3, np.array([b"0", b"1", b"2"] * 7)[:20], ["0", "1", "2"] * 6 + ["0", "1"]]
)
def test_images_and_labels(tmp_path: Path, ending: str, labels: object) -> None:
    with h5py.File(tmp_path / f"a{ending}", "w") as file:
        file.create_dataset("images", data=X, chunks=(3, 5, 7), compression="gzip")
        file["labels"] = labels
    source = opened(tmp_path / f"a{ending}")
    images, texts, _ = everything(source)
    np.testing.assert_array_equal(np.stack(images), X)
    assert texts == [str(k % 3) for k in range(20)]
    np.testing.assert_array_equal(source.fetch([17])[0], X[17])
    assert source.content_hash() == opened(X, labels=[k % 3 for k in range(20)]).content_hash()


def test_many_references_to_one_long_label(tmp_path: Path) -> None:
    """A small file whose labels are all the same long text asks for as much memory and time as a large one."""
    file = tmp_path / "a.h5"
    with h5py.File(file, "w") as written:
        written["images"] = X
        labels = written.create_dataset("labels", (20,), h5py.string_dtype())
        labels[0] = "x" * 10**6
        place = labels.id.get_offset()
    content = bytearray(file.read_bytes())
    content[place : place + 20 * 16] = content[place : place + 16] * 20
    file.write_bytes(content)
    started = time.perf_counter()
    assert everything(opened(file))[1] == [short_label("x" * 10**6)] * 20
    assert time.perf_counter() - started < 2


def test_labels_of_too_many_letters_together_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for labels in (["x" * 900] * 20, np.array([b"x" * 900] * 20)):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["images"], file["labels"] = X, labels
        assert everything(opened(tmp_path / "a.h5"))[1] == [short_label("x" * 900)] * 20
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = X
        file.create_dataset("labels", data=np.array([b"x" * 90_000] * 20), chunks=(20,), compression="gzip")
    monkeypatch.setattr(module, "MOST_TEXT_BYTES", 1_000_000)
    with pytest.raises(UserError, match=r"has labels of more than 1.8 MB together; give shorter ones"):
        opened(tmp_path / "a.h5")


def test_features_and_a_choice_of_rows(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["features"] = rows
    np.testing.assert_array_equal(features(opened(tmp_path / "a.h5")), rows)
    chosen = opened(tmp_path / "a.h5", n=5)
    picked = [int(name.split()[1]) for chunk in chosen.chunks(9) for name in chunk.names]
    np.testing.assert_array_equal(features(chosen), rows[picked])


def test_other_content_is_refused(tmp_path: Path) -> None:
    def made(**content: object) -> Path:
        with h5py.File(tmp_path / "a.h5", "w") as file:
            for name, value in content.items():
                file[name] = value
        return tmp_path / "a.h5"

    for content, message in (
        ({"data": X}, "holds data; name the data set images or features, and labels beside it"),
        ({}, "holds nothing"),
        ({"images/x": X}, "a group in place of 'images'"),
        ({"images": ["a", "b"]}, "'images' of type object"),
        ({"images": 3.0}, r"shape \(\)"),
        ({"images": X, "labels": np.arange(3)}, "20 rows and 3 labels"),
        ({"images": X, "labels": ["a"] * 3}, r"20 rows and labels of shape \(3,\); give one label a row"),
        ({"features": np.zeros((3, 2), dtype=complex)}, "type complex128"),
    ):
        with pytest.raises(UserError, match=message):
            opened(made(**content))


def test_the_weights_of_a_model_are_no_samples(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group("model_weights")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.attrs["keras_version"] = "2.3"
    for name in ("a.h5", "b.h5"):
        with pytest.raises(UserError, match="holds the weights of a model, not samples"):
            opened(tmp_path / name)


def test_numbers_that_were_never_stored_are_not_read_as_zeros(tmp_path: Path) -> None:
    for options, message in (
        ({"shape": (10**6, 64, 64)}, r"announces 4.1 GB in 'images' in a file of .*; it is unfinished or forged"),
        ({"shape": (90, 8, 8)}, "has 0 of 1 pieces of 'images'"),
        ({"shape": (90, 8, 8), "chunks": (20, 8, 8)}, "has 1 of 5 pieces of 'images', the others were never written"),
    ):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            data = file.create_dataset("images", dtype="u1", **options)
            if "chunks" in options:
                data[:20] = 7
        with pytest.raises(UserError, match=message):
            opened(tmp_path / "a.h5")


def test_samples_of_a_generator_that_draws_one_image_only_are_honest(tmp_path: Path) -> None:
    """They shrink a thousandfold, as a bomb does; this package is made for them."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("images", data=np.repeat(X[:1], 600_000, axis=0), chunks=(60_000, 5, 7), compression="gzip")
    assert (tmp_path / "a.h5").stat().st_size < 600_000 * 35 / 200
    assert opened(tmp_path / "a.h5").count == 600_000


def test_damaged_files(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = X
    content = (tmp_path / "a.h5").read_bytes()
    for broken in (b"", b"x" * 1000, content[:300]):
        (tmp_path / "a.h5").write_bytes(broken)
        with pytest.raises(UserError, match="HDF5 file"):
            opened(tmp_path / "a.h5")


def test_without_h5py_the_sentence_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.h5").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match=r"needs h5py; install it with pip install 'uncollapse\[hdf5\]'"):
        opened(tmp_path / "a.h5")
