from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from tests.verdict.making import groups

from uncollapse.errors import UserError
from uncollapse.verdict import Verdict, judge
from uncollapse.verdict.judge import Classes, holm
from uncollapse.verdict.question import reaches

FEW = 199


def asked(real: np.ndarray, fake: np.ndarray, **options: object) -> Verdict:
    return judge(real=real, fake=fake, **({"images": False, "assignments": FEW} | options))  # type: ignore[arg-type]


def ring(n: int, seed: int, *, modes: int = 8, spread: float = 0.05) -> np.ndarray:
    draws = np.random.default_rng(seed)
    angle = 2 * np.pi * draws.integers(0, modes, n) / 8
    return np.stack([np.cos(angle), np.sin(angle)], 1) + spread * draws.normal(size=(n, 2))


def by_metric(verdict: Verdict, name: str) -> object:
    return next(found for found in verdict.evidence if found.metric == name)


def test_equal_rings_are_healthy_and_nothing_is_lost() -> None:
    verdict = asked(ring(1_500, 0), ring(1_500, 1))
    assert verdict.status == "healthy"
    assert not verdict.lost
    assert verdict.quality is None
    assert verdict.needed is None


def test_a_lost_arc_is_collapsed_and_named() -> None:
    verdict = asked(ring(600, 0), ring(600, 1, modes=6))
    assert verdict.status == "collapsed"
    assert verdict.lost[0].share_real == pytest.approx(0.25, abs=0.05)
    assert verdict.lost[0].share_fake == pytest.approx(0.0, abs=0.01)
    places = ring(600, 0)[list(verdict.lost[0].real)]
    assert (places[:, 1] < 0.2).all()  # modes 6 and 7 lie below the axis


def test_the_first_mode_alone_is_found_in_every_way() -> None:
    verdict = asked(ring(500, 0), ring(500, 1, modes=1))
    collapsed = {found.metric for found in verdict.evidence if found.collapse}
    assert {"region shares", "spread overall", "repeats"} <= collapsed
    assert sum(row.share_real for row in verdict.lost) > 0.7


def test_narrow_modes_are_collapsed_though_none_is_lost() -> None:
    verdict = asked(ring(1_000, 0), ring(1_000, 1, spread=0.03))
    assert verdict.status == "collapsed"
    assert by_metric(verdict, "spread within clusters").effect == pytest.approx(0.4, abs=0.1)  # type: ignore[attr-defined]
    # No mode (an eighth) is lost, but the rim of one may be: real rows 1.5 sigma out, where narrow fakes do not come.
    for lost in verdict.lost:
        rim = ring(1_000, 0)[list(lost.real)]
        centre = np.exp(0.25j * np.pi * np.round(4 / np.pi * np.angle(rim[:, 0] + 1j * rim[:, 1])))
        assert lost.share_real < 0.09
        assert np.abs(rim[:, 0] + 1j * rim[:, 1] - centre).mean() > 1.2 * 0.05


def test_a_coarse_region_of_one_tree_hides_no_finer_one_of_another() -> None:
    draws = np.random.default_rng(0)
    real = draws.normal(size=(190, 4))
    fake = np.repeat(draws.normal(size=(10, 4)), 20, 0) + 1e-3 * draws.normal(size=(200, 4))
    found = by_metric(asked(real, fake), "region shares")
    # Walks find all real rows as one region, which the fakes' nearest real rows deny; Ward's tree finds what is lost.
    assert found.collapse  # type: ignore[attr-defined]
    assert found.effect > 0.6  # type: ignore[attr-defined]


def test_significance_includes_the_limit_however_it_is_rounded() -> None:
    assert reaches(3 * (50 / 1000), 0.15)
    assert reaches(3 * (100 / 1000), 0.3)
    assert not reaches(0.151, 0.15)


def test_the_smallest_alpha_can_still_be_reached() -> None:
    verdict = asked(ring(200, 0), ring(200, 1, modes=4), alpha=0.001)
    assert verdict.status == "collapsed"
    assert min(found.p_adjusted for found in verdict.evidence) <= 0.0005


def test_too_few_rows_are_inconclusive_and_say_how_many_it_takes() -> None:
    verdict = asked(ring(80, 0), ring(80, 1))
    assert verdict.status == "inconclusive"
    assert verdict.needed is not None
    assert 500 < verdict.needed < 5_000
    assert f"{verdict.needed:,}" in verdict.sentence


def test_as_many_samples_a_side_are_needed_whichever_side_is_short() -> None:
    for n, m in ((150, 150), (100, 1_200), (1_200, 100)):
        needed = asked(ring(n, 0), ring(m, 1)).needed
        assert needed is not None
        assert 850 < needed < 1_350


def test_samples_that_a_thinned_mixture_leaves_out_are_needed_too() -> None:
    draws = np.random.default_rng(0)
    rows = [draws.normal(size=(n, 4)) for n in (320, 160)]
    kinds = [np.repeat([0, 1, 2], counts) for counts in ([80, 80, 160], [80, 80, 0])]
    known = Classes(names=list("abc"), real=kinds[0], fake=kinds[1], balanced=True)
    thinned, whole = asked(*rows, classes=known), asked(rows[0][:160], rows[1])
    needed = [by_metric(verdict, "region shares").needed for verdict in (thinned, whole)]  # type: ignore[attr-defined]
    # Of the real rows a half takes part, of the fakes all.
    assert needed[0] == pytest.approx((2 + 1) / 2 * needed[1], rel=0.15)


def test_where_more_samples_would_not_be_looked_at_none_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("uncollapse.verdict.judge"), "MOST", 100)
    verdict = asked(ring(80, 0), ring(80, 1))
    assert verdict.status == "inconclusive"
    assert verdict.needed is None
    assert by_metric(verdict, "region shares").needed is None  # type: ignore[attr-defined]
    assert "for region shares" in verdict.sentence
    assert "at most 100 samples a side are looked at" in verdict.sentence


@pytest.mark.long
def test_a_loss_below_the_minimum_effect_is_suspect() -> None:
    draws = np.random.default_rng(0)
    kinds = [draws.choice(4, 3_000, p=p) for p in ([0.25] * 4, [0.17, 0.27, 0.28, 0.28])]
    rows = [draws.normal(size=(3_000, 4)) for _ in kinds]
    known = Classes(names=list("abcd"), real=kinds[0], fake=kinds[1])
    verdict = asked(*rows, classes=known)
    assert verdict.status == "suspect"
    assert "less than what counts as collapse" in verdict.sentence


def test_classes_that_were_asked_for_in_equal_numbers_say_nothing() -> None:
    draws = np.random.default_rng(0)
    rows = [draws.normal(size=(400, 4)) for _ in range(2)]
    known = Classes(
        names=list("ab"), real=np.repeat([0, 1], [360, 40]), fake=np.repeat([0, 1], [200, 200]), balanced=True
    )
    metrics = [found.metric for found in asked(*rows, classes=known).evidence]
    assert "class shares" not in metrics
    assert "spread within classes" in metrics


def conditional(real: list[int], fake: list[int], *, spread: float = 1.0, half: bool = False) -> Verdict:
    """The verdict on a conditional generator of four groups that was asked for labels in equal numbers."""
    draws = np.random.default_rng(0)
    centres = np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 3.0], [0.0, -3.0]])
    kinds = [np.repeat(np.arange(4), n) for n in (real, fake)]
    rows = [
        centres[kind] + 0.5 * s * draws.normal(size=(len(kind), 2))
        for kind, s in zip(kinds, (1.0, spread), strict=True)
    ]
    if half:
        rows[1][kinds[1] == 1] = centres[1] + np.abs(rows[1][kinds[1] == 1] - centres[1])
    known = Classes(names=list("abcd"), real=kinds[0], fake=kinds[1], balanced=True)
    return asked(*rows, classes=known)


def test_a_perfect_conditional_generator_is_not_blamed_for_the_labels_it_was_given() -> None:
    verdict = conditional([600, 200, 100, 100], [250] * 4)
    assert verdict.status in ("healthy", "inconclusive")
    assert not verdict.lost
    assert by_metric(verdict, "region shares").p_adjusted > 0.1  # type: ignore[attr-defined]


def test_what_a_conditional_generator_lost_within_its_classes_is_found() -> None:
    assert conditional([600, 200, 100, 100], [250] * 4, spread=0.5).status == "collapsed"
    verdict = conditional([600, 200, 100, 100], [250] * 4, half=True)
    assert by_metric(verdict, "region shares").collapse  # type: ignore[attr-defined]


def test_where_no_mixture_is_common_nothing_is_judged_and_the_reason_is_told() -> None:
    verdict = conditional([40, 0, 0, 2], [10] * 4)
    assert verdict.status == "inconclusive"
    assert not verdict.evidence
    assert verdict.quality is None
    assert "only 10 rows of one side are left" in verdict.sentence


def test_noise_is_told_as_quality_and_not_as_collapse() -> None:
    draws = np.random.default_rng(0)
    real, fake = groups([150] * 8, draws, d=16)[0], groups([150] * 8, draws, d=16)[0]
    verdict = asked(real, fake + 1.5 * draws.normal(size=fake.shape), images=True)
    assert verdict.status != "collapsed"
    assert verdict.quality is not None
    assert "told apart" in verdict.quality


def test_exchanged_sides_are_another_question() -> None:
    real, fake = ring(600, 0), ring(600, 1, modes=6)
    assert asked(real, fake).status == "collapsed"
    assert asked(fake, real).status != "collapsed"


def test_order_and_kind_of_rows_change_nothing() -> None:
    real, fake = ring(300, 0), ring(300, 1, modes=6)
    one = asked(real, fake)
    other = asked(torch.tensor(real[::-1].copy()), torch.tensor(fake[::-1].copy()))
    assert [found.p_value for found in one.evidence] == [found.p_value for found in other.evidence]
    assert [found.effect for found in one.evidence] == pytest.approx(
        [found.effect for found in other.evidence], abs=1e-5
    )
    assert {tuple(sorted(299 - row for row in lost.real)) for lost in other.lost} == {
        tuple(sorted(lost.real)) for lost in one.lost
    }


def test_the_same_call_gives_the_same_answer_and_draws_from_no_global_stream(global_random_untouched: None) -> None:
    real, fake = ring(100, 0), ring(120, 1)
    assert asked(real, fake).to_json() == asked(real, fake).to_json()


def test_equal_distributions_raise_alarms_as_rarely_as_alpha_says() -> None:
    alarms = 0
    for seed in range(80):
        verdict = asked(ring(80, 2 * seed), ring(70, 2 * seed + 1), alpha=0.1, assignments=99)
        alarms += verdict.status in ("suspect", "collapsed")
    assert alarms <= 17  # binomial(80, .1): 99.9 %


@pytest.mark.parametrize("d", [1, 2, 70])
def test_any_width_is_judged(d: int) -> None:
    draws = np.random.default_rng(0)
    verdict = asked(draws.normal(size=(60, d)), draws.normal(size=(50, d)))
    assert verdict.status in ("healthy", "inconclusive")
    assert all(np.isfinite(found.effect) for found in verdict.evidence)


@pytest.mark.parametrize("scale", [1e-20, 1e20, 1e30])
def test_no_scale_changes_the_answer(scale: float) -> None:
    real, fake = ring(200, 0), ring(200, 1, modes=6)
    one, other = asked(real, fake), asked(scale * real, scale * fake)
    assert (one.status, len(one.lost)) == (other.status, len(other.lost))
    effects = [[found.effect for found in verdict.evidence] for verdict in (one, other)]
    assert effects[0] == pytest.approx(effects[1], abs=0.02)
    # Other numbers are ordered otherwise, so other exchanges are drawn.
    p_values = [[found.p_value for found in verdict.evidence] for verdict in (one, other)]
    assert p_values[0] == pytest.approx(p_values[1], abs=0.1)


def test_constant_rows_are_judged() -> None:
    verdict = asked(np.ones((40, 3)), np.ones((40, 3)))
    assert verdict.status in ("healthy", "inconclusive")


def test_real_rows_against_one_point_collapsed_and_strict_json() -> None:
    import json

    draws = np.random.default_rng(0)
    verdict = asked(draws.normal(size=(60, 3)), np.zeros((60, 3)))
    assert verdict.status == "collapsed"
    json.dumps(verdict.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.0}, "alpha must be from 0.001 to 0.5, for example 0.03, not 0.0"),
        ({"real": np.zeros((19, 2))}, "real has 19 rows, but this needs at least 20"),
        ({"fake": np.zeros((30, 3))}, "real has 2 features a row and fake has 3"),
    ],
)
def test_wrong_input_is_one_sentence(options: dict[str, object], message: str) -> None:
    given = {"real": np.zeros((30, 2)), "fake": np.zeros((30, 2))} | options
    with pytest.raises(UserError, match=message):
        judge(**given)  # type: ignore[arg-type]


def test_holm_by_hand() -> None:
    # .01 x 3, .02 x 2, .04 x 1, each at least the one before.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("far", [1e6, 1e8, 1e14])
@pytest.mark.parametrize("fault", ["copies", "narrow", "lost", "none"])
def test_one_exploded_fake_hides_and_invents_nothing(fault: str, far: float) -> None:
    """A single row far out is what a diverging generator makes; every question is still answered as without it."""
    draws = np.random.default_rng(0)
    centres = 3 * np.random.default_rng(1).normal(size=(8, 8))

    def made(n: int, modes: int, spread: float) -> np.ndarray:
        return centres[draws.integers(0, modes, n)] + spread * draws.normal(size=(n, 8))

    real = made(600, 8, 0.2)
    fake = made(600, 4 if fault == "lost" else 8, 0.1 if fault == "narrow" else 0.2)
    if fault == "copies":
        fake[:300] = fake[300:]
    exploded = fake.copy()
    exploded[0] = far / 8**0.5
    plain, found = asked(real, fake), asked(real, exploded)
    assert found.status == plain.status
    assert (found.status == "collapsed") is (fault != "none")
    assert {one.metric for one in found.evidence if one.collapse} == {
        one.metric for one in plain.evidence if one.collapse
    }
