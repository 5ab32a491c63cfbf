"""Replays a whole round of training as one CUDA graph, because small networks spend their time launching kernels.

Only used on CUDA; elsewhere the round is called as it is.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from uncollapse.trees import tree_leaves, tree_map

# Rounds that run eagerly before the capture, so that libraries choose their algorithms outside of it.
WARM_UP = 3


class Captured:
    """A pure function (state, *inputs) -> state that is recorded once and then replayed.

    The recorded graph reads and writes the same memory every time: inputs are copied in, the state stays in place.

    Args:
        function: Pure, with static shapes and no synchronisation with the host.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        """Nothing is recorded yet."""
        self.function, self.calls = function, 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.state: Any = None
        self.inputs: Any = None

    def __call__(self, state: Any, *inputs: Any) -> Any:
        """The state after one call; the returned tensors are overwritten by the next call."""
        self.calls += 1
        if self.calls <= WARM_UP:
            return self._eager(state, *inputs)
        if self.graph is None:
            self._record(state, inputs)
        elif state is not self.state:
            _copy(self.state, state)
        _copy(self.inputs, inputs)
        assert self.graph is not None
        self.graph.replay()
        return self.state

    def _eager(self, state: Any, *inputs: Any) -> Any:
        """One call on a side stream, as the capture will run."""
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            result = self.function(state, *inputs)
        torch.cuda.current_stream().wait_stream(side)
        return result

    def _record(self, state: Any, inputs: Any) -> None:
        """Captures one call that ends by writing the new state over the old one; the capture itself runs nothing."""
        self.state = tree_map(torch.clone, state)
        self.inputs = tree_map(torch.clone, inputs)
        self.graph = torch.cuda.CUDAGraph()
        with _nothing_collected(), torch.cuda.graph(self.graph):
            _copy(self.state, self.function(self.state, *self.inputs))


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Keeps the garbage collector from destroying the graph of a forgotten trainer, which would spoil a capture."""
    gc.collect()
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _copy(target: Any, source: Any) -> None:
    """Overwrites every tensor of a tree."""
    for into, value in zip(tree_leaves(target), tree_leaves(source), strict=True):
        into.copy_(value)
