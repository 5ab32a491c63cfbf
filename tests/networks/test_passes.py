"""What a pass of a network of one's own changes is told apart from what it draws."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from uncollapse.errors import UserError
from uncollapse.networks.passes import tried


class Net(nn.Module):
    """Does something with itself and its input, then applies a layer."""

    def __init__(self, act: Callable[[Net, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.act = nn.Linear(2, 2), act
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(self.act(self, inputs))  # type: ignore[no-any-return]


def halved(net: Net, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        net.layer.bias.mul_(0.5)
    return inputs


def counted(net: Net, inputs: Tensor) -> Tensor:
    net.calls += 1
    return inputs


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (
            lambda net, x: x.mul_(2),
            r"^It changes its input in place, and .*; write a new tensor, as x \* 2 for",
        ),
        (
            lambda net, x: nn.functional.relu(x, inplace=True),
            r"^It changes its input in place, .*no inplace=True",
        ),
        (halved, r"^It changes its parameter 'layer\.bias' in forward, which only the optimiser may; keep what a pass"),
        (lambda net, x: x + torch.randn_like(x), r"^It draws inside, so a run could neither be resumed nor repeated;"),
        (lambda net, x: x @ x, r"^It fails on inputs \[4, 2\]: RuntimeError: .* \(test_passes\.py, line \d+\)\.$"),
    ],
)
def test_each_fault_has_its_own_reason(act: Callable[[Net, Tensor], Tensor], said: str) -> None:
    torch.manual_seed(1)
    with pytest.raises(UserError, match=said):
        tried(Net(act), (torch.randn(4, 2),), "It")


@pytest.mark.parametrize(
    "act",
    [
        lambda net, x: (x * 2).mul_(3),
        lambda net, x: nn.functional.relu(x + 0, inplace=True),
        lambda net, x: x * float("nan"),
        counted,
    ],
)
def test_what_leaves_inputs_and_parameters_alone_passes_and_is_as_it_was(act: Callable[[Net, Tensor], Tensor]) -> None:
    torch.manual_seed(1)
    net, inputs = Net(act), torch.randn(4, 2)
    before, shown = {name: value.clone() for name, value in net.state_dict().items()}, inputs.clone()
    output = tried(net, (inputs,), "It")
    assert isinstance(output, Tensor)
    assert output.shape == (4, 2)
    assert torch.equal(inputs, shown)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_weights_that_are_no_numbers_are_not_called_changed() -> None:
    net = Net(lambda net, x: x)
    nn.init.constant_(net.layer.bias, float("nan"))
    assert isinstance(tried(net, (torch.ones(4, 2),), "It"), Tensor)
