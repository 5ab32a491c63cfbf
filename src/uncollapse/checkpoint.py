"""Checkpoints of a run: saved whole or not at all, loaded from the newest one that is intact; the best one is kept.

`checkpoints/step-N/` holds `lanes.safetensors`, `state.json` where the run has a monitor, and, written last,
`MANIFEST.json` with their hashes and what the samples were worth. So the newest and the best are computed, and no
pointer can be torn. Randomness needs no state, because every draw is a function of (seed, update).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from uncollapse.files import write_atomic, write_json
from uncollapse.parsing import parse_json, read_json

KEPT = 2
TENSORS = "lanes.safetensors"
STATE = "state.json"
MANIFEST = "MANIFEST.json"
SCHEMA = 1
TEMPORARY = ".tmp-"

# Mean modes_solid and mean high_quality_share over the living seeds; the second decides between equals.
Measure: TypeAlias = tuple[float, float]
# What reading a damaged checkpoint raises.
DAMAGE = (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError, OverflowError, SafetensorError)


class AnotherVersion(ValueError):
    """The checkpoint is in a form that this version does not know; it need not be damaged."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        tensors: By dotted path, on the CPU.
        rounds: Rounds played.
        history_bytes: Length of the history when it was saved; later lines are cut on resume.
        spec: Hash of the run's spec.
        update: Critic updates done.
        measure: What the samples were worth; None where it was not saved at a snapshot.
        state: What is no tensor, as JSON; None where there is nothing.
    """

    tensors: dict[str, Tensor]
    rounds: int
    history_bytes: int
    spec: str | None = None
    update: int = 0
    measure: Measure | None = None
    state: dict[str, Any] | None = None


def save(
    directory: Path,
    tensors: dict[str, Tensor],
    *,
    spec: str,
    update: int,
    rounds: int,
    history_bytes: int,
    measure: Measure | None = None,
    best: int | None = None,
    state: Mapping[str, Any] | None = None,
) -> Path:
    """Saves a checkpoint, then removes all but it, the `KEPT` - 1 before it and the best.

    Args:
        directory: The run's `checkpoints` folder.
        tensors: By dotted path.
        spec: Hash of the run's spec, so that no other run continues from it.
        update: Critic updates done, which names the checkpoint.
        rounds: Rounds played.
        history_bytes: Length of the history now.
        measure: What the samples are worth at this update; None: not known.
        best: The update of the best checkpoint, which may be this one; None: there is none.
        state: What is no tensor, as JSON values.

    Returns:
        The checkpoint's folder.

    Raises:
        OSError: For example when the disk is full; earlier checkpoints are untouched and nothing half-written stays.
        SafetensorError: The tensors could not be put together; likewise.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for left in directory.glob(f"{TEMPORARY}*"):  # of a writer that was killed
        shutil.rmtree(left, ignore_errors=True)
    final = directory / f"step-{update:09d}"
    temporary = directory / f"{TEMPORARY}{final.name}-{os.getpid()}"
    contents = {TENSORS: save_tensors(_apart(tensors))}
    if state is not None:
        contents[STATE] = json.dumps(state, allow_nan=False).encode()
    manifest = {
        "schema": SCHEMA,
        "spec": spec,
        "update": update,
        "rounds": rounds,
        "history_bytes": history_bytes,
        "measure": None if measure is None else list(measure),
        "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in contents.items()
        },
    }
    manifest["sha256"] = _digest(manifest)
    try:
        temporary.mkdir(exist_ok=True)
        for name, content in contents.items():
            write_atomic(temporary / name, content)
        write_json(temporary / MANIFEST, manifest)
        _settle(temporary)
        replaced = _set_aside(final) if final.exists() else None
        temporary.replace(final)
        _settle(directory)  # the new one must be on the disk before an older one goes
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    # What claims to be later was skipped when this run was continued, and is trained again.
    upto = [folder for folder in folders(directory) if step(folder) <= update]
    unwanted = [folder for folder in folders(directory) if folder not in upto[:KEPT] and step(folder) != best]
    with contextlib.suppress(OSError):  # one too many does no harm, and the next save tries again
        for folder in unwanted:
            remove(folder)
    if replaced is not None:
        shutil.rmtree(replaced, ignore_errors=True)
    return final


def newest(
    directory: Path, *, spec: str | None = None, history: int | None = None
) -> tuple[Checkpoint | None, list[str]]:
    """The newest intact checkpoint, and a sentence for each newer one that is damaged.

    Args:
        directory: The run's `checkpoints` folder; it need not exist.
        spec: Hash of the run's spec; checkpoints of another one are skipped. None: do not look.
        history: Bytes of the history that are there; checkpoints that need more are skipped. None: do not look.
    """
    return _first_intact(folders(directory), spec, history)


def best(
    directory: Path, *, spec: str | None = None, history: int | None = None
) -> tuple[Checkpoint | None, list[str]]:
    """The intact checkpoint whose samples were worth most, the earliest of equals, and a sentence for each skipped one.

    Args:
        directory: The run's `checkpoints` folder; it need not exist.
        spec: As in `newest`.
        history: As in `newest`.
    """
    claims = {folder: _claim(folder) for folder in reversed(folders(directory))}
    known = [folder for folder, measure in claims.items() if measure is not None]
    return _first_intact(sorted(known, key=lambda folder: claims[folder] or (0.0, 0.0), reverse=True), spec, history)


def _first_intact(
    candidates: Iterable[Path], spec: str | None, history: int | None
) -> tuple[Checkpoint | None, list[str]]:
    skipped: list[str] = []
    for folder in candidates:
        try:
            found = read(folder)
        except AnotherVersion as error:
            skipped.append(f"{folder.name} was skipped, because {error}.")
        except (OSError, *DAMAGE) as error:
            skipped.append(f"{folder.name} is damaged and was skipped ({type(error).__name__}: {error}).")
        else:
            if spec is not None and found.spec not in (None, spec):
                skipped.append(f"{folder.name} was skipped, because it belongs to another run (spec {found.spec}).")
            elif history is not None and found.history_bytes > history:
                skipped.append(f"{folder.name} was skipped, because the history has lost lines that it builds on.")
            else:
                return found, skipped
    return None, skipped


def read(folder: Path) -> Checkpoint:
    """One checkpoint, verified against its manifest.

    Raises:
        AnotherVersion: Its form is not known here.
        ValueError: The content is not what the manifest says; what else `DAMAGE` names, for a manifest that is none.
        OSError: A file is missing or cannot be read.
    """
    manifest = _manifest(folder)
    if int(manifest["update"]) != step(folder):
        raise ValueError(f"its manifest is of update {manifest['update']}")
    state = _content(folder, STATE, manifest) if STATE in manifest["files"] else None
    return Checkpoint(
        load_tensors(_content(folder, TENSORS, manifest)),
        int(manifest["rounds"]),
        int(manifest["history_bytes"]),
        manifest.get("spec"),
        int(manifest["update"]),
        _measure(manifest),
        None if state is None else parse_json(state),
    )


def _content(folder: Path, name: str, manifest: Mapping[str, Any]) -> bytes:
    """One of its files, if it is what the manifest says."""
    content, expected = (folder / name).read_bytes(), manifest["files"][name]
    if len(content) != expected["bytes"] or hashlib.sha256(content).hexdigest() != expected["sha256"]:
        raise ValueError(f"{name} does not match its manifest")
    return content


def folders(directory: Path) -> list[Path]:
    """The folders of checkpoints, the latest update first; what bears another name is none."""
    found = [path for path in directory.glob("step-*") if re.fullmatch(r"step-\d+", path.name) and path.is_dir()]
    return sorted(found, key=step, reverse=True)


def step(folder: Path) -> int:
    """The update that a checkpoint's folder is named after."""
    return int(folder.name.removeprefix("step-"))


def remove(folder: Path) -> None:
    """Removes a checkpoint from one moment to the next: a kill leaves no half of it under its name.

    Raises:
        OSError: It may not be removed.
    """
    aside = _set_aside(folder)
    if aside.is_symlink():
        aside.unlink()
    shutil.rmtree(aside, ignore_errors=True)


def _set_aside(folder: Path) -> Path:
    return folder.replace(folder.parent / f"{TEMPORARY}old-{folder.name}-{os.getpid()}")


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, each in memory of its own, as the format asks for: an average may share a counter."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in tensors.items():
        own = value.detach().cpu().contiguous()
        place = own.untyped_storage().data_ptr()
        found[name] = own.clone() if place in seen else own
        seen.add(place)
    return found


def _settle(folder: Path) -> None:
    """Waits until the names in a folder are on the disk; only POSIX can, and other systems need not."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _manifest(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = read_json(folder / MANIFEST)
    if manifest.pop("sha256", None) not in (None, _digest(manifest)):
        raise ValueError(f"{MANIFEST} was changed")
    if manifest["schema"] != SCHEMA:
        raise AnotherVersion(f"another version of uncollapse wrote it (schema {manifest['schema']})")
    return manifest


def _measure(manifest: Mapping[str, Any]) -> Measure | None:
    """Manifests of earlier versions have none."""
    found = manifest.get("measure")
    return None if found is None else (float(found[0]), float(found[1]))


def _claim(folder: Path) -> Measure | None:
    """What a checkpoint's manifest says that its samples were worth, None where it says nothing or is damaged."""
    try:
        return _measure(_manifest(folder))
    except (OSError, *DAMAGE):
        return None


def _digest(manifest: Mapping[str, Any]) -> str:
    """Hash of a manifest's own content, because a flipped digit in it would move a run silently."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
