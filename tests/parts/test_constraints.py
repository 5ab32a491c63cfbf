"""Constraints: clipping by hand, after every step and at the start; spectral norms against torch's own and an SVD."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import spectral_norm

from uncollapse.errors import UserError
from uncollapse.loop import Trainer
from uncollapse.methods import METHODS
from uncollapse.networks.mlp import MLP
from uncollapse.parts.constraints import Free, SpectralNorm, WeightClip, initial_buffers, reparameterised
from uncollapse.parts.views import MinibatchDiscrimination
from uncollapse.run import make_spec


def test_clipping_by_hand() -> None:
    clipped = WeightClip(limit=0.5).project({"a": torch.tensor([-2.0, -0.1, 0.5, 3.0])})
    assert clipped["a"].tolist() == pytest.approx([-0.5, -0.1, 0.5, 0.5])


def test_free_changes_nothing() -> None:
    tensors = {"a": torch.randn(3)}
    assert Free().project(tensors) is tensors
    assert Free().reparameterise(tensors, {}) == (tensors, {})
    assert Free().init_buffers(tensors) == {}


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_the_critic_is_clipped_from_the_start_and_after_every_step(seeds: tuple[int, ...]) -> None:
    spec = make_spec("wgan", "ring-8", seeds=seeds, updates=10, batch=8, networks=MLP(width=8, depth=2))
    trainer = Trainer(spec)
    for until in (0, 5, 10):
        trainer.advance(until)
        assert trainer.lanes.state.critic.parameters.abs().max().item() == pytest.approx(0.01)
    assert trainer.lanes.state.generator.parameters.abs().max() > 0.05  # only the critic is clipped
    assert METHODS["wgan"].constraint == WeightClip(limit=0.01)


@pytest.mark.parametrize("limit", [0.0, -1.0])
def test_refusals(limit: float) -> None:
    with pytest.raises(UserError, match=r"would erase the critic; choose a limit above 0"):
        WeightClip(limit=limit)


@pytest.mark.parametrize("iterations", [1, 3])
@pytest.mark.parametrize("shape", [(5, 3), (1, 4), (3, 2, 2)])
def test_spectral_norm_equals_torchs_from_the_same_vector(shape: tuple[int, ...], iterations: int) -> None:
    layer = nn.Linear(2, 2, bias=False).double()
    weight = torch.randn(*shape, dtype=torch.float64, requires_grad=True)
    layer.weight = nn.Parameter(weight.detach().clone())
    spectral_norm(layer, n_power_iterations=iterations)
    left = torch.nn.functional.normalize(torch.randn(shape[0], dtype=torch.float64), dim=0)  # far from converged
    layer.weight_u.copy_(left)
    for hook in layer._forward_pre_hooks.values():
        hook(layer, ())
    part = SpectralNorm(iterations=iterations)
    used, after = part.reparameterise({"weight": weight}, {"weight_u": left})
    torch.testing.assert_close(used["weight"], layer.weight)
    torch.testing.assert_close(after["weight_u"], layer.weight_u)
    toward = torch.randn_like(weight)
    (ours,) = torch.autograd.grad((used["weight"] * toward).sum(), weight)
    (theirs,) = torch.autograd.grad((layer.weight * toward).sum(), layer.weight_orig)
    torch.testing.assert_close(ours, theirs)


def test_many_iterations_find_the_largest_singular_value() -> None:
    weight = torch.randn(6, 4, dtype=torch.float64)
    part = SpectralNorm(iterations=500)
    used = part.reparameterise({"weight": weight}, part.init_buffers({"weight": weight}))[0]["weight"]
    torch.testing.assert_close(used, weight / torch.linalg.svdvals(weight)[0])
    frobenius = weight / weight.norm()
    assert not torch.allclose(used, frobenius, rtol=1e-2)


def test_the_critic_has_unit_singular_values_and_the_generator_is_free() -> None:
    spec = make_spec("sngan", "ring-8", seeds=(0, 1), updates=40, batch=8, networks=MLP(width=8, depth=2))
    trainer = Trainer(spec)
    trainer.advance(40)
    critic, layout = trainer.lanes.state.critic, trainer.game.critic_layout
    weights = {name: value[1] for name, value in layout.unpack(critic.parameters).items()}
    used, _ = SpectralNorm().reparameterise(weights, {name: value[1] for name, value in critic.buffers.items()})
    for name, value in used.items():
        if value.ndim == 2:
            assert torch.linalg.svdvals(value)[0].item() == pytest.approx(1, abs=0.02), name
            assert torch.linalg.svdvals(weights[name])[0].item() != pytest.approx(1, abs=1e-4)
        else:
            assert value is weights[name]
    start = Trainer(spec).lanes.state.critic
    assert not torch.equal(
        start.buffers["body.0.weight_u"], critic.buffers["body.0.weight_u"]
    )  # it follows the weights


def test_a_lane_owns_its_vectors() -> None:
    spec = make_spec("sngan", "ring-8", seeds=(0, 1), updates=5, batch=8, networks=MLP(width=8, depth=2))
    buffers = Trainer(spec).lanes.state.critic.buffers
    assert set(buffers) == {"body.0.weight_u", "body.2.weight_u", "score.weight_u"}
    assert not torch.equal(buffers["body.2.weight_u"][0], buffers["body.2.weight_u"][1])


def test_scales_and_biases_are_no_maps() -> None:
    """The scales of minibatch discrimination form a table; dividing them by its norm would undo their start."""
    method = METHODS["sngan"].but(name="both", view=MinibatchDiscrimination(kernels=3, size=2))
    trainer = Trainer(make_spec(method, "ring-8", seeds=(0,), updates=5, batch=8, networks=MLP(width=8, depth=2)))
    assert {"summary.weight_u", "score.weight_u"} <= set(trainer.lanes.state.critic.buffers)
    assert "summary.log_scale_u" not in trainer.lanes.state.critic.buffers


def test_a_constraint_without_iterations_is_refused() -> None:
    with pytest.raises(UserError, match=r"SpectralNorm\(iterations=0\) never looks"):
        SpectralNorm(iterations=0)


def test_transposed_convolutions_are_divided_by_the_norm_that_torch_means() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.ConvTranspose2d(6, 4, 3), nn.Conv2d(4, 5, 3), nn.Linear(3, 2)).double()
    theirs = nn.utils.parametrizations.spectral_norm(copy.deepcopy(layers[0]), n_power_iterations=300)
    theirs(torch.randn(2, 6, 5, 5, dtype=torch.float64))
    part = SpectralNorm(iterations=300)
    buffers = initial_buffers(part, layers)
    assert {name: len(value) for name, value in buffers.items()} == {
        "0.weight_transposed_u": 4, "1.weight_u": 5, "2.weight_u": 2,
    }  # fmt: skip
    used, kept = part.reparameterise({name: value.detach() for name, value in layers.named_parameters()}, buffers)
    assert set(kept) == set(buffers)
    torch.testing.assert_close(used["0.weight"], theirs.weight.detach())
    assert float(torch.linalg.svdvals(used["0.weight"].transpose(0, 1).flatten(1))[0]) == pytest.approx(1, rel=1e-9)
    assert float(torch.linalg.svdvals(used["1.weight"].flatten(1))[0]) == pytest.approx(1, rel=1e-9)


def test_scales_of_normalisation_layers_are_no_maps_and_recurrent_weights_are() -> None:
    layers = nn.ModuleDict({"norm": nn.LayerNorm([16, 8, 8]), "rms": nn.RMSNorm([4, 4]), "cell": nn.GRU(3, 2)})
    layers["attention"] = nn.MultiheadAttention(4, 2, bias=False)
    buffers = initial_buffers(SpectralNorm(), layers)
    assert {name: len(value) for name, value in buffers.items()} == {"cell.weight_ih_l0_u": 6, "cell.weight_hh_l0_u": 6,
        "attention.in_proj_weight_u": 12, "attention.out_proj.weight_u": 4,
    }  # fmt: skip


@pytest.mark.parametrize("wrap", [nn.utils.weight_norm, nn.utils.parametrizations.weight_norm])
@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_a_matrix_whose_length_something_else_sets_is_refused(wrap: Callable[[nn.Module], nn.Module]) -> None:
    layers = nn.Sequential(nn.Linear(3, 2), wrap(nn.Linear(2, 2)))
    with pytest.raises(UserError, match=r"SpectralNorm would divide 1\..*, whose length another parametrisation sets"):
        initial_buffers(SpectralNorm(), layers)
    assert initial_buffers(Free(), layers) == {}


def test_a_critic_without_matrices_is_refused() -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.randn(3, 2))

    with pytest.raises(UserError, match=r"no parameter of two or more axes has a name that begins or ends with weight"):
        initial_buffers(SpectralNorm(), Table())


def test_lent_weights_are_given_back_and_what_was_set_meanwhile_stays() -> None:
    layers = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    raw = layers[0].weight.detach().clone()
    with reparameterised(layers, SpectralNorm()):
        assert float(torch.linalg.svdvals(layers[0].weight.detach())[0]) == pytest.approx(1, abs=0.02)
        layers[0].bias.data.fill_(7.0)
        layers[1].weight.data.fill_(3.0)
    assert torch.equal(layers[0].weight, raw)
    assert (layers[0].bias == 7).all()
    assert (layers[1].weight == 3).all()
    with reparameterised(layers, Free()):
        assert torch.equal(layers[0].weight, raw)
    with reparameterised(layers, WeightClip(limit=0.1)):
        assert float(layers[0].weight.detach().abs().max()) == pytest.approx(0.1)


def test_lent_weights_are_given_back_after_an_error() -> None:
    layer = nn.Linear(3, 2)
    raw = layer.weight.detach().clone()
    with pytest.raises(ZeroDivisionError), reparameterised(layer, SpectralNorm()):
        _ = 1 / 0
    assert torch.equal(layer.weight, raw)
