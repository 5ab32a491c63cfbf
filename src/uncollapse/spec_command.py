"""A run as the command that trains it: what differs from the defaults of its method, task, networks and monitor.

Between `spec.py`, which knows what a run is, and the command line, whose words these are.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from uncollapse import tasks
from uncollapse.errors import UserError
from uncollapse.method import Method
from uncollapse.methods import METHODS, registered_as
from uncollapse.networks import FAMILIES, in_family
from uncollapse.networks.own import Own
from uncollapse.networks.sources import Pair

if TYPE_CHECKING:
    from uncollapse.spec import RunSpec


def command(spec: RunSpec) -> str:
    """The command that trains a run on its own; empty where it needs Python (a user's own method or data)."""
    from uncollapse.spec import make_spec

    row = METHODS.get(spec.method.name)
    reference = spec.networks.reference if isinstance(spec.networks, Own) else None
    plugins = [registered_as(spec.method), tasks.registered_as(spec.task)]
    if row is None or "" in (reference, *plugins):
        return ""
    changed = _changed(row, spec.method) | _changed_networks(spec) | _task_options(spec) | _changed_monitor(spec)
    try:
        again = make_spec(
            row, spec.task.name, seeds=spec.seeds, updates=spec.updates, batch=spec.batch, threads=spec.threads,
            dtype=spec.dtype, accumulate=spec.accumulate, settings=changed, monitor=_every(spec),
            own=Pair.named(reference) if reference else None,
        )  # fmt: skip
    except UserError:
        return ""
    if again.hash != spec.hash:
        return ""
    settings = [f"--set {shlex.quote(f'{path}={json.dumps(value)}')}" for path, value in changed.items()]
    own = [f"--networks {reference}"] if reference else []
    own += [f"--plugin {shlex.quote(plugin)}" for plugin in dict.fromkeys(plugins) if plugin]
    return " ".join(
        ["uncollapse train", spec.method.name, shlex.quote(spec.task.name), _numbers(spec), *own, *settings]
    )


def _numbers(spec: RunSpec) -> str:
    """The options that are no settings."""
    seeds = ",".join(map(str, spec.seeds)) if len(spec.seeds) > 1 else f"{spec.seeds[0]}-{spec.seeds[0]}"
    found = f"--seeds {seeds} --updates {spec.updates} --batch {spec.batch} --threads {spec.threads}"
    found += f" --dtype {spec.dtype}" if spec.dtype != "float32" else ""
    found += f" --accumulate {spec.accumulate}" if spec.accumulate > 1 else ""
    return found + ("" if spec.monitor is None else f" --monitor {spec.monitor.every}")


def _every(spec: RunSpec) -> int | None:
    return None if spec.monitor is None else spec.monitor.every


def _changed_monitor(spec: RunSpec) -> dict[str, Any]:
    """The settings of the monitor beside `every`."""
    changes = {} if spec.monitor is None else spec.monitor.changes()
    return {f"monitor.{name}": value for name, value in changes.items() if name != "every"}


def _task_options(spec: RunSpec) -> dict[str, Any]:
    """The options of the task; what a spec tells by a digest no command can give."""
    options = {name: value for name, value in spec.task.spec().items() if name in spec.task.options}
    return {f"task.{name}": value for name, value in options.items() if not isinstance(value, Mapping)}


def _changed_networks(spec: RunSpec) -> dict[str, Any]:
    """The settings by which the networks differ from the task's own, another family first."""
    usual = spec.task.networks
    networks = spec.networks.usual(usual) if isinstance(spec.networks, Own) else spec.networks
    family = networks.family
    found: dict[str, Any] = {} if family == usual.family else {"networks.family": family}
    # Networks of the user's own are in no list, and no setting leads to them.
    before = in_family(family, usual).settings() if family in FAMILIES else {}
    changed = {name: value for name, value in networks.settings().items() if value != before.get(name)}
    return found | {f"networks.{name}": value for name, value in changed.items()}


def _changed(row: Method, method: Method) -> dict[str, Any]:
    """The settings by which a method differs from a row, a whole part where another kind of part stands."""
    found: dict[str, Any] = {}

    def compare(path: str, one: Any, other: Any) -> None:
        if one == other:
            return
        both = isinstance(one, Mapping) and isinstance(other, Mapping) and one.get("part") == other.get("part")
        if both and isinstance(one, Mapping) and isinstance(other, Mapping):
            for name in other:
                compare(f"{path}.{name}", one.get(name), other[name])
        elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other) and _parts(one):
            for place, (left, right) in enumerate(zip(one, other, strict=True)):
                compare(f"{path}.{place}", left, right)
        else:
            found[path] = other

    for axis, value in method.spec().items():
        if axis != "name":
            compare(axis, row.spec()[axis], value)
    return found


def _parts(items: list[Any]) -> bool:
    return bool(items) and all(isinstance(item, Mapping) for item in items)
