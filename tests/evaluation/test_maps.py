from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from tests.evaluation.making import cloud, digits, ring, side

from uncollapse.evaluation import maps as module
from uncollapse.evaluation.classes import Known
from uncollapse.evaluation.maps import choose, components, maps

IMAGES, LABELS = digits()


def test_components_are_those_of_scikit_learn_up_to_their_sign() -> None:
    for rows in (cloud(200, 0, 10) * np.arange(1, 11), cloud(40, 0, 90), np.asarray(cloud(50, 1, 50)) * 1e12):
        found = components(rows)
        expected = PCA(min(32, *rows.shape), svd_solver="full").fit_transform(rows)[:, : found.shape[1]]
        np.testing.assert_allclose(np.abs(found[:, :8]), np.abs(expected[:, :8]), rtol=1e-6, atol=1e-6 * rows.std())
        assert (found[np.abs(found).argmax(0), np.arange(found.shape[1])] > 0).all()


def test_components_without_spread_are_left_out() -> None:
    assert components(np.ones((30, 5))).tolist() == [[0.0]] * 30
    line = np.outer(np.linspace(-1, 1, 30), [3.0, 4.0, 0.0])
    np.testing.assert_allclose(np.abs(components(line)[:, 0]), 5 * np.abs(np.linspace(-1, 1, 30)), atol=1e-9)
    assert components(line).shape == (30, 1)


def test_rows_are_chosen_by_content_in_the_share_of_their_kind_but_a_few_marked_ones_always() -> None:
    rows = side(cloud(2_000, 0))
    assert len(choose(rows, 500, seed=0)) == 500
    assert len(set(choose(rows, 500, seed=0).tolist())) == 500
    order = np.random.default_rng(3).permutation(2_000)
    turned = side(cloud(2_000, 0)[order])
    marked = set(range(400))
    one, two = choose(rows, 500, marked, seed=0), order[choose(turned, 500, np.argsort(order)[:400].tolist(), seed=0)]
    np.testing.assert_array_equal(one, two)
    assert 70 <= np.isin(one, list(marked)).sum() <= 130  # a fifth, as in the data
    rare = choose(rows, 500, range(30), seed=0)
    assert np.isin(rare, range(30)).sum() == module.LEAST_MARKED
    assert len(set(rare.tolist())) == 500
    assert np.isin(choose(rows, 500, [7], seed=0), [7]).sum() == 1
    assert sorted(choose(side(cloud(9, 0)), 500, seed=0).tolist()) == list(range(9))


def test_the_map_of_two_features_is_the_features_and_all_points_are_kept() -> None:
    real, fake = ring(100, 0)[0], ring(80, 1)[0]
    found = maps([side(real), side(fake, "fake")], None, {}, seed=0)
    assert set(found) == {"map_features", "map_side", "map_state", "map_class", "points_real", "points_fake"}
    given = {tuple(row) for row in np.concatenate([real, fake]).astype(np.float32).tolist()}
    assert {tuple(row) for row in found["map_features"].tolist()} <= given
    ordered = found["points_real"][np.lexsort(found["points_real"].T)]
    np.testing.assert_allclose(ordered, real[np.lexsort(real.astype(np.float32).T)], atol=1e-6)
    assert found["map_class"].tolist() == [-1] * len(found["map_side"])


def test_every_row_of_the_map_carries_its_side_class_and_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 40)
    rows = {"real": cloud(30, 0), "fake": cloud(60, 1) + 9, "other": cloud(10, 2) - 9}
    sides = [side(given, role) for role, given in rows.items()]
    known = Known(source="labels", names=("a", "b"), of={"real": np.zeros(30, int), "fake": np.ones(60, int)})
    found = maps(sides, known, {"fake": [3], "real": [0, 1]}, seed=0)
    assert np.bincount(found["map_side"]).tolist() == [30, 40, 10]
    assert found["map_state"].sum() == 3
    assert {(int(a), int(b)) for a, b in zip(found["map_side"], found["map_class"], strict=True)} == {
        (0, 0), (1, 1), (2, -1),
    }  # fmt: skip
    assert found["map_pca"].shape == (80, 2)
    assert "map_tsne" not in found  # too few rows for its neighbourhoods
    assert {array.dtype for array in found.values()} == {np.dtype(kind) for kind in ("f4", "i1", "i2")}


def test_more_classes_than_two_bytes_can_number_are_not_coloured() -> None:
    names = tuple(map(str, range(40_000)))
    known = Known(source="labels", names=names, of={"real": np.full(30, 39_999), "fake": np.zeros(30, int)})
    found = maps([side(cloud(30, 0)), side(cloud(30, 1), "fake")], known, {}, seed=0)
    assert set(found["map_class"].tolist()) == {-1}


def test_one_feature_has_a_map_on_a_line() -> None:
    found = maps([side(cloud(60, 0, 1)), side(cloud(60, 1, 1), "fake")], None, {}, seed=0)
    np.testing.assert_array_equal(found["map_pca"][:, 1], 0)
    assert found["map_pca"][:, 0].std() > 0.5
    assert "map_tsne" not in found


@pytest.mark.parametrize("installed", [True, False], ids=["openTSNE", "scikit-learn"])
def test_t_sne_keeps_neighbours_together_and_does_not_depend_on_the_order(
    installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if installed:
        pytest.importorskip("openTSNE", reason="the extra [embed] is not installed")
    else:
        monkeypatch.setitem(sys.modules, "openTSNE", None)
    monkeypatch.setattr(module, "MOST", 120)
    rows = IMAGES.reshape(len(IMAGES), -1).astype(float)
    found = maps([side(rows[:120]), side(rows[120:240], "fake")], None, {}, seed=0)
    order = np.random.default_rng(0).permutation(120)
    again = maps([side(rows[:120][order]), side(rows[120:240], "fake")], None, {}, seed=0)
    np.testing.assert_array_equal(found["map_tsne"], again["map_tsne"])
    parts = ((rows[:120], 0), (rows[120:240], 120))
    chosen = np.concatenate([choose(side(part), 120, seed=0) + first for part, first in parts])
    near = KNeighborsClassifier(5).fit(found["map_tsne"][::2], LABELS[chosen[::2]])
    assert near.score(found["map_tsne"][1::2], LABELS[chosen[1::2]]) > 0.75


def test_open_tsne_is_used_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    class Stand:
        def __init__(self, dimensions: int, **options: Any) -> None:
            asked.update(options, dimensions=dimensions)

        def fit(self, rows: np.ndarray) -> np.ndarray:
            return rows[:, :2] + 1

    monkeypatch.setattr(module, "MOST", 60)
    package = types.ModuleType("openTSNE")
    package.TSNE = Stand  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "openTSNE", package)
    found = maps([side(cloud(60, 0)), side(cloud(60, 1), "fake")], None, {}, seed=4)
    scale = np.std(found["map_pca"][:, 0])
    np.testing.assert_allclose(found["map_tsne"], found["map_pca"] / scale + 1, rtol=1e-4, atol=1e-4)
    assert (asked["dimensions"], asked["random_state"], asked["n_jobs"]) == (2, 4, 1)
    np.testing.assert_allclose(asked["initialization"].std(0)[0], 1e-4, rtol=1e-6)
