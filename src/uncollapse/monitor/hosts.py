"""The host's loop as if no monitor were there: random streams, modes and buffers of networks, and the gradient mode.

Everything the monitor runs of a user (sampler, critic, features) and of its own runs inside `untouched`.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

# How far is searched from a function: to what it names, to what that holds, and once more.
DEPTH, MOST_ITEMS = 3, 100
SEEDS = 2**63


@dataclass(kw_only=True, eq=False)
class Owned:
    """What of the host's a function may change.

    Attributes:
        modules: Networks, each with all that is inside it.
        streams: Generators of torch, which the function draws from.
        numpy_streams: Generators of NumPy.
    """

    modules: list[nn.Module] = field(default_factory=list)
    streams: list[torch.Generator] = field(default_factory=list)
    numpy_streams: list[np.random.Generator] = field(default_factory=list)

    def add(self, found: object) -> bool:
        """Takes it if it is one of the three kinds, each once."""
        if isinstance(found, nn.Module):
            _once(self.modules, found)
        elif isinstance(found, torch.Generator):
            _once(self.streams, found)
        elif isinstance(found, np.random.Generator):
            _once(self.numpy_streams, found)
        else:
            return False
        return True


Kind = TypeVar("Kind")


def _once(kept: list[Kind], found: Kind) -> None:
    if not any(one is found for one in kept):
        kept.append(found)


def owned(*given: object) -> Owned:
    """Networks and random generators that functions reach: by name, in a closure, as an attribute or an argument.

    Args:
        given: Functions, methods, partial functions, networks, or sequences of these; None is passed over.
    """
    found, seen = Owned(), set[int]()
    for one in given:
        _search(one, found, seen, DEPTH)
    return found


def _search(one: object, found: Owned, seen: set[int], depth: int) -> None:
    if one is None or isinstance(one, str | bytes | int | float | Tensor | np.ndarray) or id(one) in seen:
        return
    seen.add(id(one))
    if found.add(one) or inspect.ismodule(one) or inspect.isclass(one):
        return
    for part in _parts(one) if depth else ():
        _search(part, found, seen, depth - 1)


def _parts(one: object) -> list[object]:
    """What an object holds: of a function its closure and the globals it names, of others items and attributes."""
    if isinstance(one, functools.partial):
        return [one.func, *one.args, *one.keywords.values()]
    if inspect.ismethod(one):
        return [one.__self__, one.__func__]
    if inspect.isfunction(one):
        names = inspect.getclosurevars(one)
        defaults = [*(one.__defaults__ or ()), *(one.__kwdefaults__ or {}).values()]
        return [*names.nonlocals.values(), *names.globals.values(), *defaults]
    if isinstance(one, Mapping):
        return list(one.values())
    if isinstance(one, list | tuple | set | frozenset):
        return list(itertools.islice(one, MOST_ITEMS))
    return list(vars(one).values()) if hasattr(one, "__dict__") else []


@contextmanager
def untouched(host: Owned, *, seed: int) -> Iterator[None]:
    """Inside, random streams start from a seed of the monitor; afterwards all is as before, to the last bit.

    What is put back: the streams of python, NumPy (the global one) and torch (CPU, and CUDA where it is in use), those
    in `host`, the default type of floats, and of the networks in `host` the buffers (running statistics, power
    iterations) and whether each part is in training mode. No gradient is recorded. So draws inside are fresh at every
    look, and the host draws the numbers that it would have drawn.

    Args:
        host: What the code inside may change beside the global streams.
        seed: Of the streams inside, in [0, 2^63).
    """
    dtype = torch.get_default_dtype()
    kept = [_Kept(module) for module in host.modules]
    with ExitStack() as stack:
        # Called in reverse order, each also when the code inside raises.
        stack.callback(torch.set_default_dtype, dtype)
        for one in kept:
            stack.callback(one.restore)
        for put_back in _seeded(host, seed):
            stack.callback(put_back)
        stack.enter_context(torch.no_grad())
        yield


@contextmanager
def plain_numbers() -> Iterator[None]:
    """Inside, the monitor's own arithmetic is that of a fresh process: float32, on the CPU, nothing cast."""
    dtype = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.callback(torch.set_default_dtype, dtype)
        torch.set_default_dtype(torch.float32)
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def _seeded(host: Owned, seed: int) -> list[Callable[[], object]]:
    """Seeds every stream; what puts each back. `torch.manual_seed` would reach into a CUDA that has not started."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the host may draw from it
    streams = [torch.default_generator, *host.streams]
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        streams += list(torch.cuda.default_generators)
    back: list[Callable[[], object]] = [
        functools.partial(random.setstate, python),
        functools.partial(np.random.set_state, numpy),
    ]
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    for number, stream in enumerate(streams):
        back.append(functools.partial(stream.set_state, stream.get_state()))
        stream.manual_seed((seed + number) % SEEDS)
    for number, generator in enumerate(host.numpy_streams):
        bits = generator.bit_generator
        back.append(functools.partial(setattr, bits, "state", bits.state))
        bits.state = type(bits)([seed, number]).state
    return back


class _Kept:
    """Buffers and modes of one network and all its parts."""

    def __init__(self, module: nn.Module) -> None:
        self._modes = [(part, part.training) for part in module.modules()]
        self._buffers = [
            (part, name, value, value.detach().clone())
            for part in module.modules()
            for name, value in part.named_buffers(recurse=False)
            if not nn.parameter.is_lazy(value)
        ]

    def restore(self) -> None:
        """Puts them back; `data` leaves a graph that the host still holds valid."""
        for part, training in self._modes:
            part.training = training
        for part, name, value, content in self._buffers:
            if part._buffers.get(name) is not value:
                part._buffers[name] = value
            value.data.copy_(content)


def look_seed(seed: int, look: int, purpose: str) -> int:
    """A seed of one purpose of one look."""
    from uncollapse.draws import stream

    return stream(seed, f"monitor {purpose}", look).generator.initial_seed()
