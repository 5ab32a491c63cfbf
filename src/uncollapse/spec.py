"""What a run is: one cell (method x task with settings) and the seeds trained together, as data with a hash.

`run.py` executes a `RunSpec`; engines and plans pass it around as JSON.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from uncollapse import compatibility
from uncollapse.blocks import block_length
from uncollapse.errors import UserError, unknown
from uncollapse.first_update import telling, try_building, try_declarations
from uncollapse.lanes import sizes_of
from uncollapse.method import Method, check_name
from uncollapse.methods import find_method
from uncollapse.monitor.choices import MonitorChoice
from uncollapse.networks import Networks, networks_from_json, with_setting
from uncollapse.networks.own import PLACES, Own, beside, read
from uncollapse.networks.sources import Pair
from uncollapse.shares import check as check_in_shares
from uncollapse.tasks import find, from_spec
from uncollapse.tasks.identity import is_own
from uncollapse.tasks.task import Task
from uncollapse.tasks.trial import check_declared

DTYPES = ("float32", "float64", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """One run.

    Attributes:
        method: What is trained.
        task: What is to be learnt.
        networks: The pair of networks.
        seeds: One lane each, in this order.
        updates: Critic updates; more of them continue the same run, so that they are part of the hash only where a
            part follows the budget (a schedule).
        batch: Real samples in a critic update (packs, under a view that counts packs).
        threads: CPU threads; part of the hash, because the number of threads changes the last bits.
        dtype: ``"float32"``, ``"float64"``, or ``"bfloat16"`` for weights in float32 and layers in bfloat16.
        accumulate: Shares of the batch in which an update is made, one after the other: less memory, same numbers.
        monitor: How each seed is watched while it trains; None: not at all. It moves no weight, unless it may put a
            seed back, and is part of the hash, because it is part of the history.
    """

    method: Method
    task: Task
    networks: Networks
    seeds: tuple[int, ...]
    updates: int
    batch: int
    threads: int = 1
    dtype: str = "float32"
    accumulate: int = 1
    monitor: MonitorChoice | None = None

    def __post_init__(self) -> None:
        """Refuses what cannot be trained, before anything starts."""
        for name in ("updates", "batch", "threads", "accumulate"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UserError(f"{name} = {value!r} is not possible; give a whole number of 1 or more.")
        whole = all(type(seed) is int and seed >= 0 for seed in self.seeds)
        if not self.seeds or not whole or len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"seeds = {list(self.seeds)} must be different whole numbers of 0 or more, at least one.")
        if self.dtype == "float16":
            raise UserError(
                "float16 is not offered, because slopes and their derivatives leave its range; choose dtype bfloat16."
            )
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)
        for path, value in self.method.settings().items():
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"{path} = {value} is not a finite number; choose one.")
        check_declared(self.task)
        try_declarations(self)
        sizes = sizes_of(self)
        compatibility.check(self.method, sizes)
        compatibility.check_precision(self.method, self.dtype)
        if isinstance(self.networks, Own):  # what they are is known once they have been built for these sizes
            with telling(self.method, "cannot be tried with your networks"):
                object.__setattr__(self, "networks", self.networks.settled(self.method, sizes))
        self.networks.check(self.method, sizes)
        try_building(self)
        check_in_shares(self, self.accumulate)

    @property
    def hash(self) -> str:
        """12 hexadecimal digits over everything that the numbers depend on, but not device or code.

        The number of updates counts only where a part reads the share of the budget that is spent; elsewhere more
        updates continue the run.
        """
        content = self.content()
        if not self.method.follows_budget:
            content.pop("updates")
        content["block"] = block_length(sizes_of(self))
        content["task"].pop("class", None)  # its code is told apart beside the spec, as of own parts
        if isinstance(self.networks, Own):
            content["networks"] = {name: item for name, item in content["networks"].items() if name not in PLACES}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def cell(self) -> str:
        """``<method>-<task>``, fit for a file name."""
        return f"{self.method.name}-{self.task.slug}"

    @property
    def directory_name(self) -> str:
        """``<cell>-<hash>``."""
        return f"{self.cell}-{self.hash}"

    def command(self) -> str:
        """The command that trains this run on its own; empty where it needs Python (a user's own method or data)."""
        from uncollapse.spec_command import command

        return command(self)

    def _task_spec(self) -> dict[str, Any]:
        """The task's own spec, and the number of judged samples where it is not what that spec gives back."""
        spec = self.task.spec()
        if is_own(self.task):  # which tells it, whether it is registered or not
            return spec
        try:
            usual = from_spec(spec).measure_size
        except UserError:  # arrays in memory cannot be read back
            usual = type(self.task).measure_size
        return spec if usual == self.task.measure_size else {**spec, "measure_size": self.task.measure_size}

    def content(self) -> dict[str, Any]:
        """The spec as JSON without hash and versions."""
        return {
            "method": self.method.spec(),
            "task": self._task_spec(),
            "networks": self.networks.to_json(),
            "seeds": list(self.seeds),
            "updates": self.updates,
            "batch": self.batch,
            "threads": self.threads,
            "dtype": self.dtype,
            # Left out at their defaults, so that runs from before they existed are found by their hash.
            **({"accumulate": self.accumulate} if self.accumulate > 1 else {}),
            **({"monitor": self.monitor.to_json()} if self.monitor is not None else {}),
        }

    def to_json(self) -> dict[str, Any]:
        """The spec as JSON; `from_json` reads it back."""
        return {"schema": 1, "hash": self.hash, **self.content()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any], plugins: Sequence[object] = (), own: Pair | None = None) -> RunSpec:
        """The spec of a document.

        Args:
            document: What `to_json` gave; unknown keys beside it are ignored.
            plugins: ``module:attr`` of a user's own parts, or the objects; nothing else is ever imported.
            own: The user's networks that it was trained with, where it was.

        Raises:
            UserError: It names a part, task or axis that is not known here, with the command that works.
        """
        from uncollapse.plugins import load_plugins

        load_plugins(plugins)
        missing = [item.name for item in fields(cls) if item.name not in (*document, "accumulate", "monitor")]
        if missing:
            raise UserError(f"This spec lacks {missing[0]!r}; it was not written by uncollapse or was edited.")
        return cls(
            method=Method.from_spec(document["method"]),
            task=from_spec(document["task"], document.get("own_task")),
            networks=_networks(document["networks"], own),
            seeds=tuple(document["seeds"]),
            updates=document["updates"],
            batch=document["batch"],
            threads=document["threads"],
            dtype=document["dtype"],
            accumulate=document.get("accumulate", 1),
            monitor=MonitorChoice.from_json(document["monitor"]) if document.get("monitor") is not None else None,
        )


def _networks(settings: Mapping[str, Any], own: Pair | None) -> Networks:
    if settings.get("family") == Own.family:
        return read(settings, own)
    if own is not None:
        raise UserError("This run was trained with the project's own networks; leave yours out.")
    return networks_from_json(settings)


def make_spec(
    method: str | Method,
    task: str | Task,
    *,
    seeds: Iterable[int] = range(8),
    updates: int | None = None,
    batch: int | None = None,
    networks: Networks | None = None,
    threads: int = 1,
    dtype: str = "float32",
    accumulate: int = 1,
    settings: Mapping[str, Any] | None = None,
    own: Pair | None = None,
    monitor: int | MonitorChoice | None = None,
) -> RunSpec:
    """The spec of a run from names or objects; what is left out is the task's own.

    Args:
        method: A method or its name.
        task: A task or its name.
        seeds: One lane each.
        updates: Critic updates.
        batch: Real samples in a critic update (packs, under a view that counts packs).
        networks: Settings of the networks.
        threads: CPU threads.
        dtype: ``"float32"``, ``"float64"`` or ``"bfloat16"``.
        accumulate: Shares of the batch in which an update is made, one after the other.
        settings: Values by dotted path, as ``{"dynamics.lr_critic": 2e-4, "task.train_size": 1000}``.
        own: The user's networks; the others give the latent, and what is lacking.
        monitor: How seeds are watched, or just the updates from look to look; a setting as ``monitor.every`` does, too.

    Raises:
        UserError: Anything unknown or impossible, naming the nearest known name.
    """
    chosen, learnt = find_method(method), find(task)
    check_name(chosen.name)  # here and not of a run that is read, which may be from before names were looked at
    if not isinstance(seeds, Iterable):
        raise UserError(f"seeds = {seeds!r} is one value; give several, such as seeds=range(4) or seeds=[0].")
    if networks is not None and not isinstance(networks, Networks):
        raise UserError(f"networks must be settings of a family, such as uc.MLP(width=64), not {networks!r}.")
    if settings is not None and not isinstance(settings, Mapping):
        raise UserError(f'settings must be values by path, such as {{"dynamics.lr_critic": 2e-4}}, not {settings!r}.')
    shape, watched = networks or learnt.networks, MonitorChoice.of(monitor)
    # Another family comes first, because it brings the settings that the others change.
    for path, value in sorted((settings or {}).items(), key=lambda item: item[0] != "networks.family"):
        axis, _, name = path.partition(".")
        if axis == "task":
            learnt = learnt.but(**{name: value})
        elif axis == "networks":
            shape = with_setting(shape, name, value)
        elif axis == "monitor":
            watched = (watched or MonitorChoice()).with_setting(name, value)
        else:
            chosen = chosen.with_setting(path, value)
    spec = RunSpec(
        method=chosen,
        task=learnt,
        networks=shape,
        seeds=tuple(seed.item() if hasattr(seed, "item") else seed for seed in seeds),  # NumPy's numbers, too
        updates=learnt.updates if updates is None else updates,
        batch=learnt.batch if batch is None else batch,
        threads=threads,
        dtype=dtype,
        accumulate=accumulate,
        monitor=watched,
    )
    return spec if own is None else _with_own(spec, own, settings or {})


def _with_own(spec: RunSpec, pair: Pair, settings: Mapping[str, Any]) -> RunSpec:
    """The spec with the user's networks in place of the project's; settings that would change nothing are refused."""
    networks = beside(pair, spec.networks, sizes_of(spec))
    idle = [path for path in settings if path.startswith("networks.") and path != "networks.latent"]
    if networks.other is None and idle:
        raise UserError(f"{idle[0]} changes nothing, because both networks are your own; only networks.latent does.")
    return dataclasses.replace(spec, networks=networks)
