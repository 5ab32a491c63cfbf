from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.data.making import everything, features, opened, pictures, write_zip

from uncollapse.data.numpy_files import HEADER_BYTES, Statistics, open_npz, read_header
from uncollapse.data.statistics import StatisticsOnly
from uncollapse.errors import UserError

X = pictures(20)
V = np.random.default_rng(1).normal(size=(20, 3))


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_files_are_mapped_in_either_order(tmp_path: Path, order: str) -> None:
    np.save(tmp_path / "x.npy", np.array(X, order=order))
    np.save(tmp_path / "v.npy", np.array(V, order=order))
    np.testing.assert_array_equal(np.stack(everything(opened(tmp_path / "x.npy"))[0]), X)
    np.testing.assert_array_equal(features(opened(str(tmp_path / "v.npy"))), V)
    assert opened(tmp_path / "x.npy").content_hash() == opened(X).content_hash()


@pytest.mark.parametrize("key", ["images", "features", "x", "samples", "arr_0"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_files_by_the_names_of_their_rows(tmp_path: Path, key: str, save: object) -> None:
    save(tmp_path / "a.npz", **{key: X, "labels": np.arange(20) % 3})  # type: ignore[operator]
    source = opened(tmp_path / "a.npz")
    images, labels, _ = everything(source)
    np.testing.assert_array_equal(np.stack(images), X)
    assert labels == [str(k % 3) for k in range(20)]
    assert source.form == "NumPy archive"


def test_the_layout_of_guided_diffusion(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X, np.arange(20))
    assert everything(opened(tmp_path / "a.npz"))[1] == [str(k) for k in range(20)]
    np.savez(tmp_path / "b.npz", X, V)  # the second array is something else
    assert not opened(tmp_path / "b.npz").labelled


def test_an_npz_in_fortran_order_and_texts_as_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", features=np.asfortranarray(V), labels=np.array(["cat", "dog"] * 10))
    source = opened(tmp_path / "a.npz")
    np.testing.assert_array_equal(features(source), V)
    assert next(source.chunks(2)).labels == ("cat", "dog")


def test_a_long_npz_is_unpacked_piece_by_piece(tmp_path: Path) -> None:
    long = np.random.default_rng(0).normal(size=(3000, 400))  # 9.6 MB, beyond every buffer
    np.savez_compressed(tmp_path / "a.npz", features=long)
    np.testing.assert_array_equal(features(opened(tmp_path / "a.npz"), 500), long)


def test_samples_of_a_generator_that_draws_one_image_only_are_honest(tmp_path: Path) -> None:
    """They shrink several hundredfold, as a bomb does; this package is made for them."""
    np.savez_compressed(tmp_path / "a.npz", images=np.repeat(X[:1], 600_000, axis=0))
    assert (tmp_path / "a.npz").stat().st_size < 600_000 * 35 / 200
    source = opened(tmp_path / "a.npz", n=100)
    assert all((image == X[0]).all() for image in everything(source)[0])


def test_statistics_of_other_tools(tmp_path: Path) -> None:
    covariance = np.cov(V.T)
    np.savez(tmp_path / "s.npz", mu=V.mean(0), sigma=covariance)
    source = opened(tmp_path / "s.npz")
    assert isinstance(source, StatisticsOnly)
    np.testing.assert_array_equal(source.mean, V.mean(0))
    np.testing.assert_array_equal(source.covariance, covariance)
    assert (source.kind, source.rows, source.count) == ("statistics", None, 0)
    np.savez(tmp_path / "n.npz", mu=V.mean(0).astype("f4"), sigma=covariance.astype("f4"), n=np.int64(20))
    found = open_npz(tmp_path / "n.npz", "real")
    assert isinstance(found, Statistics)
    assert (found.rows, found.mean.dtype) == (20, np.float64)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mu": np.zeros(3), "sigma": np.eye(2)}, r"mu of shape \(3,\) and sigma of shape \(2, 2\)"),
        ({"mu": np.zeros(2), "sigma": np.array([[1, 2], [3, 1.0]])}, "not symmetric"),
        ({"mu": np.array([0, np.nan]), "sigma": np.eye(2)}, "not finite"),
        ({"mu": np.array(["a", "b"]), "sigma": np.eye(2)}, "not real numbers"),
        ({"mu": np.zeros(2), "sigma": np.eye(2), "n": np.array(0)}, "no whole number above 0"),
        ({"data": V}, "holds data; name the rows one of images, features, x, samples, arr_0, or give mu and sigma"),
        ({"features": V, "labels": np.arange(3)}, "has 20 rows and 3 labels"),
        ({"features": V, "labels": np.eye(20)}, "take argmax"),
        ({"features": np.array(1.0), "labels": np.arange(3)}, "0 rows and 3 labels"),
    ],
)
def test_npz_files_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError, match=message):
        opened(tmp_path / "a.npz")


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    objects = np.array([{"a": 1}] * 4, dtype=object)
    np.save(tmp_path / "a.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "a.npz", features=objects, allow_pickle=True)
    np.savez(tmp_path / "b.npz", features=V, labels=objects)
    records = np.zeros(3, dtype=[("a", "f8"), ("b", "i4")])
    np.save(tmp_path / "b.npy", records)
    (tmp_path / "c.npy").write_bytes(pickle.dumps([1, 2]))
    for name in ("a.npy", "a.npz", "b.npz", "b.npy"):
        with pytest.raises(UserError, match="Python objects or records, which are never loaded"):
            opened(tmp_path / name)
    with pytest.raises(UserError, match=r"no readable .npy file"):
        opened(tmp_path / "c.npy")


def header(shape: tuple[int, ...], descr: str = "<f8") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def test_headers_by_hand() -> None:
    start = header((2, 3))
    found = read_header(start + bytes(48), len(start) + 48, "real")
    assert (found.shape, found.dtype, found.start, found.length) == ((2, 3), np.float64, len(start), len(start) + 48)
    for length in (len(start) + 47, len(start) + 49, 10**9):
        with pytest.raises(UserError, match=r"in a file of .* it is damaged or forged"):
            read_header(start, length, "real")
    with pytest.raises(UserError, match="announces the shape"):
        read_header(header((-2, 3)), len(start), "real")
    with pytest.raises(UserError, match=r"NumPy's format 9.1"):
        read_header(b"\x93NUMPY\x09\x01" + bytes(100), 108, "real")


@pytest.mark.parametrize(
    ("shape", "kind", "message"),
    [
        ((0, 10**30), "<f4", "announces the shape"),
        ((0, 2**62), "<f8", "announces the shape"),
        ((0,) * 70, "<f4", "announces the shape"),
        ((10**12,), "<U0", "holds texts or bytes of no length"),
    ],
)
def test_an_array_that_numpy_cannot_make_is_a_sentence(
    tmp_path: Path, shape: tuple[int, ...], kind: str, message: str
) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    (tmp_path / "a.npy").write_bytes(stream.getvalue())
    write_zip(tmp_path / "a.npz", {"features.npy": stream.getvalue()})
    for name in ("a.npy", "a.npz"):
        with pytest.raises(UserError, match=message):
            opened(tmp_path / name)


def test_a_forged_shape_asks_for_no_memory(tmp_path: Path) -> None:
    start = header((50_000_000_000,))
    (tmp_path / "a.npy").write_bytes(start)
    with pytest.raises(UserError, match=r"announces 400.0 GB of numbers in a file of 128 B"):
        opened(tmp_path / "a.npy")
    with pytest.raises(UserError, match=r"announces 400.0 GB of numbers in a file of 128 B"):
        opened(write_zip(tmp_path / "a.npz", {"images.npy": start}))
    assert len(start) < HEADER_BYTES


def test_damage_inside_of_an_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", features=np.random.default_rng(0).random((1000, 30)))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[100_000] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UserError, match="is damaged in the archive; save it again"):
        opened(tmp_path / "a.npz")


def test_an_empty_array(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((0, 3)))
    np.savez(tmp_path / "a.npz", x=np.zeros((0, 3)))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(UserError, match="has no rows"):
            opened(tmp_path / name)


def test_other_zips_named_npz(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds nothing; name the rows"):
        opened(write_zip(tmp_path / "a.npz", {}))
    with pytest.raises(UserError, match=r"no readable .npy file"):
        opened(write_zip(tmp_path / "b.npz", {"x": b"hello"}, zipfile.ZIP_STORED))
