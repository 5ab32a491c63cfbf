"""Which run a directory holds, and whether that is finished; how it becomes a run's own, and is cleared.

`run.py` asks before it trains; what is written while it trains is the business of `keeping.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uncollapse.checkpoint import folders, step
from uncollapse.documents import IDENTITY, JUDGE_AGAIN, SCHEMA, missing, read_document, read_spec
from uncollapse.errors import UserError
from uncollapse.files import write_json
from uncollapse.method import own_code as parts_code
from uncollapse.networks.fingerprint import changes
from uncollapse.networks.own import another
from uncollapse.parsing import read_json
from uncollapse.records import leftovers, throw_away
from uncollapse.spec import RunSpec
from uncollapse.tasks import registered_as
from uncollapse.tasks.identity import is_own, where_defined
from uncollapse.tasks.identity import own_code as task_code
from uncollapse.versions import versions

# What a run writes beside its spec, and what other verbs write whose folders are not a run's.
FOLDERS = ("checkpoints", "samples", "tensorboard")
FILES = ("result.json", "history.jsonl", "timing.jsonl", "report.html")
# A comparison keeps it for a run that failed before it was one.
FAILED = "error.log"
OTHERS = ("evaluation.json", "comparison.json", "plan.lock.json")


def read_result(directory: Path) -> dict[str, Any] | None:
    """The result of a run, None while there is no whole one.

    Raises:
        UserError: Another version wrote it.
    """
    path = directory / "result.json"
    try:
        if not isinstance(found := read_json(path), dict):
            return None
    except (FileNotFoundError, ValueError):
        return None
    if found.get("schema", SCHEMA) != SCHEMA:  # which is no half result, and nothing to write over
        read_document(path, remedy=JUDGE_AGAIN)
    whole = found.get("status") == "finished" and not missing(found, IDENTITY)
    return found if whole else None


def is_finished(directory: Path, spec: RunSpec) -> bool:
    """Whether a directory holds the result of this spec and of its own code with at least its updates."""
    found = read_result(directory)
    if found is None or found["hash"] != spec.hash or found["updates"] < spec.updates:
        return False
    code, path = own_code(spec), directory / "spec.json"
    return not code or not path.exists() or not rewritten(read_spec(path), code)


def own_code(spec: RunSpec) -> dict[str, str]:
    """What a run computes with that the user wrote, parts of its method and its task, -> a digest of its code."""
    return parts_code(spec.method) | task_code(spec.task)


def check_code(directory: Path, spec: RunSpec) -> None:
    """Refuses a run that was trained with another code of its own parts or its own task, as far as it says with which.

    Raises:
        UserError: Names the parts, or the task.
    """
    code, path = own_code(spec), directory / "spec.json"
    trained = folders(directory / "checkpoints") or (directory / "result.json").exists()
    if code and trained and path.exists() and (names := rewritten(read_spec(path), code)):
        raise UserError(
            f"The code of {' and '.join(names)} has changed since {directory} was trained with it; restore it, choose"
            f" another --out, or remove {directory} to train it again."
        )


def rewritten(there: Mapping[str, Any], code: Mapping[str, str]) -> list[str]:
    """The own parts and the own task whose code is another than a spec file says; none where it says nothing."""
    known = there.get("code", {})
    return [name for name, digest in code.items() if known.get(name, digest) != digest]


def check_claim(directory: Path, spec: RunSpec, fresh: bool) -> None:
    """Refuses a directory that is not, and may not become, this run's; changes nothing.

    Raises:
        UserError: It holds another run, more of this one than is asked for, or what is no run.
    """
    path = directory / "spec.json"
    if not path.exists():
        _check_free(directory)
    if fresh or not path.exists():
        return
    there = read_spec(path)
    if there.get("hash") != spec.hash:
        if another(there, spec.content()):
            raise UserError(
                f"{directory} was trained with other networks of your own ({changes(there, spec.content())});"
                " restore them, choose another --out, or --fresh to replace it."
            )
        if _data_changed(there, spec.content()):
            raise UserError(
                f"The data of {spec.task.name} have changed since {directory} was trained on them; restore them, choose"
                " another --out, or --fresh to replace it."
            )
        raise UserError(
            f"{directory} holds another run ({there['method']['name']} on {there['task']['name']}, hash"
            f" {there.get('hash')}, not {spec.hash}); choose another --out, or --fresh to replace it."
        )
    check_code(directory, spec)
    done = max((step(folder) for folder in folders(directory / "checkpoints")), default=0)
    # The last round is played to its end, which may lie beyond the budget.
    if read_result(directory) is None and done > spec.method.dynamics.whole_rounds(spec.updates):
        raise UserError(
            f"{directory} holds {done:,} updates of this run, and {spec.updates:,} are asked for; ask for at least"
            " as many to continue it, or --fresh to replace it."
        )


def _data_changed(there: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    """Whether two specs' contents differ in nothing but the data behind the task's name, and the number of updates."""
    one, other = there.get("task"), spec["task"]
    if not isinstance(one, Mapping) or not one.get("sha256") or not other.get("sha256"):
        return False
    alike = {**one, "sha256": ""} == {**other, "sha256": ""}
    return alike and all(there.get(name) == spec[name] for name in spec if name not in ("task", "updates"))


def _check_free(directory: Path) -> None:
    """Refuses a folder that holds what a run would write, and is no run: it belongs to something else."""
    names = [name for name in (*FOLDERS, *FILES, *OTHERS) if (directory / name).exists()]
    if names:
        raise UserError(
            f"{directory} holds {names[0]} and is no run, so nothing is written there; choose another --out."
        )


def claim(directory: Path, spec: RunSpec, fresh: bool) -> None:
    """Makes a directory that `check_claim` lets through this run's own."""
    path = directory / "spec.json"
    there = read_spec(path) if path.exists() and not fresh else None
    began_under = versions() if there is None else there.get("versions", {})
    # Beside the spec, and not in its hash: for whoever looks at the run before it has a result.
    modes = spec.task.modes
    beside = {"modes": {"names": list(modes.names), "weights": modes.weights.tolist()}, "versions": began_under}
    beside |= {"code": code} if (code := own_code(spec)) else {}
    if is_own(spec.task) or registered_as(spec.task):
        beside["own_task"] = {"plugin": registered_as(spec.task) or "", "file": where_defined(spec.task)}
    document = {**spec.to_json(), **beside, "command": spec.command()}
    if fresh and path.exists():  # last, so that nothing is lost where the new run cannot be described
        clear(directory)
    write_json(path, document)


def clear(directory: Path) -> None:
    """Removes what a run writes, and nothing else; its spec last, so that a half-cleared directory is still its own."""
    for path in [*folders(directory / "checkpoints"), *leftovers(directory), directory / "tensorboard"]:
        throw_away(path)
    for pattern in ("step-*.npz", "final.npz"):
        for path in (directory / "samples").glob(pattern):
            throw_away(path)
    for name in ("checkpoints", "samples"):
        with contextlib.suppress(OSError):  # somebody's own file is in it
            (directory / name).rmdir()
    for name in (*FILES, FAILED, "spec.json"):
        (directory / name).unlink(missing_ok=True)
