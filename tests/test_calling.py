"""Calling a network: with other tensors than its own, in full precision or with its layers in bfloat16."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from uncollapse.calling import Encoder, called, restored, under
from uncollapse.parts.scene import Judgement


def plain() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2))


def given(network: nn.Module) -> dict[str, Tensor]:
    """Other parameters than the network's own."""
    return {name: torch.randn_like(value) for name, value in network.named_parameters()}


def test_the_given_tensors_take_the_place_of_the_networks_own() -> None:
    network, x = plain(), torch.randn(5, 3)
    parameters = given(network)
    before = {name: value.clone() for name, value in network.named_parameters()}
    found = called(network, parameters, {}, (x,))
    by_hand = (x @ parameters["0.weight"].T + parameters["0.bias"]).relu() @ parameters["2.weight"].T
    torch.testing.assert_close(found, by_hand + parameters["2.bias"])
    assert all(torch.equal(value, before[name]) for name, value in network.named_parameters())


class Twice(nn.Module):
    """Two layers of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3, bias=False)
        self.second = nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.second(self.first(x))
        return made


def test_weights_that_share_a_tensor_go_on_sharing_it() -> None:
    weight, x = torch.randn(3, 3), torch.randn(5, 3)
    torch.testing.assert_close(called(Twice(), {"first.weight": weight}, {}, (x,)), x @ weight.T @ weight.T)


def test_buffers_of_the_network_are_used_and_others_left_aside() -> None:
    network = nn.BatchNorm1d(3).eval()
    buffers = {
        "running_mean": torch.full((3,), 2.0), "running_var": torch.full((3,), 4.0),
        "num_batches_tracked": torch.tensor(0), "weight_u": torch.ones(7),
    }  # fmt: skip
    parameters = {"weight": torch.ones(3), "bias": torch.zeros(3)}
    found = called(network, parameters, buffers, (torch.full((5, 3), 6.0),))
    torch.testing.assert_close(found, torch.full((5, 3), 2.0), rtol=1e-5, atol=1e-5)


class Seen(nn.Module):
    """Notes the type in which its layer computes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 64)
        self.types: list[torch.dtype] = []

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.layer(x)
        self.types.append(made.dtype)
        return made


def test_layers_compute_in_bfloat16_and_what_comes_out_has_the_type_of_the_weights() -> None:
    network, x = Seen(), torch.randn(32, 64)
    parameters = {name: value.clone().requires_grad_() for name, value in given(network).items()}
    full = called(network, parameters, {}, (x,))
    rounded = called(network, parameters, {}, (x,), bfloat16_on="cpu")
    assert network.types == [torch.float32, torch.bfloat16]
    assert full.dtype == rounded.dtype == torch.float32
    error = ((rounded - full).norm() / full.norm()).item()
    assert 1e-4 < error < 2**-8  # bfloat16 keeps 8 binary digits
    (gradient,) = torch.autograd.grad(rounded.square().sum(), [parameters["layer.weight"]])
    assert gradient.dtype == torch.float32
    expected = torch.autograd.grad(full.square().sum(), [parameters["layer.weight"]])[0]
    assert 1e-4 < ((gradient - expected).norm() / expected.norm()).item() < 1e-2


def test_every_field_of_a_judgement_is_restored_and_an_absent_one_stays_absent() -> None:
    half = torch.ones(2, dtype=torch.bfloat16)
    found = restored(Judgement(score=half, features=half, code=half), torch.float32)
    assert found.score.dtype == found.features.dtype == torch.float32
    assert found.code is not None
    assert found.code.dtype == torch.float32
    assert found.class_logits is found.generator_logits is found.second_score is None


class WithEncoder(nn.Module):
    """A generator whose encoder doubles."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    def encode(self, samples: Tensor) -> Tensor:
        return self.factor * samples


@pytest.mark.parametrize("bfloat16_on", ["", "cpu"])
def test_an_encoder_is_called_with_the_generators_tensors(bfloat16_on: str) -> None:
    tensors = under("network", {"factor": torch.tensor(3.0)})
    assert tensors.keys() == {"network.factor"}
    found = called(Encoder(WithEncoder()), tensors, {}, (torch.ones(2),), bfloat16_on=bfloat16_on)
    assert found.tolist() == [3.0, 3.0]
