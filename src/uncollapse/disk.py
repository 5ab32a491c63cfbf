"""What a run's or a comparison's directory takes on the disk, and the removal of what is not needed of it.

Behind `uncollapse doctor DIR` and its `--clean`. Results, histories, specifications and samples are never removed, nor
anything of a run that another process is writing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from uncollapse.errors import UserError
from uncollapse.experiments.packing import LOCK
from uncollapse.lease import only_writer
from uncollapse.parsing import read_json
from uncollapse.text import size

PARTS = ("checkpoints", "samples", "history", "report", "other")
_PART_OF = {
    "checkpoints": "checkpoints",
    "samples": "samples",
    "history.jsonl": "history",
    "timing.jsonl": "history",
    "report.html": "report",
}


@dataclass(frozen=True, kw_only=True)
class Removed:
    """Something that is gone.

    Attributes:
        path: Where it was, from the directory that was cleaned.
        bytes: What it took.
        why: Why it was not needed.
    """

    path: str
    bytes: int
    why: str


@dataclass(kw_only=True)
class Cleaning:
    """What was removed from a directory, and what was left alone for a reason.

    Attributes:
        directory: What was cleaned.
        removed: What is gone.
        left: A sentence for each thing that was left.
    """

    directory: Path
    removed: list[Removed] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """What all that is gone took."""
        return sum(item.bytes for item in self.removed)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        removed = [asdict(item) for item in self.removed]
        return {"directory": str(self.directory), "bytes": self.bytes, "removed": removed, "left": self.left}

    def lines(self) -> list[str]:
        """For people: a line for each thing, the sum last."""
        gone = [f"removed {item.path} ({size(item.bytes)}): {item.why}" for item in self.removed]
        total = f"{self.directory} holds {size(self.bytes)} less." if gone else f"{self.directory} needs all it holds."
        return [*gone, *self.left, total]


def is_run(directory: Path) -> bool:
    """Whether a directory is a run's."""
    return (directory / "spec.json").exists()


def is_comparison(directory: Path) -> bool:
    """Whether a directory is a comparison's."""
    return (directory / LOCK).exists() or (directory / "comparison.json").exists()


def runs_in(directory: Path) -> list[Path]:
    """The runs of a comparison's directory, also those of another plan that somebody put there."""
    return sorted(path for path in directory.glob("runs/*") if path.is_dir() and is_run(path))


def use(directory: Path) -> dict[str, int]:
    """Bytes of a run's or a comparison's files by `PARTS`, the largest first, those of nothing left out."""
    from uncollapse.room import taken

    found = dict.fromkeys(PARTS, 0)
    for home in (directory, *runs_in(directory)):
        for path in home.iterdir():
            if path != directory / "runs":
                found[_PART_OF.get(path.name, "other")] += 0 if path.is_symlink() else taken(path)
    return {part: found[part] for part in sorted(PARTS, key=lambda part: -found[part]) if found[part]}


def clean(directory: Path | None) -> Cleaning:
    """Removes what nobody needs: leftovers of killed writers, damaged checkpoints, superfluous ones of finished runs.

    Of a finished run the newest and the best checkpoint stay, of an unfinished one all that are intact.

    Args:
        directory: A run's or a comparison's.

    Raises:
        UserError: There is no such directory, it is neither, or another process is writing there.
        OSError: Something may not be removed; what was removed by then is gone.
    """
    if directory is None:
        raise UserError("--clean needs a directory; give a run's or a comparison's.")
    if not directory.is_dir():
        raise UserError(f"There is no directory {directory}; give a run's or a comparison's.")
    if not is_run(directory) and not is_comparison(directory):
        raise UserError(f"{directory} is neither a run (no spec.json) nor a comparison (no {LOCK}).")
    done = Cleaning(directory=directory)
    with _held(directory) as ours:
        if not ours:
            raise UserError(f"{directory} is being written by another process; clean it when that has ended.")
        _remove_leftovers(directory, done)
        if is_run(directory):
            _remove_checkpoints(directory, done)
        for run in runs_in(directory) if is_comparison(directory) else []:
            _clean_run(run, done)
    return done


@contextlib.contextmanager
def _held(directory: Path) -> Iterator[bool]:
    """Holds a directory as its only writer; false where another process does."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(only_writer(directory))
        except UserError:
            yield False
        else:
            yield True


def _clean_run(run: Path, done: Cleaning) -> None:
    """One run of a comparison, unless it is somebody else's at the moment or a link to another place."""
    if run.is_symlink():
        done.left.append(f"{run.name} is a link and was left alone.")
        return
    with _held(run) as ours:
        if ours:
            _remove_leftovers(run, done)
            _remove_checkpoints(run, done)
        else:
            done.left.append(f"{run.name} is being written by another process and was left alone.")


def _remove_leftovers(directory: Path, done: Cleaning) -> None:
    from uncollapse.records import leftovers, throw_away

    for path in list(leftovers(directory)):
        _removed(path, "a killed process left it half-written", done)
        throw_away(path)


def _remove_checkpoints(run: Path, done: Cleaning) -> None:
    from uncollapse import checkpoint

    home = run / "checkpoints"
    if home.is_symlink():
        done.left.append(f"The checkpoints of {run.name} are a link and were left alone.")
        return
    intact: dict[Path, str | None] = {}
    for folder in checkpoint.folders(home):
        try:
            intact[folder] = checkpoint.read(folder).spec
        except checkpoint.AnotherVersion as error:
            done.left.append(f"{folder.name} of {run.name} was left alone, because {error}.")
        except checkpoint.DAMAGE as error:
            _removed(folder, f"damaged ({type(error).__name__}: {error})", done)
            checkpoint.remove(folder)
    own, updates = _finished(run)
    found = [choose(home, spec=own)[0] for choose in (checkpoint.newest, checkpoint.best)]
    wanted = {one.update for one in found if one is not None}
    if not own or max(wanted, default=-1) < updates:  # where the last one is lost, every other one may be of use
        return
    for folder, spec in intact.items():
        if spec in (None, own) and checkpoint.step(folder) not in wanted:
            _removed(folder, "neither the newest nor the best of a finished run", done)
            checkpoint.remove(folder)


def _finished(run: Path) -> tuple[str, int]:
    """The hash and the updates of a run that is finished; an empty hash of another one."""
    try:
        spec, result = (read_json(run / name) for name in ("spec.json", "result.json"))
        if result["status"] == "finished" and result["hash"] == spec["hash"]:
            return str(spec["hash"]), int(result["updates"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return "", 0


def _removed(path: Path, why: str, done: Cleaning) -> None:
    from uncollapse.room import taken

    done.removed.append(Removed(path=str(path.relative_to(done.directory)), bytes=taken(path), why=why))
