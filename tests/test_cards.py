"""What the list tells people: every method under one heading, real addresses, complete facts."""

from __future__ import annotations

import re

import pytest

from uncollapse.cards import GROUPS, OWN, address, authors, cost, grouped, watch
from uncollapse.method import Method
from uncollapse.methods import COSTS, METHODS, VANILLA


def test_every_method_stands_under_one_heading_in_the_order_of_the_list() -> None:
    assert [name for names in GROUPS.values() for name in names] == list(METHODS)
    assert grouped(["mine", "r1", "vanilla"]) == {
        "The baseline": ["vanilla"],
        "The critic's measure of distance": ["r1"],
        OWN: ["mine"],
    }


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_every_method_has_a_short_equation_and_says_how_it_fails(method: Method) -> None:
    lines = method.facts.equation.splitlines()
    assert 1 <= len(lines) <= 4
    assert max(map(len, lines)) <= 88, "longer lines are broken on the command line"
    assert re.search(r"^critics? ", method.facts.equation, re.MULTILINE)
    assert re.search(r"^generator ", method.facts.equation, re.MULTILINE)
    assert method.facts.fails.endswith(".")
    assert method.facts.strengths.endswith(".")
    assert method.facts.weaknesses.endswith(".")


def test_equations_follow_one_sign_convention() -> None:
    """The generator wants high scores: whatever it minimises falls with D(G(z))."""
    assert METHODS["wgan"].facts.equation.splitlines()[-1].endswith("min -E D(G(z))")
    assert METHODS["vanilla"].facts.equation.splitlines()[-1].endswith("min E softplus(-D(G(z)))")
    assert "D(v) = -R(v)" in METHODS["ebgan"].facts.equation
    assert "D(v) = -L(v)" in METHODS["began"].facts.equation


def test_a_method_without_facts_is_told_as_far_as_it_goes() -> None:
    mine = VANILLA.but(name="mine", facts=type(VANILLA.facts)())
    assert (address(mine), watch(mine), cost("mine")) == ("", None, "")


def test_addresses_and_authors() -> None:
    assert address(VANILLA) == "https://arxiv.org/abs/1406.2661"
    elsewhere = type(VANILLA.facts)(arxiv="https://example.org/paper")
    assert address(VANILLA.but(facts=elsewhere)) == "https://example.org/paper"
    assert authors("Metz et al. 2017, Unrolled GANs") == "Metz et al. 2017"
    assert authors("no year") == "no year"


def test_the_setting_to_watch_has_the_rows_value() -> None:
    assert watch(METHODS["wgan-gp"]) == ("penalties.0.weight", 10.0)
    assert all(watch(method) for method in METHODS.values())


def test_costs_are_multiples_of_vanilla() -> None:
    assert set(COSTS) <= set(METHODS)
    if COSTS:
        assert cost("vanilla") == "1.0"
