"""What tells a user's own task from another one of its name: its class, the fields it adds, and its code.

`task.py` writes class and fields into a task's spec; `run_files.py` keeps the code beside a run's, as of own parts of a
method. The project's own tasks have none of this.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import math
import sys
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from uncollapse.errors import UserError
from uncollapse.networks.fingerprint import fingerprint
from uncollapse.source_code import digest, written

if TYPE_CHECKING:
    from uncollapse.tasks.task import Task


def is_own(task: Task) -> bool:
    """Whether its class, or one that it derives from, is the user's."""
    return bool(written(type(task)))


def own_code(task: Task) -> dict[str, str]:
    """``task 'NAME'`` -> a digest of the code of a user's own task; empty for the project's tasks, or at a prompt."""
    return {f"task {task.name!r}": code} if is_own(task) and (code := digest(type(task))) else {}


def own_identity(task: Task) -> dict[str, Any]:
    """The class of a user's own task and the fields by which it differs from its defaults, as JSON; else nothing.

    Counted are the fields that its own classes add and the number of judged samples; networks, budget and batch are a
    run's own business. A field declared with ``field(compare=False)`` decides no number and is left out.

    Raises:
        UserError: A field holds something by which nothing is known again.
    """
    if not is_own(task):
        return {}
    named = {item.name: item for item in dataclasses.fields(task)}
    counted = [named[name] for name in (*own_fields(task), "measure_size")]
    found: dict[str, Any] = {"class": type(task).__qualname__.rpartition(".")[2]}
    for item in counted:
        what = f"Field {item.name!r} of task {task.name!r}"
        if item.compare and (value := _plain(getattr(task, item.name), what)) != _default(item, what):
            found[item.name] = value
    return found


def own_fields(task: Task) -> list[str]:
    """The fields that the user's classes add to the project's task that they derive from."""
    own = written(type(task))
    base = next(kind for kind in type(task).__mro__ if kind not in own and dataclasses.is_dataclass(kind))
    known = {item.name for item in dataclasses.fields(base)}
    return [item.name for item in dataclasses.fields(task) if item.name not in known]


def where_defined(task: Task) -> str:
    """The file that the class of a task stands in, without its folder; empty at a prompt."""
    try:
        return Path(inspect.getfile(type(task))).name
    except (OSError, TypeError):
        main = getattr(sys.modules.get(type(task).__module__), "__file__", None)
        return Path(main).name if main else ""


def _default(item: dataclasses.Field[Any], what: str) -> Any:
    """The plain form of a field's default; where there is none, something that no value equals."""
    if item.default_factory is not dataclasses.MISSING:
        return _plain(item.default_factory(), what)
    return item.default if item.default is dataclasses.MISSING else _plain(item.default, what)


def _plain(value: Any, what: str) -> Any:
    """A value as JSON that is equal for equal values in every process; arrays, tensors and networks by a digest."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, np.generic):
        return _plain(value.item(), what)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, tuple | list):
        return [_plain(item, what) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item, what) for key, item in value.items()}
    if isinstance(value, nn.Module):
        return {"sha256": fingerprint(value, weights=True)}
    if isinstance(value, Tensor):
        value = value.detach().cpu().contiguous().numpy()
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        form = f"{value.dtype} {value.shape}".encode()
        return {"sha256": hashlib.sha256(form + np.ascontiguousarray(value).tobytes()).hexdigest()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        code = {"code": digest(type(value))} if written(type(value)) else {}
        held = {
            item.name: _plain(getattr(value, item.name), what) for item in dataclasses.fields(value) if item.compare
        }
        return {"class": type(value).__qualname__, **code, **held}
    raise UserError(
        f"{what} holds a {type(value).__name__}, by which no run is known again; hold numbers, texts, arrays, modules"
        " or dataclasses, or declare it with field(compare=False) if no number depends on it."
    )
