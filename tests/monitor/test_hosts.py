"""The host is left as it was: streams, buffers, modes, gradients; and what belongs to it is found."""

from __future__ import annotations

import functools
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from uncollapse.monitor.hosts import Owned, look_seed, owned, plain_numbers, untouched

NETWORK = nn.Linear(2, 2)


def normalised() -> nn.Sequential:
    """A network whose forward pass changes buffers and draws."""
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))


def streams() -> tuple[object, ...]:
    """Where every global stream stands."""
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002


def draw() -> tuple[float, float, float]:
    """One number of every global stream."""
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002


def test_every_global_stream_is_put_back_and_what_is_drawn_inside_depends_on_the_seed_alone() -> None:
    before, drawn = streams(), []
    for seed in (5, 5, 6):
        with untouched(Owned(), seed=seed):
            drawn.append(draw())
        assert streams() == before
        draw()
        before = streams()
    assert drawn[0] == drawn[1]
    assert all(a != b for a, b in zip(drawn[0], drawn[2], strict=True))


def test_streams_of_the_host_itself_are_put_back_too() -> None:
    torch_stream, numpy_stream = torch.Generator().manual_seed(1), np.random.default_rng(1)
    expected = torch.rand(3, generator=torch.Generator().manual_seed(1)), np.random.default_rng(1).random(3)

    def sampler() -> float:
        return float(torch.rand((), generator=torch_stream)) + numpy_stream.random()

    drawn = []
    for seed in (1, 2):
        with untouched(owned(sampler), seed=seed):
            drawn.append(sampler())
    assert drawn[0] != drawn[1]  # fresh at every look
    assert torch.equal(torch.rand(3, generator=torch_stream), expected[0])
    assert (numpy_stream.random(3) == expected[1]).all()


def test_buffers_and_modes_are_put_back() -> None:
    network = normalised()
    network[2].eval()  # a mode of its own
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [part.training for part in network.modules()]
    with untouched(owned(network), seed=0):
        network(torch.randn(5, 3))
        network.eval()
        assert int(network[1].num_batches_tracked) == 1
    assert [part.training for part in network.modules()] == modes
    assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())


def test_a_buffer_that_was_exchanged_is_the_same_object_again() -> None:
    network = nn.Module()
    network.register_buffer("u", torch.ones(2))
    before = network.u
    with untouched(owned(network), seed=0):
        network.u = torch.zeros(2)
    assert network.u is before


def test_a_graph_of_the_host_stays_valid() -> None:
    # In evaluation mode batch norm keeps its buffers for the backward pass; an in-place change would forbid that.
    network = nn.BatchNorm1d(3).eval()
    x = torch.randn(4, 3, requires_grad=True)
    out = network(x).sum()
    with untouched(owned(network), seed=0):
        network(torch.randn(5, 3))
    out.backward()
    assert x.grad is not None


def test_no_gradient_is_recorded_and_an_error_inside_leaves_all_as_it_was() -> None:
    network, before = normalised(), streams()

    def fails() -> None:
        with untouched(owned(network), seed=0):
            assert not torch.is_grad_enabled()
            network.eval()
            torch.set_default_dtype(torch.float64)
            torch.rand(3)
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
    assert network.training
    assert streams() == before


class Loop:
    """A host with a network as an attribute."""

    def __init__(self) -> None:
        self.network = nn.Linear(1, 1)
        self.networks = {"other": nn.Linear(1, 1)}

    def sample(self, n: int) -> torch.Tensor:
        """A bound method."""
        return self.network(torch.randn(n, 1))


def test_networks_are_found_wherever_a_function_reaches_them() -> None:
    loop, inner = Loop(), nn.Linear(1, 1)

    def nested(n: int) -> torch.Tensor:
        return inner(torch.randn(n, 1))

    cases = [
        (lambda n: NETWORK(n), [NETWORK]),
        (loop.sample, [loop.network, loop.networks["other"]]),
        (lambda n: nested(n), [inner]),
        (functools.partial(lambda net, n: net(n), inner), [inner]),
        (lambda n, net=inner: net(n), [inner]),
        (SimpleNamespace(g=inner), [inner]),
        ([inner, None, "text"], [inner]),
        (inner, [inner]),
        (None, []),
        (len, []),
    ]
    for given, expected in cases:
        assert [id(one) for one in owned(given).modules] == [id(one) for one in expected], given


def test_a_network_is_found_once() -> None:
    assert len(owned(NETWORK, lambda: NETWORK, [NETWORK]).modules) == 1


def test_plain_numbers_undo_types_and_casts_of_the_host() -> None:
    x = torch.randn(8, 8)
    torch.set_default_dtype(torch.float64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (x @ x).dtype == torch.bfloat16
        with plain_numbers():
            assert (x @ x).dtype == torch.float32
            assert torch.zeros(1).dtype == torch.float32
    assert torch.get_default_dtype() == torch.float64
    torch.set_default_dtype(torch.float32)


def test_seeds_of_looks_differ() -> None:
    seeds = {look_seed(seed, look, purpose) for seed in (0, 1) for look in range(50) for purpose in ("a", "b")}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**63 for seed in seeds)
