from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from uncollapse.report.evaluation_pictures import read_pictures


def arrays(**changes: Any) -> dict[str, Any]:
    good: dict[str, Any] = {
        "thumbs": np.zeros((3, 8, 8, 3), np.uint8),
        "map_features": np.zeros((5, 2), np.float32),
        "map_pca": np.zeros((5, 2), np.float32),
        "map_tsne": np.ones((5, 2), np.float32),
        "map_side": np.zeros(5, np.int8),
        "map_class": np.full(5, -1, np.int16),
        "map_state": np.array([0, 1, 0, 0, 0], np.int8),
        "points_real": np.zeros((7, 2), np.float32),
    }
    return {name: array for name, array in (good | changes).items() if array is not None}


def test_everything_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", **arrays())
    found = read_pictures(tmp_path / "p.npz")
    assert found.damaged == ()
    assert found.thumbs is not None
    assert found.thumbs.shape == (3, 8, 8, 3)
    assert list(found.maps) == ["Features", "PCA", "t-SNE"]
    assert found.marked is not None
    assert found.marked.tolist() == [False, True, False, False, False]
    assert found.points_real is not None
    assert found.points_fake is None


def test_without_the_file_there_are_no_pictures(tmp_path: Path) -> None:
    found = read_pictures(tmp_path / "p.npz")
    assert found.thumbs is None
    assert found.maps == {}
    assert found.damaged == ()


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("thumbs", np.zeros((3, 8, 8), np.uint8)),
        ("thumbs", np.zeros((3, 8, 8, 3), np.uint16)),
        ("thumbs", np.zeros((3, 65, 65, 3), np.uint8)),
        ("thumbs", np.zeros((3, 0, 0, 3), np.uint8)),
        ("map_pca", np.zeros((4, 2), np.float32)),
        ("map_tsne", np.zeros((5, 2), np.int8)),
        ("map_class", np.zeros(4, np.int16)),
        ("map_state", np.zeros(5, np.float32)),
        ("points_real", np.zeros((7, 3), np.float32)),
    ],
)
def test_what_has_a_wrong_shape_or_type_is_left_out_and_told(tmp_path: Path, name: str, array: Any) -> None:
    np.savez(tmp_path / "p.npz", **arrays(**{name: array}))
    found = read_pictures(tmp_path / "p.npz")
    assert found.damaged == (f"{name} in p.npz has a shape or a type that no evaluation writes, so it is left out.",)
    kept = {
        "thumbs": found.thumbs, "map_pca": found.maps.get("PCA"), "map_tsne": found.maps.get("t-SNE"),
        "map_class": found.classes, "map_state": found.marked, "points_real": found.points_real,
    }  # fmt: skip
    assert [key for key, value in kept.items() if value is None] == [name]


def test_maps_without_sides_cannot_be_drawn(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", **arrays(map_side=None))
    assert read_pictures(tmp_path / "p.npz").maps == {}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"\x93NUMPY\x01\x00v\x00", b"text"])
def test_a_damaged_file_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.npz").write_bytes(content)
    assert read_pictures(tmp_path / "p.npz").damaged == ("p.npz is damaged, so the pictures are left out.",)


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", thumbs=np.array([{"a": 1}], dtype=object))
    assert read_pictures(tmp_path / "p.npz").damaged == ("p.npz is damaged, so the pictures are left out.",)


def test_encrypted_pictures_are_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", **arrays())
    content = bytearray((tmp_path / "p.npz").read_bytes())
    content[content.index(b"PK\x01\x02") + 8] ^= 1
    (tmp_path / "p.npz").write_bytes(content)
    assert read_pictures(tmp_path / "p.npz").damaged == ("p.npz is damaged, so the pictures are left out.",)
