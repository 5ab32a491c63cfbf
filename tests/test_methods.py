"""The list: names, papers' settings as literal numbers, and that each row states only what differs."""

from __future__ import annotations

import re

import pytest

from uncollapse.errors import UserError
from uncollapse.method import PARTS, Method
from uncollapse.methods import _ROWS, METHODS, VANILLA, card, find_method, register

# Penalty weight, critic steps, Adam's rate and betas as the papers give them.
PAPERS = {
    "vanilla": (None, 1, 2e-4, (0.5, 0.999)),
    "cgan": (None, 1, 2e-4, (0.5, 0.999)),
    "wgan": (None, 5, 5e-5, (0.0, 0.99)),
    "wgan-gp": (10.0, 5, 1e-4, (0.0, 0.9)),
    "cwgan-gp": (10.0, 5, 1e-4, (0.0, 0.9)),
    "lsgan": (None, 1, 2e-4, (0.5, 0.999)),
}


def test_every_row_has_the_papers_numbers() -> None:
    assert [row.name for row in _ROWS] == list(PAPERS)
    assert all(METHODS[row.name] is row for row in _ROWS)
    for name, (weight, steps, rate, betas) in PAPERS.items():
        row = METHODS[name]
        assert [getattr(penalty, "weight", None) for penalty in row.penalties] == ([weight] if weight else [])
        dynamics = row.dynamics
        assert (dynamics.critic_steps, dynamics.lr_critic, dynamics.lr_generator, dynamics.betas) == (
            steps,
            rate,
            rate,
            betas,
        )


@pytest.mark.parametrize("method", _ROWS, ids=lambda method: method.name)
def test_every_row_carries_its_facts(method: Method) -> None:
    facts = method.facts
    assert re.fullmatch(r"\d{4}\.\d{4,5}", facts.arxiv)
    assert all((facts.paper, facts.idea, facts.strengths, facts.weaknesses))
    assert facts.complexity in ("low", "medium", "high")
    assert facts.sensitive in method.settings()


def test_labelled_methods_are_the_conditional_ones() -> None:
    assert {row.name for row in _ROWS if row.labelled} == {"cgan", "cwgan-gp"}


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


def test_the_card_is_plain_json() -> None:
    shown = card(METHODS["wgan-gp"])
    assert shown["settings"]["penalties.0.weight"] == 10.0  # type: ignore[index]
    assert "GradientPenalty(weight=10.0)" in str(shown["row"])
    assert set(PARTS) >= {"GradientPenalty", "Wasserstein"}
