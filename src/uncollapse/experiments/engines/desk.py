"""A folder in the shared directory by which the head and workers on other machines talk: orders, progress, outcomes.

Plain files, because the directory has to be shared anyway and is all that outlives every process. A worker whose desk
is gone has no head any more, or another one: it stops at the next update, with a checkpoint.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import Field, asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uncollapse.errors import UserError
from uncollapse.experiments.engines import Outcome
from uncollapse.parsing import read_json
from uncollapse.text import clean

if TYPE_CHECKING:
    from uncollapse.run import Progress

PREFIX = ".engine-"
GO, STOP = "go  ", "stop"
# Seconds between two looks at the orders, and between two notes of progress, of one worker.
ASK_SECONDS, TELL_SECONDS = 0.5, 1.0
# Network file systems show a new file to other machines only after a while.
PROBE_SECONDS = 20.0


@dataclass(frozen=True)
class Desk:
    """Both sides' view of the folder; it travels to workers as its path."""

    folder: Path

    @classmethod
    @contextmanager
    def opened(cls, home: Path) -> Iterator[Desk]:
        """A new desk, gone at the end; those of heads that were killed are cleared away.

        Args:
            home: A folder that head and workers share, and in which no other head is at work.

        Raises:
            UserError: It cannot be written.
        """
        desk = cls(home / f"{PREFIX}{secrets.token_hex(6)}")
        try:
            home.mkdir(parents=True, exist_ok=True)
            for old in home.glob(f"{PREFIX}*"):
                shutil.rmtree(old, ignore_errors=True)
            desk.folder.mkdir()
            desk._orders.write_text(GO, encoding="ascii")
        except OSError as error:
            shutil.rmtree(desk.folder, ignore_errors=True)
            raise UserError(
                f"{home} cannot be written ({error.strerror}); make room, or choose another --out."
            ) from error
        try:
            yield desk
        finally:
            shutil.rmtree(desk.folder, ignore_errors=True)

    @property
    def _orders(self) -> Path:
        return self.folder / "orders"

    def _put(self, name: str, text: str) -> None:
        """A whole file at once; it does not bring back a desk that is gone."""
        draft = self.folder / f".{name}.{secrets.token_hex(4)}"
        draft.write_text(text, encoding="utf-8")
        draft.replace(self.folder / name)

    def ask_to_stop(self) -> None:
        """Tells all workers to stop.

        Written in place: opening a file that is known asks the file server, while the look-up of a new name may be
        answered from a cache for a minute.
        """
        with self._orders.open("r+", encoding="ascii") as stream:
            stream.write(STOP)
            stream.flush()
            os.fsync(stream.fileno())

    def asked(self) -> bool:
        """Whether workers are to stop: told so, or without a head."""
        try:
            return self._orders.read_text(encoding="ascii") == STOP
        except FileNotFoundError:
            return True
        except OSError as error:
            return error.errno == errno.ESTALE

    def tell(self, name: str, progress: Progress | None) -> None:
        """A worker's note that a run has begun (None) or where it stands."""
        with suppress(OSError):  # a desk that is gone, or a full disk: progress is not worth a run
            self._put(f"{name}.progress", json.dumps(progress and asdict(progress)))

    def begun(self, name: str) -> bool:
        """Whether a worker has taken a run up."""
        return (self.folder / f"{name}.progress").exists()

    def close_book(self, name: str, outcome: Outcome) -> None:
        """A worker's last word on a run."""
        with suppress(OSError):
            self._put(f"{name}.outcome", json.dumps(asdict(outcome)))

    def outcome(self, name: str) -> Outcome | None:
        """The last word on a run; it is taken away, so that another attempt can have another."""
        path = self.folder / f"{name}.outcome"
        try:
            found = Outcome(**read_json(path))
        except (FileNotFoundError, ValueError):
            return None
        path.unlink(missing_ok=True)
        return found

    def clear(self, name: str) -> None:
        """Forgets an earlier attempt of a run."""
        for kind in ("progress", "outcome"):
            (self.folder / f"{name}.{kind}").unlink(missing_ok=True)

    def leave_mark(self, mark: str) -> None:
        """A worker's proof that it sees the folder."""
        self._put(f"mark-{mark}", mark)

    def expect_mark(self, mark: str, where: str, engine: str, seconds: float = PROBE_SECONDS) -> None:
        """Waits for a worker's mark.

        Args:
            mark: What it was told to leave.
            where: The worker's machine, for the message.
            engine: The engine's name, likewise.
            seconds: How long to wait.

        Raises:
            UserError: It does not appear here, so that the worker writes to another place.
        """
        deadline = time.monotonic() + seconds
        while True:
            os.scandir(self.folder).close()  # which refreshes what a network file system has cached of it
            with suppress(OSError):
                if (self.folder / f"mark-{mark}").read_text(encoding="utf-8") == mark:
                    return
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        raise not_shared(self.folder.parent, where, engine)


def not_shared(folder: Path, where: str, engine: str) -> UserError:
    """The sentence for a directory that is not the same one everywhere."""
    return UserError(
        f"{folder} is not shared with {clean(where)}: a file that was written on one side does not appear on the other;"
        f" the engine {engine} needs an --out that all its machines see at the same path."
    )


@dataclass
class Reporter:
    """A worker's side of the desk for one run, which writes and looks no more often than it must."""

    desk: Desk
    name: str
    _told: float = field(default=0.0, init=False)
    _looked: float = field(default=0.0, init=False)
    _stop: bool = field(default=False, init=False)

    def progress(self, progress: Progress) -> None:
        """Notes where the run stands."""
        now = time.monotonic()
        if now - self._told > TELL_SECONDS:
            self._told = now
            self.desk.tell(self.name, progress)

    def stop(self) -> bool:
        """Whether the run is to stop."""
        now = time.monotonic()
        if not self._stop and now - self._looked > ASK_SECONDS:
            self._looked = now
            self._stop = self.desk.asked()
        return self._stop


class Reader:
    """The head's side: what is new since the last look, no more than once a second."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._seen, self._looked = desk, {}, 0.0  # type: tuple[Desk, dict[str, tuple[int, int]], float]

    def news(self, names: list[str]) -> Iterator[tuple[str, Progress]]:
        """The newest progress of each run that has any."""
        from uncollapse.run import Progress

        now = time.monotonic()
        if now - self._looked < TELL_SECONDS:
            return
        self._looked = now
        for name in names:
            path = self._desk.folder / f"{name}.progress"
            try:
                found = path.stat()
                written = found.st_ino, found.st_mtime_ns  # clocks of files may tick every few ms only
                if self._seen.get(name) == written:
                    continue
                content = read_json(path)
            except (OSError, ValueError):
                continue
            self._seen[name] = written
            if content is not None:  # a worker of another version may know more, or less
                known = {one.name: _typed(one, content[one.name]) for one in fields(Progress) if one.name in content}
                with suppress(TypeError):
                    yield name, Progress(**known)


def _typed(one: Field[Any], value: Any) -> Any:
    """JSON knows no tuples."""
    return tuple(value) if isinstance(value, list) and str(one.type).startswith("tuple") else value
