"""One writer a directory: refused by name, stolen from the dead at once and from the silent after a while."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import uncollapse
from uncollapse import lease
from uncollapse.errors import UserError
from uncollapse.lease import LEASE, STALE_SECONDS, Busy, LeaseLost, Owner, only_writer, read_owner, state
from uncollapse.records import leftovers

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(uncollapse.__file__).parents[1])}

HOLD = """
import sys, time
from pathlib import Path
from uncollapse.lease import only_writer
with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""

# Many processes want the same directory; each that gets it says so and finds itself alone there.
CONTEND = """
import fcntl, os, sys, time
from pathlib import Path
from uncollapse import lease
def no_locks(*_):
    raise OSError(37, "No locks available")
if sys.argv[2] == "no locks":
    fcntl.flock = no_locks
folder, deadline, got = Path(sys.argv[1]), time.monotonic() + 4, 0
while time.monotonic() < deadline:
    try:
        with lease.only_writer(folder):
            (folder / "inside").open("x").close()
            time.sleep(0.001)
            (folder / "inside").unlink()
            got += 1
    except lease.Busy:
        time.sleep(0.0005)
print(got)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def leave(folder: Path, *, age: float = 0.0, **changes: object) -> Owner:
    """A lease file as another owner left it, its last beat so many seconds ago."""
    owner = replace(Owner.here(), **changes)  # type: ignore[arg-type]
    (folder / LEASE).write_text(json.dumps(asdict(owner)), encoding="utf-8")
    os.utime(folder / LEASE, (time.time() - age,) * 2)
    return owner


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system whose locks do not reach other machines: everybody gets one."""
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)


@contextlib.contextmanager
def held_by_another(directory: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(directory)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == "held\n"
            yield holder
        finally:
            holder.kill()


def test_a_second_writer_is_refused_by_name_until_the_first_is_gone_even_by_kill_9(tmp_path: Path) -> None:
    directory = tmp_path / "made" / "here"
    with held_by_another(directory) as holder:
        refusal = (
            f"{directory} is being written by pid {holder.pid} on host {socket.gethostname()} since "
            f"{time.strftime('%H:')}"
        )
        ending = r"\d\d; wait for it, stop it, or choose another --out\.$"
        with pytest.raises(Busy, match=re.escape(refusal) + ending), only_writer(directory):
            pass
        assert issubclass(Busy, UserError)
        kind, owner = state(directory)
        assert (kind, owner and owner.pid) == ("held", holder.pid)
        holder.send_signal(signal.SIGKILL)
        assert holder.wait() == -signal.SIGKILL
    assert state(directory)[0] == "left"
    with only_writer(directory) as ours:
        assert read_owner(directory / LEASE) == ours.owner
        assert names(directory) == [".lease", ".lock"]
        with pytest.raises(Busy, match=f"pid {os.getpid()} "), only_writer(directory):
            pass
    assert names(directory) == [".lock"]
    assert state(directory) == ("free", None)


def test_a_dead_process_of_this_machine_loses_its_lease_at_once_without_any_lock(
    tmp_path: Path, no_locks: None
) -> None:
    with held_by_another(tmp_path) as holder:
        with pytest.raises(Busy, match=f"pid {holder.pid} "), only_writer(tmp_path):
            pass
        holder.kill()
        holder.wait()
    began = time.monotonic()
    with only_writer(tmp_path):
        assert time.monotonic() - began < 5


def test_a_process_number_that_is_used_again_is_another_process(tmp_path: Path, no_locks: None) -> None:
    alive = os.getppid()
    leave(tmp_path, pid=alive, born=lease._born(alive))
    with pytest.raises(Busy), only_writer(tmp_path):
        pass
    leave(tmp_path, pid=alive, born="1")
    with only_writer(tmp_path):
        pass


@pytest.mark.parametrize("changes", [{"host": "elsewhere"}, {"place": "another start of the kernel"}])
def test_another_machines_lease_is_respected_until_it_is_silent_for_long(
    changes: dict[str, object], tmp_path: Path
) -> None:
    leave(tmp_path, age=STALE_SECONDS - 30, pid=1, **changes)
    host = changes.get("host", socket.gethostname())
    with pytest.raises(Busy, match=f"pid 1 on host {host} since"), only_writer(tmp_path):
        pass
    assert state(tmp_path)[0] == "held"
    leave(tmp_path, age=STALE_SECONDS + 30, pid=1, **changes)
    assert state(tmp_path)[0] == "left"
    with only_writer(tmp_path) as ours:
        assert read_owner(tmp_path / LEASE) == ours.owner
    assert names(tmp_path) == [".lock"]


def test_a_clock_of_this_machine_that_is_wrong_steals_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(tmp_path, host="elsewhere")
    monkeypatch.setattr(time, "time", lambda: 4e9)  # the year 2096
    with pytest.raises(Busy, match="elsewhere"), only_writer(tmp_path):
        pass


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"host": "x"}', b"\xff", b"[" * 200_000])
def test_a_lease_that_names_nobody_is_somebodys_while_it_is_young(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / LEASE
    path.write_bytes(content)
    with pytest.raises(Busy, match="written by another process;"), only_writer(tmp_path):
        pass
    os.utime(path, (time.time() - STALE_SECONDS - 30,) * 2)
    with only_writer(tmp_path):
        pass


@pytest.mark.long
@pytest.mark.parametrize("locks", ["locks", "no locks"])
@pytest.mark.long
def test_among_many_contenders_there_is_never_more_than_one(locks: str, tmp_path: Path) -> None:
    leave(tmp_path, born="1")  # they begin with a theft
    command = [sys.executable, "-c", CONTEND, str(tmp_path), locks]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    contenders = [subprocess.Popen(command, env=ENVIRONMENT, **pipes) for _ in range(4)]  # type: ignore[call-overload]
    ends = [one.communicate(timeout=60) for one in contenders]
    assert [error for _, error in ends] == [""] * 4
    assert sum(int(out) for out, _ in ends) > 20
    assert names(tmp_path) == [".lock"]


def test_a_thief_that_comes_second_puts_the_new_owners_lease_back(
    tmp_path: Path, no_locks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(tmp_path, born="1")
    real, first = lease._take_away, []

    def slow(directory: Path, path: Path, judged: Owner | None, thief: Owner) -> None:
        if not first:  # between judging and taking, another thief has taken and put its name there
            first.append(leave(tmp_path, host="elsewhere"))
        real(directory, path, judged, thief)

    monkeypatch.setattr(lease, "_take_away", slow)
    with pytest.raises(Busy, match="on host elsewhere"), only_writer(tmp_path):
        pass
    assert read_owner(tmp_path / LEASE) == first[0]
    assert not list(tmp_path.glob("*.tmp"))


def test_the_heart_beats_and_a_foreign_name_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)
    with only_writer(tmp_path) as ours:
        os.utime(tmp_path / LEASE, (0, 0))
        deadline = time.monotonic() + 10
        while (tmp_path / LEASE).stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert time.time() - (tmp_path / LEASE).stat().st_mtime < 5
        assert ours.watched(lambda: True)() is True
        assert ours.watched(lambda: False)() is False
        thief = leave(tmp_path, host="elsewhere", pid=7)
        while not ours._lost and time.monotonic() < deadline:
            time.sleep(0.02)
        sentence = rf"^{tmp_path} was taken over by pid 7 on host elsewhere since \d\d:\d\d, because this process was"
        with pytest.raises(LeaseLost, match=sentence):
            ours.watched(lambda: False)()
    assert read_owner(tmp_path / LEASE) == thief, "what is another's stays"


def test_who_slept_looks_before_it_writes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = lease._clock()
    with only_writer(tmp_path) as ours:
        monkeypatch.setattr(lease, "_clock", lambda: now + 1000)
        ours.check()  # nobody came meanwhile
        assert ours._beaten == now + 1000
        leave(tmp_path, host="elsewhere")
        ours.check()  # which a look this soon after a beat does not see
        monkeypatch.setattr(lease, "_clock", lambda: now + 2000)
        with pytest.raises(LeaseLost, match="taken over by pid"):
            ours.check()


def test_a_file_server_that_is_away_for_long_stops_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = lease._clock()
    with only_writer(tmp_path) as ours:

        def away(path: Path) -> None:
            raise OSError(errno.ESTALE, "Stale file handle")

        with monkeypatch.context() as patch:
            patch.setattr(lease, "read_owner", lambda path: away(path) if patch_on else ours.owner)
            patch.setattr(lease, "_clock", lambda: now + 10)
            patch_on = True
            ours._beat()
            ours.check()
            patch.setattr(lease, "_clock", lambda: now + 100)
            patch_on = False
            monkeypatch.setattr(os, "utime", away)
            with pytest.raises(LeaseLost, match="taken over meanwhile"):
                ours.check()


def test_without_hard_links_it_appears_exclusively_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", none)
    with only_writer(tmp_path) as ours:
        assert read_owner(tmp_path / LEASE) == ours.owner
    leave(tmp_path, host="elsewhere")
    with pytest.raises(Busy, match="elsewhere"), only_writer(tmp_path):
        pass


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        sentence = r"cannot be written \(no space left on device, .* free\); nothing was begun there"
        with pytest.raises(OSError, match=sentence), only_writer(tmp_path):
            pass
    assert names(tmp_path) == [".lock"]


def test_what_a_killed_claimant_leaves_is_collected(tmp_path: Path) -> None:
    (tmp_path / f"{LEASE}.0123456789abcdef.4242.tmp").touch()
    assert [path.name for path in leftovers(tmp_path)] == [f"{LEASE}.0123456789abcdef.4242.tmp"]


def test_names_of_other_machines_reach_no_terminal_as_they_are(tmp_path: Path) -> None:
    leave(tmp_path, host="evil\x1b[31m")
    with pytest.raises(Busy) as caught, only_writer(tmp_path):
        pass
    assert "\x1b" not in str(caught.value)
    assert "since 2001-0" in replace(Owner.here(), since=1e9).name


def test_a_running_process_is_told_from_one_that_has_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as one:
        assert lease.is_running(one.pid)
        one.communicate(b"\n")
    assert not lease.is_running(one.pid)
    assert lease.is_running(1), "also somebody else's"


def test_threads_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    inside, together = [], []

    def enter() -> None:
        for _ in range(20):
            with contextlib.suppress(Busy), only_writer(tmp_path):
                inside.append(1)
                together.append(len(inside))
                time.sleep(0.002)
                inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(together) == {1}
