"""Pictures of a snapshot: one a seed, of the samples that are in the file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from uncollapse.integrations.pictures import SEEDS, snapshot_pictures


def kept(folder: Path, samples: np.ndarray) -> Path:
    (folder / "samples").mkdir(exist_ok=True)
    np.savez_compressed(folder / "samples" / "step-00000040.npz", samples=samples.astype(np.float32))
    return folder


def test_images_are_shown_as_they_are(tmp_path: Path) -> None:
    images = np.zeros((2, 30, 8, 8))
    images[0, 0, :4] = 1.0
    found = dict(snapshot_pictures(kept(tmp_path, images), 40))
    assert list(found) == [0, 1]
    first, second = (np.asarray(Image.open(io.BytesIO(found[place])).convert("L")) for place in (0, 1))
    assert set(np.unique(second)) <= {0}
    zoom = first.shape[0] // 40
    assert (first[: 4 * zoom, : 8 * zoom] == 255).all()
    assert (first[4 * zoom : 8 * zoom, : 8 * zoom] == 0).all()


def test_points_are_drawn_where_they_lie(tmp_path: Path) -> None:
    points = np.zeros((1, 200, 2))
    points[0, :100] = 0.9
    points[0, 100:] = -0.9
    ((_, png),) = snapshot_pictures(kept(tmp_path, points), 40)
    ink = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))[..., 3] > 0
    middle = len(ink) // 2
    assert ink[:middle, middle:].any(), "the upper right"
    assert ink[middle:, :middle].any(), "the lower left"
    assert not ink[:middle, :middle].any()


def test_only_the_first_seeds_and_nothing_without_a_readable_file(tmp_path: Path) -> None:
    assert len(dict(snapshot_pictures(kept(tmp_path, np.zeros((20, 30, 4, 4))), 40))) == SEEDS
    assert dict(snapshot_pictures(tmp_path, 41)) == {}
    (tmp_path / "samples" / "step-00000042.npz").write_bytes(b"torn")
    assert dict(snapshot_pictures(tmp_path, 42)) == {}
