"""A disk that says no at any write loses nothing that was saved, leaves no half file, and costs no bit later on.

Every write call of a run fails in turn, once or from then on; and a real small disk runs full.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import SafetensorError

from uncollapse import checkpoint
from uncollapse.files import read_lines
from uncollapse.networks.mlp import MLP
from uncollapse.room import CannotWrite
from uncollapse.run import Progress, execute, load
from uncollapse.spec import RunSpec, make_spec
from uncollapse.tasks import find

UPDATES = 4


def spec(updates: int = UPDATES, width: int = 8) -> RunSpec:
    task = dataclasses.replace(find("blobs-2"), measure_size=200)
    return make_spec("vanilla", task, seeds=(3, 5), updates=updates, batch=8, networks=MLP(width=width, depth=1))


def go(directory: Path, one: RunSpec | None = None, **options: Any) -> None:
    execute(one or spec(), directory, device="cpu", **{"checkpoint_seconds": 0.0, **options})


def end(directory: Path) -> dict[str, Any]:
    """All that may depend on nothing but the spec."""
    result = json.loads((directory / "result.json").read_text())
    arrays = {}
    for path in sorted((directory / "samples").iterdir()):
        with np.load(path) as content:
            arrays.update({f"{path.name}/{key}": value.tobytes() for key, value in content.items()})
    newest, _ = checkpoint.newest(directory / "checkpoints")
    assert newest is not None
    return {
        "weights": {name: value.numpy().tobytes() for name, value in newest.tensors.items()},
        "history": (directory / "history.jsonl").read_bytes(),
        "result": {key: value for key, value in result.items() if key != "warnings"},
        "samples": arrays,
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The end of a run that nothing disturbed."""
    directory = tmp_path_factory.mktemp("whole")
    go(directory)
    return end(directory)


# --- every write in turn --------------------------------------------------------------------------------------------


class Writes:
    """Counts the write calls of a process, and lets some of them fail as a full disk does.

    Args:
        fails: Number of a call, from 1 -> whether it fails.
        error: What the building of a checkpoint's bytes fails with; all else fails with ENOSPC.
    """

    def __init__(self, fails: Callable[[int], bool], error: type[Exception] = SafetensorError) -> None:
        self.fails, self.error, self.count = fails, error, 0
        self.seen: set[str] = set()

    def check(self, kind: str) -> None:
        self.count += 1
        self.seen.add(kind)
        if self.fails(self.count):
            raise OSError(errno.ENOSPC, "No space left on device")

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            real_open, real_build = Path.open, checkpoint.save_tensors

            def opened(path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
                if not set(mode) & set("wax+"):
                    return real_open(path, mode, *args, **options)
                if not path.exists():  # a full disk lets files be opened that are there already
                    self.check("create")
                return _File(real_open(path, mode, *args, **options), self)

            def built(*args: Any) -> bytes:
                try:
                    self.check("build")
                except OSError as full:
                    raise self.error("unexpected pos 64 vs 0") from full
                return real_build(*args)

            patch.setattr(Path, "open", opened)
            patch.setattr(checkpoint, "save_tensors", built)
            for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "mkdir")):
                patch.setattr(owner, name, self.wrapped(name, getattr(owner, name)))
            yield

    def wrapped(self, kind: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def checked(*args: Any, **options: Any) -> Any:
            self.check(kind)
            return real(*args, **options)

        return checked


class _File:
    """A file whose writes are counted; one that fails writes half of its bytes."""

    def __init__(self, real: io.BufferedRandom, writes: Writes) -> None:
        self._real, self._writes = real, writes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self._real.close()

    def write(self, content: bytes) -> int:
        try:
            self._writes.check("write")
        except OSError:
            self._real.write(content[: len(content) // 2])
            self._real.flush()
            raise
        return self._real.write(content)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> int:
    """Write calls of an undisturbed run."""
    writes, directory = Writes(lambda _: False), tmp_path_factory.mktemp("counted")
    with writes.counted():
        go(directory)
    assert writes.seen == {"create", "write", "build", "fsync", "replace", "mkdir"}
    assert 120 < writes.count < 300
    return writes.count


def intact(directory: Path) -> set[int]:
    """The updates of all checkpoints, each of which must be whole."""
    return {checkpoint.read(folder).update for folder in checkpoint.folders(directory / "checkpoints")}


def check_one_failure(number: int, *, lasting: bool, directory: Path, whole: dict[str, Any]) -> str:
    """Lets one write fail, or all from then on; looks at what is left, and runs the same command again."""
    saved: list[set[int]] = []

    def fails(count: int) -> bool:
        if count < number or (count > number and not lasting):
            return False
        if count == number:
            saved.append(intact(directory))
        return True

    outcome, said = "went on", ""
    try:
        with Writes(fails, error=RuntimeError if number % 2 else SafetensorError).counted():
            go(directory)
    except CannotWrite as error:
        outcome, said = "stopped", str(error)
    except OSError:
        outcome = "never began"
    assert (outcome == "stopped") == said.endswith(" once it can be written.")
    assert "\n" not in said
    assert outcome != "never began" or not (directory / "history.jsonl").exists()
    if directory.exists():
        assert not [path for path in directory.rglob("*") if path.name.endswith(".tmp") or ".tmp-" in path.name]
    for name in ("history.jsonl", "timing.jsonl"):
        if (directory / name).exists():
            assert (directory / name).read_bytes()[-1:] in (b"", b"\n")
            read_lines(directory / name)
    assert len(saved) == 1
    if outcome == "went on":
        assert not lasting
        assert end(directory) == whole
        return outcome
    assert saved[0] <= intact(directory), "a checkpoint that was there is gone"
    go(directory)
    assert end(directory) == whole
    return outcome


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_some_writes_fail(lasting: bool, calls: int, whole: dict[str, Any], tmp_path: Path) -> None:
    numbers = range(2 + lasting, calls + 1, 23)
    outcomes = {
        check_one_failure(number, lasting=lasting, directory=tmp_path / str(number), whole=whole) for number in numbers
    }
    assert "stopped" in outcomes
    assert ("went on" in outcomes) is not lasting


@pytest.mark.slow
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_every_write_fails(lasting: bool, calls: int, whole: dict[str, Any], tmp_path: Path) -> None:
    outcomes = [
        check_one_failure(number, lasting=lasting, directory=tmp_path / str(number), whole=whole)
        for number in range(1, calls + 1)
    ]
    assert outcomes.count("never began") <= 8
    assert outcomes.count("stopped") > 20
    assert (outcomes.count("went on") > 20) is not lasting


# --- a real limit ---------------------------------------------------------------------------------------------------


def test_checkpoints_beyond_the_systems_limit_degrade_and_come_back(tmp_path: Path, whole: dict[str, Any]) -> None:
    """The system itself refuses every byte of a file beyond a size; only checkpoints are so large."""
    one = spec(updates=10, width=64)
    go(tmp_path / "whole", one)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    seen: list[Progress] = []

    def limited(progress: Progress) -> None:
        seen.append(progress)
        closed = 3 < progress.update < 9
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000 if closed else soft, hard))

    size = sum(path.stat().st_size for path in checkpoint.folders(tmp_path / "whole" / "checkpoints")[0].iterdir())
    assert size > 12_000 > max(path.stat().st_size for path in (tmp_path / "whole" / "samples").glob("step-*"))
    try:
        go(tmp_path / "limited", one, progress=limited)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    (sentence,) = load(tmp_path / "limited").result["warnings"]
    assert sentence.startswith("The checkpoint of update 4 could not be saved (file too large, ")
    assert "; the one of update 3 is kept, training goes on, and saving is tried again." in sentence
    assert [one.update for one in seen if one.degraded] == [5, 6, 7, 8, 9]
    assert end(tmp_path / "limited") == end(tmp_path / "whole")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a file system cannot be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill(place: Path, leave: int = 0) -> Path:
    """Fills a disk with one file until nothing, or so many bytes, are left."""
    filler = place / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
        while stream.write(bytes(4096)):
            pass
    os.truncate(filler, filler.stat().st_size - leave)
    return filler


@pytest.mark.parametrize("leave", [0, 16_384, 65_536])
def test_a_disk_that_runs_full_while_training_loses_nothing(leave: int, small_disk: Path, tmp_path: Path) -> None:
    one = spec(updates=30, width=64)
    go(tmp_path / "whole", one)

    def filling(progress: Progress) -> None:
        if progress.update == 12:
            fill(small_disk, leave)

    with pytest.raises(CannotWrite) as caught:
        go(small_disk / "run", one, progress=filling)
    assert "could not be written (no space left on device, " in str(caught.value)
    saved = intact(small_disk / "run")
    assert max(saved) >= 11
    # Without room for one more checkpoint it does not start; with it, it comes as far as the disk lets it.
    refused = r"has .* free, and this run needs .*; make room, or choose another --out"
    stopped = r"could not be written .*; all up to update \d+ is safe, and the same command goes on from there .*"
    with pytest.raises(CannotWrite, match=rf"^.* ({refused}|{stopped})\.$"):
        go(small_disk / "run", one)
    later = intact(small_disk / "run")
    assert max(later) >= max(saved)
    assert leave or later == saved
    (small_disk / "filler").unlink()
    go(small_disk / "run", one)
    assert end(small_disk / "run") == end(tmp_path / "whole")
    assert read_lines(small_disk / "run" / "timing.jsonl")[-1]["from"] == max(later)


@pytest.mark.long
def test_the_command_says_one_sentence_and_ends_with_1(small_disk: Path) -> None:
    command = [sys.executable, "-m", "uncollapse", "train", "vanilla", "blobs-2", "--seeds", "1", "--updates", "4"]
    filler = fill(small_disk, leave=100_000)
    before = sorted(small_disk.iterdir())
    done = subprocess.run(
        [*command, "--out", str(small_disk / "run")], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"uncollapse: {small_disk / 'run'} has ")
    assert line.endswith("; make room, or choose another --out.")
    assert sorted(small_disk.iterdir()) == before
    filler.unlink()
    done = subprocess.run(
        [*command, "--out", str(small_disk / "run"), "--set", "networks.width=16"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
