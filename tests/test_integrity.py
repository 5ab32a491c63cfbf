"""Damage that hides, leftovers and writers: each is found, named, and told what to do about; a whole run has none."""

from __future__ import annotations

import copy
import io
import json
import os
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from uncollapse.integrity import Finding, findings, lost_end
from uncollapse.lease import LEASE, STALE_SECONDS, only_writer
from uncollapse.networks.mlp import MLP
from uncollapse.run import execute, make_spec


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with several checkpoints."""
    directory = tmp_path_factory.mktemp("whole") / "run"
    spec = make_spec("vanilla", "blobs-2", seeds=(0,), updates=10, batch=8, networks=MLP(width=4, depth=1))
    execute(spec, directory, device="cpu", checkpoint_seconds=0.0)
    return directory


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


def only(directory: Path) -> Finding:
    (found,) = findings(directory)
    return found


def test_a_whole_directory_has_no_finding(whole: Path, tmp_path: Path) -> None:
    assert list(findings(whole)) == []
    assert list(findings(tmp_path / "nowhere")) == []


def test_a_writer_is_named_and_a_killed_one_too(run: Path) -> None:
    with only_writer(run):
        found = only(run)
        assert (found.name, found.status) == ("writer", "note")
        assert found.detail.startswith(f"is being written by pid {os.getpid()} on host ")
        owner = json.loads((run / LEASE).read_text())
        (run / ".result.json.77.tmp").touch()
        assert only(run).name == "writer", "what a living writer has half-written is no leftover"
        (run / ".result.json.77.tmp").unlink()
    (run / LEASE).write_text(json.dumps(owner | {"born": "1"}))
    assert "was killed or is silent; the same command takes over" in only(run).detail
    (run / LEASE).write_text("")
    os.utime(run / LEASE, (time.time() - 2 * STALE_SECONDS,) * 2)
    assert only(run).detail.startswith("a process that left no name was killed")


def test_leftovers_are_counted(run: Path) -> None:
    for number in range(5):
        (run / f".result.json.{number}.tmp").touch()
    found = only(run)
    assert (found.name, found.status) == ("leftovers", "note")
    assert found.detail.startswith(
        ".result.json.0.tmp, .result.json.1.tmp, .result.json.2.tmp and 2 more: half-written"
    )


def test_an_old_checkpoint_that_nothing_has_needed_is_checked_too(run: Path) -> None:
    folders = sorted((run / "checkpoints").iterdir())
    assert len(folders) >= 2
    tensors = folders[0] / "lanes.safetensors"
    content = bytearray(tensors.read_bytes())
    content[-1] ^= 1
    tensors.write_bytes(bytes(content))
    found = only(run)
    assert (found.name, found.status) == ("manifests", "note")
    assert found.detail.startswith(f"{folders[0].name} (")
    assert f"damaged, and {len(folders) - 1} intact; --clean removes" in found.detail


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_samples_that_cannot_be_read_are_named(keep: int, run: Path) -> None:
    path = run / "samples" / "final.npz"
    path.write_bytes(path.read_bytes()[:keep])
    found = only(run)
    assert (found.name, found.status) == ("samples", "bad")
    assert found.detail.startswith("final.npz damaged; measures and weights do not need them: remove them")
    path.unlink()  # as it says
    found = only(run)
    assert (found.name, found.status) == ("samples", "note")
    assert found.detail.startswith("final.npz gone; measures and weights do not need them: copy them back")


def test_samples_that_are_gone_are_counted(run: Path) -> None:
    for path in (run / "samples").glob("step-*.npz"):
        path.unlink()
    told = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    names = [f"step-{line['update']:08d}.npz" for line in told if line.get("snapshot")]
    assert len(names) > 3
    assert only(run).detail.startswith(f"{', '.join(names[:3])} and {len(names) - 3} more gone; ")
    (run / "result.json").unlink()  # then the samples of the end are yet to come, and those before are not
    (run / "samples" / "final.npz").unlink()
    assert only(run).detail.startswith("all are gone; ")


def test_what_a_history_lost_at_its_end_is_found_once_the_run_is_finished(run: Path) -> None:
    assert lost_end(run, 10) == ""
    assert lost_end(run, 9) == "the last lines are gone, up to update 10, as only update 9 is told"
    history = run / "history.jsonl"
    history.write_bytes(history.read_bytes()[:-1])
    assert lost_end(run, 10) == "the last line is torn"
    history.unlink()
    assert lost_end(run, 0) == "the whole of it is gone"
    shutil.rmtree(run / "checkpoints")
    assert lost_end(run, 0) == "", "compact records keep neither"
    (run / "result.json").unlink()
    assert lost_end(run, 9) == ""


def test_samples_with_a_flipped_bit_are_named(run: Path) -> None:
    path = run / "samples" / "final.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    assert only(run).name == "samples"


def encrypted(content: bytes) -> bytes:
    """An archive whose first member claims to need a password."""
    changed = bytearray(content)
    changed[content.index(b"PK\x01\x02") + 8] ^= 1
    return bytes(changed)


def of_one_stream(content: bytes) -> bytes:
    """An archive of 5,000 members that share 20 MB, which took forever to read one by one."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("samples.npy", bytes(20_000_000))
        archive.filelist += [copy.copy(archive.filelist[0]) for _ in range(5_000)]
    return stream.getvalue()


@pytest.mark.parametrize("spoil", [encrypted, of_one_stream])
def test_samples_that_zipfile_fails_on_are_named(spoil: Callable[[bytes], bytes], run: Path) -> None:
    path = run / "samples" / "final.npz"
    path.write_bytes(spoil(path.read_bytes()))
    started = time.process_time()
    assert only(run).detail.startswith("final.npz damaged; ")
    assert time.process_time() - started < 20


def test_a_finished_run_misses_its_samples_and_a_compact_record_does_not(run: Path) -> None:
    shutil.rmtree(run / "samples")
    found = only(run)
    assert (found.name, found.status) == ("samples", "bad")
    assert found.detail.startswith("all are gone; measures and weights do not need them")
    (run / "history.jsonl").unlink()  # compact records keep neither
    assert list(findings(run)) == []


def test_an_unfinished_run_may_have_no_samples_yet(run: Path) -> None:
    shutil.rmtree(run / "samples")
    (run / "result.json").unlink()
    assert list(findings(run)) == []


def test_clocks_are_only_clocks(run: Path) -> None:
    path = run / "timing.jsonl"
    path.write_bytes(b"{\n" + path.read_bytes())
    found = only(run)
    assert (found.name, found.status) == ("timing", "bad")
    assert found.detail == f"Line 1 of {path} is damaged; only clocks are lost: remove that line, or the file"
