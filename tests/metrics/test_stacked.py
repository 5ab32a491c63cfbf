"""The counts of stacked digits: errors of a classifier with known confusion, and the floors that others computed."""

from __future__ import annotations

import numpy as np
import pytest

from uncollapse.metrics.modes import kl_floor
from uncollapse.metrics.stacked import (
    LEGACY_SAMPLES,
    confusion_matrix,
    legacy_rows,
    stacked_measures,
    true_counts,
)

RIGHT = 0.9925  # of one digit: the classifier of VEEGAN's and PacGAN's protocol
NOISY = np.full((10, 10), (1 - RIGHT) / 9) + np.eye(10) * (RIGHT - (1 - RIGHT) / 9)
EVEN = np.full(1000, 1e-3)
# Label counts of MNIST's training split, as published.
MNIST = np.array([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]) / 60_000
REAL = np.einsum("a,b,c->abc", MNIST, MNIST, MNIST).ravel()


def seen_through(true: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """Modes as a classifier sees them that errs on each channel independently, by NOISY."""
    digits = np.stack([true // 100, true // 10 % 10, true % 10], 1)
    wrong = draws.random(digits.shape) > RIGHT
    other = (digits + draws.integers(1, 10, digits.shape)) % 10
    return np.where(wrong, other, digits) @ np.array([100, 10, 1])


def test_twenty_modes_look_like_three_hundred_until_they_are_corrected() -> None:
    seen, five, corrected, expected = [], [], [], []
    for repeat in range(8):
        draws = np.random.default_rng(repeat)
        kept = draws.choice(1000, 20, replace=False)
        one = np.zeros((10, 10, 10))
        one.ravel()[kept] = 1 / 20
        shown = np.einsum("abc,ai,bj,ck->ijk", one, NOISY, NOISY, NOISY)
        expected.append(float((1 - (1 - shown) ** LEGACY_SAMPLES).sum()))
        found = stacked_measures(seen_through(draws.choice(kept, LEGACY_SAMPLES), draws), EVEN, NOISY, in_order=False)
        seen.append(found["modes_seen"])
        five.append(found["modes_five"])
        corrected.append(found["modes_five_corrected"])
    # The closed form above is what the project's notes give as "about 322".
    assert np.mean(expected) == pytest.approx(322, abs=15)
    assert np.mean(seen) == pytest.approx(np.mean(expected), abs=8)
    assert 20 <= np.mean(corrected) < np.mean(five)
    assert np.mean(corrected) == pytest.approx(20, abs=1.5)


@pytest.mark.parametrize("weights", [EVEN, REAL])
def test_a_perfect_generator_keeps_all_modes_with_and_without_correction(weights: np.ndarray) -> None:
    draws = np.random.default_rng(0)
    for _ in range(3):
        mode = seen_through(draws.choice(1000, LEGACY_SAMPLES, p=weights), draws)
        found = stacked_measures(mode, weights, NOISY, in_order=False)
        assert found["modes_seen"] == found["modes_five"] == 1000
        assert found["modes_five_corrected"] >= 999


def test_the_floors_are_those_of_the_literature_and_of_simulation() -> None:
    even, real = tuple(EVEN), tuple(REAL)
    apart = float((REAL * np.log(1000 * REAL)).sum())  # of real MNIST to equal shares, without sampling
    for n, uniform, mixed in ((10_000, 0.051, 0.055), (26_000, 0.0194, 0.0237), (100_000, 0.0050, 0.0093)):
        assert kl_floor(n, even) == pytest.approx(uniform, abs=0.0006)
        assert (kl_floor(n, real) or 0) + apart == pytest.approx(mixed, abs=0.0006)
    draws = np.random.default_rng(0)
    found = [
        stacked_measures(draws.choice(1000, LEGACY_SAMPLES, p=REAL), REAL, NOISY, in_order=False) for _ in range(20)
    ]
    # Standard deviation .001 a set, so .00022 of the mean of 20.
    assert np.mean([one["kl_uniform"] for one in found]) == pytest.approx(0.0237, abs=0.0008)
    assert np.mean([one["kl_corrected"] for one in found]) == pytest.approx(0, abs=0.0008)


def test_a_lost_digit_costs_271_modes_and_the_logarithm_of_its_share() -> None:
    draws = np.random.default_rng(0)
    digits = draws.integers(0, 9, (100_000, 3))  # 9 is never made
    found = stacked_measures(digits @ np.array([100, 10, 1]), EVEN, np.eye(10), in_order=False)
    assert found["modes_seen"] == found["modes_five"] == found["modes_five_corrected"] == 729
    # log(1000 / 729), and the floor of 729 modes instead of the 1,000 taken off: 271 / 2n less.
    assert found["kl_corrected"] == pytest.approx(np.log(1000 / 729) - 271 / 200_000, abs=0.0005)


def test_true_counts_undo_the_confusion_exactly() -> None:
    draws = np.random.default_rng(0)
    confusion = draws.dirichlet(np.eye(4).sum(0), 4) * 0.2 + 0.8 * np.eye(4)
    true = draws.integers(0, 100, (4, 4, 4)).astype(float)
    seen = np.zeros((4, 4, 4))
    for a in range(4):  # by hand: every true mode spreads over all seen ones
        for b in range(4):
            for c in range(4):
                seen += true[a, b, c] * np.multiply.outer(np.multiply.outer(confusion[a], confusion[b]), confusion[c])
    np.testing.assert_allclose(true_counts(seen.ravel(), confusion), true.ravel(), atol=1e-9)
    assert true_counts(seen.ravel(), confusion).sum() == pytest.approx(true.sum())


def test_a_confusion_matrix_by_hand() -> None:
    true = np.array([0, 0, 0, 0, 1, 1, 2])
    seen = np.array([0, 0, 0, 2, 1, 0, 2])
    expected = [[0.75, 0, 0.25], [0.5, 0.5, 0], [0, 0, 1]]
    np.testing.assert_allclose(confusion_matrix(true, seen, 3), expected)


def test_the_first_samples_count_or_evenly_spaced_ones_of_an_ordered_set() -> None:
    assert legacy_rows(100_000, in_order=False).tolist() == list(range(26_000))
    spaced = legacy_rows(100_000, in_order=True)
    assert (spaced[0], len(set(spaced.tolist())), spaced[-1]) == (0, 26_000, 99_996)
    counts = np.bincount(np.repeat(np.arange(1000), 100)[spaced])
    assert (counts.min(), counts.max()) == (26, 26)
    for n in (1, 700, 26_000):  # there are not more: all of them
        assert legacy_rows(n, in_order=True).tolist() == legacy_rows(n, in_order=False).tolist() == list(range(n))


def test_a_labelled_generator_is_not_judged_by_its_first_classes() -> None:
    mode = np.repeat(np.arange(1000), 100)
    assert stacked_measures(mode, EVEN, np.eye(10), in_order=True)["modes_five"] == 1000
    assert stacked_measures(mode, EVEN, np.eye(10), in_order=False)["modes_five"] == 260


def test_without_a_finite_sample_there_are_no_modes_and_no_divergences() -> None:
    assert stacked_measures(np.full(50, -1), EVEN, np.eye(10), in_order=False) == {
        "modes_seen": 0,
        "modes_five": 0,
        "modes_five_corrected": 0,
        "kl_uniform": None,
        "kl_corrected": None,
    }
