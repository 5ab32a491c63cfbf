"""The small search: equally many trials for every method, the default first, in a fixed order, none refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from uncollapse.errors import UserError
from uncollapse.experiments.search import Tuning, candidates, scaled, sensitive_paths
from uncollapse.methods import METHODS, VANILLA

TUNING = Tuning(seeds=(9,), trials=5, rates=(3.0, 0.3, 10.0, 0.1), sensitive=(0.1, 10.0))


def rates(factor: float, start: float = 2e-4) -> dict[str, float]:
    return dict.fromkeys(("dynamics.lr_critic", "dynamics.lr_generator"), scaled(start, factor))


def test_a_method_without_a_sensitive_number_tries_more_learning_rates() -> None:
    assert candidates(VANILLA, TUNING) == [{}, rates(3), rates(0.3), rates(10), rates(0.1)]


def test_a_method_with_one_moves_it_and_the_rates_in_turn() -> None:
    weight = "penalties.0.weight"
    wanted = [{}, {weight: 1.0}, rates(3, 1e-4), {weight: 100.0}, rates(0.3, 1e-4), rates(10, 1e-4), rates(0.1, 1e-4)]
    assert candidates(METHODS["wgan-gp"], TUNING) == wanted[:5]
    pairs = [rates(3, 1e-4) | {weight: 1.0}, rates(3, 1e-4) | {weight: 100.0}]
    assert candidates(METHODS["wgan-gp"], replace(TUNING, trials=9)) == [*wanted, *pairs]


def test_all_methods_try_the_same_two_learning_rates() -> None:
    for name, method in METHODS.items():
        rate, found = method.dynamics.lr_critic, candidates(method, TUNING)
        moved = {scaled(settings.get("dynamics.lr_critic", rate), 1 / rate) for settings in found}
        assert {1.0, 3.0, 0.3} <= {round(factor, 4) for factor in moved}, name


def test_two_learning_rates_keep_their_ratio() -> None:
    _, second, *_ = candidates(METHODS["unrolled-5"], TUNING)
    assert second == {"dynamics.lr_critic": 3e-4, "dynamics.lr_generator": 3e-3}


def test_parts_of_one_kind_are_set_together() -> None:
    assert sensitive_paths(METHODS["r3gan"]) == ("penalties.0.weight", "penalties.1.weight")
    assert sensitive_paths(METHODS["pacgan-2"]) == ()  # a whole number


def test_a_value_that_the_method_refuses_is_passed_over() -> None:
    found = candidates(METHODS["top-k"], TUNING)  # ten times a share of one half is no share
    assert len(found) == 5
    assert [settings.get("loss.share") for settings in found] == [None, 0.05, None, None, None]


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_has_equally_many_different_trials_and_keeps_its_default(name: str) -> None:
    found = candidates(METHODS[name], TUNING)
    assert len(found) == 5
    assert found[0] == {}
    assert all(first != second for i, first in enumerate(found) for second in found[:i])
    for settings in found:
        method = METHODS[name]
        for path, value in settings.items():
            method = method.with_setting(path, value)


def test_too_few_factors_are_refused() -> None:
    with pytest.raises(UserError, match=r'vanilla finds 2 of the 5 trials.*more factors in "dynamics\.lr"'):
        candidates(VANILLA, Tuning(seeds=(9,), trials=5, rates=(3.0,)))
