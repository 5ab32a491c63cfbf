"""The list: names, papers' settings as literal numbers, and that each row states only what differs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from uncollapse import methods
from uncollapse.errors import UserError
from uncollapse.method import Method
from uncollapse.methods import _ROWS, COSTS, METHODS, VANILLA, card, find_method, register, registered_as
from uncollapse.parts.registry import PARTS

# What the papers (or the authors' code) give, by dotted path; the baseline's rates are DCGAN's.
DCGAN = {"critic_steps": 1, "generator_steps": 1, "lr_critic": 2e-4, "lr_generator": 2e-4, "betas": (0.5, 0.999)}
GULRAJANI = {"critic_steps": 5, "lr_critic": 1e-4, "lr_generator": 1e-4, "betas": (0.0, 0.9)}
MIYATO = {"critic_steps": 5, "betas": (0.0, 0.9)}
METZ = {"lr_critic": 1e-4, "lr_generator": 1e-3, "unroll": 5}
PAPERS: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "vanilla": ({}, {}),
    "lsgan": ({}, {}),
    "wgan": (
        {"constraint.limit": 0.01},
        {"critic_steps": 5, "lr_critic": 5e-5, "lr_generator": 5e-5, "betas": (0.0, 0.99)},
    ),
    "wgan-gp": ({"penalties.0.weight": 10.0, "penalties.0.one_sided": False}, GULRAJANI),
    "wgan-gp-one-sided": ({"penalties.0.weight": 10.0, "penalties.0.one_sided": True}, GULRAJANI),
    "dragan": ({"penalties.0.weight": 10.0, "penalties.0.spread": 0.5}, {}),
    "sngan": ({"constraint.iterations": 1}, MIYATO),
    "r1": (
        {"penalties.0.weight": 10.0, "penalties.0.on": "real"},
        {"lr_critic": 1e-4, "lr_generator": 1e-4, "betas": (0.0, 0.99)},
    ),
    "rpgan": ({}, {}),
    "r3gan": (
        {"penalties.0.on": "real", "penalties.1.on": "fake", "dynamics.schedule.final": 0.25},
        {"betas": (0.0, 0.99)},
    ),
    "d2gan": ({"loss.alpha": 1.0, "loss.beta": 1.0}, {}),
    "top-k": ({"loss.share": 0.5}, {}),
    "ebgan": ({"loss.margin": 1.0}, {}),
    "ebgan-pt": ({"loss.margin": 1.0, "generator_terms.0.weight": 0.1}, {}),
    "began": ({"loss.gamma": 0.5, "loss.gain": 0.001}, {"lr_critic": 1e-4, "lr_generator": 1e-4}),
    "minibatch-discrimination": ({"view.size": 5}, {}),
    "minibatch-stddev": ({"view.size": 4}, {}),
    "pacgan-2": ({"view.size": 2, "view.equal": "packs"}, {}),
    "pacgan-3": ({"view.size": 3, "view.equal": "packs"}, {}),
    "pacgan-4": ({"view.size": 4, "view.equal": "packs"}, {}),
    "diffaugment": ({"view.colour": 1.0, "view.shift": 0.125, "view.cutout": 0.5}, {}),
    "unrolled-5": ({}, METZ),
    "unrolled-5-first-order": ({}, METZ),
    "msgan": ({"generator_terms.0.weight": 1.0}, {}),
    "veegan": ({"generator_terms.0.weight": 1.0}, {}),
    "gdpp": ({"generator_terms.0.magnitude": 1e-4}, {}),
    "bures": ({"generator_terms.0.weight": 1.0}, {}),
    "ensemble-4": ({"population.size": 4}, {}),
    "mad-gan-4": ({"population.size": 4, "population.first": 0, "population.last": 1}, {}),
    "mgan-4": (
        {"population.size": 4, "population.first": 1, "population.last": 0, "generator_terms.0.weight": 0.01},
        {},
    ),
    "cgan": ({}, {}),
    "cwgan-gp": ({"penalties.0.weight": 10.0, "penalties.0.one_sided": False}, GULRAJANI),
    "projection": ({"constraint.iterations": 1}, MIYATO),
    "ac-gan": ({"penalties.0.weight": 1.0, "generator_terms.0.weight": 1.0}, {}),
}


def test_every_row_has_the_papers_numbers() -> None:
    assert [row.name for row in _ROWS] == list(PAPERS)
    assert all(METHODS[row.name] is row for row in _ROWS)
    for name, (numbers, dynamics) in PAPERS.items():
        settings = METHODS[name].settings()
        wanted = {**numbers, **{f"dynamics.{key}": value for key, value in {**DCGAN, **dynamics}.items()}}
        assert {path: settings[path] for path in wanted} == wanted, name


def test_no_two_rows_are_the_same_game() -> None:
    assert len({repr(row.but(name="")) for row in _ROWS}) == len(_ROWS)


def test_the_list_reads_as_short_rows() -> None:
    text = Path(methods.__file__).read_text()
    rows = text[text.index("_ROWS = (") : text.index("_METHODS")]
    assert rows.count("\n") < 5 * len(_ROWS)


@pytest.mark.parametrize("method", _ROWS, ids=lambda method: method.name)
def test_every_row_carries_its_facts(method: Method) -> None:
    facts = method.facts
    assert re.fullmatch(r"\d{4}\.\d{4,5}", facts.arxiv)
    assert all((facts.paper, facts.idea, facts.strengths, facts.weaknesses, facts.equation, facts.fails))
    assert facts.complexity in ("low", "medium", "high")
    assert facts.sensitive in method.settings()
    assert method.name in COSTS


def test_labelled_methods_are_the_conditional_ones() -> None:
    assert {row.name for row in _ROWS if row.labelled} == {"cgan", "cwgan-gp", "projection", "ac-gan"}


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(
        UserError, match=r"no method 'wgan_gp'; did you mean 'wgan-gp'.*`uncollapse methods` lists them"
    ):
        find_method("wgan_gp")
    assert find_method(VANILLA) is VANILLA


def test_register_adds_a_method_and_refuses_built_in_names() -> None:
    mine = VANILLA.but(name="mine-in-a-test")
    register(mine)
    assert find_method("mine-in-a-test") is mine
    with pytest.raises(UserError, match="A method named 'wgan-gp' is built in"):
        register(VANILLA.but(name="wgan-gp"))


def test_a_built_in_row_among_ones_own_stays_the_projects() -> None:
    """Its runs' command would have been empty, as of a method that no command can name."""
    register(METHODS["wgan-gp"])
    register(METHODS["vanilla"], "my_methods:ALL")
    assert registered_as(METHODS["wgan-gp"]) is None
    assert registered_as(METHODS["vanilla"]) is None
    register(METHODS["vanilla"].but(name="mine"), "my_methods:MINE")
    assert registered_as(METHODS["mine"]) == "my_methods:MINE"


def test_the_card_is_plain_json() -> None:
    shown = card(METHODS["wgan-gp"])
    assert shown["settings"]["penalties.0.weight"] == 10.0  # type: ignore[index]
    assert "GradientPenalty(weight=10.0)" in str(shown["row"])
    assert set(PARTS) >= {"GradientPenalty", "Wasserstein"}


@pytest.mark.parametrize(
    ("given", "what"),
    [(np.zeros((3, 2)), "of type ndarray"), (None, "of type NoneType"), (Method, "the class Method")],
    ids=["array", "none", "class"],
)
def test_what_is_no_method_is_refused_in_a_sentence(given: Any, what: str) -> None:
    with pytest.raises(UserError, match=rf"^method must be a name, such as 'wgan-gp', or .*uc\.VANILLA, not {what}\.$"):
        find_method(given)
