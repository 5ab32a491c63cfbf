"""What else may be wrong with a directory than `doctor.py` always says: who writes it, leftovers, damage that hides.

A whole directory that nobody writes has no finding here. Looks only; the next start, or ``doctor --clean``, acts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from uncollapse.data.npz_files import NpzFile
from uncollapse.errors import UserError
from uncollapse.files import read_lines
from uncollapse.lease import state


class Finding(NamedTuple):
    """One of them; `detail` says what to do where something is to be done."""

    name: str
    status: Literal["note", "bad"]
    detail: str


def findings(directory: Path) -> Iterator[Finding]:
    """All of a run's or a comparison's directory, none of its runs'."""
    held = state(directory)[0] == "held"
    yield from writer(directory)
    if not held:  # those of a living writer are no leftovers
        yield from half_written(directory)
    yield from hidden_damage(directory)
    yield from samples(directory)
    yield from clocks(directory)


def is_at_rest(directory: Path) -> bool:
    """Whether a run is finished and nobody was writing more of it."""
    return state(directory)[0] not in ("held", "left") and _result(directory) is not None


def _result(directory: Path) -> dict[str, Any] | None:
    """The result of a run, if there is one that can be read; `doctor.py` says why another cannot."""
    from uncollapse.run_files import read_result

    try:
        return read_result(directory)
    except UserError:
        return None


def lost_end(directory: Path, last: int) -> str:
    """What the history of a finished run lost at its end; empty where nothing, or where the run is not finished.

    The history of an unfinished run may end anywhere, even inside a line, as a kill leaves it.

    Args:
        directory: Of the run.
        last: The last update of which its history tells.
    """
    path, result = directory / "history.jsonl", _result(directory)
    if result is None or not is_at_rest(directory):
        return ""
    if not path.exists():  # compact records, which keep none, keep no checkpoints either
        return "the whole of it is gone" if (directory / "checkpoints").exists() else ""
    with path.open("rb") as stream:
        stream.seek(max(stream.seek(0, os.SEEK_END) - 1, 0))
        if stream.read(1) not in (b"", b"\n"):
            return "the last line is torn"
    ended = result.get("updates", 0)
    return f"the last lines are gone, up to update {ended:,}, as only update {last:,} is told" if last < ended else ""


def writer(directory: Path) -> Iterator[Finding]:
    """Who writes the directory, or did so until it was killed."""
    kind, owner = state(directory)
    who = "a process that left no name" if owner is None else owner.name
    if kind == "held":
        yield Finding("writer", "note", f"is being written by {who}; what is said here may change")
    elif kind == "left":
        yield Finding("writer", "note", f"{who} was killed or is silent; the same command takes over and continues")


def half_written(directory: Path) -> Iterator[Finding]:
    """Files that a killed process was writing."""
    from uncollapse.records import leftovers

    names = [path.name for path in leftovers(directory)]
    if names:
        some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        yield Finding(
            "leftovers", "note", f"{some}: half-written by a killed process; the next start or --clean removes them"
        )


def hidden_damage(directory: Path) -> Iterator[Finding]:
    """Checkpoints whose manifest does not hold, though newer ones do, so that nothing has needed them yet."""
    from uncollapse import checkpoint

    damaged, whole = [], 0
    for folder in checkpoint.folders(directory / "checkpoints"):
        try:
            checkpoint.read(folder)
            whole += 1
        except checkpoint.AnotherVersion:
            continue
        except checkpoint.DAMAGE as error:
            damaged.append(f"{folder.name} ({error})")
    if damaged and whole:
        yield Finding(
            "manifests", "note", f"{', '.join(damaged)}: damaged, and {whole} intact; --clean removes what is damaged"
        )


def samples(directory: Path) -> Iterator[Finding]:
    """Files of samples that are gone or cannot be read back; measures and weights need none of them."""
    folder = directory / "samples"
    yield from _lost_samples(directory, folder)
    damaged = []
    for path in sorted(folder.glob("*.npz")):
        try:
            NpzFile(path, path.name).verify()
        except UserError:
            damaged.append(path.name)
    if damaged:
        yield Finding(
            "samples",
            "bad",
            f"{', '.join(damaged)} damaged; measures and weights do not need them: remove them, and draw others with "
            "`uncollapse sample`",
        )


def _lost_samples(directory: Path, folder: Path) -> Iterator[Finding]:
    """What the history tells of and is not there; compact records, which keep no samples, keep no history either."""
    try:
        told = [line["update"] for line in read_lines(directory / "history.jsonl") if line.get("snapshot")]
    except (UserError, KeyError, TypeError):  # a damaged history is a finding of its own
        return
    finished = is_at_rest(directory)
    if not told or not (finished or folder.exists()):
        return
    names = [f"step-{update:08d}.npz" for update in told] + ["final.npz"] * finished
    lost = [name for name in names if not (folder / name).exists()]
    needless = "measures and weights do not need them: copy them back, or draw others with `uncollapse sample`"
    if lost == names:
        yield Finding("samples", "bad", f"all are gone; {needless}")
    elif lost:
        some = ", ".join(lost[:3]) + (f" and {len(lost) - 3} more" if len(lost) > 3 else "")
        yield Finding("samples", "note", f"{some} gone; {needless}")


def clocks(directory: Path) -> Iterator[Finding]:
    """Damage inside the file of clocks."""
    try:
        read_lines(directory / "timing.jsonl")
    except UserError as error:
        what = str(error).partition(";")[0]
        yield Finding("timing", "bad", f"{what}; only clocks are lost: remove that line, or the file")
