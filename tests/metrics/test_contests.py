"""Several differences at once: each as it is alone, from fewer walks."""

from __future__ import annotations

import math

import pytest
import torch

from uncollapse.errors import UserError
from uncollapse.metrics import contests as module
from uncollapse.metrics.contests import differences
from uncollapse.metrics.together import FEATURE_METRICS
from uncollapse.metrics.versus import difference

ALL = tuple(name for name in FEATURE_METRICS if name != "authenticity")


def rows(n: int, seed: int, *, scale: float = 1.0, width: int = 2) -> torch.Tensor:
    return scale * torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


QUICK = (
    "frechet_distance",
    "kernel_distance",
    "precision",
    "recall",
    "density",
    "coverage",
    "diversity",
    "vendi_score",
)


@pytest.mark.parametrize("names", [QUICK, pytest.param(ALL, marks=pytest.mark.slow)])
def test_each_is_what_it_is_alone(names: tuple[str, ...]) -> None:
    sides = {"real": rows(90, 1), "fake": rows(80, 2, scale=0.6), "other": rows(70, 3)}
    found = differences(**sides, metrics=names, generator=torch.Generator().manual_seed(5))
    assert tuple(found) == names
    if "birthday" in names:
        assert found.pop("birthday").reason.startswith(
            "birthday has no value here, for fake: no two of 80 fakes are alike"
        )
    for name, together in found.items():
        alone = difference(name, **sides, generator=torch.Generator().manual_seed(5))
        for field in ("value", "low", "high"):
            assert getattr(together, field) == pytest.approx(getattr(alone, field), rel=1e-9, abs=1e-12), (name, field)
        assert (together.interval, together.conservative) == (alone.interval, alone.conservative)
        assert together.details.keys() == alone.details.keys()


def test_all_share_their_looks_at_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[tuple[str, ...]] = []
    real = module.feature_metrics

    def counted(**given):
        looks.append(tuple(given["metrics"]))
        return real(**given)

    monkeypatch.setattr(module, "feature_metrics", counted)
    names = ("precision", "recall", "coverage", "kernel_distance")
    differences(real=rows(60, 1), fake=rows(60, 2), other=rows(60, 3), metrics=names)
    # Two sides on all rows and on 20 pairs of subsamples.
    assert looks == [("kernel_distance", "precision", "recall", "coverage")] * (2 * 41)


def test_without_a_level_there_are_values_only() -> None:
    found = differences(
        real=rows(60, 1), fake=rows(60, 2), other=rows(60, 3), metrics=["coverage", "diversity"], level=None
    )
    assert tuple(found) == ("coverage", "diversity")
    assert all((one.low, one.high, one.level) == (None, None, None) for one in found.values())
    assert found["coverage"].details["fake"] - found["coverage"].details["other"] == found["coverage"].value


def test_the_same_call_twice_with_one_generator_draws_anew() -> None:
    sides, draws = {"real": rows(60, 1), "fake": rows(60, 2, scale=0.7), "other": rows(60, 3)}, torch.Generator()
    one, two = (differences(**sides, metrics=["coverage"], generator=draws.manual_seed(1)) for _ in range(2))
    three = differences(**sides, metrics=["coverage"], generator=draws)
    assert one["coverage"].low == two["coverage"].low != three["coverage"].low


def test_a_metric_that_cannot_be_had_says_why_and_the_others_come() -> None:
    found = differences(
        real=rows(5, 1), fake=rows(5, 2), other=rows(5, 3), metrics=["frechet_distance", "coverage", "vendi_score"]
    )
    assert found["coverage"].value is None
    assert "5" in found["coverage"].reason
    assert found["frechet_distance"].value is not None
    assert found["vendi_score"].value is not None


@pytest.mark.parametrize(("metric", "broken"), [("c2st", torch.ones(60, 2)), ("mmd_rbf", torch.zeros(60, 2))])
def test_the_side_without_a_number_is_named_as_alone(metric: str, broken: torch.Tensor, monkeypatch) -> None:
    looks = []
    real = module.feature_metrics
    monkeypatch.setattr(module, "feature_metrics", lambda **given: (looks.append(given["metrics"]), real(**given))[1])
    for side, other in (("fake", "other"), ("other", "fake")):
        given = {"real": rows(60, 1), side: broken, other: rows(60, 2)}
        found = differences(**given, metrics=[metric, "precision"])
        with pytest.raises(UserError, match=side) as alone:
            difference(metric, **given)
        assert (found[metric].value, found[metric].reason) == (None, str(alone.value))
        assert found["precision"].low is not None
        with pytest.raises(UserError, match=side):
            difference("vendi_score", fake=given["fake"] * math.nan if side == "fake" else given["fake"],
                       other=given["other"] * math.nan if side == "other" else given["other"])  # fmt: skip
    # What has no number on all rows is not looked for on subsamples.
    assert looks.count(("precision",)) == 2 * 80


def test_a_subsample_that_is_too_small_costs_the_interval_alone() -> None:
    found = differences(real=rows(8, 1), fake=rows(8, 2), other=rows(8, 3), metrics=["coverage"])["coverage"]
    alone = difference("coverage", real=rows(8, 1), fake=rows(8, 2), other=rows(8, 3))
    assert found.value == alone.value
    assert (found.low, found.high) == (None, None)
    assert found.reason == alone.reason
    assert found.reason.startswith("a subsample of the rows is too small: ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": ["authenticity"]}, "compares with training rows"),
        ({"metrics": "coverage"}, "must be a list"),
        ({"metrics": ["covrage"]}, "coverage"),
        ({"metrics": ["class_kl"]}, "takes"),
        ({"other": rows(60, 3, width=3)}, "other has 3"),
        ({"level": 2.0}, "level"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(changes, message) -> None:
    given = {"real": rows(60, 1), "fake": rows(60, 2), "other": rows(60, 3)} | changes
    with pytest.raises(UserError, match=message):
        differences(**given)
