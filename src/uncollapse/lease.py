"""One writer a directory: the system's lock beside a lease that names its owner and beats like a heart.

The lock (`flock`) ends with its process, even by kill -9, but not every network file system shares it between machines;
the lease file does not need it: it appears by an exclusive link, changes hands by a rename, and its age is told by the
file server's clock. Everything that writes a run, a comparison or an evaluation goes through `only_writer`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from uncollapse.errors import UserError
from uncollapse.parsing import read_json
from uncollapse.text import clean

LEASE, LOCK = ".lease", ".lock"
BEAT_SECONDS = 10.0
# After so long without a sign of life an owner on another machine counts as dead, and before that it stops by itself.
STALE_SECONDS, SILENT_SECONDS = 120.0, 80.0
# What `flock` answers where there is none.
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
# What `link` answers where there are no hard links.
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class Busy(UserError):
    """Another process is writing there; it will be over some time, so that waiting helps."""


class LeaseLost(UserError):
    """This process was silent for so long that another one has taken its place."""


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The process that writes a directory.

    Attributes:
        host: Name of its machine.
        pid: Its number there.
        place: Kernel start and process namespace, within which the number means one process; empty where unknown.
        born: When the process started, in the kernel's ticks, so that a number that is used again is not taken for it.
        since: When it began to write, in seconds since 1970.
        token: Different for every lease.
    """

    host: str
    pid: int
    place: str
    born: str
    since: float
    token: str

    @classmethod
    def here(cls) -> Owner:
        """This process, from now on."""
        pid = os.getpid()
        name, token = socket.gethostname(), secrets.token_hex(8)
        return cls(host=name, pid=pid, place=_place(), born=_born(pid), since=time.time(), token=token)

    @property
    def name(self) -> str:
        """Who it is and since when, for a sentence."""
        began = time.localtime(self.since)
        form = "%H:%M" if began[:3] == time.localtime()[:3] else "%Y-%m-%d %H:%M"
        return f"pid {self.pid} on host {clean(self.host)} since {time.strftime(form, began)}"

    def is_dead(self) -> bool | None:
        """Whether its process has ended; None where this machine cannot know."""
        if not self.place or (self.host, self.place) != (socket.gethostname(), _place()):
            return None
        return _born(self.pid) != self.born


class Lease:
    """A directory held by this process; `check` is cheap and may be asked at every look.

    Args:
        path: The lease file.
        owner: This process, as the file names it.
    """

    def __init__(self, path: Path, owner: Owner) -> None:
        """Starts the heart."""
        self.path, self.owner = path, owner
        self._beaten, self._lost = _clock(), False
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._beat_on, name="uncollapse lease", daemon=True)
        self._heart.start()

    def check(self) -> None:
        """Nothing, while the directory is this process's own.

        Raises:
            LeaseLost: It is another's, or may be by now.
        """
        if not self._lost and _clock() - self._beaten > SILENT_SECONDS:  # it slept, or the file server is away
            self._beat()
        if self._lost or _clock() - self._beaten > SILENT_SECONDS:
            other = read_owner(self.path)
            by = f"by {other.name}" if other is not None and other.token != self.owner.token else "meanwhile"
            raise LeaseLost(
                f"{self.path.parent} was taken over {by}, because this process was silent for too long; it writes no "
                "more there, and what it wrote last may have to be trained again."
            )

    def watched(self, stop: Callable[[], bool]) -> Callable[[], bool]:
        """The same request to stop, which also raises `LeaseLost` once the directory is another's."""

        def asked() -> bool:
            self.check()
            return stop()

        return asked

    def _beat_on(self) -> None:
        while not self._over.wait(BEAT_SECONDS) and not self._lost:
            self._beat()

    def _beat(self) -> None:
        """A sign of life; a file server that does not answer is no proof of a loss, an other name in the file is."""
        try:
            there = read_owner(self.path)
            if there is None or there.token != self.owner.token:
                self._lost = True
            else:
                os.utime(self.path)
                self._beaten = _clock()
        except OSError:
            pass

    def release(self) -> None:
        """Stops the heart and lets others in."""
        self._over.set()
        self._heart.join(timeout=BEAT_SECONDS)  # a file server that hangs must not keep this process
        with contextlib.suppress(OSError):
            there = read_owner(self.path)
            if there is not None and there.token == self.owner.token:
                self.path.unlink()


@contextlib.contextmanager
def only_writer(directory: Path) -> Iterator[Lease]:
    """Holds a directory for this process.

    Raises:
        Busy: Another process is writing there; says which one and since when.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK).open("ab") as stream:
        locked = _lock(directory, stream)
        lease = Lease(directory / LEASE, _claim(directory, locked=locked))
        try:
            yield lease
        finally:
            lease.release()


def state(directory: Path) -> tuple[Literal["free", "held", "left"], Owner | None]:
    """Whether somebody writes a directory, and who; ``left`` is a lease whose owner is dead or silent.

    Looks only; nothing is written and nothing is locked.
    """
    path = directory / LEASE
    owner, age = read_owner(path), _age(path)
    if age is None:
        return "free", None
    if owner is not None and owner.is_dead() is not None:
        return ("left" if owner.is_dead() else "held"), owner
    return ("left" if age > STALE_SECONDS else "held"), owner


def read_owner(path: Path) -> Owner | None:
    """Who a lease file names, None where there is no file or no name in it.

    Raises:
        OSError: It cannot be read at the moment.
    """
    try:
        content = read_json(path)
        fields = {key: str(content[key]) for key in ("host", "place", "born", "token")}
        return Owner(**fields, pid=int(content["pid"]), since=float(content["since"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def is_running(pid: int) -> bool:
    """Whether a process of this machine has that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True


def _lock(directory: Path, stream: BinaryIO) -> bool:
    """Takes the system's lock; false where the file system knows none."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise _busy(directory, read_owner(directory / LEASE)) from error
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return False
    return True


def _claim(directory: Path, *, locked: bool) -> Owner:
    """Puts this process's name into the lease file, unless a living owner's is there.

    Args:
        directory: What is claimed.
        locked: Whether this process holds the system's lock, which a living owner of this machine would hold.
    """
    path, owner = directory / LEASE, Owner.here()
    # The name is one that `records.leftovers` knows, for the case that this process is killed just now.
    draft = directory / f"{LEASE}.{owner.token}.{owner.pid}.tmp"
    try:
        _write_draft(draft, owner)
        for _ in range(3):
            if _appear(draft, path):
                return owner
            there, age = read_owner(path), _age(path, now=draft.stat().st_mtime)
            if age is None:
                continue
            if not _may_be_taken(there, age, locked):
                raise _busy(directory, there)
            _take_away(directory, path, there, owner)
            os.utime(draft)
        raise _busy(directory, read_owner(path))
    except FileNotFoundError as error:  # the draft was tidied up by the one who was faster
        raise _busy(directory, read_owner(path)) from error
    finally:
        draft.unlink(missing_ok=True)


def _write_draft(draft: Path, owner: Owner) -> None:
    try:
        draft.write_text(json.dumps(asdict(owner)), encoding="utf-8")
    except OSError as error:
        from uncollapse.room import CannotWrite, why

        raise CannotWrite(
            f"{draft.parent} cannot be written ({why(error, draft.parent)}); nothing was begun there, and the same "
            "command begins once it can be written."
        ) from error


def _may_be_taken(owner: Owner | None, age: float, locked: bool) -> bool:
    """A dead owner's lease at once, a silent one's after a while.

    One without a name was left by a process that was killed while it wrote it; that is told from a living one by age.
    """
    if owner is None:
        return age > STALE_SECONDS
    nearby = (owner.host, owner.place) == (socket.gethostname(), _place())
    if locked and nearby and (not owner.place or owner.pid == os.getpid()):
        return True  # the lock tells where processes cannot be looked up, and what this one could not remove is its own
    return bool(owner.is_dead()) or age > STALE_SECONDS


def _take_away(directory: Path, path: Path, judged: Owner | None, thief: Owner) -> None:
    """Removes the lease that was judged; only one of several thieves succeeds, and a living lease is put back."""
    stolen = directory / f"{LEASE}.{secrets.token_hex(8)}.{thief.pid}.tmp"
    try:
        path.rename(stolen)
    except FileNotFoundError:
        return
    try:
        taken = read_owner(stolen)
        if (taken and taken.token) != (judged and judged.token):  # somebody was faster, and this lease is its new one
            _appear(stolen, path)
            raise _busy(directory, taken)
    finally:
        stolen.unlink(missing_ok=True)


def _appear(draft: Path, path: Path) -> bool:
    """Lets a file appear under a name with all it holds; false where there is one already."""
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        try:
            with path.open("xb") as stream:
                stream.write(draft.read_bytes())
        except FileExistsError:
            return False
    return True


def _busy(directory: Path, owner: Owner | None) -> Busy:
    who = "another process" if owner is None else owner.name
    return Busy(f"{directory} is being written by {who}; wait for it, stop it, or choose another --out.")


def _age(path: Path, now: float | None = None) -> float | None:
    """Seconds since the last beat, None where there is no lease.

    Args:
        path: The lease file.
        now: The file server's time, as the date of a file that was just written; None = this machine's.
    """
    try:
        return (time.time() if now is None else now) - path.stat().st_mtime
    except FileNotFoundError:
        return None


def _clock() -> float:
    """Seconds that also pass while the machine sleeps, where the system counts them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@functools.cache
def _place() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _born(pid: int) -> str:
    """When a process started, in the kernel's ticks; empty for one that is not there or that is dead but not buried."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
