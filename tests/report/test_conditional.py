"""The findings about labels: every sentence has a number set by hand that calls for it, and one that does not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from uncollapse.experiments.record import Lane, success_rate, summarise
from uncollapse.report.conditional import contrasts, findings, inside_verdict
from uncollapse.report.real import Real
from uncollapse.report.records import Cell, RunRecord
from uncollapse.tasks.digits import digits, split

WEIGHTS = tuple(digits().modes.weights.tolist())
BITS = -sum(w * math.log2(w) for w in WEIGHTS)
WAVES = (0.0, 0.1, -0.1, 0.05, -0.05, 0.15, -0.15, 0.02)


@pytest.fixture(scope="module")
def real() -> Real:
    data = split()
    return Real(
        name="digits",
        task=digits(),
        samples=data.held_out.numpy(),
        labels=data.held_out_labels.numpy(),
        shape=(8, 8),
    )


def cell(method: str, *, labels: bool, seeds: int = 8, **values: float | Sequence[float]) -> Cell:
    """A cell whose measures vary a little over seeds around a value, or are given seed by seed."""
    run = RunRecord(directory=Path("nowhere"), spec={}, result=None, history=(), seconds=None)
    run.__dict__["final"] = {"labels": np.zeros((1, 1), int)} if labels else {}
    table: dict[str, list[float]] = {
        key: list(value) if isinstance(value, Sequence) else [value * (1 + 0.1 * wave) for wave in WAVES[:seeds]]
        for key, value in values.items()
    }
    lanes = [
        Lane(seed=seed, diverged=False, measures={"averaged": {key: row[seed] for key, row in table.items()}})
        for seed in range(seeds)
    ]
    return Cell(
        method=method,
        task="digits",
        seeds=tuple(range(seeds)),
        runs=(run,),
        measures={key: summarise(key, lanes, "averaged", WEIGHTS) for key in table},
        success=success_rate(lanes, "averaged", 10),
    )


def near_truth(seeds: int = 8) -> list[float]:
    """Entropies that differ by thousandths from the true one."""
    return [BITS - 0.001 * k for k in range(seeds)]


def alone(seeds: int = 8, **changes: Any) -> Cell:
    solid = [6.0, 7.0, 5.0, 6.0, 7.0, 6.0, 5.0, 6.0][:seeds]
    values = {"frechet_distance": 20.0, "precision": 0.4, "recall": 0.6, "within_class_diversity": 0.8}
    return cell(
        "wgan-gp", labels=False, seeds=seeds, **{"modes_solid": solid, "class_entropy": 3.0, **values, **changes}
    )


def told(seeds: int = 8, **changes: Any) -> Cell:
    values = {"frechet_distance": 10.0, "precision": 0.7, "recall": 0.6, "within_class_diversity": 0.95}
    agreed = {"label_agreement": 0.9, "class_entropy": near_truth(seeds)}
    return cell("cwgan-gp", labels=True, seeds=seeds, **{"modes_solid": [10.0] * seeds, **agreed, **values, **changes})


def test_differences_that_every_seed_shows_are_established_and_others_are_not(real: Real) -> None:
    text = " ".join(findings([alone(), told()], real))
    # 8 seeds, 5 comparisons: the exact p is 2 / 2^8 = .0078, and .039 after Holm.
    kept = "cwgan-gp keeps every class in 8 of 8 seeds, wgan-gp in 0 of 8 seeds: 4.0 more solid classes (3."
    assert kept in text
    assert "), beyond chance (Holm-adjusted p 0.039)." in text
    # The labels were asked for in the true shares, so that no difference of the entropies is claimed.
    assert f"the true shares {BITS:.2f}; it was asked for labels in the true shares" in text
    assert "bits nearer" not in text
    assert "Beyond chance, cwgan-gp is better than wgan-gp in Fréchet distance (10.00 against 20.00)" in text
    assert "precision (70 % against 40 %) and diversity inside classes (0.95 against 0.80)." in text
    assert "No difference is seen in recall (60 % against 60 %)." in text
    assert "The classifier sees the label asked for in 90 % (" in text
    assert "of held-out real images it is right on 100 %" in text


def test_p_values_are_corrected_over_all_comparisons_of_a_task(real: Real) -> None:
    (contrast,) = contrasts([alone(), told()])
    assert len(contrast.rows) == 5
    assert contrast.rows["precision"].p == pytest.approx(2 / 2**8)
    assert contrast.rows["precision"].p_adjusted == pytest.approx(5 * 2 / 2**8)
    assert contrast.rows["recall"].p_adjusted == 1
    # Less distance is more: 20 - 10 with a plus.
    assert contrast.rows["frechet_distance"].difference == pytest.approx(10, rel=0.01)
    assert contrast.needed == 8
    assert "class_entropy" not in contrast.rows


def test_few_seeds_establish_nothing_and_it_is_said(real: Real) -> None:
    text = " ".join(findings([alone(4), told(4)], real))
    assert "4.0 more solid classes, which 4 seeds cannot establish (it takes 8 for 5 comparisons)." in text
    assert "Not established on so few seeds: Fréchet distance (" in text
    assert "beyond chance" not in text.lower()


def test_equal_methods_show_no_difference_seen(real: Real) -> None:
    same = alone(modes_solid=[10.0] * 8, class_entropy=near_truth())
    twin = told(
        **{key: list(same.measures[key]["per_seed"]) for key in same.measures},
    )
    text = " ".join(findings([same, twin], real))
    assert text.count("no difference seen.") == 1
    assert "No difference is seen in Fréchet distance" in text
    assert "beyond chance" not in text.lower()


def test_a_worse_method_is_called_worse(real: Real) -> None:
    text = " ".join(findings([alone(), told(frechet_distance=40.0, modes_solid=[1.0] * 8)], real))
    assert "5.0 fewer solid classes (4." in text
    assert "Beyond chance, cwgan-gp is worse than wgan-gp in Fréchet distance (40.01 against 20.00)." in text


@pytest.mark.parametrize(
    ("diversity", "verdict"),
    [
        (0.2, "collapse inside classes"),
        (0.75, "repetition inside classes"),
        (0.95, "a little less variety than in real images, too little to be called collapse"),
        (1.0, "no collapse inside classes seen"),
        (1.3, "more spread than real images, as noisy images are, which is not collapse"),
        # From .3 to 1.5: the interval holds 1, so nothing is claimed.
        ([0.3, 1.5, 0.4, 1.4, 0.5, 1.3, 0.9, 1.1], "no collapse inside classes seen"),
        ([0.8] * 8, "one number without an interval, so no verdict"),
    ],
)
def test_collapse_inside_classes_is_told_by_the_interval(
    real: Real, diversity: float | list[float], verdict: str
) -> None:
    made = told(within_class_diversity=diversity)
    assert inside_verdict(made) == verdict
    text = findings([made], real)[-1]
    assert f": {verdict}." in text
    assert text.startswith("Inside classes, as a multiple of how varied real images are: cwgan-gp ")
    assert "hardly ever made" not in text


def test_many_methods_are_told_in_groups_and_the_baseline_is_the_reference(real: Real) -> None:
    others = [cell(f"cure-{k}", labels=False, within_class_diversity=0.3 + 0.5 * (k % 2)) for k in range(4)]
    cells = [*others, alone(), told()]
    text = findings(cells, real, baseline="wgan-gp")
    assert "cwgan-gp keeps every class in 8 of 8 seeds, wgan-gp in 0 of 8 seeds" in text[0]
    assert "cure-0 0.30 and cure-2 0.30: collapse inside classes, or lost classes." in text[-1]
    assert "cure-1 0.80, cure-3 0.80 and wgan-gp 0.80: repetition inside classes, or lost classes." in text[-1]
    assert "one that is hardly ever made counts 0." in text[-1]


def test_without_image_measures_nothing_is_said(real: Real) -> None:
    assert findings([cell("wgan-gp", labels=False, modes_solid=[10.0] * 8)], real) == ()


def test_a_task_that_cannot_be_built_leaves_the_entropy_out() -> None:
    gone = Real(name="digits", task=None, samples=None, labels=None, shape=(8, 8), reason="gone")
    text = " ".join(findings([alone(), told()], gone))
    assert "bits" not in text
    assert "of held-out real images" not in text
    assert "Beyond chance, cwgan-gp is better" in text
