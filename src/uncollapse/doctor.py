"""`uncollapse doctor`: what this machine offers, whether training works, whether a directory is whole, what it takes.

Each finding is a `Check`; nothing here changes a file. What `--clean` removes is the business of `disk.py`.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from uncollapse.data.cache import NO_CACHE, cache_folder
from uncollapse.data.limits import reason
from uncollapse.disk import is_comparison, is_run, runs_in, use
from uncollapse.documents import COMPARISON, JUDGE_AGAIN, RESULT, read_document, read_spec
from uncollapse.errors import UserError
from uncollapse.experiments.packing import LOCK, read_lock
from uncollapse.files import read_lines
from uncollapse.text import size

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "pillow", "matplotlib", "jinja2", "safetensors", "rich", "typer")
OLDEST_TORCH = (2, 10)
LITTLE_SPACE = 1e9


@dataclass(frozen=True, kw_only=True)
class Check:
    """One finding.

    Attributes:
        name: What was looked at.
        status: ``"ok"``, ``"note"`` (works, but worth knowing) or ``"bad"``.
        detail: What was found, and for a bad one what to do.
        bytes: Of disk use, by what takes them; None for other findings.
    """

    name: str
    status: Literal["ok", "note", "bad"]
    detail: str
    bytes: dict[str, int] | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        counted = {} if self.bytes is None else {"bytes": self.bytes}
        return {"name": self.name, "status": self.status, "detail": self.detail, **counted}


def examine(directory: Path | None = None) -> list[Check]:
    """All findings on this machine, or on a run's or comparison's directory when one is given.

    Raises:
        UserError: The directory does not exist or is neither.
    """
    if directory is not None:
        return examine_directory(directory)
    return [*versions(), *machine(), self_test()]


def healthy(checks: Iterable[Check]) -> bool:
    """Whether nothing is bad."""
    return all(check.status != "bad" for check in checks)


def versions() -> list[Check]:
    """Python and the packages that are needed."""
    checks = [Check(name="python", status="ok", detail=f"{platform.python_version()} at {sys.executable}")]
    for package in ("uncollapse", *PACKAGES):
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            own = package == "uncollapse"
            detail = "runs from its source folder" if own else f"missing; `pip install {package}`"
            checks.append(Check(name=package, status="note" if own else "bad", detail=detail))
            continue
        old = package == "torch" and tuple(int(part) for part in version.split(".")[:2]) < OLDEST_TORCH
        detail = f"{version}; 2.10 or newer is needed" if old else version
        checks.append(Check(name=package, status="bad" if old else "ok", detail=detail))
    return [*checks, *extras()]


def extras() -> list[Check]:
    """The optional extras, each with what is missing of it."""
    try:
        needs = importlib.metadata.requires("uncollapse") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    missing: dict[str, list[str]] = {}
    for need in needs:
        found = re.fullmatch(r"([\w.-]+)[^;]*;.*extra == ['\"]([\w-]+)['\"].*", need)
        if found:
            package, extra = found.groups()
            absent = missing.setdefault(extra, [])
            if not _installed(package):
                absent.append(package)
    return [
        Check(
            name=f"extra [{extra}]",
            status="note" if absent else "ok",
            detail=f"missing {', '.join(absent)}; `pip install 'uncollapse[{extra}]'`" if absent else "installed",
        )
        for extra, absent in missing.items()
    ]


def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def machine() -> list[Check]:
    """Device, cores, threads, cache and room on the disk."""
    import torch

    if torch.cuda.is_available():
        device = f"cuda: {torch.cuda.get_device_name()}, {size(torch.cuda.get_device_properties(0).total_memory)}"
    else:
        device = "cpu"
    affinity = getattr(os, "sched_getaffinity", None)
    usable = len(affinity(0)) if affinity else os.cpu_count() or 1
    free = shutil.disk_usage(Path.cwd()).free
    low = free < LITTLE_SPACE
    return [
        Check(name="device", status="ok", detail=device),
        Check(name="cores", status="ok", detail=f"{usable} usable, torch uses {torch.get_num_threads()} threads"),
        cache(),
        Check(
            name="free disk",
            status="note" if low else "ok",
            detail=f"{size(free)} in the current folder" + ("; a long comparison may need more" if low else ""),
        ),
    ]


def cache() -> Check:
    """Where the cache lies, and whether anything can be kept there."""
    folder = cache_folder()
    if folder == NO_CACHE:
        detail = "none, as there is no home folder; set UNCOLLAPSE_CACHE to a folder that keeps downloads"
        return Check(name="cache", status="note", detail=detail)
    try:
        made = folder.is_dir()
        why = "permission denied" if made and not os.access(folder, os.R_OK | os.X_OK) else ""
    except OSError as error:
        made, why = False, reason(error)
    if why:
        detail = f"{folder} cannot be used ({why}) and counts as absent; set UNCOLLAPSE_CACHE to another folder"
        return Check(name="cache", status="note", detail=detail)
    there = "exists" if os.access(folder, os.W_OK) else "exists, only to be read: nothing new is kept"
    return Check(name="cache", status="ok", detail=f"{folder} ({there if made else 'not made yet'})")


def self_test() -> Check:
    """Trains a small GAN for two updates in a temporary folder."""
    from uncollapse.run import execute, make_spec

    start = time.monotonic()
    spec = make_spec("vanilla", "ring-8", seeds=(0,), updates=2, batch=16)
    try:
        with tempfile.TemporaryDirectory(prefix="uncollapse-doctor-") as folder:
            lanes = execute(spec, Path(folder), device="cpu").metrics
    except Exception as error:  # whatever training raises is the finding
        return Check(name="self-test", status="bad", detail=f"training failed: {type(error).__name__}: {error}")
    measures = lanes[0]["measures"]["live"]
    seconds = time.monotonic() - start
    detail = f"two updates of vanilla on ring-8 in {seconds:.1f} s, {measures['modes_hit']:g} modes hit"
    return Check(name="self-test", status="ok", detail=detail)


def examine_directory(directory: Path) -> list[Check]:
    """Whether a run's or a comparison's directory is whole.

    Raises:
        UserError: The directory does not exist, or is neither.
    """
    if not directory.is_dir():
        raise UserError(f"There is no directory {directory}; give a run's or a comparison's.")
    if is_run(directory):
        return [*examine_run(directory), _disk(directory)]
    if is_comparison(directory):
        runs = [_disk(run, f"disk use: {run.name}") for run in runs_in(directory)]
        largest_first = sorted(runs, key=lambda check: -sum((check.bytes or {}).values()))
        return [*examine_comparison(directory), _disk(directory), *largest_first]
    raise UserError(f"{directory} is neither a run (no spec.json) nor a comparison (no {LOCK}).")


def examine_comparison(directory: Path) -> list[Check]:
    """The lock, each of its runs, `comparison.json` and the report."""
    checks: list[Check] = []
    try:
        names = [Path(run["directory"]).name for run in read_lock(directory)["runs"]]
    except UserError as error:
        checks.append(Check(name=LOCK, status="bad", detail=str(error)))
    except (KeyError, TypeError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else error
        detail = f"{LOCK} is damaged ({why}); choose another --out and start the plan again"
        checks.append(Check(name=LOCK, status="bad", detail=detail))
    else:
        checks.append(Check(name=LOCK, status="ok", detail=f"{len(names)} runs"))
        for name in names:
            folder = directory / "runs" / name
            if not folder.is_dir():
                checks.append(Check(name=folder.name, status="note", detail="not started"))
                continue
            checks += examine_run(folder, prefix=f"{folder.name}: ")
    checks += _more(directory)
    checks.append(_readable(directory / "comparison.json", "comparison.json", _describe_comparison, COMPARISON))
    report = directory / "report.html"
    detail = size(report.stat().st_size) if report.exists() else "not built; `uncollapse report` builds it"
    checks.append(Check(name="report.html", status="ok" if report.exists() else "note", detail=detail))
    return checks


def examine_run(directory: Path, prefix: str = "") -> list[Check]:
    """The specification, the history, the newest and the best valid checkpoint and the result of one run."""
    return [
        _specification(directory, prefix),
        _history(directory, prefix),
        _checkpoint(directory, prefix),
        _readable(
            directory / "result.json", f"{prefix}result", _describe_result, RESULT, missing="the run is not finished"
        ),
        *_more(directory, prefix),
    ]


def _more(directory: Path, prefix: str = "") -> list[Check]:
    """What is only said where there is something to say."""
    from uncollapse.integrity import findings

    return [
        Check(name=f"{prefix}{found.name}", status=found.status, detail=found.detail) for found in findings(directory)
    ]


def _specification(directory: Path, prefix: str) -> Check:
    from uncollapse.report.measures import seeds_text
    from uncollapse.run import RunSpec

    name = f"{prefix}spec"
    try:
        document = read_spec(directory / "spec.json")
    except UserError as error:
        return Check(name=name, status="bad", detail=str(error))
    try:
        spec = RunSpec.from_json(document)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:  # a UserError is a ValueError
        return Check(name=name, status="bad", detail=f"spec.json cannot be used: {error}")
    if spec.hash != document.get("hash"):
        return Check(
            name=name,
            status="note",
            detail=f"hash {document.get('hash')} was written, {spec.hash} is computed: the file was edited or is from "
            "another version",
        )
    return Check(name=name, status="ok", detail=f"{spec.cell}, {seeds_text(len(spec.seeds))}, hash {spec.hash}")


def _history(directory: Path, prefix: str) -> Check:
    from uncollapse.integrity import lost_end

    name, stand = f"{prefix}history", "the result and the checkpoints stand"
    try:
        lines = list(read_lines(directory / "history.jsonl"))
    except UserError as error:
        what = str(error).partition(";")[0]
        detail = f"{what}; {stand}: remove that line, or train again with --fresh"
        return Check(name=name, status="bad", detail=detail)
    at = max((line.get("update", 0) for line in lines), default=0)
    if lost := lost_end(directory, at):
        detail = f"{lost}; {stand}: copy the file back, or train again with --fresh"
        return Check(name=name, status="bad", detail=detail)
    return Check(name=name, status="ok", detail=f"{len(lines)} lines up to update {at:,}")


def _checkpoint(directory: Path, prefix: str) -> Check:
    from uncollapse.checkpoint import best, newest
    from uncollapse.integrity import is_at_rest

    name = f"{prefix}checkpoint"
    found, skipped = newest(directory / "checkpoints")
    if found is None and skipped:
        return Check(name=name, status="bad", detail=f"{' '.join(skipped)} None is left; train again with --fresh.")
    if found is None:
        kept = "none, so nothing can be sampled or trained further; compact records of finished runs keep none"
        return Check(name=name, status="note", detail=kept if is_at_rest(directory) else "no checkpoint yet")
    top, also_skipped = best(directory / "checkpoints")
    newer = f"the newest valid one is of round {found.rounds:,}"
    marked = f", the best of round {top.rounds:,}." if top is not None else "."
    skipped = list(dict.fromkeys([*skipped, *also_skipped]))
    return Check(name=name, status="note" if skipped else "ok", detail=" ".join([newer + marked, *skipped]))


def _describe_result(result: dict[str, Any]) -> str:
    from uncollapse.report.measures import seeds_text

    diverged = sum(lane["diverged_at"] is not None for lane in result["lanes"])
    seeds = seeds_text(len(result["lanes"]))
    return f"{result['status']} after {result['updates']:,} updates, {seeds}, {diverged} diverged"


def _describe_comparison(document: dict[str, Any]) -> str:
    return f"{document['status']}, {len(document['cells'])} cells"


def _readable(
    path: Path,
    name: str,
    describe: Callable[[dict[str, Any]], str],
    needs: Sequence[str],
    missing: str = "not written yet",
) -> Check:
    if not path.exists():
        return Check(name=name, status="note", detail=missing)
    try:
        return Check(name=name, status="ok", detail=describe(read_document(path, needs=needs, remedy=JUDGE_AGAIN)))
    except UserError as error:
        return Check(name=name, status="bad", detail=str(error))
    except (ValueError, KeyError, TypeError) as error:
        return Check(name=name, status="bad", detail=f"{path.name} is damaged ({error}); remove it and run again")


def _disk(directory: Path, name: str = "disk use") -> Check:
    taken = use(directory)
    parts = ", ".join(f"{part} {size(count)}" for part, count in taken.items())
    return Check(name=name, status="ok", detail=f"{size(sum(taken.values()))}: {parts}", bytes=taken)
