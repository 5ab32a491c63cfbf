"""Which run a directory holds, and whether that is finished; how it becomes a run's own, and is cleared.

`run.py` asks before it trains; what is written while it trains is the business of `keeping.py`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uncollapse.errors import UserError
from uncollapse.files import write_json
from uncollapse.method import own_code
from uncollapse.networks.own import another
from uncollapse.records import read_json
from uncollapse.spec import RunSpec
from uncollapse.versions import versions


def read_result(directory: Path) -> dict[str, Any] | None:
    """The result of a run, None while there is no whole one."""
    try:
        found: dict[str, Any] = json.loads((directory / "result.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("status") == "finished" else None


def is_finished(directory: Path, spec: RunSpec) -> bool:
    """Whether a directory holds the result of this spec and of its own parts' code with at least its updates."""
    found = read_result(directory)
    if found is None or found["hash"] != spec.hash or found["updates"] < spec.updates:
        return False
    code, path = own_code(spec.method), directory / "spec.json"
    return not code or not path.exists() or not rewritten(read_json(path), code)


def check_code(directory: Path, spec: RunSpec) -> None:
    """Refuses a run that began with another code of its own parts, as far as it says with which.

    Raises:
        UserError: Names the parts.
    """
    code, path = own_code(spec.method), directory / "spec.json"
    if code and path.exists() and (names := rewritten(read_json(path), code)):
        raise UserError(
            f"The code of {' and '.join(names)} has changed since {directory} was trained with it; restore it, choose"
            f" another --out, or remove {directory} to train it again."
        )


def rewritten(there: Mapping[str, Any], code: Mapping[str, str]) -> list[str]:
    """The own parts whose code is another than a spec file says; none where it says nothing."""
    known = there.get("code", {})
    return [name for name, digest in code.items() if known.get(name, digest) != digest]


def claim(directory: Path, spec: RunSpec, fresh: bool) -> None:
    """Makes a directory this run's own, or refuses one that is another's."""
    path = directory / "spec.json"
    there = read_json(path) if path.exists() and not fresh else None
    if there is not None and there.get("hash") != spec.hash:
        if another(there, spec.content()):
            raise UserError(
                f"{directory} was trained with other networks of your own (layers, shapes or starting weights differ);"
                " restore them, choose another --out, or --fresh to replace it."
            )
        raise UserError(
            f"{directory} holds another run ({there['method']['name']} on {there['task']['name']}, hash"
            f" {there.get('hash')}, not {spec.hash}); choose another --out, or --fresh to replace it."
        )
    if there is not None:
        check_code(directory, spec)
    if there is not None and is_finished(directory, spec):
        return
    if fresh:
        clear(directory)
    began_under = versions() if there is None else there.get("versions", {})
    # Beside the spec, and not in its hash: for whoever looks at the run before it has a result.
    modes = spec.task.modes
    beside = {"modes": {"names": list(modes.names), "weights": modes.weights.tolist()}, "versions": began_under}
    beside |= {"code": code} if (code := own_code(spec.method)) else {}
    write_json(path, {**spec.to_json(), **beside, "command": spec.command()})


def clear(directory: Path) -> None:
    """Removes what a run writes, and nothing else; its spec last, so that a half-cleared directory is still its own."""
    for name in ("checkpoints", "samples", "tensorboard"):
        shutil.rmtree(directory / name, ignore_errors=True)
    for name in ("result.json", "history.jsonl", "timing.jsonl", "error.log", "report.html", "spec.json"):
        (directory / name).unlink(missing_ok=True)
