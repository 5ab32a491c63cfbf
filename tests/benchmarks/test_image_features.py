"""The populations of real features behind the interval simulation: their distances told in another way."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.linalg import sqrtm
from sklearn.linear_model import LogisticRegression

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import cells
import image_features


def made(seed: int, n: int = 600) -> image_features.Pool:
    """Rows of ReLU units, one of them dead, in four classes."""
    draws = np.random.default_rng(seed)
    labels = np.arange(n) % 4
    x = np.maximum(draws.standard_normal((n, 6)) + labels[:, None] * np.arange(6) / 3, 0)
    x[:, 2] = 0
    return image_features.Pool(x.astype(np.float32), labels.astype(np.uint8))


POOL = made(0)
ONE, OTHER = (POOL.population(different=side) for side in (False, True))


def test_the_other_population_lacks_a_class_and_no_row_is_drawn_twice() -> None:
    assert (len(ONE.x), len(OTHER.x)) == (600, 450)
    stream = np.random.default_rng(1)
    for different in (False, True):
        real, fake = POOL.draw(200, 100, stream, different=different)
        assert len(set(real) | set(fake)) == 300
        assert (image_features.LOST in POOL.labels[fake]) is not different
        assert image_features.LOST in POOL.labels[real]
    assert len(POOL.without(np.concatenate([real, fake])).x) == 300


def test_the_kernel_distance_is_that_of_all_pairs() -> None:
    def mean(x: np.ndarray, y: np.ndarray) -> float:
        return float(((x.astype(float) @ y.T.astype(float) / 6 + 1) ** 3).mean())

    pairs = mean(ONE.x, ONE.x) + mean(OTHER.x, OTHER.x) - 2 * mean(ONE.x, OTHER.x)
    assert image_features.cubic_kernel(ONE, OTHER) == pytest.approx(pairs, rel=1e-9)
    assert image_features.cubic_kernel(ONE, ONE) == 0


def test_the_frechet_distance_is_that_of_scipys_root_without_the_dead_feature() -> None:
    kept = [0, 1, 3, 4, 5]
    first, second = (np.cov(rows.x[:, kept].T.astype(float), bias=True) for rows in (ONE, OTHER))
    apart = (ONE.x[:, kept].mean(0, dtype=float) - OTHER.x[:, kept].mean(0, dtype=float)) ** 2
    told = apart.sum() + np.trace(first + second - 2 * np.real(sqrtm(first @ second)))
    assert image_features.frechet(ONE, OTHER) == pytest.approx(told, rel=1e-6)
    assert image_features.frechet(ONE, ONE) == pytest.approx(0, abs=1e-9)


def test_the_sliced_distance_of_a_shift_is_known() -> None:
    """Moved by D, every direction u sees (u.D)^2, whose mean over directions is |D|^2 / d."""
    moved = image_features.Rows(ONE.x + np.float32(0.5))
    value, error = image_features.sliced(ONE, moved)
    assert value == pytest.approx(3 * 6 * 0.25, rel=1e-6)  # and only this, which over_directions knows without noise
    assert error < 1e-6 * value


def test_the_sliced_distance_of_other_rows_is_that_of_many_directions() -> None:
    directions = np.random.default_rng(5).standard_normal((20_000, 6))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    levels = (np.arange(1_800) + 0.5) / 1_800  # a multiple of both numbers of rows
    quantiles = [np.sort(rows.x @ directions.T, axis=0)[(levels * len(rows.x)).astype(int)] for rows in (ONE, OTHER)]
    told = 3 * 6 * ((quantiles[0] - quantiles[1]) ** 2).mean(0)
    value, error = image_features.sliced(ONE, OTHER)
    assert value == pytest.approx(told.mean(), abs=4 * np.hypot(error, told.std() / 20_000**0.5))
    assert 0 < error < 0.02 * value


def test_the_accuracy_is_counted_on_images_that_were_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell's c2st has a truth near that of a classifier which is trained and judged on many more rows."""
    many = made(2, 40_000)
    monkeypatch.setattr(image_features, "pool", lambda name: many)
    cell = cells.Cell(family="images", world="mnist", size=6, n_real=2_000, n_fake=2_000, different=True)
    found = cells.images(cell, ("c2st", "precision"), cell.stream(0), 0.95)
    x = np.concatenate([many.population(different=side).x for side in (False, True)])
    y = np.repeat([0, 1], [40_000, 30_000])
    model = LogisticRegression(class_weight="balanced", max_iter=1_000).fit(x, y)
    best = np.mean([(model.predict(x[y == side]) == side).mean() for side in (0, 1)])
    assert found["c2st"]["truth"] == pytest.approx(best, abs=0.01)
    assert found["c2st"]["value"] == pytest.approx(best, abs=0.05)
    assert 0.52 < best < 0.9
    assert "truth" not in found["precision"]
    wider = cells.Cell(family="images", world="mnist", size=96, n_real=2_000, n_fake=2_000, different=True)
    with pytest.raises(ValueError, match="has 6 features, and the cell says 96"):
        cells.images(wider, ("c2st",), wider.stream(0), 0.95)


def test_images_that_were_drawn_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A classifier that calls fake only what was drawn is right about no other image."""
    few = made(3, 400)
    monkeypatch.setattr(image_features, "pool", lambda name: few)
    cell = cells.Cell(family="images", world="mnist", size=6, n_real=100, n_fake=100, different=True)
    real, fake = few.draw(100, 100, cell.stream(0), different=True)
    seen = few.x[np.concatenate([real, fake])]

    class Remembers:
        def predict(self, rows: np.ndarray) -> np.ndarray:
            scale = seen.std(0, dtype=np.float64)
            known = (seen - seen.mean(0, dtype=np.float64)) / np.where(scale > 0, scale, 1)
            return np.array([bool((abs(known - row).max(1) < 1e-9).any()) for row in rows])

    @contextlib.contextmanager
    def remembering() -> Iterator[list[Any]]:
        yield [(Remembers(), seen)]

    monkeypatch.setattr(cells, "trained_classifiers", remembering)
    assert cells.images(cell, ("c2st",), cell.stream(0), 0.95)["c2st"]["truth"] == pytest.approx(0.5, abs=0.01)
