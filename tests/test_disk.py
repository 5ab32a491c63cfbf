"""Disk use counted by hand, and cleaning: what nobody needs goes, everything else stays, twice is as good as once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from uncollapse import checkpoint, disk
from uncollapse.errors import UserError
from uncollapse.experiments.compare import compare
from uncollapse.experiments.plan import Plan
from uncollapse.run import Stopped, execute, load
from uncollapse.spec import make_spec

TOML = """
[plan]
name = "tiny"
seeds = [0]
updates = 10
batch = 8
[[cells]]
methods = ["vanilla", "lsgan"]
tasks = ["blobs-4"]
set = { networks.width = 4 }
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished comparison; to be looked at only."""
    return compare(Plan.from_toml(TOML), out=tmp_path_factory.mktemp("d") / "c", jobs=1, progress=False).directory


@pytest.fixture
def comparison(made: Path, tmp_path: Path) -> Path:
    """A copy to be played with."""
    shutil.copytree(made, tmp_path / "c")
    return tmp_path / "c"


@pytest.fixture
def run(comparison: Path) -> Path:
    """The first run of it."""
    return disk.runs_in(comparison)[0]


def content(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def steps(run: Path) -> list[int]:
    return sorted(checkpoint.step(folder) for folder in checkpoint.folders(run / "checkpoints"))


def add(run: Path, update: int, *, spec: str | None = None, measure: tuple[float, float] | None = None) -> Path:
    """One more intact checkpoint of a run."""
    found, _ = checkpoint.newest(run / "checkpoints")
    assert found is not None
    where = checkpoint.save(
        run / "elsewhere", found.tensors, spec=spec or str(found.spec), update=update, rounds=update,
        history_bytes=found.history_bytes, measure=measure,
    )  # fmt: skip
    final = run / "checkpoints" / where.name
    where.replace(final)
    (run / "elsewhere").rmdir()
    return final


@contextmanager
def written_by_another_process(directory: Path) -> Iterator[None]:
    code = (
        "import sys\nfrom pathlib import Path\nfrom uncollapse.lease import only_writer\n"
        "with only_writer(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield
        holder.communicate("")


# --- use ------------------------------------------------------------------------------------------------------------


def test_every_byte_is_counted_once_and_where_it_belongs(tmp_path: Path) -> None:
    files = {
        "spec.json": 7, "history.jsonl": 100, "timing.jsonl": 20, "report.html": 5_000, "result.json": 3,
        "samples/a.npz": 30, "samples/b.npz": 1, "checkpoints/step-000000001/lanes.safetensors": 2_000, "notes.txt": 1,
    }  # fmt: skip
    for name, size in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    (tmp_path / "link").symlink_to(tmp_path / "report.html")
    expected = {"report": 5_000, "checkpoints": 2_000, "history": 120, "samples": 31, "other": 11}
    assert disk.use(tmp_path) == expected
    assert list(disk.use(tmp_path)) == list(expected), "the largest first"
    assert disk.use(tmp_path / "samples") == {"other": 31}


def test_the_parts_of_a_comparison_are_those_of_its_runs(made: Path) -> None:
    whole = disk.use(made)
    assert sum(whole.values()) == sum(len(text) for text in content(made).values())
    runs = [disk.use(run) for run in disk.runs_in(made)]
    assert len(runs) == 2
    for part in ("checkpoints", "samples", "history"):
        assert whole[part] == sum(one[part] for one in runs) > 0
    assert whole["report"] == (made / "report.html").stat().st_size


# --- cleaning -------------------------------------------------------------------------------------------------------


def test_what_needs_all_it_holds_is_left_as_it_is(comparison: Path) -> None:
    before = content(comparison)
    done = disk.clean(comparison)
    assert (done.removed, done.left, done.bytes) == ([], [], 0)
    assert done.lines() == [f"{comparison} needs all it holds."]
    assert content(comparison) == before


def test_what_nobody_needs_goes_and_nothing_else(comparison: Path, run: Path) -> None:
    before = content(comparison)
    kept = steps(run)
    leftovers = [
        comparison / ".comparison.json.4242.tmp",
        run / ".result.json.4242.tmp",
        run / "samples" / ".final.npz.4242.tmp",
    ]
    for path in leftovers:
        path.write_bytes(b"half")
    half = run / "checkpoints" / ".tmp-step-000000010-4242"
    half.mkdir()
    (half / "lanes.safetensors").write_bytes(b"12345")
    damaged = add(run, 9)
    (damaged / "lanes.safetensors").write_bytes(b"123")
    lost = sum(path.stat().st_size for path in damaged.iterdir())
    spare = add(run, 8, measure=(0.0, 0.0))
    spare_bytes = sum(path.stat().st_size for path in spare.iterdir())
    done = disk.clean(comparison)
    assert content(comparison) == before
    assert steps(run) == kept
    assert {item.path: item.bytes for item in done.removed} == {
        **{str(path.relative_to(comparison)): 4 for path in leftovers},
        str(half.relative_to(comparison)): 5,
        str(damaged.relative_to(comparison)): lost,
        str(spare.relative_to(comparison)): spare_bytes,
    }
    assert done.bytes == 12 + 5 + lost + spare_bytes
    why = {item.path: item.why for item in done.removed}
    assert why[str(damaged.relative_to(comparison))].startswith("damaged (ValueError: lanes.safetensors does not match")
    assert why[str(spare.relative_to(comparison))] == "neither the newest nor the best of a finished run"
    assert done.lines()[-1].startswith(f"{comparison} holds ")
    assert disk.clean(comparison).removed == []
    assert load(run, device="cpu").samples(3, seed=0).shape == (3, 2)
    assert load(run, device="cpu").samples(3, seed=0, weights="best").shape == (3, 2)


def test_newest_and_best_of_a_finished_run_stay_whatever_stands_between(run: Path) -> None:
    for folder in checkpoint.folders(run / "checkpoints")[1:]:
        shutil.rmtree(folder)
    (newest,) = steps(run)
    best = add(run, 3, measure=(9.0, 0.1))
    for update in (2, 5, 7):
        add(run, update, measure=(8.0, 0.9) if update == 5 else None)
    disk.clean(run)
    assert steps(run) == [checkpoint.step(best), newest]


def test_an_unfinished_run_keeps_every_intact_checkpoint(tmp_path: Path) -> None:
    spec = make_spec("vanilla", "blobs-2", seeds=(1,), updates=10, batch=8)
    polls = iter([False] * 8)
    with pytest.raises(Stopped):
        execute(spec, tmp_path / "run", device="cpu", stop=lambda: next(polls, True), checkpoint_seconds=0.0)
    for update in {2, 3, 4} - set(steps(tmp_path / "run")):
        add(tmp_path / "run", update)
    before = steps(tmp_path / "run")
    assert len(before) >= 4
    (tmp_path / "run" / "checkpoints" / f"step-{before[1]:09d}" / "MANIFEST.json").write_text("{")
    done = disk.clean(tmp_path / "run")
    assert steps(tmp_path / "run") == [before[0], *before[2:]]
    assert [item.why[:7] for item in done.removed] == ["damaged"]


def test_where_the_last_checkpoint_is_lost_every_other_one_may_be_of_use(run: Path) -> None:
    add(run, 4)
    add(run, 6)
    (run / "checkpoints" / "step-000000010" / "lanes.safetensors").unlink()
    disk.clean(run)
    assert 10 not in steps(run)
    assert {4, 6} <= set(steps(run))


def test_a_result_without_end_is_that_of_an_unfinished_run(run: Path) -> None:
    add(run, 4)
    result = (run / "result.json").read_text()
    (run / "result.json").write_text("[" * 200_000)
    disk.clean(run)
    assert {4, 10} <= set(steps(run))
    (run / "result.json").write_text(result)
    disk.clean(run)
    assert 4 not in steps(run)


def test_checkpoints_of_another_run_or_version_are_left(run: Path) -> None:
    foreign = add(run, 4, spec="ffffffffffff")
    newer = add(run, 5)
    manifest = json.loads((newer / "MANIFEST.json").read_text())
    manifest.pop("sha256")
    (newer / "MANIFEST.json").write_text(json.dumps(manifest | {"schema": 2}))
    done = disk.clean(run)
    assert done.removed == []
    assert foreign.is_dir()
    assert newer.is_dir()
    sentence = (
        f"step-000000005 of {run.name} was left alone, because another version of uncollapse wrote it (schema 2)."
    )
    assert done.left == [sentence]


def test_a_run_that_another_process_writes_is_left_alone(comparison: Path) -> None:
    busy, free = disk.runs_in(comparison)
    spare = [add(run, 3) for run in (busy, free)]
    with written_by_another_process(busy):
        done = disk.clean(comparison)
    assert done.left == [f"{busy.name} is being written by another process and was left alone."]
    assert [path.is_dir() for path in spare] == [True, False]
    assert [item.path for item in disk.clean(comparison).removed] == [str(spare[0].relative_to(comparison))]


@pytest.mark.parametrize("which", ["comparison", "run"])
def test_a_directory_that_another_process_writes_is_refused(which: str, comparison: Path, run: Path) -> None:
    directory = {"comparison": comparison, "run": run}[which]
    spare = add(run, 3)
    sentence = f"^{directory} is being written by another process; clean it when that has ended.$"
    with written_by_another_process(directory), pytest.raises(UserError, match=sentence):
        disk.clean(directory)
    assert spare.is_dir()


def test_links_are_not_followed(comparison: Path, run: Path, tmp_path: Path) -> None:
    other = disk.runs_in(comparison)[1]
    shutil.copytree(run, tmp_path / "outside")
    spare = add(tmp_path / "outside", 3)
    (comparison / "runs" / "linked").symlink_to(tmp_path / "outside")
    shutil.rmtree(other / "checkpoints")
    (other / "checkpoints").symlink_to(tmp_path / "outside" / "checkpoints")
    done = disk.clean(comparison)
    assert done.removed == []
    assert sorted(done.left) == sorted([
        "linked is a link and was left alone.", f"The checkpoints of {other.name} are a link and were left alone.",
    ])  # fmt: skip
    assert spare.is_dir()


def test_what_may_not_be_read_is_not_taken_for_damaged(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(folder: Path) -> Any:
        raise PermissionError(13, "Permission denied", str(folder))

    before = steps(run)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "read", forbidden)
        with pytest.raises(PermissionError):
            disk.clean(run)
    assert steps(run) == before


def test_what_cannot_be_cleaned_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--clean needs a directory; give a run's or a comparison's\.$"):
        disk.clean(None)
    with pytest.raises(UserError, match=rf"^There is no directory {tmp_path / 'nowhere'}; give a run's or"):
        disk.clean(tmp_path / "nowhere")
    (tmp_path / ".x.1.tmp").touch()
    with pytest.raises(UserError, match=rf"^{tmp_path} is neither a run \(no spec\.json\) nor a comparison"):
        disk.clean(tmp_path)
    assert os.listdir(tmp_path) == [".x.1.tmp"]  # noqa: PTH208 - hidden files, too


def test_as_json(comparison: Path, run: Path) -> None:
    (run / ".result.json.7.tmp").write_bytes(b"123")
    found = json.loads(json.dumps(disk.clean(comparison).to_json()))
    path = f"runs/{run.name}/.result.json.7.tmp"
    assert found == {
        "directory": str(comparison), "bytes": 3, "left": [],
        "removed": [{"path": path, "bytes": 3, "why": "a killed process left it half-written"}],
    }  # fmt: skip
