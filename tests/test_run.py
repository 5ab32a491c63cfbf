"""Runs: executed once, continued from any moment to the same end, refused where they do not belong."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import itertools
import json
import math
import multiprocessing
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from uncollapse import sitting
from uncollapse.errors import UserError
from uncollapse.files import read_lines
from uncollapse.lease import only_writer
from uncollapse.loop import Trainer
from uncollapse.method import Method
from uncollapse.methods import VANILLA
from uncollapse.networks.mlp import MLP
from uncollapse.networks.sources import Pair
from uncollapse.parts.dynamics import Dynamics
from uncollapse.parts.losses import Loss
from uncollapse.parts.scene import Judgement, Scene
from uncollapse.run import Progress, Run, Stopped, execute, is_finished, load, read_result, train
from uncollapse.spec import RunSpec, make_spec
from uncollapse.versions import versions

SMALL = MLP(width=8, depth=2)
UPDATES = 40


def spec(method: str | Method = "vanilla", *, updates: int = UPDATES, **options: Any) -> RunSpec:
    given = {"seeds": (3, 5), "batch": 8, "networks": SMALL, **options}
    return make_spec(method, given.pop("task", "blobs-2"), updates=updates, **given)


def go(one: RunSpec, directory: Path | None, **options: Any) -> Run:
    return execute(one, directory, **{"device": "cpu", **options})


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "lanes.safetensors").read_bytes()).hexdigest()


def checkpoints(directory: Path) -> list[Path]:
    """The two newest; the best may stand beside them."""
    found = sorted((directory / "checkpoints").glob("step-*"))
    assert len(found) <= 3
    return found[-2:]


def end(directory: Path) -> dict[str, Any]:
    """All that a run leaves behind and that may depend on nothing but its spec."""
    arrays = {}
    for path in sorted((directory / "samples").glob("*.npz")):
        with np.load(path) as content:
            arrays.update({f"{path.name}/{key}": value.tobytes() for key, value in content.items()})
    result = strict((directory / "result.json").read_text(encoding="utf-8"))
    return {
        "weights": digest(checkpoints(directory)[-1]),
        "history": (directory / "history.jsonl").read_bytes(),
        "result": {key: value for key, value in result.items() if key != "warnings"},
        "samples": arrays,
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never interrupted; to be looked at only."""
    directory = tmp_path_factory.mktemp("runs") / "finished"
    go(spec(), directory)
    return directory


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """The same, to be played with."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


# --- what a run leaves behind ---------------------------------------------------------------------------------------


def test_two_runs_of_one_spec_are_equal_to_the_last_bit(finished: Path, tmp_path: Path) -> None:
    go(spec(), tmp_path / "other")
    assert end(tmp_path / "other") == end(finished)
    assert len(end(finished)["samples"]) == 12  # ten snapshots, and both kinds of weights at the end


def test_the_history_holds_what_the_loss_carries(tmp_path: Path) -> None:
    networks = MLP(width=8, depth=1, latent=2)
    run = execute(
        make_spec("began", "blobs-4", seeds=(3, 4), updates=40, batch=16, networks=networks), tmp_path / "run"
    )
    states = [line["state"] for line in run.history if "losses" in line]
    assert len(states) == 40
    k = [state["k"] for state in states]
    # Fakes are easy at first, so that k rises by at most gain x gamma x L(x) a step from 0, and never leaves [0, 1].
    assert k[0][0] != k[0][1]
    assert all(0 <= value <= 1 for seeds in k for value in seeds)
    assert all(
        abs(after - before) < 0.01
        for first, second in itertools.pairwise(k)
        for before, after in zip(first, second, strict=True)
    )
    assert all(value > 0 for state in states for value in state["convergence"])
    plain = execute(
        make_spec("vanilla", "blobs-4", seeds=(3,), updates=4, batch=8, networks=networks), tmp_path / "plain"
    )
    assert all("state" not in line for line in plain.history)


def test_the_history_counts_updates_and_knows_no_clock(finished: Path) -> None:
    lines = [strict(line) for line in (finished / "history.jsonl").read_text().splitlines()]
    assert lines == load(finished).history
    losses = [line for line in lines if "losses" in line]
    snapshots = [line for line in lines if "snapshot" in line]
    assert [line["update"] for line in losses] == list(range(1, 41))
    # 0, 1, 3, 6, 10, 20, 35, 50, 75 and 100 percent of 40, rounded up.
    assert [line["update"] for line in snapshots] == [0, 1, 2, 3, 4, 8, 14, 20, 30, 40]
    assert [line["update"] for line in lines] == sorted(line["update"] for line in lines)
    for line in losses:
        assert set(line) == {"update", "losses"}
        assert set(line["losses"]) == {"critic", "generator"}
        assert all(len(values) == 2 and 0.1 < min(values) < 3 for values in line["losses"].values())
    for line in snapshots:
        assert set(line) == {"update", "snapshot", "measures", "shares", "measures_live", "shares_live"}
        assert line["snapshot"] is True
        for family in ("", "_live"):
            assert set(line[f"measures{family}"]) == {"modes_solid", "modes_hit", "high_quality_share"}
            assert [sum(shares) for shares in line[f"shares{family}"]] == pytest.approx([1, 1])


@pytest.mark.parametrize(("updates", "expected"), [(200, 200), (201, 200), (1000, 200), (39_500, 200)])
def test_about_200_loss_lines_are_written_however_long_the_run(updates: int, expected: int) -> None:
    points = planned(spec(updates=updates))
    assert points[0] == 0
    assert points[-1] == updates
    regular = {math.ceil(k * updates / 200) for k in range(1, 201)}
    shares = (0, 0.01, 0.03, 0.06, 0.1, 0.2, 0.35, 0.5, 0.75)
    assert set(points) - regular <= {math.ceil(share * updates) for share in shares}
    assert expected <= len(points) <= 210


def planned(one: RunSpec) -> list[int]:
    execution = sitting.Sitting(one, Path(), torch.device("cpu"), None, lambda: False, 30.0)
    execution._done = -1
    return execution._points()


def test_points_are_whole_rounds() -> None:
    points = planned(spec("wgan-gp", updates=101))
    assert points == list(range(0, 106, 5))


def test_clocks_stand_in_a_file_of_their_own(finished: Path) -> None:
    lines = [strict(line) for line in (finished / "timing.jsonl").read_text().splitlines()]
    assert {(line["from"], line["device"]) for line in lines} == {(0, "cpu")}
    snapshots = [1, 2, 3, 4, 8, 14, 20, 30]  # where the best so far may have been saved
    assert [line["update"] for line in lines] == [*(at for at in snapshots if at in {x["update"] for x in lines}), 40]
    assert 0 < lines[0]["seconds"] <= lines[-1]["seconds"] < 60
    assert lines[-1]["updates_per_second"] == pytest.approx(2 * 40 / lines[-1]["seconds"], rel=0.2)


def test_the_spec_is_written_with_versions_and_command(finished: Path) -> None:
    written = strict((finished / "spec.json").read_text())
    assert {key: written[key] for key in spec().to_json()} == spec().to_json()
    assert written["versions"] == versions()
    assert isinstance(written["command"], str)


def test_the_result_says_what_was_done(finished: Path) -> None:
    result = strict((finished / "result.json").read_text())
    expected = {
        "schema": 1, "status": "finished", "hash": spec().hash, "method": "vanilla", "task": "blobs-2", "seeds": [3, 5],
        "updates": 40, "n_samples": 10_000, "modes": {"names": ["(0, 0)", "(5, 5)"], "weights": [0.5, 0.5]},
        "versions": versions(), "warnings": [],
    }  # fmt: skip
    assert {key: result[key] for key in expected} == expected
    assert set(result) == {*expected, "lanes", "cost"}
    assert [(lane["seed"], lane["diverged_at"]) for lane in result["lanes"]] == [(3, None), (5, None)]
    for lane in result["lanes"]:
        assert set(lane["measures"]) == set(lane["counts"]) == {"averaged", "live"}


@pytest.mark.parametrize(
    ("method", "updates", "cost"),
    [
        # 2 -> 8 -> 8 -> 2 and 2 -> 8 -> 8 -> 1 with biases; every critic update reads a batch of 8.
        ("vanilla", 4, (4, 4, 32, 114, 105)),
        ("wgan-gp", 12, (15, 3, 120, 114, 105)),  # whole rounds of five
        ("cgan", 4, (4, 4, 32, 114 + 4 + 16, 105 + 4 + 16)),  # 2 x 2 embeddings and two more inputs
        (VANILLA.but(dynamics=Dynamics(unroll=1)), 4, (4, 4, 64, 114, 105)),  # both players look at real samples
        (VANILLA.but(dynamics=Dynamics(critic_steps=2, generator_steps=3, unroll=1)), 4, (4, 6, 80, 114, 105)),
    ],
)
def test_the_cost_is_counted(method: str | Method, updates: int, cost: tuple[int, ...], tmp_path: Path) -> None:
    run = go(spec(method, updates=updates, seeds=(3,)), tmp_path)
    names = ("critic_updates", "generator_updates", "real_samples")
    expected = dict(zip(names, cost, strict=False))
    parameters = {"generator": cost[3], "critic": cost[4]}
    assert run.result["cost"] == {**expected, "parameters": parameters, "device": "cpu"}
    assert run.result["updates"] == cost[0]


def nearest(samples: Tensor) -> list[int]:
    """Samples nearer to each of the two centres, by hand."""
    centres = np.array([[0, 0], [5, 5]]) * 0.9 / 6.5  # 0.9 / (largest coordinate + 3 sigma)
    apart = np.linalg.norm(samples.numpy()[:, None] - centres, axis=-1)
    return np.bincount(apart.argmin(1), minlength=2).tolist()  # type: ignore[no-any-return]


def test_counts_and_shares_are_those_of_the_samples(finished: Path) -> None:
    run = load(finished, device="cpu")
    for lane, seed in enumerate((3, 5)):
        for weights in ("averaged", "live"):
            counted = nearest(run.samples(10_000, seed=seed, weights=weights))
            assert run.metrics[lane]["counts"][weights]["all"] == counted
            assert sum(counted) == 10_000
        shares = [count / 2500 for count in nearest(run.samples(2_500, seed=seed))]
        assert run.history[-1]["shares"][lane] == pytest.approx(shares)


def test_kept_samples_are_those_that_the_run_gives(finished: Path) -> None:
    run = load(finished, device="cpu")
    assert sorted(path.name for path in (finished / "samples").iterdir()) == [
        "final.npz", *(f"step-{update:08d}.npz" for update in (0, 1, 2, 3, 4, 8, 14, 20, 30, 40)),
    ]  # fmt: skip
    folder = finished / "samples"
    with np.load(folder / "final.npz") as final, np.load(folder / "step-00000040.npz") as last:
        assert (sorted(final), sorted(last)) == (["live", "samples"], ["samples"])
        assert (final["samples"].shape, last["samples"].shape) == ((2, 2500, 2), (2, 500, 2))
        assert final["live"].dtype == last["samples"].dtype == np.float32
        for lane, seed in enumerate((3, 5)):
            np.testing.assert_array_equal(final["samples"][lane], run.samples(2500, seed=seed).numpy())
            np.testing.assert_array_equal(final["live"][lane], run.samples(2500, seed=seed, weights="live").numpy())
            np.testing.assert_array_equal(last["samples"][lane], run.samples(500, seed=seed).numpy())


def test_kept_samples_of_a_conditional_method_carry_their_labels(tmp_path: Path) -> None:
    go(spec("cgan", updates=2, task="unequal-3"), tmp_path)
    with np.load(tmp_path / "samples" / "step-00000002.npz") as kept:
        assert kept["labels"].shape == (2, 500)
        # 6/11, 3/11 and 2/11 of 500 are 272.7, 136.4 and 90.9.
        expected = [0] * 273 + [1] * 136 + [2] * 91
        assert kept["labels"].tolist() == [expected, expected]
        labels = torch.tensor(kept["labels"][1])
        np.testing.assert_array_equal(kept["samples"][1], load(tmp_path).samples(500, seed=5, labels=labels).numpy())


def test_images_are_kept_as_images(tmp_path: Path) -> None:
    go(spec("cgan", updates=1, task="digits", seeds=(3,)), tmp_path)
    for name, n in (("step-00000001", 200), ("final", 1000)):
        with np.load(tmp_path / "samples" / f"{name}.npz") as kept:
            assert kept["samples"].shape == (1, n, 8, 8)
            assert kept["labels"][0].tolist() == sorted(kept["labels"][0])
            assert np.bincount(kept["labels"][0]).tolist() == pytest.approx([n / 10] * 10, abs=n / 100)


# --- once, further, another, anew -----------------------------------------------------------------------------------


def nobody(progress: Progress) -> None:
    raise AssertionError(f"trained again: {progress}")


def test_a_finished_run_is_not_trained_again(copy: Path) -> None:
    files = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in copy.rglob("*") if path.is_file()}
    files.pop(copy / "spec.json")
    for _ in range(2):
        run = go(spec(), copy, progress=nobody)
    assert run.status == "finished"
    for path, before in files.items():
        assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    go(spec(updates=30), copy, progress=nobody)  # more was done than is asked for


def test_fewer_updates_do_not_rewrite_what_was_done(copy: Path) -> None:
    go(spec(updates=30), copy, progress=nobody)
    assert load(copy).spec.updates == load(copy).result["updates"] == 40


def test_more_updates_continue(copy: Path, tmp_path: Path) -> None:
    before = (copy / "history.jsonl").read_bytes()
    seen: list[int] = []
    run = go(spec(updates=60), copy, progress=lambda progress: seen.append(progress.update))
    assert 40 < min(seen) < max(seen) == 60
    after = (copy / "history.jsonl").read_bytes()
    assert after.startswith(before)
    assert [line["update"] for line in run.history if "losses" in line] == list(range(1, 61))
    assert (run.result["updates"], run.result["cost"]["critic_updates"]) == (60, 60)
    go(spec(updates=60), tmp_path / "at once")
    assert digest(checkpoints(copy)[-1]) == digest(checkpoints(tmp_path / "at once")[-1])
    assert run.metrics == load(tmp_path / "at once").metrics


def test_a_run_that_is_taken_further_is_unfinished_until_it_is_done(copy: Path) -> None:
    assert is_finished(copy, spec())
    assert not is_finished(copy, spec(updates=60))
    with pytest.raises(Stopped):
        go(spec(updates=60), copy, stop=lambda: True)
    assert load(copy).status == "unfinished"
    go(spec(updates=60), copy)
    assert is_finished(copy, spec(updates=60))


def test_another_run_is_refused(copy: Path) -> None:
    other, before = spec("lsgan"), end(copy)
    sentence = (
        f"{copy} holds another run (vanilla on blobs-2, hash {spec().hash}, not {other.hash});"
        " choose another --out, or --fresh to replace it."
    )
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        go(other, copy)
    assert end(copy) == before
    assert load(copy).spec == spec()


def test_fresh_replaces_what_the_run_wrote_and_nothing_else(copy: Path, tmp_path: Path) -> None:
    (copy / "notes.txt").write_text("mine")
    other = spec("lsgan")
    seen: list[int] = []
    go(other, copy, fresh=True, progress=lambda progress: seen.append(progress.update))
    go(other, tmp_path / "clean")
    assert end(copy) == end(tmp_path / "clean")
    assert 1 <= seen[0] <= 20
    assert load(copy).spec == other
    assert (copy / "notes.txt").read_text() == "mine"


def test_fresh_trains_the_same_run_again(copy: Path, finished: Path) -> None:
    seen: list[int] = []
    go(spec(), copy, fresh=True, progress=lambda progress: seen.append(progress.update))
    assert len(seen) > 1
    assert end(copy) == end(finished)


def test_a_replacement_that_was_killed_leaves_no_mixture_of_two_runs(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = spec("lsgan")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            go(other, copy, fresh=True)
    with contextlib.suppress(UserError):  # refusing is as good as starting anew
        go(other, copy)
        go(other, tmp_path / "clean")
        assert load(copy).history == load(tmp_path / "clean").history
        assert end(copy) == end(tmp_path / "clean")


def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    sentence = rf"^{tmp_path} is being written by pid \d+ on host \S+ since \d\d:\d\d; wait for it"
    with only_writer(tmp_path), pytest.raises(UserError, match=sentence):
        go(spec(), tmp_path)


def test_without_a_directory_a_run_lives_as_long_as_its_object() -> None:
    run = go(spec(updates=2), None)
    directory = run.directory
    assert run.samples(3, seed=5).shape == (3, 2)
    assert (directory / "result.json").is_file()
    del run
    gc.collect()
    assert not directory.exists()


def test_train_is_execute_with_names(finished: Path, tmp_path: Path) -> None:
    same = {"seeds": (3, 5), "updates": UPDATES, "batch": 8, "networks": SMALL, "device": "cpu"}
    run = train("vanilla", "blobs-2", out=str(tmp_path / "out"), **same)
    assert end(run.directory) == end(finished)
    train("vanilla", "blobs-2", out=tmp_path / "out", progress=nobody, **same)
    with pytest.raises(UserError, match="holds another run"):
        train("vanilla", "blobs-2", out=tmp_path / "out", settings={"dynamics.clip": 1.0}, **same)
    run = train("vanilla", "blobs-2", out=tmp_path / "out", settings={"dynamics.clip": 1.0}, fresh=True, **same)
    assert run.spec.method.dynamics.clip == 1


def test_the_threads_are_those_of_the_run_while_it_runs(tmp_path: Path) -> None:
    seen: list[int] = []
    go(spec(updates=2, threads=2), tmp_path, progress=lambda _: seen.append(torch.get_num_threads()))
    assert set(seen) == {2}
    assert torch.get_num_threads() == 1


def test_progress_tells_where_the_run_stands(tmp_path: Path) -> None:
    seen: list[Progress] = []
    go(spec("wgan-gp", updates=12, task="unequal-3"), tmp_path, progress=seen.append)
    assert [one.update for one in seen] == [5, 10, 15]
    for one in seen:
        told = (one.method, one.task, one.seeds, one.updates, one.modes, one.diverged)
        assert told == ("wgan-gp", "unequal-3", (3, 5), 12, 3, [])
        assert one.updates_per_second > 0
        assert one.modes_solid is not None
        assert len(one.modes_solid) == 2
        assert all(0 <= count <= 3 for count in one.modes_solid)


# --- interrupted ----------------------------------------------------------------------------------------------------


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Fewer lines in the history than looks at the clock, as in a long run."""

    def set_to(lines: int) -> None:
        monkeypatch.setattr(sitting, "LOSS_LINES", lines)
        monkeypatch.setattr(sitting, "SLICE", 3)

    return set_to


def after(calls: int) -> Callable[[], bool]:
    count = iter(range(10_000))
    return lambda: next(count) >= calls


@pytest.mark.parametrize("lines", [200, 4])
@pytest.mark.parametrize("calls", [0, 1, 7])
def test_a_stopped_run_continues_to_the_same_end(
    calls: int, lines: int, coarse: Callable[[int], None], tmp_path: Path
) -> None:
    coarse(lines)
    go(spec(), tmp_path / "whole")
    directory = tmp_path / "stopped"
    with pytest.raises(Stopped, match=str(directory)):
        go(spec(), directory, stop=after(calls))
    stopped = load(directory)
    assert stopped.status == "unfinished"
    assert 0 < len(stopped.history) < len(load(tmp_path / "whole").history)
    assert go(spec(), directory).status == "finished"
    assert end(directory) == end(tmp_path / "whole")
    assert len(checkpoints(directory)) == 2


@pytest.mark.parametrize("lines", [200, 4])
def test_a_run_that_is_stopped_at_every_chance_still_ends_and_equal(
    lines: int, coarse: Callable[[int], None], tmp_path: Path
) -> None:
    coarse(lines)
    one = spec("wgan-gp")
    go(one, tmp_path / "whole")
    sittings = 0
    while not is_finished(tmp_path / "stopped", one):
        sittings += 1
        assert sittings < 50
        with contextlib.suppress(Stopped):
            go(one, tmp_path / "stopped", stop=lambda: True)
    assert sittings >= 4
    assert end(tmp_path / "stopped") == end(tmp_path / "whole")


def test_checkpoints_come_with_time_also_in_a_short_run(finished: Path, tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.update >= 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(spec(), tmp_path, progress=interrupt, checkpoint_seconds=0.0)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-000000028", "step-000000029"]
    go(spec(), tmp_path)
    assert end(tmp_path) == end(finished)
    last = strict((tmp_path / "timing.jsonl").read_text().splitlines()[-1])
    assert (last["from"], last["update"]) == (29, 40)


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A run that was stopped twice, with two checkpoints."""
    directory = tmp_path / "stopped"
    for calls in (9, 9):
        with pytest.raises(Stopped):
            go(spec(), directory, stop=after(calls))
    assert len(checkpoints(directory)) == 2
    return directory


def test_a_damaged_checkpoint_costs_time_and_nothing_else(stopped: Path, finished: Path) -> None:
    older, newest = checkpoints(stopped)
    content = bytearray((newest / "lanes.safetensors").read_bytes())
    content[len(content) // 2] ^= 16
    (newest / "lanes.safetensors").write_bytes(content)
    run = go(spec(), stopped)
    assert end(stopped) == end(finished)
    assert len(run.result["warnings"]) == 1
    assert run.result["warnings"][0].startswith(f"{newest.name} is damaged and was skipped (ValueError: ")
    last = strict((stopped / "timing.jsonl").read_text().splitlines()[-1])
    assert last["from"] == int(older.name.removeprefix("step-")) > 0


def test_without_any_intact_checkpoint_a_run_starts_anew(stopped: Path, finished: Path) -> None:
    for folder in checkpoints(stopped):
        (folder / "MANIFEST.json").unlink()
    assert len(go(spec(), stopped).result["warnings"]) == 2
    assert end(stopped) == end(finished)


@pytest.mark.parametrize("lost", [1, 400, None])
def test_a_history_that_lost_its_end_in_a_power_cut_is_trained_again(
    lost: int | None, stopped: Path, finished: Path
) -> None:
    history = stopped / "history.jsonl"
    if lost is None:
        history.unlink()
    else:
        history.write_bytes(history.read_bytes()[:-lost])
    go(spec(), stopped)
    assert end(stopped) == end(finished)


def test_lines_after_the_checkpoint_are_cut(stopped: Path, finished: Path) -> None:
    with (stopped / "history.jsonl").open("a") as stream:
        stream.write('{"update": 39, "losses": {}}\n{"upd')
    go(spec(), stopped)
    assert end(stopped) == end(finished)


def test_other_versions_are_named_when_a_run_continues(stopped: Path) -> None:
    written = strict((stopped / "spec.json").read_text())
    written["versions"]["torch"] = "0.1"
    (stopped / "spec.json").write_text(json.dumps(written))
    run = go(spec(), stopped)
    assert run.result["warnings"] == [
        f"Started under torch 0.1, continued under {torch.__version__}: equal in law only."
    ]
    assert strict((stopped / "spec.json").read_text())["versions"]["torch"] == "0.1"


def kill_and_finish(one: RunSpec, directory: Path, kills: int) -> list[int]:
    """Executes a run in processes that die of SIGKILL at random moments; the updates each sitting began with."""
    random = np.random.default_rng(kills)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "scipy.stats", "sklearn.cluster"])
    options = {"device": "cpu", "checkpoint_seconds": 0.05}
    history = directory / "history.jsonl"
    for moment in np.sort(random.integers(1, int(0.9 * one.updates), kills)):
        process = context.Process(target=execute, args=(one, directory), kwargs=options)
        process.start()
        while process.is_alive() and all(line["update"] < moment for line in read_lines(history)[-1:]):
            time.sleep(0.002)
        time.sleep(random.uniform(0, 0.02))
        assert process.is_alive()
        process.kill()
        process.join()
        assert process.exitcode == -9
        process.close()
        assert not is_finished(directory, one)
    go(one, directory)
    return [strict(line)["from"] for line in (directory / "timing.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("kills", "updates"),
    [
        pytest.param(4, 500, marks=pytest.mark.long, id="4 kills"),
        pytest.param(20, 2500, marks=pytest.mark.slow, id="20 kills"),
    ],
)
def test_a_run_that_is_killed_at_random_moments_comes_to_the_same_end(kills: int, updates: int, tmp_path: Path) -> None:
    one = spec(updates=updates)
    begun = kill_and_finish(one, tmp_path / "killed", kills)
    go(one, tmp_path / "whole")
    assert end(tmp_path / "killed") == end(tmp_path / "whole")
    assert load(tmp_path / "killed").result["warnings"] == []
    assert 0 < begun[-1] < updates  # it continued, it did not start anew


# --- diverged -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "setting"),
    [("vanilla", "dynamics.lr_critic"), ("wgan-gp", "dynamics.lr_critic"), ("wgan-gp", "dynamics.lr_generator")],
)
def test_a_run_whose_seeds_all_diverge_finishes_and_says_so(method: str, setting: str, tmp_path: Path) -> None:
    run = go(spec(method, settings={setting: 1e39}), tmp_path)  # beyond float32
    assert run.status == "finished"
    first = run.metrics[0]["diverged_at"]
    assert 1 <= first <= 6
    assert [lane["diverged_at"] for lane in run.metrics] == [first, first]
    for line in run.history:
        if "losses" in line and line["update"] >= first:
            assert line["losses"] == {"critic": [None, None], "generator": [None, None]}
    strict((tmp_path / "result.json").read_text())
    for name in ("history.jsonl", "timing.jsonl"):
        assert all(strict(line) for line in (tmp_path / name).read_text().splitlines())
    before = end(tmp_path)
    assert go(spec(method, settings={setting: 1e39}), tmp_path, progress=nobody).status == "finished"
    assert end(tmp_path) == before


@dataclass(frozen=True, kw_only=True)
class Fragile(Loss):
    """Wasserstein's loss that breaks on the first latent above a limit."""

    limit: float

    def critic(self, real: Judgement, fake: Judgement, state: Any, scene: Scene) -> Tensor:
        broken = torch.where(scene.latent.max() > self.limit, math.nan, 0.0)
        return fake.score.mean() - real.score.mean() + broken

    def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
        return -fake.score.mean()


def test_one_seed_that_diverges_is_recorded_and_the_other_is_not(tmp_path: Path) -> None:
    blocks = Trainer(spec()).critic_blocks
    largest = torch.stack([blocks.batch(update).latent.flatten(1).amax(1) for update in range(UPDATES)])  # (updates, 2)
    hurt = int(largest.amax(0).argmax())
    limit = float(largest.amax(0).mean())
    moment = 1 + int((largest[:, hurt] > limit).nonzero()[0])
    run = go(spec(VANILLA.but(name="fragile", loss=Fragile(limit=limit))), tmp_path)
    expected: list[int | None] = [None, None]
    expected[hurt] = moment
    assert [lane["diverged_at"] for lane in run.metrics] == expected
    for line in run.history:
        if "losses" in line:
            for values in line["losses"].values():
                assert (values[hurt] is None) == (line["update"] >= moment)
                assert values[1 - hurt] is not None
    seen: list[Progress] = []
    go(spec(VANILLA.but(name="fragile", loss=Fragile(limit=limit))), tmp_path, fresh=True, progress=seen.append)
    assert [one.diverged for one in seen] == [[(3, 5)[hurt]] if one.update >= moment else [] for one in seen]
    assert {tuple(one.diverged) for one in seen} == {(), ((3, 5)[hurt],)}


# --- loaded ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", ["averaged", "live"])
def test_a_loaded_run_gives_the_samples_of_the_trainer(finished: Path, weights: str) -> None:
    trainer = Trainer(spec())
    trainer.advance(UPDATES)
    run = load(finished, device="cpu")
    for draw in (0, 2):
        expected = trainer.samples(40, averaged=weights == "averaged", draw=draw)
        for lane, seed in enumerate((3, 5)):
            found = run.samples(40, seed=seed, weights=weights, draw=draw)
            assert torch.equal(found, expected[lane])
            assert torch.equal(found, run.samples(40, seed=seed, weights=weights, draw=draw))
            assert (found - run.samples(40, seed=seed, weights=weights, draw=draw + 1)).abs().max() > 1e-3
    assert not torch.equal(run.samples(40, seed=3), run.samples(40, seed=5))
    assert not torch.equal(run.samples(40, seed=3), run.samples(40, seed=3, weights="live"))


def test_the_asked_labels_reach_the_generator(tmp_path: Path) -> None:
    run = go(spec("cgan", updates=3), tmp_path)
    trainer = Trainer(spec("cgan", updates=3))
    trainer.advance(3)
    labels = torch.tensor([1, 0, 0, 1, 1])
    assert torch.equal(run.samples(5, seed=5, labels=labels), trainer.samples(5, labels=labels)[1])
    assert not torch.equal(run.samples(5, seed=5, labels=labels), run.samples(5, seed=5))


def test_samples_that_do_not_exist_are_refused(finished: Path) -> None:
    run = load(finished, device="cpu")
    with pytest.raises(UserError, match=r"^This run has no seed 4; it has 3, 5\.$"):
        run.samples(2, seed=4)
    with pytest.raises(UserError, match=r"^There are no 'ema' weights; choose averaged, live or best\.$"):
        run.samples(2, seed=3, weights="ema")
    for n in (-1, 2.5, "2"):
        with pytest.raises(UserError, match=rf"^n must be a whole number of at least 0, not {n!r}\.$"):
            run.samples(n, seed=3)  # type: ignore[arg-type]
    assert len(run.samples(0, seed=3)) == 0


def test_labels_that_cannot_be_meant_are_refused(finished: Path, tmp_path: Path) -> None:
    conditional = go(spec("cgan", updates=1, seeds=(3,)), tmp_path)
    for labels in ([0, 1, 0], [0, 2], [-1, 0]):  # too many, no such class, no such class
        with pytest.raises(UserError, match=r"^labels "):
            conditional.samples(2, seed=3, labels=torch.tensor(labels))
    with pytest.raises(UserError, match=r"^vanilla is not conditional; leave labels out\.$"):
        load(finished).samples(2, seed=3, labels=torch.tensor([0, 1]))


def test_without_a_checkpoint_there_are_no_samples(copy: Path) -> None:
    shutil.rmtree(copy / "checkpoints")
    sentence = f"^{copy} holds no intact checkpoint to sample from; train it again with --fresh.$"
    with pytest.raises(UserError, match=sentence):
        load(copy).samples(2, seed=3)


def test_an_unfinished_run_can_be_looked_at(stopped: Path) -> None:
    run = load(stopped, device="cpu")
    assert (run.status, run.spec, run.directory) == ("unfinished", spec(), stopped)
    updates = int(checkpoints(stopped)[-1].name.removeprefix("step-"))
    trainer = Trainer(spec())
    trainer.advance(updates)
    assert torch.equal(run.samples(9, seed=5), trainer.samples(9)[1])
    assert run.history[-1]["update"] == updates
    for ask in (lambda: run.result, lambda: run.metrics):
        with pytest.raises(UserError, match=f"^{stopped} is not finished; run the same command again to continue it.$"):
            ask()


@pytest.mark.parametrize("content", [b"", b'{"status": "fini', b"\xff\xfe\x00", b'{"status": "unfinished"}'])
def test_a_result_that_is_not_whole_is_none_and_is_made_again(content: bytes, copy: Path, finished: Path) -> None:
    (copy / "result.json").write_bytes(content)
    assert read_result(copy) is None
    assert not is_finished(copy, spec())
    assert load(copy).status == "unfinished"
    go(spec(), copy, progress=nobody)  # only judged again
    assert end(copy) == end(finished)


def test_values_of_another_type_are_refused_and_nothing_is_thrown_away(finished: Path) -> None:
    before = (finished / "result.json").read_bytes()
    with pytest.raises(UserError, match=r"^fresh must be True or False, not 'no'\.$"):
        train("vanilla", "ring-8", seeds=[0], updates=4, out=finished, fresh="no")  # type: ignore[arg-type]
    assert (finished / "result.json").read_bytes() == before
    run = load(finished)
    for draw in (-1, "a", 1.5):
        with pytest.raises(UserError, match="draw must be a whole number of at least 0"):
            run.samples(3, seed=run.spec.seeds[0], draw=draw)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"This run has no seed '0'; it has"):
        run.samples(3, seed="0")  # type: ignore[arg-type]
    for wrong in (run, None):
        with pytest.raises(UserError, match=rf"must be the folder of a run, not {type(wrong).__name__}; give"):
            load(wrong)  # type: ignore[arg-type]


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        sentence = rf"^{path} is not a run \(no spec\.json\); give the folder that `uncollapse train` wrote\.$"
        with pytest.raises(UserError, match=sentence):
            load(path)


@pytest.mark.parametrize("content", [b"", b'{"method": ', b"\xff\xfe\x00"])
def test_a_damaged_spec_is_refused(content: bytes, copy: Path) -> None:
    (copy / "spec.json").write_bytes(content)
    sentence = rf"^{copy}/spec\.json is not valid JSON \(.*\); restore it, or train again with --fresh\.$"
    for ask in (lambda: load(copy), lambda: go(spec(), copy)):
        with pytest.raises(UserError, match=sentence):
            ask()
    assert go(spec(updates=1), copy, fresh=True).status == "finished"


def test_a_run_of_an_unknown_method_part_is_refused(copy: Path) -> None:
    written = strict((copy / "spec.json").read_text())
    written["method"]["loss"] = {"part": "Mine", "plugin": "nowhere:Mine"}
    (copy / "spec.json").write_text(json.dumps(written))
    with pytest.raises(UserError, match="`--plugin nowhere:Mine`"):
        load(copy)


def test_an_unknown_device_is_refused_before_anything_is_made(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^There is no device 'gpu'; choose auto, cpu or cuda\.$"):
        go(spec(), tmp_path / "out", device="gpu")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match=r"^There is no device 'gpu'"):
        load(finished, device="gpu")


# --- on CUDA --------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
def test_a_run_on_cuda_that_was_stopped_comes_to_the_same_end(tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    one = spec(dtype="float64")
    go(one, tmp_path / "whole", device="cuda")
    with pytest.raises(Stopped):
        go(one, tmp_path / "stopped", device="cuda", stop=after(9))
    go(one, tmp_path / "stopped", device="cuda")
    ours, theirs = (load_file(checkpoints(tmp_path / name)[-1] / "lanes.safetensors") for name in ("stopped", "whole"))
    for path, value in ours.items():
        torch.testing.assert_close(value, theirs[path], rtol=1e-9, atol=1e-9)


# --- networks of the user's own -------------------------------------------------------------------------------------


class Maker(nn.Module):
    """A user's generator."""

    def __init__(self, width: int = 6, norm: type[nn.Module] = nn.LayerNorm) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, width), norm(width), nn.ReLU(), nn.Linear(width, 2))

    def forward(self, latent: Tensor) -> Tensor:
        return self.net(latent)  # type: ignore[no-any-return]


def scorer() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 6), nn.LeakyReLU(0.2), nn.Linear(6, 1))


OWN: dict[str, Any] = {"seeds": (3, 5), "batch": 8, "device": "cpu"}


def test_networks_of_ones_own_are_trained_interrupted_and_continued_to_the_same_bits(tmp_path: Path) -> None:
    def normed() -> nn.Module:
        return Maker(norm=nn.BatchNorm1d)  # whose statistics are state, too

    whole = train("wgan-gp", "blobs-2", updates=40, generator=normed, critic=scorer, out=tmp_path / "whole", **OWN)
    one = make_spec("wgan-gp", "blobs-2", updates=40, own=Pair.of(normed, scorer), seeds=(3, 5), batch=8)
    asked = itertools.count()
    with pytest.raises(Stopped):
        execute(one, tmp_path / "parts", device="cpu", stop=lambda: next(asked) == 3)
    assert checkpoints(tmp_path / "parts")
    train("wgan-gp", "blobs-2", updates=40, generator=normed, critic=scorer, out=tmp_path / "parts", **OWN)
    assert end(tmp_path / "parts") == end(tmp_path / "whole")
    cost = whole.result["cost"]["parameters"]
    assert cost == {"generator": 2 * 6 + 6 + 12 + 6 * 2 + 2, "critic": 2 * 6 + 6 + 6 + 1}


def test_a_run_with_networks_of_ones_own_opens_with_them_only(tmp_path: Path) -> None:
    run = train("vanilla", "blobs-2", updates=4, generator=Maker, critic=scorer, out=tmp_path, **OWN)
    with pytest.raises(UserError, match=r"^This run's generator and critic \(\S+Maker and \S+scorer\) were given in"):
        load(tmp_path)
    opened = load(tmp_path, device="cpu", generator=Maker, critic=scorer)
    assert opened.spec == run.spec
    assert torch.equal(opened.samples(20, seed=5), run.samples(20, seed=5))
    with pytest.raises(UserError, match=r"Maker\) is not the generator of this run|<lambda>\) is not the generator"):
        load(tmp_path, generator=lambda: Maker(7), critic=scorer)
    written = strict((tmp_path / "spec.json").read_text())
    assert written["command"] == ""


def test_changed_networks_do_not_continue_a_run(tmp_path: Path) -> None:
    train("vanilla", "blobs-2", updates=4, generator=Maker, critic=scorer, out=tmp_path, **OWN)
    sentence = (
        f"{tmp_path} was trained with other networks of your own (other layers and shapes of the generator);"
        " restore them, choose another --out, or --fresh to replace it."
    )
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        train("vanilla", "blobs-2", updates=8, generator=lambda: Maker(7), critic=scorer, out=tmp_path, **OWN)
    more = train("vanilla", "blobs-2", updates=8, generator=Maker, critic=scorer, out=tmp_path, **OWN)
    assert more.result["updates"] == 8


def test_fresh_may_be_a_truth_value_of_numpy(tmp_path: Path) -> None:
    settings = {"networks.width": 4, "networks.depth": 1}
    for updates, fresh in ((2, np.False_), (1, np.True_)):  # fewer updates than are there only by throwing them away
        run = train(
            "vanilla", "ring-8", seeds=[0], updates=updates, batch=8, settings=settings, out=tmp_path / "run",
            fresh=fresh,  # type: ignore[arg-type]
        )  # fmt: skip
        assert run.result["updates"] == updates


def test_a_run_tells_what_and_where_it_is(tmp_path: Path) -> None:
    run = execute(spec(), tmp_path / "run", device="cpu")
    assert re.fullmatch(rf"Run\(vanilla on \S+, 2 seeds, {UPDATES} updates, finished, '{tmp_path}/run'\)", repr(run))


def test_a_file_in_place_of_a_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mine.py").touch()
    with pytest.raises(UserError, match=r"mine.py is a file, and a run is a directory; choose another --out\."):
        execute(spec(), tmp_path / "mine.py", device="cpu")
