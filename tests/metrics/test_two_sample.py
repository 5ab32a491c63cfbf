from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.naive_bayes import GaussianNB

from uncollapse.errors import UserError
from uncollapse.metrics.two_sample import CLASSIFIERS, Classifier, c2st


def shifted(seed: int, n: int, m: int, shift: float, features: int = 4) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    real, fake = random.standard_normal((n, features)), random.standard_normal((m, features))
    fake[:, 0] += shift
    return {"real": real, "fake": fake}


class Oracle:
    """The best rule for two unit Gaussians: which side of the middle; standardising does not move the middle."""

    def fit(self, rows: np.ndarray, labels: np.ndarray, /) -> None:
        self.middle = (rows[labels == 0, 0].mean() + rows[labels == 1, 0].mean()) / 2

    def predict(self, rows: np.ndarray, /) -> np.ndarray:
        return (rows[:, 0] > self.middle).astype(int)


@pytest.mark.parametrize(("classifier", "slack"), [("logistic", 0.03), ("neighbours", 0.05), ("mlp", 0.05)])
def test_shifted_gaussians_reach_the_optimum(classifier: Classifier, slack: float) -> None:
    found = c2st(**shifted(1, 1500, 1500, 2.0), classifier=classifier)
    # Phi(shift / 2).
    assert found.value == pytest.approx(0.8413447, abs=slack)
    assert found.low < found.value < found.high < found.low + 0.08
    assert found.details["p_value"] < 1e-50


def test_unequal_sides_give_the_balanced_accuracy() -> None:
    for classifier in ("logistic", "neighbours", Oracle()):
        found = c2st(**shifted(2, 400, 2400, 2.0), classifier=classifier)
        assert found.value == pytest.approx(0.8413447, abs=0.06)
        assert found.details["accuracy_real"] == pytest.approx(found.details["accuracy_fake"], abs=0.15)


def test_p_value_and_interval_when_nothing_differs() -> None:
    found = [c2st(**shifted(seed, 150, 100, 0.0), classifier=Oracle()) for seed in range(120)]
    assert np.mean([float(one) for one in found]) == pytest.approx(0.5, abs=0.016)
    # Any classifier's accuracy on fresh rows of equal distributions is exactly one half.
    assert np.mean([one.holds(0.5) for one in found]) >= 0.9
    p = np.array([one.details["p_value"] for one in found])
    assert (p <= 0.05).mean() <= 0.11
    assert (p <= 0.5).mean() == pytest.approx(0.45, abs=0.12)


def test_p_value_is_fishers() -> None:
    found = c2st(**shifted(3, 60, 60, 0.5), classifier=Oracle())
    right_fake, right_real = (round(30 * found.details[f"accuracy_{side}"]) for side in ("fake", "real"))
    table = [[right_fake, 30 - right_fake], [30 - right_real, right_real]]
    assert found.details["p_value"] == pytest.approx(stats.fisher_exact(table, alternative="greater").pvalue)


@pytest.mark.parametrize("shift", [0.5, 3.0])
def test_interval_holds_the_accuracy_of_the_trained_classifier(shift: float) -> None:
    class Middle(Oracle):
        """A rule that is known beforehand; its true accuracy needs no training rows."""

        def fit(self, rows: np.ndarray, labels: np.ndarray, /) -> None:
            super().fit(rows, labels)
            means = [rows[labels == side, 0].mean() for side in (0, 1)]
            spread = np.mean([rows[labels == side, 0].std() for side in (0, 1)])
            self.middle = means[0] + spread * shift / 2

    truth = float(stats.norm.cdf(shift / 2))
    found = [c2st(**shifted(seed, 200, 400, shift), classifier=Middle()) for seed in range(100)]
    assert np.mean([one.holds(truth) for one in found]) >= 0.88


@pytest.mark.parametrize("classifier", ["logistic", "neighbours"])
def test_identical_rows_never_lie_in_both_halves(classifier: Classifier) -> None:
    class Memory:
        def fit(self, rows: np.ndarray, labels: np.ndarray, /) -> None:
            self.seen = {row.tobytes() for row in rows}

        def predict(self, rows: np.ndarray, /) -> np.ndarray:
            assert not any(row.tobytes() in self.seen for row in rows)
            return np.zeros(len(rows), dtype=int)

    random = np.random.default_rng(4)
    real = random.standard_normal((200, 3))
    fake = np.concatenate([np.repeat(random.standard_normal((20, 3)), 5, 0), real[:50]])
    c2st(real=real, fake=fake, classifier=Memory())
    # Copies of ordinary rows look special only to what has seen them: few distinct rows leave a wide interval.
    copies = c2st(real=random.standard_normal((500, 3)), fake=np.repeat(real[:10], 50, 0), classifier=classifier)
    assert copies.high - copies.low > 0.25
    assert copies.details["distinct_fake"] == 10


def test_one_distinct_row_has_no_value_and_says_why() -> None:
    found = c2st(real=np.random.default_rng(5).standard_normal((50, 2)), fake=np.ones((50, 2)))
    assert found.value is None
    assert found.reason == "fake has only one distinct row, so none is left to test on"
    same = c2st(real=np.ones((20, 2)), fake=np.ones((20, 2)))
    assert same.value is None
    assert same.reason.startswith("real has only one distinct row")


def test_constant_features_and_perfect_separation() -> None:
    sides = shifted(6, 60, 60, 50.0)
    for side in sides.values():
        side[:, 1] = 1e6
    found = c2st(**sides)
    assert found.value == 1
    assert found.high == 1
    assert found.low < 0.98


@pytest.mark.parametrize("classifier", [*CLASSIFIERS, GaussianNB()])
def test_row_order_container_and_streams_do_not_matter(classifier: Classifier) -> None:
    sides = shifted(7, 80, 60, 1.0)
    torch_state = torch.get_rng_state()
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.RandomState(3).random()
    found = c2st(**sides, classifier=classifier)
    assert found == c2st(**{k: torch.from_numpy(v).flip(0) for k, v in sides.items()}, classifier=classifier)
    assert found.details["trained_on"] == found.details["tested_on"] == 70
    assert np.random.random() == expected  # noqa: NPY002
    assert torch.equal(torch_state, torch.get_rng_state())
    if isinstance(classifier, GaussianNB):
        assert not hasattr(classifier, "classes_")


def test_single_and_double_precision_sides_mix() -> None:
    sides = shifted(8, 50, 50, 1.0)
    real = sides["real"].astype(np.float32)
    found = c2st(real=real, fake=np.concatenate([sides["fake"], real[:5].astype(np.float64)]))
    assert found.value is not None
    assert found.n_fake == 55


class Wordy(Oracle):
    def predict(self, rows: np.ndarray, /) -> np.ndarray:
        return np.full(len(rows), 7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classifier": "forest"}, "classifier must be one of logistic, neighbours, mlp"),
        ({"classifier": 3}, "classifier must have the methods fit and predict, and int has not"),
        ({"classifier": Wordy()}, "classifier must predict one label a row, 0 .real. or 1 .fake."),
        ({"fake": np.ones((3, 4))}, "fake has 3 rows, but this needs at least 4"),
        ({"fake": np.full((9, 4), np.inf)}, "not finite"),
        ({"fake": np.ones((9, 5))}, "same extractor"),
        ({"level": 0.0}, "level must be between 0 and 1"),
    ],
)
def test_what_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        c2st(**(shifted(9, 20, 20, 1.0) | options))  # type: ignore[arg-type]
