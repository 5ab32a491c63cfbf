"""Capturing a round: the logic on a stand-in for CUDA graphs, the numbers on CUDA where there is one."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from uncollapse.capture import WARM_UP, Captured
from uncollapse.loop import Trainer
from uncollapse.methods import METHODS
from uncollapse.networks import in_family
from uncollapse.networks.mlp import MLP
from uncollapse.spec import RunSpec, make_spec
from uncollapse.tasks import find
from uncollapse.trees import flatten


class FakeGraph:
    """Records the operations of a capture and replays them on the same memory, as a CUDA graph does."""

    # A capture runs nothing, so what the stand-in has overwritten meanwhile is put back at its end.
    undo: list[tuple[Tensor, Tensor]]

    def __init__(self) -> None:
        self.steps: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []
        self.undo = []

    def replay(self) -> None:
        for operation, arguments, options, into in self.steps:
            made = operation(*arguments, **options)
            if isinstance(into, Tensor) and made.data_ptr() != into.data_ptr():
                into.copy_(made)


class Recorder(TorchDispatchMode):
    def __init__(self, graph: FakeGraph) -> None:
        super().__init__()
        self.graph = graph

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if operation is torch.ops.aten.copy_.default:
            self.graph.undo.append((args[0], args[0].clone()))
        made = operation(*args, **(kwargs or {}))
        self.graph.steps.append((operation, args, kwargs or {}, made))
        return made


class FakeStream:
    def wait_stream(self, other: FakeStream) -> None:
        """Nothing runs beside the CPU's own order."""


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[FakeGraph]:
    made: list[FakeGraph] = []

    def new() -> FakeGraph:
        made.append(FakeGraph())
        return made[-1]

    @contextlib.contextmanager
    def capturing(graph: FakeGraph) -> Iterator[None]:
        with Recorder(graph):
            yield
        for overwritten, before in reversed(graph.undo):
            overwritten.copy_(before)

    monkeypatch.setattr(torch.cuda, "CUDAGraph", new)
    monkeypatch.setattr(torch.cuda, "graph", capturing)
    monkeypatch.setattr(torch.cuda, "Stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "current_stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    return made


class Pair(NamedTuple):
    total: Tensor
    last: Tensor | None


class Counted:
    """total' = 2 total + sum of the inputs; counts how often Python ran it."""

    calls = 0

    def __call__(self, state: Pair, inputs: list[Tensor]) -> Pair:
        self.calls += 1
        return Pair(state.total * 2 + inputs[0] + inputs[1], None)


def by_hand(values: list[int]) -> list[int]:
    totals = [1]
    for value in values:
        totals.append(2 * totals[-1] + value + 10)
    return totals[1:]


def inputs(value: int) -> list[Tensor]:
    return [torch.tensor([float(value)]), torch.tensor([10.0])]


def test_a_function_is_recorded_once_after_the_warm_up_and_then_replayed(graphs: list[FakeGraph]) -> None:
    function, state, seen = Counted(), Pair(torch.ones(1), None), []
    captured = Captured(function)
    for value in range(8):
        state = captured(state, inputs(value))
        seen.append(int(state.total))
    assert seen == by_hand([0, 1, 2, 3, 4, 5, 6, 7]) == [12, 35, 82, 177, 368, 751, 1518, 3053]
    assert function.calls == WARM_UP + 1 == 4
    assert len(graphs) == 1


def test_the_states_given_before_the_capture_stay_as_they_were(graphs: list[FakeGraph]) -> None:
    captured, state = Captured(Counted()), Pair(torch.ones(1), None)
    given = []
    for value in range(5):
        given.append((state, state.total.clone()))
        state = captured(state, inputs(value))
    assert all(torch.equal(before.total, total) for before, total in given[:4])


def test_a_state_from_elsewhere_is_taken_over(graphs: list[FakeGraph]) -> None:
    captured, state = Captured(Counted()), Pair(torch.ones(1), None)
    for value in range(6):
        state = captured(state, inputs(value))
    other = Pair(torch.full((1,), 100.0), None)  # as after loading a checkpoint
    assert captured(other, inputs(7)).total.item() == 217
    assert other.total.item() == 100
    assert captured(captured.state, inputs(1)).total.item() == 445
    assert len(graphs) == 1


def test_no_garbage_is_collected_while_a_graph_is_recorded(graphs: list[FakeGraph]) -> None:
    seen: list[bool] = []

    class Watching(Counted):
        def __call__(self, state: Any, *given: Any) -> Any:
            seen.append(gc.isenabled())
            return super().__call__(state, *given)

    captured, state = Captured(Watching()), Pair(torch.ones(1), None)
    for value in range(WARM_UP + 2):
        state = captured(state, inputs(value))
    assert seen == [True] * WARM_UP + [False]
    assert gc.isenabled()


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["vanilla", "wgan", "cwgan-gp"])
@pytest.mark.parametrize("seeds", [(3,), (3, 7, 11)])
def test_captured_rounds_equal_the_same_rounds_without_a_graph(method: str, seeds: tuple[int, ...]) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    small = MLP(width=8, depth=2)
    spec = make_spec(METHODS[method], "blobs-4", seeds=seeds, updates=40, batch=16, networks=small, dtype="float64")
    same_with_and_without_a_graph(spec)


@pytest.mark.gpu
@pytest.mark.parametrize("family", ["dcgan", "residual"])
@pytest.mark.parametrize("method", ["cwgan-gp", "r3gan", "pacgan-2"])
def test_captured_rounds_of_convolutions_equal_the_same_rounds_without_a_graph(method: str, family: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    task = find("digits")
    small = replace(in_family(family, task.networks), width=4)
    spec = make_spec(METHODS[method], task, seeds=(3, 7), updates=40, batch=16, networks=small, dtype="float64")
    same_with_and_without_a_graph(spec)


@pytest.mark.gpu
@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_trains_on_a_gpu(method: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    small = MLP(width=8, depth=2)
    task = "digits" if METHODS[method].view.images_only else "blobs-4"
    trainer = Trainer(
        make_spec(METHODS[method], task, seeds=(3, 7), updates=30, batch=32, networks=small), device="cuda"
    )
    trainer.advance(30)
    assert not trainer.diverged()
    assert all(torch.isfinite(value).all() for value in flatten(trainer.lanes).values() if value.is_floating_point())


def same_with_and_without_a_graph(spec: RunSpec) -> None:
    """Trains a spec as CUDA graphs and launch by launch, and compares everything that training carries."""
    captured, eager = Trainer(spec, device="cuda"), Trainer(spec, device="cuda")
    eager._round = eager._play_round
    for trainer in (captured, eager):
        trainer.advance(40)
    assert isinstance(captured._round, Captured)
    assert captured._round.graph is not None
    ours, theirs = flatten(captured.lanes), flatten(eager.lanes)
    for path, value in ours.items():
        torch.testing.assert_close(value, theirs[path], rtol=1e-10, atol=1e-10)
