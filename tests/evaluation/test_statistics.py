from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from tests.evaluation.making import cloud, digits

from uncollapse.errors import UserError
from uncollapse.evaluation import evaluate

IMAGES, _ = digits()


def sqrtm_formula(mean1: np.ndarray, cov1: np.ndarray, mean2: np.ndarray, cov2: np.ndarray) -> float:
    """The distance as the papers write it."""
    root = scipy.linalg.sqrtm(cov1 @ cov2)
    gap = mean1 - mean2
    return float(gap @ gap + np.trace(cov1 + cov2 - 2 * np.real(root)))


def moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return rows.mean(0), np.cov(rows, rowvar=False).reshape(rows.shape[1], -1)


def saved(place: Path, rows: np.ndarray) -> str:
    mean, covariance = moments(rows)
    np.savez(place, mu=mean, sigma=covariance)
    return str(place)


REAL = cloud(300, 0, 5) @ np.random.default_rng(9).normal(size=(5, 5))
FAKE = cloud(200, 1, 5) @ np.random.default_rng(8).normal(size=(5, 5)) + 0.5
ONLY = "With statistics only the Fréchet distance is possible"
EXPECTED = sqrtm_formula(*moments(REAL), *moments(FAKE))


def test_statistics_against_rows_rows_against_statistics_and_both(tmp_path: Path) -> None:
    real, fake = saved(tmp_path / "real.npz", REAL), saved(tmp_path / "fake.npz", FAKE)
    of_rows, of_none = "identity", "statistics"
    for sides, rows, features in (
        ((real, fake), (None, None), of_none),
        ((real, FAKE), (None, 200), of_rows),
        ((REAL, fake), (300, None), of_rows),
    ):
        found = evaluate(*sides, alpha=0.2)
        estimate, document = found.metrics["frechet_distance"], found.document
        assert estimate.value == pytest.approx(EXPECTED, rel=1e-8)
        assert tuple(document["inputs"][role]["rows"] for role in ("real", "fake")) == rows
        assert (document["verdict"]["n_real"], document["verdict"]["n_fake"]) == rows
        assert (estimate.n_real, estimate.n_fake) == rows
        assert found.verdict.alpha == 0.2
        assert document["names"] == {"frechet_distance": f"Fréchet distance [{features}]"}
        assert (document["extractor"]["name"], document["extractor"]["width"]) == (features, 5)
        assert ("rows are features already" in document["extractor"]["why"]) == (features == of_rows)


def test_the_page_counts_rows_only_where_there_are_some(tmp_path: Path) -> None:
    real, mean, covariance = tmp_path / "real.npz", *moments(REAL)
    np.savez(real, mu=mean, sigma=covariance)
    page = evaluate(str(real), FAKE).save(tmp_path / "unknown").read_text(encoding="utf-8")
    assert "200 generated rows judged against real ones of" in page
    np.savez(real, mu=mean, sigma=covariance, n=300)
    page = evaluate(str(real), FAKE).save(tmp_path / "known").read_text(encoding="utf-8")
    assert "200 generated rows judged against 300 real ones of" in page


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"features": "incepton"}, "No side holds images, so incepton has nothing to look at; leave --features out."),
        ({"weights": "nowhere.pth"}, "No side holds images, so --weights are of no use; leave them out."),
    ],
)
def test_options_for_images_are_refused_where_there_are_none(
    options: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    real, fake = saved(tmp_path / "real.npz", REAL), saved(tmp_path / "fake.npz", FAKE)
    for sides in ((real, fake), (real, FAKE), (REAL, fake)):
        with pytest.raises(UserError) as error:
            evaluate(*sides, **options)
        assert str(error.value) == sentence
    assert evaluate(real, fake, features="identity").metrics["frechet_distance"].value is not None


def test_it_is_the_distance_of_the_rows_themselves(tmp_path: Path) -> None:
    whole = evaluate(REAL, FAKE, metrics=["frechet_distance"]).metrics["frechet_distance"]
    assert whole.value == pytest.approx(EXPECTED, rel=1e-8)


def test_there_is_no_verdict_and_no_interval_but_a_page(tmp_path: Path) -> None:
    found = evaluate(saved(tmp_path / "real.npz", REAL), FAKE, command="uncollapse evaluate real.npz fake.npy")
    assert found.verdict.status == "inconclusive"
    assert "no loss can be looked for" in found.verdict.sentence
    estimate = found.metrics["frechet_distance"]
    assert (estimate.low, estimate.high, estimate.level) == (None, None, None)
    assert estimate.reason == "statistics hold no rows, so nothing tells how sure this is"
    json.dumps(found.document, allow_nan=False)
    assert "Inconclusive" in found.save(tmp_path / "out").read_text(encoding="utf-8")


def test_a_single_feature_has_a_variance(tmp_path: Path) -> None:
    real, fake = cloud(50, 0, 1), 2 * cloud(60, 1, 1) + 1
    found = evaluate(saved(tmp_path / "real.npz", real), fake)
    gap, deviations = real.mean() - fake.mean(), (real.std(ddof=1), fake.std(ddof=1))
    assert found.metrics["frechet_distance"].value == pytest.approx(gap**2 + (deviations[0] - deviations[1]) ** 2)


def test_pixels_of_images_and_samplers_can_be_compared(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 6, 6), dtype=np.uint8)
    rows = noise.reshape(400, -1) / 255
    found = evaluate(saved(tmp_path / "real.npz", rows[:200]), noise[200:], features="pixels[6x6]")
    expected = sqrtm_formula(*moments(rows[:200]), *moments(rows[200:]))
    assert found.metrics["frechet_distance"].value == pytest.approx(expected, rel=1e-4)
    assert found.document["names"]["frechet_distance"] == "Fréchet distance [pixels[6x6]]"
    drawn = evaluate(saved(tmp_path / "rows.npz", REAL), lambda n: torch.randn(n, 5))
    assert drawn.document["inputs"]["fake"]["rows"] == 10_000


@pytest.mark.parametrize(
    ("fake", "options", "sentence"),
    [
        (cloud(30, 0, 4), {}, "One side has 5 features and the other 4; use the same extractor for both."),
        (cloud(1, 0, 5), {}, "The fake side has 1 readable row; a covariance needs at least 2."),
        (FAKE, {"versus": FAKE}, f"{ONLY}; leave --versus and --train out."),
        (FAKE, {"train": FAKE}, f"{ONLY}; leave --versus and --train out."),
        (FAKE, {"per_class": True}, f"{ONLY}; leave --per-class out."),
        (
            FAKE, {"metrics": ["frechet_distance", "recall"]},
            "With statistics only frechet_distance is possible, not recall; give the data themselves for it.",
        ),
        (
            IMAGES[:30], {},
            "Name the extractor that made the statistics, for example --features inception; images of ndarray of shape "
            "(30, 8, 8) can only be compared in the same features.",
        ),
        (
            IMAGES[:30], {"features": "pca[5]"},
            "pca is fitted anew on both sides each time, so no statistics can be in its features; name the extractor "
            "that made them, for example --features inception.",
        ),
    ],
)  # fmt: skip
def test_what_statistics_cannot_answer_is_refused(
    fake: np.ndarray, options: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as error:
        evaluate(saved(tmp_path / "real.npz", REAL), fake, **options)
    assert str(error.value) == sentence
