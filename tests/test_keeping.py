"""Keeping: the best checkpoint stays, a failed one degrades, without a record a run stops; all continue to one end.

Every k-th write failing in turn, and real full disks, are in `laws/test_full_disk.py`.
"""

from __future__ import annotations

import errno
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from uncollapse import checkpoint, keeping, snapshots
from uncollapse.files import read_lines
from uncollapse.keeping import Keeper
from uncollapse.loop import Trainer
from uncollapse.networks.mlp import MLP
from uncollapse.room import CannotWrite
from uncollapse.run import Progress, Stopped, execute, load
from uncollapse.spec import RunSpec, make_spec

UPDATES = 20
# 1, 3, 6, 10, 20, 35, 50, 75 and 100 percent of 20, rounded up.
LOOKS = (1, 2, 4, 7, 10, 15, 20)


def spec(updates: int = UPDATES) -> RunSpec:
    return make_spec("vanilla", "blobs-2", seeds=(3, 5), updates=updates, batch=8, networks=MLP(width=8, depth=1))


def end(directory: Path) -> dict[str, Any]:
    """All that may depend on nothing but the spec."""
    result = json.loads((directory / "result.json").read_text())
    arrays = {}
    for path in sorted((directory / "samples").iterdir()):
        with np.load(path) as content:
            arrays.update({f"{path.name}/{key}": value.tobytes() for key, value in content.items()})
    newest, best = (choose(directory / "checkpoints")[0] for choose in (checkpoint.newest, checkpoint.best))
    assert newest is not None
    assert best is not None
    return {
        "weights": {name: value.numpy().tobytes() for name, value in newest.tensors.items()},
        "best": (best.update, best.measure, {name: value.numpy().tobytes() for name, value in best.tensors.items()}),
        "history": (directory / "history.jsonl").read_bytes(),
        "result": {key: value for key, value in result.items() if key != "warnings"},
        "samples": arrays,
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The end of a run that nothing disturbed."""
    directory = tmp_path_factory.mktemp("whole")
    execute(spec(), directory, device="cpu")
    return end(directory)


def steps(directory: Path) -> list[int]:
    return sorted(checkpoint.step(folder) for folder in checkpoint.folders(directory / "checkpoints"))


# --- the best -------------------------------------------------------------------------------------------------------


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets snapshots be worth what a test says."""

    def plan(*worths: tuple[float, float] | None) -> None:
        assert len(worths) == len(LOOKS)
        table: Iterator[tuple[float, float] | None] = iter(worths)
        monkeypatch.setattr(snapshots, "worth", lambda _: next(table))

    return plan


def test_the_best_snapshot_is_kept_beside_the_two_newest_and_can_be_sampled(
    planned: Callable[..., None], tmp_path: Path
) -> None:
    planned((1, 0.5), (1, 0.4), (3, 0.2), (2, 0.9), (3, 0.2), None, (2, 1.0))
    run = execute(spec(), tmp_path, device="cpu", checkpoint_seconds=0.0)
    assert steps(tmp_path) == [4, 19, 20]
    trainer = Trainer(spec())
    trainer.advance(4)
    for loaded in (run, load(tmp_path, device="cpu")):
        assert torch.equal(loaded.samples(25, seed=5, weights="best", draw=1), trainer.samples(25, draw=1)[1])
        assert not torch.equal(loaded.samples(25, seed=5, weights="best"), loaded.samples(25, seed=5))


def test_without_any_clock_only_improvements_and_the_end_are_saved(
    planned: Callable[..., None], tmp_path: Path
) -> None:
    planned((1, 0.5), (1, 0.5), (1, 0.6), (0, 0.9), None, (2, 0.0), (1, 1))
    execute(spec(), tmp_path, device="cpu", checkpoint_seconds=1e9)
    assert steps(tmp_path) == [15, 20]
    assert [line["update"] for line in read_lines(tmp_path / "timing.jsonl")] == [1, 4, 15, 20]


def test_the_end_may_be_the_best(planned: Callable[..., None], tmp_path: Path) -> None:
    planned(*[(number, 0.0) for number in range(len(LOOKS))])
    run = execute(spec(), tmp_path, device="cpu", checkpoint_seconds=1e9)
    assert torch.equal(run.samples(9, seed=3, weights="best"), run.samples(9, seed=3))


def test_where_no_seed_lives_there_is_no_best(planned: Callable[..., None], tmp_path: Path) -> None:
    planned(*[None] * len(LOOKS))
    execute(spec(), tmp_path, device="cpu", checkpoint_seconds=1e9)
    assert steps(tmp_path) == [20]
    assert checkpoint.best(tmp_path / "checkpoints") == (None, [])


def test_saving_moves_no_number(whole: dict[str, Any], tmp_path: Path) -> None:
    execute(spec(), tmp_path / "often", device="cpu", checkpoint_seconds=0.0)
    assert end(tmp_path / "often") == whole


def test_a_run_that_is_stopped_everywhere_keeps_the_same_best(whole: dict[str, Any], tmp_path: Path) -> None:
    for _ in range(60):
        try:
            execute(spec(), tmp_path, device="cpu", stop=lambda: True)
        except Stopped:
            continue
        break
    assert end(tmp_path) == whole


def test_a_damaged_best_is_ignored_with_a_sentence(planned: Callable[..., None], tmp_path: Path) -> None:
    planned((1, 0.5), (9, 0.5), (1, 0.5), (2, 0.5), (3, 0.5), (4, 0.1), (4, 0.2))

    def stop_at_10(progress: Progress) -> None:
        if progress.update > 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(spec(), tmp_path, device="cpu", checkpoint_seconds=0.0, progress=stop_at_10)
    assert steps(tmp_path) == [2, 9, 10]
    path = tmp_path / "checkpoints" / "step-000000002" / "lanes.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    run = execute(spec(), tmp_path, device="cpu")
    damaged = "step-000000002 is damaged and was skipped (ValueError: lanes.safetensors does not match its manifest)."
    assert run.result["warnings"] == [damaged]
    best, _ = checkpoint.best(tmp_path / "checkpoints")
    assert best is not None
    assert (best.update, best.measure) == (20, (4.0, 0.2))


def test_only_the_samples_of_this_update_count(tmp_path: Path) -> None:
    one = spec()
    keeper = Keeper(one, tmp_path, Trainer(one))
    assert keeper.improvement() is None
    keeper.write_snapshot()
    assert keeper.improvement() is None, "a generator that was not trained is no best one"
    keeper.trainer.advance(3)
    keeper._measured = 2, (5.0, 0.5)
    assert keeper.improvement() is None
    keeper._measured = 3, (5.0, 0.5)
    assert keeper.improvement() == (5.0, 0.5)
    for saved, better in [((5.0, 0.5), False), ((5.0, 0.49), True), ((4.9, 0.9), True), ((5.1, 0.0), False)]:
        keeper.best = 1, saved
        assert (keeper.improvement() is not None) is better


# --- a checkpoint that cannot be saved ------------------------------------------------------------------------------


FULL = OSError(errno.ENOSPC, "No space left on device")
TORN = RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0")


@pytest.mark.parametrize("error", [FULL, TORN, SafetensorError("Error while serializing: I/O error")])
def test_training_goes_on_without_a_checkpoint_and_tries_again(
    error: Exception,
    whole: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real, tries, seen = checkpoint.save, 0, []

    def full_for_a_while(*args: Any, update: int, **options: Any) -> Path:
        nonlocal tries
        tries += 1
        if 6 <= update < 10:
            raise error
        return real(*args, update=update, **options)

    monkeypatch.setattr(checkpoint, "save", full_for_a_while)
    with caplog.at_level(logging.WARNING):
        run = execute(spec(), tmp_path, device="cpu", checkpoint_seconds=0.0, progress=seen.append)
    assert tries == UPDATES + 1
    assert {one.update: bool(one.degraded) for one in seen} == {n: 7 <= n <= 10 for n in range(1, UPDATES + 1)}
    (sentence,) = run.result["warnings"]
    pattern = (
        r"The checkpoint of update 6 could not be saved \(.*, [\d.]+ [GT]B free, [\d.]+ kB needed\);"
        r" the one of update 5 is kept, training goes on, and saving is tried again\."
    )
    assert re.fullmatch(pattern, sentence), sentence
    assert [record.getMessage() for record in caplog.records] == [f"{tmp_path}: {sentence}"]
    assert whole["best"][0] not in range(6, 10)
    assert end(tmp_path) == whole


def test_each_bad_spell_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = checkpoint.save

    def twice_full(*args: Any, update: int, **options: Any) -> Path:
        if update in (0, 1, 2, 12, 13):
            raise FULL
        return real(*args, update=update, **options)

    monkeypatch.setattr(checkpoint, "save", twice_full)
    run = execute(spec(), tmp_path, device="cpu", checkpoint_seconds=0.0)
    first, second = run.result["warnings"]
    assert first.startswith("The checkpoint of update 0 could not be saved (no space left on device, ")
    assert "needed); no earlier one exists, training goes on" in first
    assert second.startswith("The checkpoint of update 12 could not be saved ")
    assert "needed); the one of update 11 is kept" in second


def test_other_errors_are_not_taken_for_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Path:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(checkpoint, "save", broken)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        execute(spec(), tmp_path, device="cpu", checkpoint_seconds=0.0)


def test_clocks_that_cannot_be_written_stop_nothing(
    whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = keeping.append

    def no_clocks(path: Path, value: Any) -> None:
        if path.name == "timing.jsonl":
            raise FULL
        real(path, value)

    monkeypatch.setattr(keeping, "append", no_clocks)
    execute(spec(), tmp_path, device="cpu", checkpoint_seconds=0.0)
    assert end(tmp_path) == whole
    assert not (tmp_path / "timing.jsonl").exists()


# --- what a run cannot be without -----------------------------------------------------------------------------------


def failing(patch: pytest.MonkeyPatch, what: str, when: Callable[[], bool]) -> None:
    """Lets one kind of write fail from some moment on."""
    if what == "history":
        real_append = keeping.append

        def append(path: Path, value: Any) -> None:
            if path.name == "history.jsonl" and when():
                raise FULL
            real_append(path, value)

        patch.setattr(keeping, "append", append)
    elif what == "samples":
        real_samples = snapshots.write_samples

        def write_samples(*args: Any, **arrays: Any) -> None:
            if when():
                raise FULL
            real_samples(*args, **arrays)

        patch.setattr(snapshots, "write_samples", write_samples)
    else:
        real_json = keeping.write_json

        def write_json(path: Path, value: Any) -> None:
            if when():
                raise FULL
            real_json(path, value)

        patch.setattr(keeping, "write_json", write_json)


@pytest.mark.parametrize(("what", "at", "safe"), [("history", 13, 12), ("samples", 15, 14), ("result", 20, 20)])
def test_a_run_that_cannot_be_recorded_stops_with_one_sentence_and_continues(
    what: str, at: int, safe: int, whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Progress] = []
    with monkeypatch.context() as patch:
        failing(patch, what, lambda: bool(seen) and seen[-1].update >= at)
        with pytest.raises(CannotWrite) as caught:
            execute(spec(), tmp_path, device="cpu", checkpoint_seconds=0.0, progress=seen.append)
    pattern = (
        rf"The {what} of {tmp_path} could not be written \(no space left on device, [\d.]+ [GT]B free\), so training"
        rf" stopped at update {at}; all up to update {safe} is safe, and the same command goes on from there once it"
        r" can be written\."
    )
    assert re.fullmatch(pattern, str(caught.value)), caught.value
    assert load(tmp_path).status == "unfinished"
    assert steps(tmp_path)[-1] == safe
    execute(spec(), tmp_path, device="cpu")
    assert end(tmp_path) == whole
    assert read_lines(tmp_path / "timing.jsonl")[-1]["from"] == safe


def test_a_run_that_never_saved_anything_begins_again(
    whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        failing(patch, "history", lambda: True)
        with pytest.raises(
            CannotWrite, match="; nothing had been saved yet, and the same command begins again once it"
        ):
            execute(spec(), tmp_path, device="cpu", checkpoint_seconds=1e9)
    execute(spec(), tmp_path, device="cpu")
    assert end(tmp_path) == whole


def test_the_last_checkpoint_is_needed(whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = checkpoint.save

    def full_at_last(*args: Any, update: int, **options: Any) -> Path:
        if update == UPDATES:
            raise SafetensorError("No space left on device (os error 28)")
        return real(*args, update=update, **options)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", full_at_last)
        with pytest.raises(CannotWrite, match=rf"^The last checkpoint of {tmp_path} could not be written \(no space"):
            execute(spec(), tmp_path, device="cpu", checkpoint_seconds=0.0)
    assert not (tmp_path / "result.json").exists()
    execute(spec(), tmp_path, device="cpu")
    assert end(tmp_path) == whole


def test_a_stop_without_its_checkpoint_is_no_clean_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Path:
        raise FULL

    monkeypatch.setattr(checkpoint, "save", full)
    with pytest.raises(
        CannotWrite, match=rf"^The checkpoint of {tmp_path} could not be written .* at update 0; nothing"
    ):
        execute(spec(), tmp_path, device="cpu", stop=lambda: True)


def test_a_file_that_cannot_be_read_is_not_called_one_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: Any) -> dict[str, Any]:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "data.npz")

    monkeypatch.setattr(snapshots, "snapshot", unreadable)
    with pytest.raises(FileNotFoundError, match=r"data\.npz"):
        execute(spec(), tmp_path, device="cpu")


def test_what_a_damaged_file_says_does_not_reach_the_terminal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = spec()
    keeper = Keeper(one, tmp_path, Trainer(one))
    keeper.warn("step-1 is damaged (KeyError: '\x1b[31mred')")
    assert keeper.warnings == ["step-1 is damaged (KeyError: '[31mred')"]
    assert "\x1b" not in caplog.text


# --- loggers --------------------------------------------------------------------------------------------------------


class Counting:
    """A logger that counts, and raises at one of its calls."""

    def __init__(self, fails_at: int = 0) -> None:
        self.calls: list[str] = []
        self.fails_at = fails_at
        self.results: list[Mapping[str, object]] = []

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if len(self.calls) == self.fails_at:
            raise RuntimeError("no connection")

    def start(self, spec: Mapping[str, object], directory: Path) -> None:
        self._called("start")

    def log(self, row: Mapping[str, object]) -> None:
        self._called("log")

    def finish(self, result: Mapping[str, object]) -> None:
        self.results.append(result)
        self._called("finish")


@pytest.mark.parametrize("fails_at", [1, 2, 20, 29])
def test_a_logger_that_raises_is_left_out_and_moves_nothing(
    fails_at: int, whole: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = Counting(fails_at), Counting()
    execute(spec(), tmp_path, device="cpu", loggers=(bad, good))
    assert end(tmp_path) == whole
    # 20 lines of losses and 8 snapshots.
    assert good.calls == ["start", *["log"] * 28, "finish"]
    assert len(bad.calls) == fails_at
    assert sum("Counting failed and is not used any more" in text for text in caplog.messages) == 1


def test_a_logger_of_a_run_that_stops_is_told_so_and_starts_again_with_it(tmp_path: Path) -> None:
    kept = Counting()
    with pytest.raises(Stopped):
        execute(spec(), tmp_path, device="cpu", stop=lambda: True, loggers=(kept,))
    assert kept.results == [{}]
    execute(spec(), tmp_path, device="cpu", loggers=(kept,))
    assert kept.calls.count("start") == kept.calls.count("finish") == 2
    assert kept.results[1]["status"] == "finished"
    execute(spec(), tmp_path, device="cpu", loggers=(kept,))  # nothing is trained, so there is nothing to tell
    assert kept.calls.count("start") == 2
