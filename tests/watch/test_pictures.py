"""Drawings of samples: pixels at their places, axes against scikit-learn, windows that no exploded snapshot spoils."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA

from uncollapse.watch import pictures
from uncollapse.watch.pictures import Plane, cloud_json, sheet, tones, window


def test_points_of_the_plane_are_themselves() -> None:
    samples = np.random.default_rng(0).standard_normal((2, 5, 2)).astype(np.float32)
    plane = Plane.of(samples)
    np.testing.assert_allclose(plane.points(samples[1]), samples[1])
    assert plane.note == ""


def test_vectors_are_shown_along_their_principal_axes() -> None:
    draw = np.random.default_rng(1)
    rows = draw.standard_normal((60, 5)) * [5, 1, 3, 0.1, 0.2]
    samples = rows.reshape(2, 30, 5).astype(np.float32)
    plane = Plane.of(samples)
    expected = PCA(2).fit_transform(rows)
    found = np.concatenate([plane.points(lane) for lane in samples])
    # Axes have no direction of their own.
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-4)
    assert "principal axes" in plane.note
    np.testing.assert_allclose(Plane.of(samples[::-1]).axes, plane.axes, atol=1e-9)


def test_single_numbers_are_spread_out_by_their_order() -> None:
    samples = np.array([[[3.0], [1.0], [2.0]]], np.float32)
    found = Plane.of(samples).points(samples[0])
    assert found.tolist() == [[3.0, -1.0], [1.0, 0.0], [2.0, 1.0]]


def test_samples_that_are_not_finite_are_left_out_and_counted() -> None:
    samples = np.array([[[1.0, 2.0], [np.nan, 0.0], [np.inf, 1.0]]], np.float32)
    plane = Plane.of(samples)
    found = cloud_json(plane.points(samples[0]))
    assert found == {"xy": [1.0, 2.0], "lost": 2}
    json.dumps(found, allow_nan=False)


def test_the_window_holds_the_points_of_all_snapshots_and_is_square() -> None:
    left, bottom, side = window([np.array([[0.0, 0.0], [1.0, 0.5]]), np.array([[-1.0, 0.0], [0.0, 3.0]])])
    # Quantiles at half a percent cut a little off; the margin of 8 % makes up for it.
    assert left < -1
    assert left + side > 1
    assert bottom < 0
    assert bottom + side > 3
    assert side == pytest.approx(3 * 1.16, rel=0.02)


def test_an_exploded_snapshot_does_not_make_the_others_a_dot() -> None:
    calm = [np.random.default_rng(seed).standard_normal((100, 2)) for seed in range(5)]
    assert window([*calm, 1e6 * calm[0]]) == window(calm)


@pytest.mark.parametrize("clouds", [[], [np.full((3, 2), np.nan)]])
def test_a_window_around_nothing(clouds: list[np.ndarray]) -> None:  # type: ignore[type-arg]
    assert window(clouds) == [-1.0, -1.0, 2.0]


def test_a_window_around_one_point_has_a_size() -> None:
    assert window([np.array([[2.0, 3.0]])])[2] > 0


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.0, 1.0, (0, 1)), (0.1, 0.8, (0, 1)), (-0.9, 0.7, (-1, 1)), (-1.01, 1.02, (-1, 1)), (0.0, 250.0, (0, 255))],
)
def test_tones_of_usual_ranges(low: float, high: float, expected: tuple[float, float]) -> None:
    assert tones(np.linspace(low, high, 50, dtype=np.float32)) == expected


def test_tones_of_other_ranges() -> None:
    low, high = tones(np.linspace(-7, 9, 1_001, dtype=np.float32))
    assert (low, high) == pytest.approx((-7, 9), abs=0.1)
    assert tones(np.full(3, np.nan, np.float32)) == (0.0, 1.0)
    low, high = tones(np.full(9, 700, np.float32))
    assert high > low


def opened(content: bytes) -> np.ndarray:  # type: ignore[type-arg]
    return np.asarray(Image.open(io.BytesIO(content), formats=("PNG",)))


def test_a_sheet_shows_every_image_at_its_place() -> None:
    images = np.zeros((7, 8, 8), np.float32)
    for place in range(7):
        images[place] = place / 17
    pixels = opened(sheet(images, 0, 1))
    zoom, gap = 6, 3
    assert pixels.shape == (2 * 8 * zoom + gap, 5 * 8 * zoom + 4 * gap, 4)
    for place in range(7):
        top, left = place // 5 * (8 * zoom + gap), place % 5 * (8 * zoom + gap)
        tile = pixels[top : top + 8 * zoom, left : left + 8 * zoom]
        assert (tile == [*[15 * place] * 3, 255]).all()
    assert (pixels[: 8 * zoom, 8 * zoom : 8 * zoom + gap] == 0).all()


def test_a_high_and_narrow_image_is_not_enlarged_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_PIXELS", 30_000)
    assert opened(sheet(np.zeros((1, 300, 1), np.float32), 0, 1)).shape == (3_000, 10, 4)
    assert opened(sheet(np.zeros((1, 200, 200), np.float32), 0, 1)).shape == (200, 200, 4)


@pytest.mark.parametrize(("count", "expected"), [(6, 6), (12, 6), (40, 7), (3, 2)])
def test_axes_of_wide_samples_are_found_from_few_of_them(
    monkeypatch: pytest.MonkeyPatch, count: int, expected: int
) -> None:
    seen: list[tuple[int, ...]] = []
    svd = np.linalg.svd
    monkeypatch.setattr(np.linalg, "svd", lambda rows, **options: (seen.append(rows.shape), svd(rows, **options))[1])
    monkeypatch.setattr(pictures, "MOST_NUMBERS", 600 if count > 3 else 1)
    plane = Plane.of(np.random.default_rng(0).standard_normal((1, count, 100)).astype(np.float32))
    assert plane.axes.shape == (100, 2)
    assert seen == [(expected, 100)]


def test_colours_and_their_order() -> None:
    images = np.zeros((1, 3, 2, 2), np.float32)
    images[0, :, 0, 1] = [1.0, 0.5, 0.0]
    pixels = opened(sheet(images, 0, 1))
    zoom = pixels.shape[0] // 2
    assert pixels[0, zoom].tolist() == [255, 128, 0, 255]
    assert pixels[0, 0].tolist() == [0, 0, 0, 255]
    assert pixels[zoom, zoom].tolist() == [0, 0, 0, 255]


def test_pixels_that_are_not_finite_are_transparent_and_others_are_cut_to_the_range() -> None:
    images = np.array([[[np.nan, 5.0], [-5.0, np.inf]]], np.float32)
    pixels = opened(sheet(images, 0, 1))
    zoom = pixels.shape[0] // 2
    assert pixels[0, 0, 3] == 0
    assert pixels[zoom, zoom, 3] == 0
    assert pixels[0, zoom].tolist() == [255, 255, 255, 255]
    assert pixels[zoom, 0].tolist() == [0, 0, 0, 255]
