"""Room: what a run will need is known before it starts, and too little of it is refused before anything is written."""

from __future__ import annotations

import errno
import re
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from safetensors import SafetensorError

from uncollapse import checkpoint, room
from uncollapse.loop import Trainer
from uncollapse.monitor import MonitorChoice
from uncollapse.networks import FAMILIES
from uncollapse.networks.mlp import MLP
from uncollapse.run import execute
from uncollapse.spec import RunSpec, make_spec
from uncollapse.trees import flatten

SMALL = MLP(width=8, depth=2)
Usage = namedtuple("Usage", ["total", "used", "free"])


def spec(method: str = "vanilla", task: str = "blobs-2", **options: object) -> RunSpec:
    return make_spec(method, task, **{"seeds": (3, 5), "updates": 4, "batch": 8, "networks": SMALL, **options})  # type: ignore[arg-type]


def leave(free: int, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12 - free, free))


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("vanilla", {}),
        ("vanilla", {"dtype": "float64", "seeds": (1, 2, 3)}),
        ("vanilla", {"dtype": "bfloat16"}),
        ("vanilla", {"task": "digits", "networks": FAMILIES["dcgan"](width=4, latent=4)}),
        ("sngan", {}),
        ("mad-gan-4", {}),
        ("ensemble-4", {"networks": MLP(width=64, depth=2)}),
        ("began", {}),
        ("cgan", {}),
        ("vanilla", {"monitor": MonitorChoice(every=1)}),
        ("ensemble-4", {"networks": MLP(width=64, depth=2), "monitor": MonitorChoice(every=1, on_alarm="rollback")}),
    ],
)
def test_a_checkpoint_takes_what_was_foretold(method: str, options: dict[str, object], tmp_path: Path) -> None:
    one = spec(method, **options)  # type: ignore[arg-type]
    foretold = room.checkpoint_bytes(one)
    tensors = flatten(Trainer(one).lanes)
    if one.monitor is not None and one.monitor.on_alarm == "rollback":  # once all seeds have been healthy
        tensors |= {f"healthy.{name}": value.clone() for name, value in tensors.items()}
    folder = checkpoint.save(tmp_path, tensors, spec="", update=0, rounds=0, history_bytes=0)
    names = 4_000  # the header of a safetensors file and the manifest
    assert foretold * 0.98 <= room.taken(folder) <= foretold * 1.02 + names


def test_too_little_room_is_refused_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "deep" / "run"
    needed = 3 * room.checkpoint_bytes(spec())
    with monkeypatch.context() as patch:
        leave(needed - 1, patch)
        with pytest.raises(room.CannotWrite) as caught:
            execute(spec(), out, device="cpu")
    assert re.fullmatch(
        rf"{out} has [\d.]+ kB free, and this run needs [\d.]+ kB, room for three checkpoints of [\d.]+ kB;"
        " make room, or choose another --out.",
        str(caught.value),
    )
    assert list(tmp_path.iterdir()) == []
    with monkeypatch.context() as patch:
        leave(needed, patch)
        assert execute(spec(), out, device="cpu").status == "finished"


def test_a_finished_run_needs_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    execute(spec(), tmp_path / "run", device="cpu")
    with monkeypatch.context() as patch:
        leave(0, patch)
        assert execute(spec(), tmp_path / "run", device="cpu").status == "finished"
        with pytest.raises(room.CannotWrite):
            execute(spec(updates=8), tmp_path / "run", device="cpu")


def test_what_is_replaced_counts_as_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = spec()
    execute(one, tmp_path / "run", device="cpu")
    before = room.taken(tmp_path / "run" / "checkpoints")
    needed = 3 * room.checkpoint_bytes(one)
    with monkeypatch.context() as patch:
        leave(needed - before - 1, patch)
        with pytest.raises(room.CannotWrite):
            room.check_room(tmp_path / "run", one, fresh=True)
        leave(needed - before, patch)
        room.check_room(tmp_path / "run", one, fresh=True)
        with pytest.raises(room.CannotWrite):
            room.check_room(tmp_path / "run", one)


def test_a_run_that_goes_on_has_its_kept_checkpoints_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs room for one more, not for three: the message of a full disk promises that the same command goes on."""
    one = spec(updates=8)
    size = room.checkpoint_bytes(one)
    for kept, needed in ((2.5, 1.0), (1.0, 2.0), (0.0, 3.0)):
        folder = tmp_path / f"{kept}" / "checkpoints"
        folder.mkdir(parents=True)
        (folder / "step-000000004").write_bytes(b"x" * round(kept * size))
        with monkeypatch.context() as patch:
            leave(round(needed * size) - 1, patch)
            with pytest.raises(room.CannotWrite, match="beside the" if kept else "and this run needs"):
                room.check_room(folder.parent, one)
            leave(round(needed * size), patch)
            room.check_room(folder.parent, one)


def test_free_room_is_that_of_the_place_where_a_directory_will_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "a" / "b" / "c", tmp_path / "file"):
        assert room.free_bytes(path) == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)


def test_what_is_taken_is_the_files_and_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x").write_bytes(b"12345")
    (tmp_path / "a" / "y").write_bytes(b"678")
    (tmp_path / "big").write_bytes(bytes(10_000))
    (tmp_path / "a" / "link").symlink_to(tmp_path / "big")
    assert room.taken(tmp_path / "a") == 8
    assert room.taken(tmp_path / "a" / "y") == 3
    assert room.taken(tmp_path / "nowhere") == room.taken(tmp_path / "big" / "under a file") == 0


@pytest.mark.parametrize(
    ("error", "about"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (PermissionError(errno.EACCES, "Permission denied"), True),
        (SafetensorError("Error while serializing"), True),
        (RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("nan"), False),
        (MemoryError(), False),
    ],
)
def test_what_is_about_writing(error: Exception, about: bool) -> None:
    assert room.is_about_writing(error) is about


def test_the_reason_is_told_with_the_room_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        leave(512, patch)
        full = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "x"))
        assert room.why(full, tmp_path) == "no space left on device, 512 B free"
        assert room.why(SafetensorError("Broken"), tmp_path) == "broken, 512 B free"
        assert room.why(OSError(), tmp_path) == "an OSError, 512 B free"
