"""The layers of a batch against naive loops, and that minibatch discrimination is alive from its first update."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from uncollapse.errors import UserError
from uncollapse.nn import MinibatchDiscrimination, MinibatchStddev, Packed, batch_deviation, packed


def naive(layer: MinibatchDiscrimination, features: Tensor) -> np.ndarray:
    """The equation, one pair and one kernel after the other."""
    weight, scale, x = layer.weight.detach().numpy(), layer.log_scale.detach().exp().numpy(), features.numpy()
    added = np.zeros((len(x), weight.shape[1]))
    for kernel in range(weight.shape[1]):
        columns = weight[:, kernel] / np.linalg.norm(weight[:, kernel], axis=0) * scale[kernel]
        projected = x @ columns
        for i in range(len(x)):
            for j in range(len(x)):
                if i != j:
                    added[i, kernel] += np.exp(-np.abs(projected[i] - projected[j]).sum())
    return added + layer.bias.detach().numpy()


def test_minibatch_discrimination_equals_the_naive_loop() -> None:
    layer, features = MinibatchDiscrimination(6, kernels=4, size=3).double(), torch.randn(5, 6, dtype=torch.float64)
    for started in (False, True):
        if started:
            layer.initialise(features)
        with torch.no_grad():
            layer.bias += 0.3
            seen = layer(features)
        torch.testing.assert_close(seen[:, :6], features)
        np.testing.assert_allclose(seen[:, 6:], naive(layer, features), rtol=1e-10)


def test_samples_beyond_the_horizon_count_as_infinitely_far() -> None:
    layer = MinibatchDiscrimination(6, kernels=4, size=3).double()
    features = 1_000 * torch.randn(5, 6, dtype=torch.float64)
    features[1] = features[0]
    near = layer(features)[:, 6:].detach().numpy()
    np.testing.assert_allclose(near, naive(layer, features), atol=1e-15)
    assert near.min() == -1.0  # the bias alone
    assert near.max() == 0.0  # and a twin


def test_a_sample_is_not_compared_with_itself() -> None:
    layer = MinibatchDiscrimination(3, kernels=2, size=2).double()
    alone = layer(torch.randn(1, 3, dtype=torch.float64))[:, 3:]
    torch.testing.assert_close(alone, layer.bias.expand(1, -1))  # nobody else, so nothing is added
    twins = layer(torch.ones(4, 3, dtype=torch.float64))[:, 3:]
    torch.testing.assert_close(twins, (layer.bias + 3).expand(4, -1))  # three others at no distance


def test_the_start_from_data_brings_the_nearest_to_a_distance_of_two() -> None:
    layer, features = MinibatchDiscrimination(64, kernels=20, size=5).double(), torch.randn(32, 64, dtype=torch.float64)
    layer.initialise(features)
    with torch.no_grad():
        nearest = layer.distances(features).amin(1).mean(0)
        closeness = layer(features)[:, 64:] - layer.bias
    torch.testing.assert_close(nearest, torch.full_like(nearest, 2))  # half the mean smallest distance is the unit
    assert 0.1 < closeness.mean().item() < 31
    torch.testing.assert_close(
        (closeness + layer.bias).mean(0), torch.zeros(20, dtype=torch.float64), atol=1e-9, rtol=0
    )


def test_without_it_normal_directions_are_dead() -> None:
    """What most copies do: directions from N(0, 1), not scaled, on features of a usual size."""
    features = torch.randn(32, 64) * 2
    copy = torch.randn(64, 20, 5)
    projected = torch.einsum("nf,fbc->nbc", features, copy)
    apart = (projected.unsqueeze(0) - projected.unsqueeze(1)).abs().sum(-1)
    dead = torch.exp(-apart).sum(1) - 1  # less the sample itself
    assert dead.mean() < 1e-6
    layer = MinibatchDiscrimination(64, kernels=20, size=5)
    layer.initialise(features)
    alive = layer(features)[:, 64:] - layer.bias
    assert alive.mean() > 0.1
    gradient = torch.autograd.grad(alive.sum(), layer.weight)[0]
    assert (gradient.abs() > 1e-4).double().mean() > 0.5


def test_equal_features_start_finite() -> None:
    layer = MinibatchDiscrimination(4, kernels=3, size=2)
    layer.initialise(torch.ones(8, 4))
    assert layer(torch.ones(8, 4)).isfinite().all()


def test_the_layer_is_differentiable_twice_and_lifts_over_seeds() -> None:
    layer, features = MinibatchDiscrimination(3, kernels=2, size=2).double(), torch.randn(4, 3, dtype=torch.float64)
    features.requires_grad_()
    assert torch.autograd.gradcheck(layer, features)
    parameters = {name: torch.stack([value, value * 1.5]) for name, value in layer.named_parameters()}
    both = torch.func.vmap(lambda own: torch.func.functional_call(layer, own, (features,)))(parameters)
    torch.testing.assert_close(both[0], layer(features))
    assert not torch.allclose(both[0], both[1])


@pytest.mark.parametrize("shape", [(5,), (3, 4, 4)])
def test_minibatch_stddev_equals_numpys(shape: tuple[int, ...]) -> None:
    features = torch.randn(6, *shape, dtype=torch.float64)
    seen = MinibatchStddev(size=3)(features)
    assert seen.shape == (6, shape[0] + 1, *shape[1:])
    for start in (0, 3):
        expected = features[start : start + 3].numpy().std(0).mean()
        np.testing.assert_allclose(seen[start : start + 3, -1], expected, rtol=1e-6)


def test_equal_samples_have_a_finite_derivative_of_their_deviation() -> None:
    features = torch.ones(4, 3, requires_grad=True)
    assert torch.autograd.grad(batch_deviation(features, 4).sum(), features)[0].isfinite().all()


def test_packed_critics_read_neighbours_side_by_side() -> None:
    inner = nn.Linear(6, 1)
    critic, x = Packed(inner, size=3), torch.randn(6, 2)
    torch.testing.assert_close(critic(x), inner(torch.stack([x[:3].flatten(), x[3:].flatten()])))
    assert packed(torch.randn(6, 3, 4, 4), 2).shape == (3, 6, 4, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MinibatchStddev(size=1), "has no deviation"),
        (lambda: MinibatchStddev(size=4)(torch.randn(6, 2)), "A batch of 6 is no multiple of the group size 4"),
        (lambda: Packed(nn.Identity(), size=0), "holds no sample"),
        (lambda: Packed(nn.Identity(), size=4)(torch.randn(6, 2)), "A batch of 6 is no multiple of the pack size 4"),
        (lambda: packed(torch.randn(6, 2), 4), "A batch of 6 is no multiple of the pack size 4"),
        (lambda: packed(torch.randn(6, 2), 0), "size = 0 holds no sample; choose a pack size of 1 or more"),
        (lambda: MinibatchStddev(size="4"), "size = '4' has no deviation; choose groups of 2 or more"),  # type: ignore[arg-type]
        (lambda: MinibatchDiscrimination(0), "features = 0 is no number of them; choose a whole number of 1 or more"),
        (lambda: MinibatchDiscrimination(3, kernels=True), "kernels = True is no number of them"),
        (lambda: Packed("critic", 2), "critic must be a network that takes packs, not 'critic'"),  # type: ignore[arg-type]
    ],
)
def test_refusals(call: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        call()  # type: ignore[operator]
