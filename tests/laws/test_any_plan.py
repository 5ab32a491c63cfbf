"""Whatever a plan's text says, it is a plan or one sentence; and a plan survives the way to its lock and back."""

from __future__ import annotations

import json
import math
from importlib import resources
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.laws.chance import search, searched

from uncollapse.errors import UserError
from uncollapse.experiments.plan import HEADLINES, WEIGHTS, Plan
from uncollapse.experiments.search import TUNED_FOR

KEYS = (
    "plan", "cells", "compare", "claims", "tuning", "name", "description", "seeds", "updates", "batch", "threads",
    "monitor", "methods", "tasks", "set", "label", "baseline", "headline", "weights", "source", "measure", "values",
    "trials", "search", "first", "count", "part", "dynamics.lr",
)  # fmt: skip
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8)
NUMBERS = st.integers(-3, 300) | st.integers(-(2**62), 2**62)
SHARES = st.floats(allow_nan=True, allow_infinity=True)


def toml(value: Any) -> str:
    """A value as TOML, tables inline and keys in quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else ("nan" if math.isnan(value) else "inf" if value > 0 else "-inf")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)


def document(tables: dict[str, Any]) -> str:
    return "\n".join(f"{toml(key)} = {toml(value)}" for key, value in tables.items())


def outcome(text: str) -> Plan | None:
    """The plan of a text; None where it is refused in one sentence."""
    try:
        return Plan.from_toml(text)
    except UserError as refused:
        message = str(refused)
        assert "\n" not in message
        assert message.endswith((".", "?"))  # "did you mean ...?"
        assert not set(message) & set("\x1b\x07\r")
        return None


ANYTHING = st.recursive(
    NUMBERS | SHARES | st.booleans() | TEXTS | st.sampled_from(["vanilla", "ring-8", "modes_solid"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | TEXTS, inner, max_size=4),
    max_leaves=10,
)
NAMES = st.lists(st.sampled_from(["vanilla", "wgan-gp", "pacgan-2", "mine"]), min_size=1, max_size=3, unique=True)
SEEDS = st.fixed_dictionaries({"count": st.integers(1, 9)}, optional={"first": st.integers(0, 99)}) | st.lists(
    st.integers(0, 99), min_size=1, max_size=4, unique=True
)
COUNTS = st.integers(1, 10_000)
SETTINGS = st.dictionaries(
    st.sampled_from(["dynamics.lr_critic", "penalties.0.weight", "task.sd"]), st.floats(1e-6, 10)
)


def with_claims(tables: dict[str, Any]) -> dict[str, Any]:
    """Published numbers about cells that the plan holds, as about others they are refused."""
    if "claims" not in tables:
        return tables
    held = [
        (f"{method} ({cell['label']})", task)
        for cell in tables["cells"]
        for method in cell["methods"]
        for task in cell["tasks"]
    ]
    values = {method: {task: value} for (method, task), value in zip(held, tables["claims"]["values"], strict=False)}
    return tables | {"claims": tables["claims"] | {"values": values}}


VALID = st.fixed_dictionaries(
    {
        "plan": st.fixed_dictionaries(
            {"name": st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,8}", fullmatch=True)},
            optional={
                "description": TEXTS, "seeds": SEEDS, "updates": COUNTS, "batch": COUNTS, "threads": COUNTS,
                "monitor": COUNTS,
            },
        ),
        "cells": st.lists(
            st.fixed_dictionaries(
                {"methods": NAMES, "tasks": st.just(["ring-8"]), "label": st.uuids().map(str)},
                optional={"updates": COUNTS, "batch": COUNTS, "seeds": SEEDS, "set": SETTINGS},
            ),
            min_size=1, max_size=3,
        ),
    },
    optional={
        "compare": st.fixed_dictionaries(
            {}, optional={"headline": st.sampled_from(HEADLINES), "weights": st.sampled_from(WEIGHTS)}
        ),
        "claims": st.fixed_dictionaries(
            {
                "measure": st.sampled_from(HEADLINES),
                "values": st.lists(st.integers(0, 9) | st.floats(0, 9), max_size=2),
            },
            optional={"source": TEXTS},
        ),
        "tuning": st.fixed_dictionaries(
            {
                "seeds": st.just({"first": 9000, "count": 2}),
                "search": st.just({"dynamics.lr": [3.0, 0.3], "sensitive": [0.5]}),
            },
            optional={"trials": st.integers(1, 3), "measure": st.sampled_from(TUNED_FOR), "updates": COUNTS},
        ),
    },
).map(with_claims)  # fmt: skip


@searched(60)
def test_any_text_is_a_plan_or_a_sentence(examples: int) -> None:
    @search(examples)
    @given(text=st.text(max_size=80) | st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=5).map(document))
    def law(text: str) -> None:
        outcome(text)

    law()


@searched(60)
def test_any_valid_plan_with_anything_in_one_place_is_a_plan_or_a_sentence(examples: int) -> None:
    @search(examples)
    @given(tables=VALID, table=st.sampled_from(KEYS[:5]), key=st.sampled_from(KEYS), value=ANYTHING)
    def law(tables: dict[str, Any], table: str, key: str, value: Any) -> None:
        place = tables.setdefault(table, {})
        target = place[0] if isinstance(place, list) else place
        target[key] = value
        outcome(document(tables))

    law()


@searched(40)
def test_a_plan_survives_its_lock(examples: int) -> None:
    @search(examples)
    @given(tables=VALID)
    def law(tables: dict[str, Any]) -> None:
        text = document(tables)
        plan = outcome(text)
        assert plan is not None, "a valid plan was refused"
        assert outcome(text) == plan
        kept = json.loads(json.dumps(plan.to_json(), allow_nan=False))
        assert Plan.from_json(kept) == plan
        assert Plan.from_json(kept).to_json() == plan.to_json()

    law()


def test_the_plans_of_the_package_are_valid_for_this_search() -> None:
    for file in resources.files("uncollapse").joinpath("plans").iterdir():
        if file.name.endswith(".toml"):
            assert outcome(file.read_text(encoding="utf-8")) is not None, file.name


def test_the_search_sees_a_refusal_that_is_no_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(text: str) -> Plan:
        raise UserError("two\nlines")

    monkeypatch.setattr(Plan, "from_toml", careless)
    with pytest.raises(AssertionError):
        outcome("")
