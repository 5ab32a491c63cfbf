"""The Inception score of class probabilities, its bias left in and its spread measured."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import entr, ndtri
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.inputs import Rows, as_features, check_count, check_level, chunks, seeded
from uncollapse.metrics.metric import find_metric

SUM_TOLERANCE = 1e-4
# The influences have at least this many times the variance of the noise in the mean row when that does not matter.
NOISY = 4


@dataclass(frozen=True)
class _Score:
    """The score of one set of rows.

    Attributes:
        value: exp of the mean divergence.
        error: Standard error of its logarithm.
        same: Whether all rows are equal.
        noisy: Whether the noise of the mean row is a good part of the error, which is then too large.
    """

    value: float
    error: float
    same: bool
    noisy: bool = False


def inception_score(
    *,
    probabilities: Rows,
    splits: int = 1,
    level: float | None = 0.95,
    generator: torch.Generator | None = None,
) -> Estimate:
    """How confident each image's class is, and how many classes there are.

    exp(mean_x KL(p(y|x) || p(y))), p(y) the mean of the rows; 1 (all rows equal) .. C (certain and balanced).

    Args:
        probabilities: Class probabilities of the fakes (n, C); each row sums to 1 within 1e-4 and is rescaled to 1.
        splits: Parts of which the score is averaged; 1 takes all rows at once, 10 is the classic protocol.
        level: Nominal coverage of the interval; None for none.
        generator: Source of the split; by default seed 0. Not used for one split.

    Returns:
        The score; `details` hold the number of classes and, for more than one split, the standard deviation over them,
        which is not a standard error.

    Raises:
        UserError: Not a matrix of probabilities, more than half as many splits as rows, or a level outside (0, 1).
    """
    check_level(level)
    draws = seeded(generator)
    rows = as_features(probabilities, name="probabilities", least=2)
    _check_probabilities(rows.x)
    check_count(splits, "splits")
    if not 1 <= splits <= len(rows) // 2:
        raise UserError(f"splits must be from 1 to half of the {len(rows):,} rows, not {splits}.")
    order = rows.order
    if splits > 1:
        order = order[torch.randperm(len(order), generator=draws).to(order.device)]
    scores = [_score(rows.x, part, spread=level is not None) for part in torch.tensor_split(order, splits)]
    values = np.array([score.value for score in scores])
    value, ends = float(values.mean()), (1.0, float(rows.width))
    if level is not None:
        error = math.sqrt(sum((score.value * score.error) ** 2 for score in scores)) / splits / value
        half = float(ndtri(0.5 + level / 2)) * error
        ends = max(1.0, value * math.exp(-half)), min(float(rows.width), value * math.exp(half))
        if all(score.same for score in scores):
            ends = 1.0, _unseen(len(rows), rows.width, level)
    details: dict[str, float] = {"classes": rows.width, "splits": splits}
    if splits > 1:
        details["split_std"] = float(values.std())
    generous = any(score.noisy or score.same for score in scores)
    return find_metric("inception_score").estimate(
        value, ends, level=level, n_fake=len(rows), conservative=generous, details=details
    )


def _check_probabilities(x: Tensor) -> None:
    for part in chunks(len(x), x.shape[1]):
        sums = x[part].double().sum(1)
        bad = ((sums - 1).abs() > SUM_TOLERANCE) | (x[part] < 0).any(1)
        if bool(bad.any()):
            first = int(bad.nonzero()[0, 0])
            row = x[part][first].double()
            raise UserError(
                f"Row {part.start + first} of probabilities sums to {float(row.sum()):.6g} and its least number is "
                f"{float(row.min()):.3g}; each row must hold numbers from 0 up that sum to 1 (within {SUM_TOLERANCE:g})"
                "; apply a softmax to logits first."
            )


def _score(x: Tensor, part: Tensor, *, spread: bool) -> _Score:
    """Score of some rows, with the standard error of its logarithm.

    With m = mean KL, each row's influence on m is KL(p_x || p) - m. Where classes are certain and balanced that is 0,
    and the quadratic term -sum_k (p_k - E p_k)^2 / 2 p_k of p's own noise remains; its variance is tr(R^2) / 2 n^2, R
    the covariance of the rows divided by p. The influences' variance then holds tr(R^2) / n too much, and the interval
    is too wide; taking that off would make it too narrow with few rows a class.
    """
    n, width = len(part), x.shape[1]
    pieces = chunks(n, width)
    totals = torch.stack([_rows(x, part[piece]).sum(0) for piece in pieces]).sum(0)
    mean = (totals / totals.sum()).clamp_min(torch.finfo(torch.float64).tiny)
    gains = torch.cat([torch.special.xlogy(p, p / mean).sum(1) for p in (_rows(x, part[piece]) for piece in pieces)])
    log = max(0.0, float(gains.mean()))
    if not spread:
        return _Score(math.exp(log), math.nan, same=False)
    same = bool((x[part] == x[part[:1]]).all())
    gram = torch.zeros(width, width, dtype=torch.float64, device=x.device)
    for piece in pieces:
        scaled = (_rows(x, part[piece]) - mean) / mean.sqrt()
        gram += scaled.T @ scaled / n
    linear, quadratic = float(gains.var(correction=1)), float(gram.square().sum())
    error = math.sqrt(linear / n + quadratic / (2 * n * n))
    return _Score(math.exp(log), error, same, noisy=linear < NOISY * quadratic / n)


def _rows(x: Tensor, index: Tensor) -> Tensor:
    rows = x[index].double()
    return rows / rows.sum(1, keepdim=True)


def _unseen(n: int, classes: int, level: float) -> float:
    """Largest score when n equal rows were seen: another kind of row may have the share that n draws can miss."""
    share = 1 - ((1 - level) / 2) ** (1 / n)
    return math.exp(float(entr(share) + entr(1 - share)) + share * math.log(max(classes - 1, 1)))
