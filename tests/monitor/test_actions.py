"""What an alarm does: log, stop, a function, rollback."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from uncollapse.errors import UserError
from uncollapse.monitor.actions import CollapseStop, Reaction
from uncollapse.monitor.verdict import MonitorVerdict

VERDICT = MonitorVerdict(status="collapsed", step=700, sentence="Half is lost.", shares={})


def trained(steps: int, network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Some steps towards smaller outputs."""
    for _ in range(steps):
        optimiser.zero_grad()
        network(torch.ones(2, 3)).square().sum().backward()
        optimiser.step()


def test_the_log_says_step_and_sentence(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Reaction("log", None, ()).act(VERDICT)
        Reaction("log", None, (), "seed 3").act(VERDICT)
    assert caplog.messages == ["step 700: collapsed: Half is lost.", "seed 3, step 700: collapsed: Half is lost."]


def test_a_stop_carries_the_verdict() -> None:
    with pytest.raises(CollapseStop, match=r"collapsed: Half is lost\.") as caught:
        Reaction("stop", None, ()).act(VERDICT)
    assert caught.value.verdict is VERDICT


def test_a_function_of_the_user_gets_the_verdict() -> None:
    seen: list[MonitorVerdict] = []
    Reaction(seen.append, None, ()).act(VERDICT)
    assert seen == [VERDICT]


def test_a_rollback_restores_weights_buffers_and_optimiser_to_the_last_bit() -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimiser = torch.optim.Adam(network.parameters(), lr=0.1)
    reaction = Reaction("rollback", None, [network, optimiser])
    trained(3, network, optimiser)
    reaction.keep(300)
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    trained(2, network, optimiser)
    expected = {name: value.clone() for name, value in network.state_dict().items()}
    for _ in range(2):  # a second alarm finds the copy unharmed
        reaction.act(VERDICT)
        assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())
        trained(2, network, optimiser)
        # The moments of Adam went back too, or these steps would lead elsewhere.
        assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())
    assert reaction.kept_step == 300


def test_a_rollback_by_functions_of_the_user(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []
    reaction = Reaction("rollback", (lambda: calls.append("save"), lambda: calls.append("restore")), ())
    reaction.act(VERDICT)
    assert "nothing to roll back to" in caplog.text
    reaction.keep(1)
    reaction.act(VERDICT)
    assert calls == ["save", "restore"]


def test_functions_of_the_user_stand_in_for_the_parts_and_what_they_raise_is_raised() -> None:
    network, kept = nn.Linear(2, 1), []

    def restore() -> str:
        if not kept:
            raise OSError("no room")
        return "not looked at"

    reaction = Reaction("rollback", (lambda: None, restore), [network])
    reaction.keep(1)
    with pytest.raises(OSError, match="no room"):
        reaction.act(VERDICT)
    kept.append(1)
    with torch.no_grad():
        network.weight.fill_(7.0)
    reaction.act(VERDICT)
    assert (network.weight == 7.0).all()


def test_nothing_is_kept_where_nothing_is_rolled_back() -> None:
    calls: list[str] = []
    Reaction("log", (lambda: calls.append("save"), lambda: None), ()).keep(1)
    assert calls == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("warn", None, ()),
            r"^on_alarm must be 'log', 'stop', 'rollback' or a function of the verdict, not 'warn'\.$",
        ),
        ((3, None, ()), r"on_alarm must be 'log', 'stop', 'rollback' or a function of the verdict, not 3"),
        (("rollback", None, ()), r"has nothing to roll back; give modules="),
        (("rollback", (print,), ()), r"checkpoint must be a pair of functions without arguments, \(save, restore\)"),
        (("rollback", print, ()), r"checkpoint must be a pair of functions"),
        (("rollback", 3, ()), r"checkpoint must be a pair of functions"),
        (("rollback", (print, "restore"), ()), r"checkpoint must be a pair of functions"),
        (("rollback", (lambda state: None, print), ()), r"checkpoint must be a pair of functions without arguments"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Reaction(*arguments)  # type: ignore[arg-type]
