"""What a field of a user's own task holds, as JSON that is equal for equal values in every process.

Numbers, texts and lists are told as they are; arrays, networks, functions and other objects by a digest, in which a
function counts with its code, its defaults and what it closes over, and an object with its class and what pickle would
keep of it.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from types import BuiltinFunctionType, CellType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from uncollapse.errors import UserError
from uncollapse.networks.fingerprint import fingerprint
from uncollapse.source_code import digest, function_code, written

# Of objects within objects; what goes on longer never ends.
DEEPEST = 100


def plain(value: Any, what: str) -> Any:
    """A value as JSON that is equal for equal values in every process.

    Args:
        value: What a field holds.
        what: How a message calls the field.

    Raises:
        UserError: It is nothing by which a run is known again, as an open file.
    """
    return _Telling(what).told(value)


class _Telling:
    """One value on its way; an object that holds itself is told by where it was met first."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.within: list[object] = []

    def told(self, value: Any) -> Any:
        if isinstance(value, Enum):
            return {"class": type(value).__qualname__, "name": value.name}
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else str(value)
        if isinstance(value, np.generic):
            item = value.item()
            return str(value) if isinstance(item, np.generic) else self.told(item)
        if isinstance(value, PurePath | complex | range | torch.dtype | torch.device | np.dtype):
            return str(value)
        for depth, outer in enumerate(self.within):
            if outer is value:
                return {"again": depth}
        self.within.append(value)
        try:
            return self._held(value)
        finally:
            self.within.pop()

    def _held(self, value: Any) -> Any:
        """Of a value that holds others."""
        if isinstance(value, tuple | list):
            return [self.told(item) for item in value]
        if isinstance(value, Mapping):
            return {str(key): self.told(item) for key, item in value.items()}
        if isinstance(value, set | frozenset):
            return sorted((self.told(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
        if isinstance(value, bytes | bytearray):
            return {"sha256": hashlib.sha256(value).hexdigest()}
        if isinstance(value, nn.Module):
            return {"sha256": fingerprint(value, weights=True)}
        if isinstance(value, Tensor):
            value = _as_array(value)
        if isinstance(value, np.ndarray):
            if value.dtype.kind == "O":
                return [str(value.shape), *map(self.told, value.ravel().tolist())]
            form = f"{value.dtype} {value.shape}".encode()
            return {"sha256": hashlib.sha256(form + np.ascontiguousarray(value).tobytes()).hexdigest()}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            code = {"code": digest(type(value))} if written(type(value)) else {}
            counted = [item.name for item in dataclasses.fields(value) if item.compare]
            return {"class": type(value).__qualname__, **code} | {
                name: self.told(getattr(value, name)) for name in counted
            }
        if isinstance(value, type):
            return {"class": value.__qualname__, **({"code": digest(value)} if written(value) else {})}
        return self._function(value) or self._object(value)

    def _function(self, value: Any) -> dict[str, Any] | None:
        """Of something that is called and holds its code; None of anything else."""
        if isinstance(value, functools.partial):
            return self._digest("partial", [value.func, value.args, value.keywords])
        if isinstance(value, MethodType):
            return self._digest(value.__qualname__, [value.__func__, value.__self__])
        if isinstance(value, FunctionType):
            inner = [_content(cell) for cell in value.__closure__ or ()]
            beside = [function_code(value), value.__defaults__, value.__kwdefaults__, inner]
            return self._digest(value.__qualname__, beside)
        if isinstance(value, BuiltinFunctionType | np.ufunc):
            owner = getattr(value, "__self__", None)
            kept = isinstance(owner, list | dict | set | bytearray)
            return self._digest(value.__name__, [owner] if kept else [])
        return None

    def _object(self, value: Any) -> dict[str, Any]:
        """Of any other object, what pickle would keep of it."""
        try:
            if len(self.within) > DEEPEST:
                raise TypeError("holds too much within what it holds")
            kept = value.__reduce_ex__(2)
        except Exception as error:
            raise UserError(
                f"{self.what} holds a {type(value).__name__}, by which no run is known again; hold numbers, texts,"
                " arrays, modules, functions or dataclasses, or declare it with field(compare=False) if no number"
                " depends on it."
            ) from error
        if isinstance(kept, str):
            return {"class": type(value).__qualname__, "name": kept}
        made, given, *state = kept
        rest = [list(item) if hasattr(item, "__next__") else item for item in state]
        return self._digest(type(value).__qualname__, [type(value), made, given, *rest])

    def _digest(self, name: str, parts: list[Any]) -> dict[str, Any]:
        text = json.dumps([self.told(part) for part in parts], sort_keys=True)
        return {"class": name, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def _content(cell: CellType) -> object:
    """What a function closes over; nothing where it is not there yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _as_array(value: Tensor) -> Any:
    """A tensor as an array; of a type that NumPy does not have with its numbers as bytes."""
    dense = (value.to_dense() if value.layout != torch.strided else value).detach().cpu().contiguous()
    if dense.dtype != torch.bfloat16:
        return dense.numpy()
    return dense.view(torch.int16).numpy().view("V2")
