"""Cells against mixtures whose components are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import binom

from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.monitor.cells import PICTURES, SURE, Cells, classes, clusters
from uncollapse.tasks import find


def blobs(n: int, seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    """Points of eight blobs and their components."""
    x, labels = find("blobs-8").held_out(n, stream(seed, "cells"))
    assert labels is not None
    return x, labels.numpy()


@pytest.fixture(scope="module")
def eight() -> Cells:
    """Clusters of 500 points of eight blobs."""
    return clusters(blobs(500)[0], k=None, seed=0)


def test_the_silhouette_finds_the_true_number_of_modes_and_the_modes_themselves(eight: Cells) -> None:
    assert (len(eight), eight.kind) == (8, "cluster")
    x, labels = blobs(1_000, seed=1)
    found = eight.assign(x)
    pairs = set(zip(found[found >= 0].tolist(), labels[found >= 0].tolist(), strict=True))
    assert len(pairs) == 8  # each true mode is one cell, fresh points too
    assert (found < 0).mean() < 0.01
    assert eight.weights == pytest.approx(np.bincount(eight.of_real) / 500)
    assert eight.weights.sum() == pytest.approx(1.0)


def test_what_is_far_from_all_real_rows_is_in_no_cell(eight: Cells) -> None:
    far = torch.tensor([[5.0, 5.0], [0.0, 1.4], [-0.35, -0.35]])
    assert eight.assign(far).tolist() == [-1, -1, -1]


def test_a_number_of_clusters_that_was_asked_for() -> None:
    x, _ = blobs(500)
    assert len(clusters(x, k=12, seed=0)) == 12
    assert len(clusters(x, k=np.int64(12), seed=0)) == 12  # type: ignore[arg-type]
    for wrong in (1, 21, -3, "4", 2.5, True):
        with pytest.raises(UserError, match=r"cells must be from 2 to 20 for 500 rows of reference"):
            clusters(x, k=wrong, seed=0)  # type: ignore[arg-type]


def test_few_rows_still_make_cells() -> None:
    x, _ = blobs(60)
    assert len(clusters(x, k=None, seed=0)) == 2


def test_the_same_seed_gives_the_same_cells() -> None:
    x, _ = blobs(300)
    one, other = (clusters(x, k=None, seed=3) for _ in range(2))
    assert torch.equal(one.centres, other.centres)


def test_classes_by_labels_judge_both_sides_by_the_nearest_centre() -> None:
    x, labels = blobs(800)
    halves = labels // 4  # a class of several blobs has several centres
    found = classes(x, halves, ("low", "high"), judged=False, seed=0)
    assert (found.kind, found.names) == ("class", ("low", "high"))
    assert len(found.centres) == 8
    fresh, truth = blobs(400, seed=1)
    assert (found.assign(fresh) == truth // 4).mean() == 1.0
    assert (found.of_real == halves).all()


def test_classes_by_a_classifier_are_taken_as_they_are_told() -> None:
    x, labels = blobs(400)
    found = classes(x, labels, tuple("abcdefghi"), judged=True, seed=0)
    assert found.weights[8] == 0  # a class that the real data lack
    told = np.full(3, 2)
    near = torch.cat([x[:2], torch.tensor([[9.0, 9.0]])])
    assert found.assign(near, told).tolist() == [2, 2, -1]


def test_missing_cells_are_those_that_surely_have_less_than_half(eight: Cells) -> None:
    x, _ = blobs(2_000, seed=2)
    cells = eight.assign(x)
    cells = cells[~np.isin(cells, (3, 5))][:1_000]
    starved = np.concatenate([cells, np.full(12, 3)])
    found = eight.missing(starved, eight.examples(blobs(500)[0]))
    assert {lost.mode for lost in found} == {"cluster 4", "cluster 6"}
    by_name = {lost.mode: lost for lost in found}
    four = by_name["cluster 4"]
    assert four.share_fake == pytest.approx(12 / 1_012)
    assert four.share_real == pytest.approx(float(eight.weights[3]))
    # Of the cell's rows each is a fake with a chance of 506 to 500, had the fakes half of its share.
    rows = int((eight.of_real == 3).sum())
    assert four.p_adjusted == pytest.approx(8 * binom.cdf(12, rows + 12, 506 / 1_006))
    assert 0 < four.low < 12 / 1_012 < four.high
    assert found[0].mode == max(found, key=lambda lost: lost.share_real - lost.share_fake).mode


def test_true_shares_need_no_allowance_for_the_reference(eight: Cells) -> None:
    known = replace(eight, shares=np.full(8, 1 / 8))
    cells = np.repeat(np.arange(8), [30] * 7 + [2])
    (found,) = known.missing(cells, [()] * 8)
    assert found.p_adjusted == pytest.approx(8 * binom.cdf(2, 212, 1 / 16))
    assert eight.missing(cells, [()] * 8)[0].p_adjusted > found.p_adjusted


def test_outlying_rows_of_the_reference_are_not_surely_missing() -> None:
    named, guessed = 0, 0
    for seed in range(12):
        draws = np.random.default_rng(seed)
        real, fake = (torch.from_numpy(draws.standard_t(3, (n, 2)).astype(np.float32)) for n in (300, 3_000))
        found = clusters(real, k=None, seed=0)
        cells = found.assign(fake)
        counts = np.bincount(cells[cells >= 0], minlength=len(found))
        tails = len(found) * binom.cdf(counts, 3_000, found.weights / 2)
        guessed += ((tails <= 0.05) & (counts < found.weights * 750)).any()
        named += bool(found.missing(cells, [()] * len(found)))
        # A cell that holds a tenth of the reference and gets nothing is named all the same.
        largest = int(found.weights.argmax())
        lost = found.missing(cells[cells != largest], [()] * len(found))
        assert found.names[largest] in {cell.mode for cell in lost}
    assert named == 0
    assert guessed >= 3  # as if two rows told the share of a cell


@pytest.mark.parametrize(("real", "fake"), [(50, 20), (100, 400), (300, 300), (400, 60)])
def test_half_of_the_real_share_is_called_less_no_more_often_than_is_said(real: int, fake: int) -> None:
    rows, made = np.arange(real + 1)[:, None], np.arange(fake + 1)[None]
    called = binom.cdf(made, rows + made, fake / (fake + 2 * real)) <= SURE
    chances = [
        float((binom.pmf(rows, real, share) * binom.pmf(made, fake, share / 2) * called).sum())
        for share in np.geomspace(0.005, 0.9, 25)
    ]
    assert 0.1 * SURE < max(chances) < SURE


def test_few_fakes_prove_nothing_missing(eight: Cells) -> None:
    assert eight.missing(np.array([0, 1, 2, 3, 4]), [()] * 8) == ()


def test_examples_are_real_rows_of_their_cell_nearest_first(eight: Cells) -> None:
    x, _ = blobs(500)
    examples = eight.examples(x)
    assert [len(rows) for rows in examples] == [PICTURES] * 8
    for cell, rows in enumerate(examples):
        assert set(eight.of_real[list(rows)]) == {cell}
        distance = (x[list(rows)] - eight.centres[cell]).norm(dim=1)
        assert (distance.diff() >= 0).all()


def test_a_cache_gives_the_same_cells(eight: Cells) -> None:
    again = Cells.of_arrays(eight.arrays())
    x, _ = blobs(100, seed=3)
    assert (again.assign(x) == eight.assign(x)).all()
    assert (again.kind, again.names) == (eight.kind, eight.names)
    assert again.weights.tolist() == eight.weights.tolist()
