"""What is counted on Stacked MNIST: modes and divergences as older papers report them, and without their two faults.

A classifier that errs sees modes that were never made, and a divergence of few samples is not 0 for a perfect
generator. Takes modes, weights and a confusion matrix and returns plain numbers; `tasks.stacked` calls it, and their
facts stand in `further.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from uncollapse.metrics.modes import Counts, kl_divergence, kl_floor

# VEEGAN (Srivastava et al. 2017) and PacGAN (Lin et al. 2018) judge 26,000 samples, 26 a mode.
LEGACY_SAMPLES = 26_000
FEW = 5

Numbers = NDArray[np.float64]


def stacked_measures(
    mode: NDArray[np.int64], weights: Numbers, confusion: Numbers, *, in_order: bool
) -> dict[str, float | None]:
    """The measures of stacked digits.

    On the first 26,000 samples (all, where there are fewer), whatever their quality, those that are not finite left
    out:

    - ``modes_seen``: modes with at least one sample, the count of older papers.
    - ``modes_five``: modes with at least five.
    - ``modes_five_corrected``: modes with at least five once the classifier's errors are taken out (`true_counts`).
    - ``kl_uniform``: sum_k p_k log(K p_k) in nats, p the shares of the modes. A perfect generator of equal modes scores
      .0194, real MNIST .0237.

    On all samples:

    - ``kl_corrected``: sum_k p_k log(p_k / w_k) less its expected value for a perfect generator with as many samples,
      in nats; on average 0 for a perfect generator.

    Args:
        mode: The mode of each sample (n,), -1 where it has none.
        weights: The share of the data in each mode (K,), K = classes cubed.
        confusion: As from `confusion_matrix` (classes, classes).
        in_order: Whether samples were made class by class, so that only every so many of them stand for all.

    Returns:
        The five numbers; None for a divergence when no sample is finite.
    """
    count = len(weights)
    every, legacy = _counted(mode, count), _counted(mode[legacy_rows(len(mode), in_order=in_order)], count)
    divergence, floor = kl_divergence(every, weights), kl_floor(int(every.sum()), tuple(weights))
    return {
        "modes_seen": float((legacy > 0).sum()),
        "modes_five": float((legacy >= FEW).sum()),
        "modes_five_corrected": float((true_counts(legacy, confusion) >= FEW).sum()),
        "kl_uniform": kl_divergence(legacy, np.full(count, 1 / count)),
        "kl_corrected": None if divergence is None or floor is None else divergence - floor,
    }


def legacy_rows(n: int, *, in_order: bool) -> NDArray[np.int64]:
    """Which of n samples the legacy counts look at: the first 26,000, or as many evenly spaced ones.

    Samples of an unlabelled generator come in random order, so that the first ones are as good as any; those of a
    labelled one come class by class, and the first ones would show few classes.
    """
    kept = min(n, LEGACY_SAMPLES)
    return np.arange(kept) * n // max(kept, 1) if in_order else np.arange(kept)


def confusion_matrix(true: NDArray[np.int64], seen: NDArray[np.int64], classes: int) -> Numbers:
    """The share of each true class (row) that is seen as each class (column), (classes, classes), rows summing to 1.

    Args:
        true: Labels of real images (n,), every class among them.
        seen: What the classifier sees in them (n,).
        classes: Number of classes.
    """
    counts = np.bincount(true * classes + seen, minlength=classes * classes).reshape(classes, classes)
    shares: Numbers = counts / counts.sum(1, keepdims=True)
    return shares


def true_counts(seen: Counts, confusion: Numbers) -> Numbers:
    """Counts of the modes that explain the counts that a classifier saw: unbiased, and below 0 by chance.

    The three channels err independently, so that counts seen are the true ones times the confusion matrix C along each
    channel; C^-1 along each channel brings them back. It knows the errors on real images only: a generator whose images
    lie between two classes makes more, and they stay.

    Args:
        seen: Samples seen in each mode (classes cubed,).
        confusion: C, as from `confusion_matrix` (classes, classes).

    Returns:
        float64 (classes cubed,) with the same sum.
    """
    classes = len(confusion)
    back = np.linalg.inv(confusion)
    cube = np.asarray(seen, dtype=np.float64).reshape(classes, classes, classes)
    true: Numbers = np.einsum("abc,ai,bj,ck->ijk", cube, back, back, back, optimize=True)
    return true.ravel()


def _counted(mode: NDArray[np.int64], count: int) -> Counts:
    return np.bincount(mode[mode >= 0], minlength=count)
