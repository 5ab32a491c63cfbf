"""A digest by which a network of the user's own is known again: its layers, their settings and code, their shapes.

`own` writes it into the spec of a run, so that a changed network is refused instead of continued.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

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
    layers, tensors, sources = _parts(network)
    found = hashlib.sha256(json.dumps([layers, tensors, sources], sort_keys=True).encode())
    if weights:
        _add_weights(found, network)
    return found.hexdigest()


def aspects(network: nn.Module, *, weights: bool) -> dict[str, str]:
    """12 hexadecimal digits over each kind of thing that `fingerprint` covers, to say what differs where that does."""
    named = dict(zip(("layers", "shapes", "code"), _parts(network), strict=True))
    found = {name: hashlib.sha256(json.dumps(part, sort_keys=True).encode()) for name, part in named.items()}
    if weights:
        found["starting weights"] = hashlib.sha256()
        _add_weights(found["starting weights"], network)
    return {name: digest.hexdigest()[:12] for name, digest in found.items()}


def difference(one: Mapping[str, str], other: Mapping[str, str]) -> str:
    """What differs between two networks' `aspects`; all that may where one of them is not known.

    >>> difference({"layers": "a", "code": "b"}, {"layers": "a", "code": "c"}), difference({}, {"code": "c"})
    ('code', 'layers, shapes, code or starting weights')
    """
    names = [name for name in other if one.get(name) != other[name]] if one else []
    if not names:
        return "layers, shapes, code or starting weights"
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def told_aspects(settings: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What the digests of a spec are made of; empty where an earlier version wrote it."""
    told = settings.get("aspects")
    found = told if isinstance(told, Mapping) else {}
    return {str(role): dict(parts) for role, parts in found.items() if isinstance(parts, Mapping)}


def changes(there: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    """What differs between the networks of two specs' contents that have networks of the user's own, role by role."""
    one, other = there["networks"], spec["networks"]
    before, now = told_aspects(one), told_aspects(other)
    roles = [role for role in now if one.get("sha256", {}).get(role) != other["sha256"][role]]
    return "; ".join(f"other {difference(before.get(role, {}), now[role])} of the {role}" for role in roles)


def _parts(network: nn.Module) -> tuple[object, object, object]:
    """Layers with their settings, shapes, and code."""
    layers = [[name, _described(module)] for name, module in network.named_modules()]
    tensors = [
        [kind, name, list(value.shape), value.requires_grad]
        for kind, values in (("parameter", network.named_parameters()), ("buffer", network.named_buffers()))
        for name, value in values
    ]
    sources = {kind.__qualname__: code_of(kind) for module in network.modules() for kind in written(type(module))}
    return layers, tensors, sources


def _add_weights(digest: hashlib._Hash, network: nn.Module) -> None:
    for name, value in network.state_dict().items():
        digest.update(name.encode() + _bytes(value))


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
