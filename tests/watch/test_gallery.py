"""The samples of a run as they are asked for: each file read once, damaged ones passed over, memory bounded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.watch.making import cloud, write_samples

from uncollapse.errors import UserError
from uncollapse.watch import gallery, samples
from uncollapse.watch.gallery import Gallery


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def shown(clock: list[float]) -> Gallery:
    return Gallery(clock=lambda: clock[0])


def test_points(tmp_path: Path, shown: Gallery) -> None:
    for update in (0, 100):
        write_samples(tmp_path, update, cloud(3, update))
    overview = shown.overview(tmp_path)
    assert overview is not None
    assert (overview["updates"], overview["kind"], overview["note"]) == ([0, 100], "points", "")
    assert overview["frame"][2] > 2
    found = shown.points(tmp_path, 100, 1, 5)
    assert len(found) == 2
    np.testing.assert_allclose(np.array(found[0]["xy"]).reshape(-1, 2), cloud(3, 100)[1], rtol=1e-3)
    with pytest.raises(UserError, match="There are no images"):
        shown.image(tmp_path, 100, 0)


def test_images(tmp_path: Path, shown: Gallery) -> None:
    write_samples(tmp_path, 0, np.random.default_rng(0).random((2, 30, 8, 8)).astype(np.float32))
    overview = shown.overview(tmp_path)
    assert overview == {"updates": [0], "kind": "images", "frame": None, "note": ""}
    assert shown.image(tmp_path, 0, 1).startswith(b"\x89PNG")
    with pytest.raises(UserError, match="There are no images of lane 2"):
        shown.image(tmp_path, 0, 2)
    with pytest.raises(UserError, match="There are no images of lane -1"):
        shown.image(tmp_path, 0, -1)
    with pytest.raises(UserError, match="has no points"):
        shown.points(tmp_path, 0, 0, 1)


def test_nothing_there(tmp_path: Path, shown: Gallery) -> None:
    assert shown.overview(tmp_path) is None
    with pytest.raises(UserError, match="There is no snapshot of update 5"):
        shown.points(tmp_path, 5, 0, 1)


def test_a_damaged_file_is_passed_over(tmp_path: Path, shown: Gallery) -> None:
    write_samples(tmp_path, 0, cloud(2, 0))
    write_samples(tmp_path, 100, cloud(2, 100)).write_bytes(b"torn")
    overview = shown.overview(tmp_path)
    assert overview is not None
    assert overview["updates"] == [0, 100]
    assert len(shown.points(tmp_path, 0, 0, 2)) == 2
    with pytest.raises(UserError, match="damaged"):
        shown.points(tmp_path, 100, 0, 2)


def test_new_snapshots_are_seen_but_the_folder_is_listed_once_a_second(
    tmp_path: Path, shown: Gallery, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, read = [], []
    monkeypatch.setattr(gallery, "list_files", lambda folder: (listed.append(folder), samples.list_files(folder))[1])
    monkeypatch.setattr(gallery, "read_shown", lambda path: (read.append(path.name), samples.read_shown(path))[1])
    write_samples(tmp_path, 0, cloud(2, 0))
    for _ in range(10):  # ten viewers
        shown.overview(tmp_path)
        shown.points(tmp_path, 0, 0, 2)
    assert (len(listed), read) == (1, ["step-00000000.npz"])
    write_samples(tmp_path, 100, cloud(2, 100))
    clock[0] = 1.0
    overview = shown.overview(tmp_path)
    assert overview is not None
    assert overview["updates"] == [0, 100]
    assert (len(listed), len(read)) == (2, 2)


def test_a_file_that_is_written_again_is_read_again(tmp_path: Path, shown: Gallery, clock: list[float]) -> None:
    write_samples(tmp_path, 0, cloud(1, 0))
    before = shown.points(tmp_path, 0, 0, 1)
    write_samples(tmp_path, 0, cloud(1, 999))
    clock[0] = 1.0
    after = shown.points(tmp_path, 0, 0, 1)
    assert before != after
    np.testing.assert_allclose(np.array(after[0]["xy"]).reshape(-1, 2), cloud(1, 999)[0], rtol=1e-3)


def test_what_is_kept_is_bounded(tmp_path: Path, shown: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    size = cloud(2, 0).nbytes
    monkeypatch.setattr(gallery, "MOST_KEPT", 3 * size)
    for update in range(8):
        write_samples(tmp_path, update, cloud(2, update))
    shown.overview(tmp_path)
    for update in range(8):
        shown.points(tmp_path, update, 0, 2)
    assert shown._bytes <= 3 * size
    assert shown._bytes == sum(it.samples.nbytes for it in shown._kept.values())


def test_snapshots_of_another_shape_do_not_mix(tmp_path: Path, shown: Gallery) -> None:
    write_samples(tmp_path, 0, np.zeros((2, 9, 5), np.float32))
    write_samples(tmp_path, 100, cloud(2, 100))
    assert shown.overview(tmp_path) is not None
    with pytest.raises(UserError, match="has no points that fit"):
        shown.points(tmp_path, 0, 0, 2)
