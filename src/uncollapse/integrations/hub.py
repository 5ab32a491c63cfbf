"""Generators of a run saved to share: safetensors, a config and a model card; in a folder or on the Hugging Face Hub.

Only the generators are kept, live and averaged, and no data: what is loaded makes the same samples without the task's
data (of a user's own arrays their means and standard deviations are kept, too, which bring samples back). Nothing is
pickled, and no code of a folder is run. Only what goes over the network needs [hub].
"""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from uncollapse import checkpoint
from uncollapse.errors import UserError
from uncollapse.files import write_atomic, write_json
from uncollapse.integrations.model_card import LICENCE, UNKNOWN, model_card
from uncollapse.integrations.pictures import snapshot_pictures
from uncollapse.integrations.saved import KEPT, SavedRun, make_saved
from uncollapse.networks.sources import Network, Pair
from uncollapse.run import Run
from uncollapse.run import load as load_run
from uncollapse.tasks import Arrays
from uncollapse.text import clean
from uncollapse.versions import choose_device

CONFIG, WEIGHTS, CARD, PICTURE = "config.json", "model.safetensors", "README.md", "samples.png"
FORMAT, SCHEMA = "uncollapse run", 1
LARGEST_CONFIG = 64 * 10**6
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
INSTALL = "pip install 'uncollapse[hub]'"


def save(run: Run | Path | str, folder: Path | str, *, licence: str = UNKNOWN) -> Path:
    """Saves the generators of a finished run.

    Args:
        run: The run or its directory.
        folder: Where; a new or empty folder, or one that was saved to before.
        licence: Of the weights, as the hub writes it ("apache-2.0", "cc-by-4.0"); it is not chosen for you.

    Returns:
        The folder, with config.json, model.safetensors, README.md and samples.png.

    Raises:
        UserError: The run is not finished, the licence is no name, or something else is in the folder.
    """
    place = Path(folder)
    return _save(run, place, licence=licence, repository=place.name)


def push_to_hub(
    run: Run | Path | str, repository: str, *, licence: str = UNKNOWN, private: bool = True, token: str | None = None
) -> str:
    """Saves a run into a repository of the Hugging Face Hub, which is made if it is not there.

    Args:
        run: The run or its directory.
        repository: ``owner/name``.
        licence: As for `save`.
        private: Whether a new repository is private.
        token: Of the hub; by default the one that `huggingface_hub` is logged in with.

    Returns:
        The repository's address.

    Raises:
        UserError: As `save`; `huggingface_hub` is missing, or the hub refuses.
    """
    _check_repository(repository)
    hub = _import_hub()
    with tempfile.TemporaryDirectory(prefix="uncollapse-") as folder:
        place = _save(run, Path(folder), licence=licence, repository=repository)
        try:
            api = hub.HfApi(token=token)
            address = api.create_repo(repository, repo_type="model", private=private, exist_ok=True)
            names = [CONFIG, WEIGHTS, CARD, PICTURE]
            api.upload_folder(
                repo_id=repository, folder_path=place, repo_type="model", allow_patterns=names,
                commit_message="A run of uncollapse",
            )  # fmt: skip
        except Exception as error:  # what the client raises depends on its version
            raise UserError(f"The hub did not take {repository}: {_first_line(error)}") from error
    return str(address)


def load(
    place: Path | str,
    *,
    revision: str | None = None,
    token: str | None = None,
    device: str = "auto",
    generator: Network | None = None,
    critic: Network | None = None,
) -> SavedRun:
    """Opens what `save` or `push_to_hub` wrote.

    Args:
        place: A folder, or ``owner/name`` on the Hugging Face Hub where there is no such folder.
        revision: Branch, tag or commit on the hub; give a commit to get the same weights for ever.
        token: Of the hub.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        generator: Your own generator that the run was trained with, as it was given to `train`.
        critic: Likewise.

    Returns:
        The run to sample from: `.samples(n, seed=s)`, `.metrics`, `.seeds`.

    Raises:
        UserError: There is no such folder or repository, or its files are damaged, too large or not of this form.
    """
    folder = Path(place)
    if not folder.is_dir():
        folder = _download(str(place), revision, token)
    config = _read_config(folder)
    tensors = _read_weights(folder, config)
    try:
        return make_saved(config, tensors, device=choose_device(device), own=Pair.of(generator, critic))
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError, MemoryError) as error:
        raise UserError(f"{_shown(folder)} holds no generators that fit together ({_first_line(error)}).") from error


def _save(run: Run | Path | str, folder: Path, *, licence: str, repository: str) -> Path:
    if not LICENCE.fullmatch(licence):
        raise UserError(f"licence must be a short name as apache-2.0 or cc-by-4.0, not {clean(licence)!r}.")
    known = run if isinstance(run, Run) else load_run(run)
    result = known.result
    _check_folder(folder)
    found, skipped = checkpoint.newest(known.directory / "checkpoints", spec=known.spec.hash)
    if found is None:
        raise UserError(f"{known.directory} holds no intact checkpoint ({' '.join(skipped) or 'none is there'}).")
    kept = {name: value for name, value in found.tensors.items() if name.startswith(KEPT)}
    content = save_tensors(kept, metadata={"format": "pt"})
    folder.mkdir(parents=True, exist_ok=True)
    pictures = dict(snapshot_pictures(known.directory, found.update))
    picture = PICTURE if 0 in pictures else ""
    config = _config(known, result, found.update, content)
    if picture:
        write_atomic(folder / PICTURE, pictures[0])
    write_atomic(folder / WEIGHTS, content)
    write_atomic(folder / CARD, model_card(config, repository=repository, licence=licence, picture=picture))
    write_json(folder / CONFIG, config)
    return folder


def _config(run: Run, result: Mapping[str, Any], update: int, content: bytes) -> dict[str, Any]:
    task = run.spec.task
    spec = run.spec.to_json()
    # The path of somebody's file is nobody's business.
    spec["task"]["name"] = re.sub(r"^(array:|folder:).*[/\\]", r"\1", spec["task"]["name"])
    return {
        "schema": SCHEMA, "format": FORMAT, "spec": spec,
        "shape": list(task.shape), "classes": task.classes, "update": update,
        **({"units": task.units.to_json()} if isinstance(task, Arrays) else {}),
        "result": dict(result) | {"task": spec["task"]["name"]},
        "weights": {"file": WEIGHTS, "sha256": hashlib.sha256(content).hexdigest()},
        "versions": result.get("versions", {}),
    }  # fmt: skip


def _check_folder(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UserError(f"{_shown(folder)} is no folder; choose another.")
    there = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if there and not (folder / CONFIG).is_file():
        raise UserError(f"{_shown(folder)} holds other files; choose a new or empty folder.")
    if there:
        _read_config(folder)


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        raise UserError(f"{_shown(folder)} holds no {CONFIG}; give a folder that uc.hub.save wrote.")
    if path.stat().st_size > LARGEST_CONFIG:
        raise UserError(f"{CONFIG} in {_shown(folder)} is too large to be one.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{CONFIG} in {_shown(folder)} is no JSON ({_first_line(error)}).") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise UserError(f"{CONFIG} in {_shown(folder)} is not of a run of uncollapse.")
    if found.get("schema") != SCHEMA:
        raise UserError(f"{_shown(folder)} was saved by another version (schema {clean(found.get('schema'))!r}).")
    return found


def _read_weights(folder: Path, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors, from the one file that they may be in, whatever the config calls it."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise UserError(f"{_shown(folder)} holds no {WEIGHTS}.")
    content = path.read_bytes()
    told = config.get("weights")
    if not isinstance(told, Mapping) or hashlib.sha256(content).hexdigest() != told.get("sha256"):
        raise UserError(f"{WEIGHTS} in {_shown(folder)} is not what its {CONFIG} says; get it again.")
    try:
        found: dict[str, Tensor] = load_tensors(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"{WEIGHTS} in {_shown(folder)} is damaged ({_first_line(error)}).") from error
    return found


def _download(repository: str, revision: str | None, token: str | None) -> Path:
    """The two files that are read, in the hub's own cache."""
    _check_repository(repository)
    hub = _import_hub()
    try:
        folder = hub.snapshot_download(
            repository, repo_type="model", revision=revision, token=token, allow_patterns=[CONFIG, WEIGHTS]
        )
    except Exception as error:  # what the client raises depends on its version
        raise UserError(f"{repository} cannot be had from the hub: {_first_line(error)}") from error
    return Path(folder)


def _check_repository(name: str) -> None:
    if not REPOSITORY.fullmatch(name) or ".." in name or "--" in name:
        raise UserError(f"{clean(name)!r} is neither a folder nor a repository of the hub, as owner/name.")


def _import_hub() -> ModuleType:
    try:
        hub = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise UserError(f"The hub needs huggingface_hub; install it with {INSTALL}.") from error
    return hub


def _shown(folder: Path) -> str:
    return clean(folder)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return clean(lines[0])[:200] if lines else type(error).__name__
