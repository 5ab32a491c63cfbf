"""Files of samples read in part: the right rows of every lane, and a sentence for what is damaged or forged."""

from __future__ import annotations

import io
import pickle
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.watch.making import write_samples

from uncollapse.errors import UserError
from uncollapse.watch import samples
from uncollapse.watch.samples import IMAGES, POINTS, is_image, list_files, read_shown


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2,), False),
        ((784,), False),
        ((8, 8), True),
        ((1, 8, 8), True),
        ((3, 16, 16), True),
        ((5, 8, 8), False),
        ((1, 2, 3, 4), False),
    ],
)
def test_what_is_a_picture(shape: tuple[int, ...], expected: bool) -> None:
    assert is_image(shape) is expected


def test_every_lane_keeps_evenly_picked_samples(tmp_path: Path) -> None:
    whole = np.arange(3 * 1_000 * 2, dtype=np.float32).reshape(3, 1_000, 2)
    shown = read_shown(write_samples(tmp_path, 5, whole))
    picked = np.unique(np.linspace(0, 999, POINTS).round().astype(int))
    np.testing.assert_array_equal(shown.samples, whole[:, picked])
    assert (shown.shape, shown.images) == ((2,), False)


def test_few_samples_are_kept_whole_and_as_floats(tmp_path: Path) -> None:
    whole = np.arange(2 * 4 * 64, dtype=np.uint8).reshape(2, 4, 8, 8)
    shown = read_shown(write_samples(tmp_path, 5, whole))
    np.testing.assert_array_equal(shown.samples, whole.astype(np.float32))
    assert shown.images


def test_pictures_are_kept_as_many_as_are_drawn(tmp_path: Path) -> None:
    whole = np.random.default_rng(0).standard_normal((5, 200, 3, 4, 4)).astype(np.float64)
    shown = read_shown(write_samples(tmp_path, 5, whole))
    assert shown.samples.shape == (5, IMAGES, 3, 4, 4)
    np.testing.assert_array_equal(shown.samples[4, -1], whole[4, -1].astype(np.float32))


@pytest.mark.parametrize("block", [1, 300, 2_500, 10**6])
def test_the_right_rows_are_kept_however_few_are_read_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(samples, "BLOCK_BYTES", block)
    whole = np.random.default_rng(0).standard_normal((3, 60, 4, 4)).astype(np.float32)
    picked = np.linspace(0, 59, IMAGES).round().astype(int)
    np.testing.assert_array_equal(read_shown(write_samples(tmp_path, 5, whole)).samples, whole[:, picked])


def test_of_large_samples_fewer_are_kept_and_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.zeros((2, 25, 200, 200), np.uint8)
    whole += np.arange(25, dtype=np.uint8)[:, None, None]
    path = write_samples(tmp_path, 5, whole)
    assert path.stat().st_size < 20_000
    monkeypatch.setattr(samples, "BLOCK_BYTES", 100_000)
    monkeypatch.setattr(samples, "MOST_SHOWN_BYTES", 3 * 2 * 4 * 200 * 200)
    tracemalloc.start()
    shown = read_shown(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(shown.samples, whole[:, [0, 12, 24]].astype(np.float32))
    assert peak < samples.MOST_SHOWN_BYTES + 500_000
    monkeypatch.setattr(samples, "MOST_SHOWN_BYTES", 2 * 4 * 200 * 200 - 1)
    with pytest.raises(UserError, match="more samples than a page can show"):
        read_shown(path)


def test_the_list_of_files_is_in_order_and_leaves_links_and_others_out(tmp_path: Path) -> None:
    for update in (300, 7):
        write_samples(tmp_path, update, np.zeros((1, 2, 2), np.float32))
    folder = tmp_path / "samples"
    (folder / "step-5.npz").symlink_to(folder / "step-00000007.npz")
    (folder / "step-00000009.npz").mkdir()
    for name in ("final.npz", "step-x.npz", "step-1.npz.tmp", ".step-00000001.npz.99.tmp"):
        (folder / name).touch()
    assert list(list_files(tmp_path)) == [7, 300]
    assert list_files(tmp_path / "absent") == {}


def damaged(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "torn":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("<script>alert(1)</script>")
    elif how == "flipped":
        middle = len(content) // 3
        path.write_bytes(
            content[:middle] + bytes(byte ^ 255 for byte in content[middle : middle + 40]) + content[middle + 40 :]
        )
    elif how == "gone":
        path.unlink()
    elif how == "link":
        path.rename(path.with_name("real"))
        path.symlink_to(path.with_name("real"))


@pytest.mark.parametrize("how", ["torn", "empty", "text", "flipped", "gone", "link"])
def test_a_damaged_file_is_refused_with_a_sentence(tmp_path: Path, how: str) -> None:
    path = write_samples(tmp_path, 5, np.random.default_rng(0).standard_normal((2, 100, 2)).astype(np.float32))
    damaged(path, how)
    with pytest.raises(UserError, match=r"step-00000005.npz (is damaged|is not there)"):
        read_shown(path)


def forged(path: Path, content: bytes, name: str = "samples.npy") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return path


def npy(array: np.ndarray, **options: bool) -> bytes:  # type: ignore[type-arg]
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (Path(tmp_path / "ran"),))  # type: ignore[return-value]

    objects = npy(np.array([[[Bomb()]]], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="never loaded"):
        read_shown(forged(tmp_path / "a.npz", objects))
    with pytest.raises(UserError, match=r"no readable|damaged"):
        read_shown(forged(tmp_path / "b.npz", pickle.dumps(Bomb())))
    assert not (tmp_path / "ran").exists()


def test_headers_that_announce_more_than_there_is_are_refused(tmp_path: Path) -> None:
    content = npy(np.zeros((2, 4, 2), np.float32))
    huge = content.replace(b"(2, 4, 2)", b"(2, 9999999, 2)"[:9].ljust(9))
    with pytest.raises(UserError):
        read_shown(forged(tmp_path / "a.npz", huge))
    with pytest.raises(UserError, match="announces"):
        read_shown(forged(tmp_path / "b.npz", content + b"more"))


@pytest.mark.parametrize(
    "array", [np.zeros((4, 2)), np.zeros((0, 4, 2)), np.zeros((2, 3, 2), complex), np.full((2, 3, 2), "x")]
)
def test_arrays_of_another_form_are_refused(tmp_path: Path, array: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises(UserError, match="holds no samples of the form"):
        read_shown(forged(tmp_path / "a.npz", npy(array)))


def test_a_file_without_samples_and_one_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="is damaged"):
        read_shown(write_samples(tmp_path, 1, np.zeros((1, 2, 2)), name="labels"))
    path = write_samples(tmp_path, 2, np.zeros((4, 1_000, 2), np.float32))
    monkeypatch.setattr(samples, "MOST_LANE_BYTES", 7_999)
    with pytest.raises(UserError, match="more samples than a page can show"):
        read_shown(path)
    monkeypatch.setattr(samples, "MOST_LANE_BYTES", 8_000)
    assert read_shown(path).samples.shape == (4, POINTS, 2)
    monkeypatch.setattr(samples, "MOST_BYTES", 1_000)
    with pytest.raises(UserError, match="more samples than a page can show"):
        read_shown(path)
