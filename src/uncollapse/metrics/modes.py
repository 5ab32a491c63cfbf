"""Which modes a generator reaches, how well, and in which shares: the record keys of every run.

Takes samples and a task (whose `assign` tells modes and quality) and returns plain numbers for `result.json`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaincinv, gammaln
from torch import Tensor

from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.metrics.further import FURTHER, MODES
from uncollapse.tasks.mixtures import Mixture
from uncollapse.tasks.task import Task

KEYS = (
    "modes_hit",
    "modes_solid",
    "high_quality_share",
    "kl_high_quality",
    "kl_high_quality_floor",
    "kl_all",
    "kl_all_floor",
    "core_sigma_ratio",
    "tutorial_coverage",
    "class_entropy",
)
COVERAGE = ("modes_hit", "modes_solid", "high_quality_share", "tutorial_coverage", "class_entropy")
SOLID_SHARE = 0.2
_ROUNDING = 1e-12
CORE_SAMPLES = 20
TUTORIAL_REACH = 0.1
TUTORIAL_REAL = 10_000
CENTRE_STARTS = 20

Counts = NDArray[np.int64]


def solid(counts: ArrayLike, n: int, shares: ArrayLike) -> NDArray[np.bool_]:
    """Which modes got at least a fifth of what their share of n samples asks for (K,); equality counts, rounded or not.

    Args:
        counts: Samples in each mode (K,).
        n: Samples in all.
        shares: What is asked for, as parts of one (K,).
    """
    least = SOLID_SHARE * n * np.asarray(shares, dtype=float) * (1 - _ROUNDING)
    reached: NDArray[np.bool_] = np.asarray(counts) >= least
    return reached


def mode_measures(
    x: ArrayLike | Tensor, task: Task, *, real: ArrayLike | Tensor | None = None
) -> dict[str, float | None]:
    """All mode measures of generated samples; None where a measure does not apply or has nothing to look at.

    N samples, K modes of weight w_k, high quality as the task defines it (a sample that is not finite never is):

    - ``modes_hit``: modes with at least one high-quality sample, 0 .. K.
    - ``modes_solid``: modes with at least 20 % of N w_k high-quality samples, 0 .. K.
    - ``high_quality_share``: high-quality samples / N, 0 .. 1. A perfect generator of a planar mixture scores .9889.
    - ``kl_high_quality``, ``kl_all``: sum_k p_k log(p_k / w_k) in nats, p the mode shares of the high-quality (all
      finite) samples; None when there are none.
    - ``kl_high_quality_floor``, ``kl_all_floor``: the expected value of the same number for a perfect generator with as
      many counted samples.
    - ``core_sigma_ratio``: mixtures only; see `core_sigma_ratio`.
    - ``tutorial_coverage``: mixtures only; see `tutorial_coverage`. Lenient: one stray sample covers a mode.
    - ``class_entropy``: entropy of the mode shares of all finite samples in bits, 0 .. log2 K.

    Args:
        x: Samples (N, *shape), N >= 1.
        task: The task.
        real: Real samples for the centres of ``tutorial_coverage``, instead of 10,000 seeded ones.
    """
    return judged(x, task, real=real)[0]


def judged(
    x: ArrayLike | Tensor, task: Task, *, real: ArrayLike | Tensor | None = None
) -> tuple[dict[str, float | None], Counts, Counts]:
    """`mode_measures` and `mode_counts` together, looking at each sample once.

    Args:
        x: Samples (N, *shape), N >= 1.
        task: The task.
        real: As in `mode_measures`.

    Returns:
        The measures, the counts of all finite samples (K,) and of high-quality samples (K,).
    """
    samples = _fitting(as_samples(x), task)
    mode, good = task.assign(samples)
    every, fine = _count(mode, good, len(task.modes))
    weights = task.modes.weights.numpy()
    n_every, n_fine = int(every.sum()), int(fine.sum())
    measures = {
        "modes_hit": float((fine > 0).sum()),
        "modes_solid": float(solid(fine, len(samples), weights).sum()),
        "high_quality_share": n_fine / len(samples),
        "kl_high_quality": kl_divergence(fine, weights),
        "kl_high_quality_floor": kl_floor(n_fine, tuple(weights)),
        "kl_all": kl_divergence(every, weights),
        "kl_all_floor": kl_floor(n_every, tuple(weights)),
        "core_sigma_ratio": core_sigma_ratio(samples[good], mode[good], task) if isinstance(task, Mixture) else None,
        "tutorial_coverage": tutorial_coverage(samples, task, real=real) if isinstance(task, Mixture) else None,
        "class_entropy": entropy_bits(every),
    }
    return measures, every, fine


def measure_bounds(key: str, weights: Sequence[float]) -> tuple[float, float] | None:
    """The range that a measure cannot leave when the modes have these weights, perhaps without an upper end.

    Mode counts lie in [0, K], shares in [0, 1], the class entropy in [0, log2 K], and the Kullback-Leibler divergence
    to the data is largest when everything falls into the rarest mode.
    """
    if not weights:
        return None
    if key in FURTHER:
        low, high = FURTHER[key].low, FURTHER[key].high
        return low, math.inf if high is None else float(len(weights)) if high == MODES else high
    if key in ("modes_hit", "modes_solid"):
        return 0.0, float(len(weights))
    if key in ("high_quality_share", "tutorial_coverage"):
        return 0.0, 1.0
    if key in ("kl_high_quality", "kl_all"):
        return 0.0, -math.log(min(weights))
    if key == "class_entropy":
        return 0.0, math.log2(len(weights))
    if key == "core_sigma_ratio":
        return 0.0, math.inf
    return None


def diverged_value(key: str) -> float | None:
    """What a diverged seed counts as: 0 where the measure says how much is covered, for then nothing is.

    None for the divergences, `core_sigma_ratio` and the floors, where 0 would be praise or no number is the worst;
    such a seed is left out, and the record says so.
    """
    return 0.0 if key in COVERAGE or (key in FURTHER and FURTHER[key].covers) else None


def mode_counts(x: ArrayLike | Tensor, task: Task) -> tuple[Counts, Counts]:
    """Samples per mode.

    Returns:
        int64 (K,) of all finite samples and int64 (K,) of the high-quality ones.
    """
    return _count(*task.assign(_fitting(as_samples(x), task)), len(task.modes))


def as_samples(x: ArrayLike | Tensor) -> Tensor:
    """Samples as a detached CPU tensor (N, ...) of floating type."""
    samples = x.detach().cpu() if isinstance(x, Tensor) else torch.as_tensor(np.asarray(x))
    return samples if samples.is_floating_point() else samples.float()


def _fitting(samples: Tensor, task: Task) -> Tensor:
    """The samples, refused when there are none or when they are not of the task's shape."""
    size = math.prod(task.shape)
    if samples.ndim < 2 or not len(samples) or math.prod(samples.shape[1:]) != size:
        raise UserError(
            f"Samples of task {task.name!r} have shape (n, {', '.join(map(str, task.shape))}) with n >= 1, "
            f"not {tuple(samples.shape)}."
        )
    return samples


def _count(mode: Tensor, good: Tensor, modes: int) -> tuple[Counts, Counts]:
    every = torch.bincount(mode[mode >= 0], minlength=modes).numpy()
    fine = torch.bincount(mode[good & (mode >= 0)], minlength=modes).numpy()
    return every, fine


def kl_divergence(counts: Counts, weights: NDArray[np.float64]) -> float | None:
    """KL(counts / their sum || weights) in nats, >= 0; None when all counts are 0.

    The model-to-data direction stays finite when modes are lost: log K when a single one of K equal modes is left.
    """
    total = counts.sum()
    if not total:
        return None
    seen = counts > 0
    shares = counts[seen] / total
    # Rounding must not lead beyond what `measure_bounds` says, where everything falls into the rarest mode.
    most = -math.log(rarest) if (rarest := float(weights.min())) > 0 else math.inf
    return min(max(0.0, float((shares * np.log(shares / weights[seen])).sum())), most)


@lru_cache(maxsize=4096)
def kl_floor(n: int, weights: tuple[float, ...]) -> float | None:
    """What `kl_divergence` is on average when n samples come from the weights themselves; None for n = 0.

    Exactly sum_k E[(c/n) log(c / (n w_k))] with c ~ Binomial(n, w_k); close to (K - 1) / 2n when n w_k is large.
    """
    if n == 0:
        return None
    shares, times = np.unique(np.asarray(weights), return_counts=True)
    return float(sum(count * _binomial_term(n, float(share)) for share, count in zip(shares, times, strict=True)))


def _binomial_term(n: int, share: float) -> float:
    """E[(c/n) log(c / (n w))] for c ~ Binomial(n, w), summed over every c that matters in float64."""
    if share >= 1:
        return 0.0
    middle, spread = n * share, 12 * math.sqrt(n * share) + 40
    c = np.arange(max(1, math.floor(middle - spread)), min(n, math.ceil(middle + spread)) + 1)
    log_probability = (
        gammaln(n + 1) - gammaln(c + 1) - gammaln(n - c + 1) + c * math.log(share) + (n - c) * math.log1p(-share)
    )
    return float((np.exp(log_probability) * (c / n) * np.log(c / middle)).sum())


def entropy_bits(counts: Counts) -> float | None:
    """Entropy of the shares in bits; None when all counts are 0."""
    total = counts.sum()
    if not total:
        return None
    shares = counts[counts > 0] / total
    return min(max(0.0, float(-(shares * np.log2(shares)).sum())), math.log2(len(counts)))


def core_sigma_ratio(good: Tensor, mode: Tensor, task: Mixture) -> float | None:
    """How wide the generated modes are inside: 1 is right, below 1 is collapse inside the modes.

    For each mode with at least 20 high-quality samples: the median distance of these samples to their coordinate-wise
    median, divided by its value for the true component, sigma * sqrt(2 ln 2) in the plane. The mean over these modes.
    A perfect generator scores .992, not 1, because high-quality samples end at 3 sigma.

    Args:
        good: The high-quality samples (n, d).
        mode: Their modes (n,).
        task: The mixture.

    Returns:
        The ratio, or None when no mode has 20 high-quality samples.
    """
    points = good.flatten(1).double().numpy()
    order = np.argsort(mode.numpy(), kind="stable")
    edges = np.cumsum(np.bincount(mode.numpy(), minlength=len(task.modes)))[:-1]
    groups = [group for group in np.split(points[order], edges) if len(group) >= CORE_SAMPLES]
    if not groups:
        return None
    # The median radius of a d-dimensional standard normal is sqrt(2 times the median of a Gamma(d / 2)).
    true_radius = task.sigma * math.sqrt(2 * gammaincinv(task.shape[0] / 2, 0.5))
    radii = [np.median(np.linalg.norm(group - np.median(group, axis=0), axis=1)) for group in groups]
    return float(np.mean(radii) / true_radius)


def tutorial_coverage(x: ArrayLike | Tensor, task: Mixture, *, real: ArrayLike | Tensor | None = None) -> float:
    """Share of the k-means centres of real samples that have any sample within .1, 0 .. 1.

    K clusters of 10,000 seeded real samples (or of `real`), in the coordinates the generator is trained in. It is
    lenient (one stray sample covers a mode) and kept for comparison with published tables. Where modes are wider than
    .1, as on blobs-4, it can miss a solid one whose samples all lie farther out.
    """
    centres = torch.from_numpy(_tutorial_centres(task) if real is None else _cluster(as_samples(real), len(task.modes)))
    samples = as_samples(x)
    samples = samples.reshape(len(samples), -1).double()
    samples = samples[torch.isfinite(samples).all(1)]
    if not len(samples):
        return 0.0
    apart = torch.cdist(samples, centres, compute_mode="donot_use_mm_for_euclid_dist")
    return float((apart.min(0).values <= TUTORIAL_REACH).double().mean())


@lru_cache(maxsize=64)
def _tutorial_centres(task: Mixture) -> NDArray[np.float64]:
    real, _ = task.held_out(TUTORIAL_REAL, stream(0, "tutorial centres", dtype=torch.float64))
    return _cluster(real, len(task.modes))


def _cluster(real: Tensor, count: int) -> NDArray[np.float64]:
    from sklearn.cluster import KMeans

    points = real.reshape(len(real), -1).double().numpy()
    centres: NDArray[np.float64] = KMeans(count, n_init=CENTRE_STARTS, random_state=0).fit(points).cluster_centers_
    return centres
