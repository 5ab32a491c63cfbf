from __future__ import annotations

import json

import pytest

from uncollapse.verdict.verdict import Evidence, Lost, Verdict


def evidence(**changes: object) -> Evidence:
    given = {
        "metric": "class shares", "value_real": 0.1, "value_fake": 0.0, "effect": 1.0, "minimum_effect": 0.5,
        "p_value": 0.001, "p_adjusted": 0.004, "significant": True, "power": 0.9, "needed": None, "sentence": "s",
    }  # fmt: skip
    return Evidence(**(given | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "collapse"),
    [({}, True), ({"effect": 0.5}, True), ({"effect": 0.49}, False), ({"significant": False}, False)],
)
def test_collapse_is_significant_and_of_the_minimum_effect(changes: dict[str, object], collapse: bool) -> None:
    assert evidence(**changes).collapse is collapse


def test_the_document_is_the_contracts() -> None:
    lost = Lost(
        mode="3", kind="class", share_real=0.1, share_fake=0.0, low=0.0, high=0.01, p_adjusted=0.001, real=(1, 2)
    )
    verdict = Verdict(
        status="inconclusive", flags=("memorised",), alpha=0.03, sentence="Too few.", evidence=(evidence(),),
        lost=(lost,), needed=1_200, n_real=100, n_fake=90, details={"repeated": [(1, 2)]},
    )  # fmt: skip
    document = json.loads(json.dumps(verdict.to_json(), allow_nan=False))
    assert document["status"] == "inconclusive"
    assert document["flags"] == ["memorised"]
    assert document["needed"]["n"] == 1_200
    assert "1,200 samples" in document["needed"]["sentence"]
    assert set(document["lost"][0]) == {"mode", "kind", "share_real", "share_fake", "low", "high", "p_adjusted"}
    assert document["evidence"][0]["minimum_effect"] == 0.5
    assert "details" not in document
    assert str(verdict) == "inconclusive: Too few."
