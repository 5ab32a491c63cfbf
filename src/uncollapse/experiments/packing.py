"""A plan's cells packed into runs, and the lock that freezes the packing in a comparison's directory.

A run is some seeds of one cell trained together; `planner.py` says which. The lock makes a second start do exactly the
same runs, whatever another version or machine would choose.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uncollapse.documents import read_document
from uncollapse.errors import UserError
from uncollapse.experiments.plan import Cell, Plan
from uncollapse.files import write_atomic, write_json
from uncollapse.text import clean

if TYPE_CHECKING:
    from uncollapse.run import RunSpec

# Seeds of a run where nobody has chosen, and of which larger stacks are multiples: see `planner.py`.
BLOCK = 32
PRESENTATION = ("name", "description", "baseline", "headline", "weights", "claims")
LOCK = "plan.lock.json"
MOST_LOCK_BYTES = 10**9  # a million runs of 64 seeds take 0.8 GB

# A cell's name and task, and the seeds of each of its runs.
Key = tuple[str, str]
Groups = Mapping[Key, tuple[tuple[int, ...], ...]]


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One run of one cell."""

    cell: Cell
    spec: RunSpec


def key_of(cell: Cell) -> Key:
    """What a cell's packing is found by; a tuned cell has that of the one that it is the tuned one of."""
    return cell.untuned or cell.name, cell.task


def pack(plan: Plan, groups: Groups | None = None) -> list[PlannedRun]:
    """All runs of a plan; building their specifications checks every name, setting and pair of parts.

    Args:
        plan: The plan.
        groups: The seeds of each run; a cell that is not there is packed in blocks of 32.

    Raises:
        UserError: A method, task or setting does not exist, or two parts do not compose; says in which cell.
    """
    runs: list[PlannedRun] = []
    names: dict[str, PlannedRun] = {}
    for cell in plan.cells():
        for run in runs_of(cell, plan.threads, groups):
            twin = names.setdefault(run.spec.directory_name, run)
            if twin is not run:
                raise UserError(
                    f"Cells {twin.cell.name} and {cell.name} on {cell.task} would train the same run;"
                    " give one of them other settings or seeds, or leave it out."
                )
            runs.append(run)
    return runs


def runs_of(cell: Cell, threads: int, groups: Groups | None = None) -> list[PlannedRun]:
    """The runs of one cell.

    Args:
        cell: The cell.
        threads: Of each run.
        groups: As for `pack`; those of other seeds than the cell's count as none.

    Raises:
        UserError: As for `pack`.
    """
    from uncollapse.run import make_spec

    if cell.set.get("monitor.on_alarm") == "stop":
        raise UserError(
            f"Cell {cell.name} on {cell.task}: monitor.on_alarm = stop is for `uncollapse train`, because a comparison "
            "needs all of its runs to the end; choose log or rollback."
        )
    parts = (groups or {}).get(key_of(cell), ())
    if sorted(seed for part in parts for seed in part) != sorted(cell.seeds):
        parts = tuple(blocks(cell.seeds))
    try:
        return [
            PlannedRun(
                cell=cell,
                spec=make_spec(
                    cell.method,
                    cell.task,
                    seeds=seeds,
                    updates=cell.updates,
                    batch=cell.batch,
                    threads=threads,
                    settings=cell.set,
                ),
            )
            for seeds in parts
        ]
    except UserError as error:
        raise UserError(f"Cell {cell.name} on {cell.task}: {error}") from error


def chunks(seeds: Sequence[int], most: int) -> list[tuple[int, ...]]:
    """The seeds in order, in the fewest groups of at most `most`, as equal in size as can be.

    >>> [len(group) for group in chunks(range(20), 16)]
    [10, 10]
    """
    groups = -(-len(seeds) // most)
    edges = [round(i * len(seeds) / groups) for i in range(groups + 1)]
    return [tuple(seeds[a:b]) for a, b in pairwise(edges)]


def blocks(seeds: Sequence[int], most: int = BLOCK) -> list[tuple[int, ...]]:
    """The seeds in order, in groups of whole blocks of 32, as few and as equal as can be, and the rest by itself.

    Args:
        seeds: What to group.
        most: Seeds of a group, at most; a multiple of 32.

    >>> [len(group) for group in blocks(range(100), 64)]
    [64, 32, 4]
    """
    whole = len(seeds) // BLOCK
    groups = [
        tuple(seeds[BLOCK * part[0] : BLOCK * (part[-1] + 1)])
        for part in (chunks(range(whole), most // BLOCK) if whole else [])
    ]
    rest = tuple(seeds[BLOCK * whole :])
    return [*groups, rest] if rest else groups


def freeze(directory: Path, plan: Plan, runs: Sequence[PlannedRun], plugins: Sequence[object]) -> None:
    """Writes the lock at the first start; at a later one, checks that the directory holds this very plan.

    Choices that tuning has made since are kept: they are as much a part of the comparison as its plan.

    Raises:
        UserError: As for `locked`.
    """
    write_json(directory / LOCK, locked(directory, plan, runs, plugins))
    if plan.text:
        write_atomic(directory / "plan.toml", plan.text)


def locked(directory: Path, plan: Plan, runs: Sequence[PlannedRun], plugins: Sequence[object]) -> dict[str, Any]:
    """What the lock of a directory has to hold for this plan; nothing is written.

    Raises:
        UserError: The directory holds another plan, or one of other definitions; says what differs and how to go on.
    """
    document = {
        "schema": 1,
        "plan": plan.to_json(),
        "plugins": [plugin for plugin in plugins if isinstance(plugin, str)],
        "runs": [
            {"directory": run.spec.directory_name, "method": run.cell.name, "task": run.cell.task}
            | {"seeds": list(run.spec.seeds), "updates": run.spec.updates}
            for run in runs
        ],
    }
    if (directory / LOCK).exists():
        old = read_lock(directory)
        try:
            _check(directory, old, document)
        except (KeyError, TypeError, AttributeError) as error:
            raise _damaged(directory / LOCK, f"{type(error).__name__}: {error}") from error
        kept = {key: old[key] for key in ("choices", "failed_trials") if key in old}
        return document | {"choices": []} | kept
    if any(directory.glob("runs/*")):
        raise UserError(f"{directory} holds runs but no {LOCK}, so it is not a comparison; choose another --out.")
    return document


def read_lock(directory: Path) -> dict[str, Any]:
    """The lock of a comparison's directory.

    Raises:
        UserError: There is none, or it cannot be read.
    """
    path = directory / LOCK
    if not path.exists():
        raise UserError(f"{directory} is not a comparison: it has no {LOCK}.")
    return read_document(path, needs=("schema",), remedy="restore it, or choose another --out", most=MOST_LOCK_BYTES)


def frozen_groups(directory: Path) -> Groups:
    """The seeds of each run of each cell, as the lock has them.

    Raises:
        UserError: As for `read_lock`.
    """
    found: dict[Key, list[tuple[int, ...]]] = {}
    try:
        for row in read_lock(directory)["runs"]:
            found.setdefault((row["method"], row["task"]), []).append(tuple(row["seeds"]))
    except (KeyError, TypeError) as error:
        raise _damaged(directory / LOCK, f"a run without {error}") from error
    return {key: tuple(groups) for key, groups in found.items()}


def frozen_choices(directory: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """What tuning has chosen so far: (cell's name, task) -> its row."""
    try:
        return {(row["method"], row["task"]): row for row in read_lock(directory).get("choices", [])}
    except (KeyError, TypeError) as error:
        raise _damaged(directory / LOCK, f"a choice without {error}") from error


def freeze_choices(directory: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Adds choices to the lock; one that is there already stays as it is."""
    known = frozen_choices(directory)
    new = [row for row in rows if (row["method"], row["task"]) not in known]
    if new:
        write_json(directory / LOCK, read_lock(directory) | {"choices": [*known.values(), *new]})


def failed_before(directory: Path) -> frozenset[str]:
    """Folders of the trials' runs that have failed in an earlier sitting.

    Raises:
        UserError: As for `read_lock`.
    """
    names = read_lock(directory).get("failed_trials", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _damaged(directory / LOCK, "failed_trials is no list of names")
    return frozenset(names)


def note_failures(directory: Path, names: Sequence[str]) -> None:
    """Adds folders of failed trials to the lock."""
    known = failed_before(directory)
    if not known.issuperset(names):
        write_json(directory / LOCK, read_lock(directory) | {"failed_trials": sorted(known.union(names))})


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path} is damaged ({clean(why)}); choose another --out and start the plan again.")


def _check(directory: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    # Which generator is judged decided what tuning chose, and would be a matter of presentation otherwise.
    shown = [key for key in PRESENTATION if key != "weights" or not new["plan"].get("tuning")]
    there, here = ({key: plan[key] for key in plan if key not in shown} for plan in (old["plan"], new["plan"]))
    changes = list(differences(there, here))
    if changes:
        more = f" and {len(changes) - 2} more" if len(changes) > 2 else ""
        raise UserError(
            f"{directory} holds another plan: {'; '.join(changes[:2])}{more}. "
            "Choose another --out, or continue the old one with the plan.toml in it."
        )
    none = {"directory": "none", "method": "a method", "task": "a task"}
    for run, planned in zip_longest(old["runs"], new["runs"], fillvalue=none):
        if run["directory"] != planned["directory"]:
            raise UserError(
                f"{directory} was started with another definition of {planned['method']} on {planned['task']} "
                f"(run {run['directory']} there, {planned['directory']} here); choose another --out."
            )


def differences(there: Any, here: Any, path: str = "") -> Iterator[str]:
    """What differs between two JSON values, one text a place."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in sorted({*there, *here}):
            yield from differences(there.get(key), here.get(key), f"{path}.{key}" if path else key)
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here) and path == "groups":
        for number, (old, new) in enumerate(zip(there, here, strict=True), 1):
            yield from differences(old, new, f"cells {number}")
    elif there != here:
        if path == "groups":
            yield f"it has {len(there)} [[cells]] there and {len(here)} here"
        else:
            yield f"{path} is {json.dumps(there)} there and {json.dumps(here)} here"
