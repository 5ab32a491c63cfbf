"""Checkpoints of a run: saved whole or not at all, loaded from the newest one that is intact.

`checkpoints/step-N/` holds `lanes.safetensors` and, written last, `MANIFEST.json` with its hash. Randomness needs no
state, because every draw is a function of (seed, update).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from uncollapse.files import write_atomic, write_json

KEPT = 2
TENSORS = "lanes.safetensors"
MANIFEST = "MANIFEST.json"


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        tensors: By dotted path, on the CPU.
        rounds: Rounds played.
        history_bytes: Length of the history when it was saved; later lines are cut on resume.
        spec: Hash of the run's spec.
    """

    tensors: dict[str, Tensor]
    rounds: int
    history_bytes: int
    spec: str | None = None


def save(
    directory: Path, tensors: dict[str, Tensor], *, spec: str, update: int, rounds: int, history_bytes: int
) -> Path:
    """Saves a checkpoint and removes all but the newest `KEPT`.

    Args:
        directory: The run's `checkpoints` folder.
        tensors: By dotted path.
        spec: Hash of the run's spec, so that no other run continues from it.
        update: Critic updates done, which names the checkpoint.
        rounds: Rounds played.
        history_bytes: Length of the history now.

    Returns:
        The checkpoint's folder.

    Raises:
        OSError: For example when the disk is full; earlier checkpoints are untouched and nothing half-written stays.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for left in directory.glob(".tmp-*"):  # of a writer that was killed
        shutil.rmtree(left, ignore_errors=True)
    final = directory / f"step-{update:09d}"
    temporary = directory / f".tmp-{final.name}-{os.getpid()}"
    content = save_tensors({name: value.detach().cpu().contiguous() for name, value in tensors.items()})
    try:
        temporary.mkdir(exist_ok=True)
        write_atomic(temporary / TENSORS, content)
        manifest = {
            "schema": 1,
            "spec": spec,
            "update": update,
            "rounds": rounds,
            "history_bytes": history_bytes,
            "files": {TENSORS: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}},
        }
        manifest["sha256"] = _digest(manifest)
        write_json(temporary / MANIFEST, manifest)
        if final.exists():
            shutil.rmtree(final)
        temporary.replace(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for old in _newest_first(directory)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
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
    skipped: list[str] = []
    for folder in _newest_first(directory):
        try:
            found = read(folder)
            if spec is not None and found.spec not in (None, spec):
                skipped.append(f"{folder.name} was skipped, because it belongs to another run (spec {found.spec}).")
                continue
            if history is None or found.history_bytes <= history:
                return found, skipped
            skipped.append(f"{folder.name} was skipped, because the history has lost lines that it builds on.")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            skipped.append(f"{folder.name} is damaged and was skipped ({type(error).__name__}: {error}).")
    return None, skipped


def read(folder: Path) -> Checkpoint:
    """One checkpoint, verified against its manifest.

    Raises:
        ValueError: The content is not what the manifest says.
        OSError: A file is missing.
    """
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    if manifest.pop("sha256", None) not in (None, _digest(manifest)):
        raise ValueError(f"{MANIFEST} was changed")
    content = (folder / TENSORS).read_bytes()
    expected = manifest["files"][TENSORS]
    if len(content) != expected["bytes"] or hashlib.sha256(content).hexdigest() != expected["sha256"]:
        raise ValueError(f"{TENSORS} does not match its manifest")
    return Checkpoint(
        load_tensors(content), int(manifest["rounds"]), int(manifest["history_bytes"]), manifest.get("spec")
    )


def _digest(manifest: Mapping[str, Any]) -> str:
    """Hash of a manifest's own content, because a flipped digit in it would move a run silently."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _newest_first(directory: Path) -> list[Path]:
    return sorted(directory.glob("step-*"), reverse=True) if directory.is_dir() else []
