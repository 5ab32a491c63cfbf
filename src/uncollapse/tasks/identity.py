"""What tells a user's own task from another one of its name: its class, the fields it adds, and its code.

`task.py` writes class and fields into a task's spec; `run_files.py` keeps the code beside a run's, as of own parts of a
method. The project's own tasks have none of this.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uncollapse.source_code import digest, written
from uncollapse.tasks.values import plain

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
        if item.compare and (value := plain(getattr(task, item.name), what)) != _default(item, what):
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
        from uncollapse.data.generated import seeded  # puts the global streams back, from which a factory may draw

        with seeded(0, 0):
            return plain(item.default_factory(), what)
    return item.default if item.default is dataclasses.MISSING else plain(item.default, what)
