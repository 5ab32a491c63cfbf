"""A digest by which a network of the user's own is known again: its layers, their settings and code, their shapes.

`own` writes it into the spec of a run, so that a changed network is refused instead of continued.
"""

from __future__ import annotations

import hashlib
import json
import re

from torch import Tensor, nn

from uncollapse.source_code import code_of, written

ADDRESS = re.compile(r" at 0x[0-9a-f]+")
# Attributes that every module has.
EVERY = frozenset(vars(nn.Module()))


def fingerprint(network: nn.Module, *, weights: bool) -> str:
    """64 hexadecimal digits over what a network computes, as far as that can be known without running it.

    Covered are the names, classes, settings and code of all modules, and names and shapes of parameters and buffers.
    Comments, docstrings and the module that a class is defined in are not, nor are functions that the code calls.

    Args:
        network: Any module without lazy layers.
        weights: Whether the values of parameters and buffers count too.
    """
    layers = [[name, _described(module)] for name, module in network.named_modules()]
    tensors = [
        [kind, name, list(value.shape), value.requires_grad]
        for kind, values in (("parameter", network.named_parameters()), ("buffer", network.named_buffers()))
        for name, value in values
    ]
    sources = {kind.__qualname__: code_of(kind) for module in network.modules() for kind in written(type(module))}
    found = hashlib.sha256(json.dumps([layers, tensors, sources], sort_keys=True).encode())
    if weights:
        for name, value in network.state_dict().items():
            found.update(name.encode() + _bytes(value))
    return found.hexdigest()


def _bytes(value: Tensor | object) -> bytes:
    if not isinstance(value, Tensor):  # what a module keeps by `get_extra_state`
        return repr(value).encode()
    return value.detach().cpu().contiguous().flatten().double().numpy().tobytes()


def _described(module: nn.Module) -> list[object]:
    """Class and settings: torch's own modules print theirs, the user's hold them as plain attributes."""
    kind = type(module)
    if not written(kind):
        return [kind.__qualname__, ADDRESS.sub("", module.extra_repr())]
    plain = {name: repr(value) for name, value in vars(module).items() if name not in EVERY and _is_plain(value)}
    return [kind.__qualname__, plain]


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)
