"""Advice: ranked by rows of results, each cited, counter-evidence told, and silent where there is no evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from uncollapse.advice import Advice, _letters, advise, evidence, trimmed
from uncollapse.methods import METHODS
from uncollapse.symptoms import SYMPTOMS


def row(method: str, task: str = "ring-8", *, success: int = 0, label: str = "", **versus: Any) -> dict[str, Any]:
    """A row of evidence on ten seeds; versus: measure -> (difference, low, high, adjusted p)."""
    names = ("difference", "low", "high", "p_adjusted")
    diverged = versus.pop("lost_seeds", 0)
    quality, core = versus.pop("quality", 0.95), versus.pop("core", 1.0)
    return {
        "result": "made-up",
        "plan": "made-up",
        "method": method,
        "label": label,
        "labelled": METHODS[method].labelled,
        "task": task,
        "modes": 8,
        "seeds": 10,
        "updates": 3000,
        "settings": {"dynamics.lr_critic": 0.001} if method != "vanilla" else {},
        "success_rate": {"value": success / 10, "low": 0.1, "high": 0.9, "successes": success, "n": 10},
        "measures": {
            "high_quality_share": {"mean": quality, "low": 0.1, "high": 1.0, "n": 10},
            "core_sigma_ratio": {"mean": core, "low": 0.1, "high": 1.4, "n": 10},
        },
        "diverged": {"value": diverged / 10, "low": 0.0, "high": 0.3, "count": diverged, "n": 10},
        "versus": {key: dict(zip(names, values, strict=True)) | {"n": 10} for key, values in versus.items()},
    }


def told(symptom: str, rows: Sequence[dict[str, Any]]) -> Advice:
    """Advice from rows, each with what the plain GAN of its task shows: tuned with tuned."""
    plain = {(row["task"], row["label"] == "tuned"): row for row in rows if row["method"] == "vanilla"}
    shown = {
        where: [item.name for item in SYMPTOMS.values() if not item.absolute and item.shown(row)]
        for where, row in plain.items()
    }
    known = [row | {"plain_shows": shown.get((row["task"], row["label"] == "tuned"), [])} for row in rows]
    return advise(symptom, known)


UP, DOWN, OPEN = (3.0, 1.0, 5.0, 0.01), (-3.0, -5.0, -1.0, 0.01), (1.0, -1.0, 3.0, 0.5)
ROWS = [
    row("vanilla"),
    row("vanilla", "grid-25"),
    row("vanilla", "blobs-4", success=10),
    row("r3gan", success=10, modes_solid=UP),
    row("r3gan", "grid-25", success=9, modes_solid=UP),
    row("wgan-gp", success=10, modes_solid=UP),
    row("wgan-gp", "blobs-4", success=0, modes_solid=DOWN),
    row("cgan", success=10, modes_solid=(3.0, 1.0, 5.0, 0.2)),
    row("lsgan", success=1, modes_solid=OPEN),
    row("r1", "blobs-4", success=10, modes_solid=OPEN),
]


def names(symptom: str, rows: list[dict[str, Any]]) -> list[str]:
    return [item.method for item in told(symptom, rows).suggestions]


def test_more_evidence_comes_first_and_harm_counts() -> None:
    # r3gan helped in 2 of 2, wgan-gp in 1 of 2; no test establishes cgan's 1 of 1; r1 had nothing to cure.
    assert names("missing-modes", ROWS) == ["r3gan", "wgan-gp", "cgan"]
    advice = told("missing-modes", ROWS)
    assert advice.unhelpful == ("lsgan",)
    assert "r1" in advice.unknown
    assert len(advice.unknown) == len(METHODS) - 5  # the three, lsgan, and the plain GAN itself
    assert [item.compared for item in advice.suggestions] == [2, 2, 1]


def test_among_equal_evidence_what_was_reached_decides() -> None:
    rows = [row("vanilla"), row("lsgan", success=5, modes_solid=UP), row("r1", success=9, modes_solid=UP)]
    assert names("missing-modes", rows) == ["r1", "lsgan"]


def test_a_citation_says_where_and_how_sure() -> None:
    first, third, second = told("missing-modes", ROWS).suggestions
    (cited, _) = first.rows
    assert (cited.result, cited.task, cited.seeds) == ("made-up", "ring-8", 10)
    assert cited.value == "10 of 10 seeds, 100 % [10, 90]"
    assert (cited.difference, cited.sure) == ("+3 [+1, +5] of 8", "beyond chance")
    assert cited.settings == "dynamics.lr_critic = 0.001, 3,000 critic updates"
    assert (second.labelled, second.rows[0].sure) == (True, "not established by 10 seeds")
    assert third.counter_evidence("A") == (
        "Against wgan-gp: 1 of its 2 rows is worse than the plain GAN, as -3 [-5, -1] of 8 on blobs-4 (made-up, A)."
    )


def test_sharper_samples_of_fewer_modes_are_no_cure() -> None:
    share = (0.3, 0.1, 0.5, 0.01)
    rows = [
        row("vanilla", quality=0.5),
        row("r1", quality=0.9, high_quality_share=share, modes_solid=OPEN),
        row("lsgan", quality=0.99, high_quality_share=share, modes_solid=DOWN),
    ]
    assert names("low-precision", rows) == ["r1"]
    assert told("low-precision", rows).suggestions[0].rows[0].difference == "+30 points [+10, +50]"


def test_precision_that_is_bought_with_narrow_modes_says_so() -> None:
    rows = [row("vanilla", quality=0.5), row("r1", core=0.5, high_quality_share=(0.3, 0.1, 0.5, 0.2))]
    assert told("low-precision", rows).suggestions[0].rows[0].sure == (
        "not established by 10 seeds; its modes are too narrow, core sigma ratio 0.5"
    )


def test_modes_that_are_kept_but_too_narrow_say_so() -> None:
    rows = [row("vanilla"), row("cgan", success=9, core=0.2, modes_solid=UP), row("r1", success=9, modes_solid=UP)]
    narrow, wide = (item.rows[0].sure for item in sorted(told("missing-modes", rows).suggestions, key=str))
    assert narrow.endswith("; its modes are too narrow, core sigma ratio 0.2")
    assert "narrow" not in wide


def test_against_divergence_counts_who_did_not_diverge_where_others_did() -> None:
    rows = [row("vanilla"), row("wgan", lost_seeds=2), row("r1"), row("lsgan", "grid-25")]
    assert names("divergence", rows) == ["r1", "vanilla"]
    assert told("divergence", rows).unhelpful == ("wgan",)
    assert "lsgan" in told("divergence", rows).unknown


def test_tuned_rows_are_compared_with_the_tuned_plain_gan() -> None:
    rows = [row("vanilla"), row("vanilla", label="tuned", success=10), row("r1", label="tuned", modes_solid=OPEN)]
    assert told("missing-modes", rows).unhelpful == ()
    rows[1] = row("vanilla", label="tuned", success=9)
    assert told("missing-modes", rows).unhelpful == ("r1",)


@pytest.mark.parametrize("symptom", SYMPTOMS)
def test_without_evidence_it_says_so(symptom: str) -> None:
    advice = advise(symptom, [])
    assert advice.suggestions == ()
    assert advice.sentence.startswith("No committed result shows ")
    assert advice.remarks() == [f"No committed result can tell for {len(advice.unknown)} methods."]


def test_a_symptom_that_nothing_cured_is_told_apart_from_one_that_nobody_saw() -> None:
    rows = [row("vanilla"), row("lsgan", modes_solid=OPEN)]
    assert (
        told("missing-modes", rows).sentence == "No committed result shows a method that helps against missing modes."
    )
    assert told("missing-modes", rows).remarks()[0] == "Measured without a sign of help: lsgan."
    healthy = told("missing-modes", [row("vanilla", success=10), row("r1", success=10, modes_solid=OPEN)])
    assert "No committed result shows the plain GAN with missing modes" in healthy.sentence


def test_every_shipped_citation_is_a_row_of_the_evidence() -> None:
    known: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for found in evidence():
        known[found["result"], found["task"], found["method"]] = found
    for symptom in SYMPTOMS.values():
        for item in advise(symptom.name).suggestions:
            assert item.rows
            for cited in item.rows:
                source = known[cited.result, cited.task, item.method]
                assert symptom.value(source) == cited.value or source["label"]


def test_a_shorter_list_keeps_the_first() -> None:
    advice = trimmed(told("missing-modes", ROWS), 1)
    assert [item.method for item in advice.suggestions] == ["r3gan"]
    assert advice.further == ("wgan-gp", "cgan")
    assert advice.remarks()[0] == "Rows speak for these, too, with weaker evidence: wgan-gp, cgan."
    assert trimmed(trimmed(told("missing-modes", ROWS), 2), 1).further == advice.further


def test_equal_settings_share_a_letter() -> None:
    rows = [row("vanilla"), row("vanilla", "grid-25")]
    rows += [row("r1", modes_solid=UP), row("r1", "grid-25", modes_solid=UP, label="other")]
    rows += [row("lsgan", "grid-25", modes_solid=UP)]
    plain = "dynamics.lr_critic = 0.001, 3,000 critic updates"
    assert told("missing-modes", rows).legend() == {plain: "A", f"other: {plain}": "B"}
    rows += [row("vanilla", "blobs-4"), row("lsgan", "blobs-4", modes_solid=DOWN, label="worse")]
    against = told("missing-modes", rows)
    assert against.legend()[f"worse: {plain}"] == "C"
    assert against.remarks()[0].endswith("(made-up, C).")
    letters = _letters()
    assert [next(letters) for _ in range(28)][-3:] == ["Z", "A2", "B2"]
