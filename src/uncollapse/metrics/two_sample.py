"""Can a classifier tell fake rows from real ones: the held-out accuracy of a two-sample test."""

from __future__ import annotations

import copy
import math
import warnings
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import hypergeom

from uncollapse.errors import UserError
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.inputs import Features, Rows, both, check_level, seeded
from uncollapse.metrics.metric import find_metric
from uncollapse.metrics.share_intervals import counted_ends

CLASSIFIERS = ("logistic", "neighbours", "mlp")
LEAST = 4
HIDDEN, BATCH, MLP_STEPS, MLP_EPOCHS = 64, 200, 1_000, (20, 200)
CHUNK = 2_048

Matrix = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]
Index = NDArray[np.int64]


class Classifier(Protocol):
    """Anything that learns labels 0 (real) and 1 (fake) of rows."""

    def fit(self, rows: Matrix, labels: Index, /) -> Any:
        """Learns."""
        ...

    def predict(self, rows: Matrix, /) -> Any:
        """Labels of new rows."""
        ...


def c2st(
    *,
    real: Rows,
    fake: Rows,
    classifier: Literal["logistic", "neighbours", "mlp"] | Classifier = "logistic",
    level: float | None = 0.95,
    generator: torch.Generator | None = None,
) -> Estimate:
    """Classifier two-sample test: how well a classifier tells held-out fake rows from real ones.

    (P(called real | real) + P(called fake | fake)) / 2 on the half of the rows that the classifier did not see; .5 is
    a coin, 1 perfect separation, and a value below .5 chance. Rows are standardised by the training half. Identical
    rows, of one side or of both, are all in one half, so that copies cannot be recognised.

    Args:
        real: Feature rows (N, d).
        fake: Feature rows (M, d).
        classifier: "logistic" (regression with balanced weights), "neighbours" (vote of about sqrt(n) nearest),
            "mlp" (one hidden layer of 64), or an object with ``fit(rows, labels)`` and ``predict(rows)``, of which a
            copy is trained. All but "logistic" are trained on as many rows of one side as of the other.
        level: Nominal coverage of the interval; None for none.
        generator: Source of the halves and of the classifier's start; by default seed 0.

    Returns:
        The balanced accuracy of the trained classifier. `details` hold the accuracy on each side, the one-sided exact
        ``p_value`` of equal distributions (Fisher's, of the held-out predictions), and the rows and distinct rows used.
        No value when a side has no distinct row left to learn or to test.

    Raises:
        UserError: Rows as `both`, fewer than 4 a side, an unknown classifier, or a level outside (0, 1).
    """
    check_level(level)
    check_classifier(classifier)
    real_side, fake_side = both(real, fake, least=LEAST)
    random = seeded(generator)
    label = classifier if isinstance(classifier, str) else type(classifier).__name__
    halves = _halves(real_side, fake_side, random)
    seed = int(torch.randint(2**31 - 1, (), generator=random))
    model = _classifier(classifier, seed, len(halves.train))
    sizes: dict[str, Any] = {"level": level, "n_real": len(real_side), "n_fake": len(fake_side)}
    details: dict[str, Any] = {"classifier": label, "distinct_real": halves.distinct[0]}
    details["distinct_fake"] = halves.distinct[1]
    for name, side, distinct in zip((real_side.name, fake_side.name), (0, 1), halves.distinct, strict=True):
        if not ((halves.labels[halves.train] == side).any() and (halves.labels[halves.test] == side).any()):
            rows = "only one distinct row" if distinct == 1 else f"{distinct} distinct rows, too few to divide"
            reason = f"{name} has {rows}, so none is left to {'test on' if distinct == 1 else 'learn or to test'}"
            return find_metric("c2st").estimate(None, **sizes, reason=reason, details=details)
    called = _held_out(model, halves, thin=classifier != "logistic")
    return _judge(called, halves, level, details, sizes)


@dataclass(frozen=True)
class _Halves:
    """Rows of both sides and where they go.

    Attributes:
        rows: Real rows, then fake ones, each ordered by content (N + M, d).
        labels: 0 for real, 1 for fake (N + M,).
        groups: Which rows are identical (N + M,).
        train: Rows to learn from, in an order that depends on their content alone.
        test: Rows held out.
        distinct: Distinct real rows and distinct fake rows.
    """

    rows: Matrix
    labels: Index
    groups: Index
    train: Index
    test: Index
    distinct: tuple[int, int]


def _halves(real: Features, fake: Features, generator: torch.Generator) -> _Halves:
    """Half of the distinct rows to learn from; drawn apart for rows of fake only, of both sides, and of real only."""
    if real.x.dtype != fake.x.dtype:
        real, fake = Features(real.x.double(), name="real"), Features(fake.x.double(), name="fake")
    rows = torch.cat([real.ordered, fake.ordered]).cpu().numpy()
    keys = torch.cat([side.keys[side.order] for side in (real, fake)]).cpu().numpy()
    labels = np.repeat(np.arange(2), [len(real), len(fake)])
    _, groups = np.unique(keys, return_inverse=True)
    has_real, has_fake = (np.bincount(groups[labels == side], minlength=groups.max() + 1) > 0 for side in (0, 1))
    shuffled = torch.randperm(len(has_real), generator=generator).numpy()
    kind = np.where(has_fake & ~has_real, 0, np.where(has_fake, 1, 2))
    # Every second group of a shuffled list that is sorted by kind: each kind is halved, and so is each side.
    listed = shuffled[np.argsort(kind[shuffled], kind="stable")]
    testing = np.zeros(len(listed), dtype=bool)
    testing[listed[::2]] = True
    train, test = (np.flatnonzero(chosen) for chosen in (~testing[groups], testing[groups]))
    return _Halves(rows, labels, groups, train, test, (int(has_real.sum()), int(has_fake.sum())))


def check_classifier(classifier: str | Classifier) -> None:
    """Refuses what is no classifier.

    Raises:
        UserError: An unknown name, a class instead of an object, or an object without fit and predict.
    """
    if isinstance(classifier, str):
        if classifier not in CLASSIFIERS:
            raise UserError(f"classifier must be one of {', '.join(CLASSIFIERS)}, or an object with fit and predict, "
                            f"not {classifier!r}.")  # fmt: skip
    elif isinstance(classifier, type):
        raise UserError(f"classifier must be an object, as {classifier.__name__}(), not the class itself.")
    elif not (callable(getattr(classifier, "fit", None)) and callable(getattr(classifier, "predict", None))):
        raise UserError(
            f"classifier must have the methods fit and predict, and {type(classifier).__name__} has not; give one "
            f"of {', '.join(CLASSIFIERS)}, or a scikit-learn classifier."
        )


def _classifier(classifier: str | Classifier, seed: int, n: int) -> Classifier:
    if not isinstance(classifier, str):
        return copy.deepcopy(classifier)
    if classifier == "logistic":
        from sklearn.linear_model import LogisticRegression

        model: Classifier = LogisticRegression(class_weight="balanced", max_iter=100)
        return model
    if classifier == "neighbours":
        return _Neighbours()
    from sklearn.neural_network import MLPClassifier

    epochs = min(max(MLP_STEPS * BATCH // n, MLP_EPOCHS[0]), MLP_EPOCHS[1])
    network: Classifier = MLPClassifier((HIDDEN,), batch_size=min(BATCH, n), max_iter=epochs, random_state=seed)
    return network


class _Neighbours:
    """Vote of the k nearest training rows, k the odd number next to sqrt(n)."""

    def fit(self, rows: Matrix, labels: Index, /) -> None:
        self._rows, self._labels = rows, labels
        self._norms = np.square(rows).sum(1)
        self._k = min(math.isqrt(len(rows)) | 1, (len(rows) - 1) | 1)

    def predict(self, rows: Matrix, /) -> Index:
        votes = []
        for start in range(0, len(rows), CHUNK):
            apart = self._norms - 2 * (rows[start : start + CHUNK] @ self._rows.T)
            nearest = np.argpartition(apart, self._k - 1, axis=1)[:, : self._k]
            votes.append(self._labels[nearest].mean(1) > 0.5)
        return np.concatenate(votes).astype(np.int64)


def _held_out(model: Classifier, halves: _Halves, *, thin: bool) -> Flags:
    """Whether each held-out row is called fake, by a classifier trained in one thread on standardised rows."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    train = _thinned(halves) if thin else halves.train
    seen = halves.rows[halves.train]
    mean, scale = seen.mean(0, dtype=np.float64), seen.std(0, dtype=np.float64)
    # What rounding alone makes vary is constant, and stays 0 after centring.
    constant = scale <= 8 * np.finfo(seen.dtype).eps * np.abs(mean)
    shift, scale = mean.astype(seen.dtype), np.where(constant, 1, scale).astype(seen.dtype)
    with threadpool_limits(limits=1), warnings.catch_warnings():
        # What stops before it converges is still a classifier, and its accuracy is what is asked for.
        warnings.simplefilter("ignore")
        model.fit((halves.rows[train] - shift) / scale, halves.labels[train])
        answer = np.asarray(model.predict((halves.rows[halves.test] - shift) / scale))
    if answer.shape != halves.test.shape or not np.isin(answer, (0, 1)).all():
        raise UserError(
            "classifier must predict one label a row, 0 (real) or 1 (fake), as it was given; "
            f"it predicted an array of shape {answer.shape}."
        )
    called: Flags = answer == 1
    return called


def _thinned(halves: _Halves) -> Index:
    """Training rows with as many of one side as of the other, spread evenly over the larger."""
    sides = [halves.train[halves.labels[halves.train] == side] for side in (0, 1)]
    least = min(len(side) for side in sides)
    return np.concatenate([side[np.linspace(0, len(side) - 1, least).round().astype(int)] for side in sides])


def _judge(
    called: Flags, halves: _Halves, level: float | None, details: dict[str, Any], sizes: dict[str, Any]
) -> Estimate:
    """Balanced accuracy, its interval (Newcombe's sum of two intervals of shares) and the exact p-value."""
    truth = halves.labels[halves.test]
    shares, below, above = [], 0.0, 0.0
    for side, name in enumerate(("real", "fake")):
        of_side = truth == side
        right = called[of_side] == (side == 1)
        shares.append(float(right.mean()))
        details[f"accuracy_{name}"] = shares[-1]
        times = np.unique(halves.groups[halves.test][of_side], return_counts=True)[1]
        if level is not None:
            # Identical rows are right or wrong together: Kish's effective size.
            effective = float(times.sum()) ** 2 / float((times**2).sum())
            low, high = counted_ends(shares[-1], effective, float(ndtri(0.5 + level / 2)))
            below, above = below + (shares[-1] - low) ** 2, above + (high - shares[-1]) ** 2
    value = sum(shares) / 2
    hits = int((called & (truth == 1)).sum())
    # Were the distributions equal, which of the held-out rows are the fake ones would be a draw without replacement.
    p_value = float(hypergeom.sf(hits - 1, len(truth), int((truth == 1).sum()), int(called.sum())))
    details |= {"p_value": min(1.0, p_value), "trained_on": len(halves.train), "tested_on": len(halves.test)}
    ends = (value - math.sqrt(below) / 2, value + math.sqrt(above) / 2)
    return find_metric("c2st").estimate(value, ends, **sizes, details=details)
