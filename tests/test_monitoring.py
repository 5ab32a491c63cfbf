"""Monitors of a run: weights do not notice them, a stop or a kill costs no row, a rollback is of one lane."""

from __future__ import annotations

import dataclasses
import json
import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from uncollapse import checkpoint, monitoring
from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.keeping import Keeper
from uncollapse.loop import Trainer
from uncollapse.methods import METHODS
from uncollapse.monitor import CollapseMonitor, MonitorChoice
from uncollapse.monitoring import Monitors
from uncollapse.networks.mlp import MLP
from uncollapse.run import Progress, Run, Stopped, StoppedByAlarm, execute, load
from uncollapse.spec import RunSpec, make_spec
from uncollapse.tasks import find
from uncollapse.trees import flatten

# Seed 5 loses half of its modes after update 40 and seed 3 does not; a look every 10 updates.
SEEDS, EVERY, LOST_AFTER, UPDATES = (3, 5), 10, 40, 100
REAL = Trainer.lane_samples


def spec(monitor: int | MonitorChoice | None = EVERY, *, method: str = "vanilla", **options: Any) -> RunSpec:
    given = {"seeds": SEEDS, "updates": UPDATES, "batch": 8, "networks": MLP(width=8, depth=1), **options}
    task = dataclasses.replace(find("blobs-8"), measure_size=100)
    return make_spec(method, task, monitor=monitor, **given)


def chosen(**changes: Any) -> MonitorChoice:
    return MonitorChoice(every=EVERY, samples=300, **changes)


def planted(self: Trainer, lane: int, n: int, *, draw: int = 0, purpose: str = "sampling", **options: Any) -> Tensor:
    """What a look sees instead of the young generator's samples: real ones, of half of the modes once they are lost."""
    if purpose != "monitor":
        return REAL(self, lane, n, draw=draw, purpose=purpose, **options)
    seed = self.spec.seeds[lane]
    x, component = self.spec.task.sample(4 * n, stream(seed, "planted", draw))
    assert component is not None
    lost = seed == 5 and draw > LOST_AFTER
    return x[component < 4][:n] if lost else x[:n]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _references_are_computed_once(cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNCOLLAPSE_CACHE", cache)


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "lane_samples", planted)


def go(one: RunSpec, directory: Path, **options: Any) -> Run:
    return execute(one, directory, **{"device": "cpu", "checkpoint_seconds": 1e9, **options})


def rows(directory: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (directory / "history.jsonl").read_text().splitlines()]
    return [line for line in lines if kind in line]


def weights(directory: Path) -> dict[str, bytes]:
    found = checkpoint.newest(directory / "checkpoints")[0]
    assert found is not None
    return {name: value.numpy().tobytes() for name, value in found.tensors.items()}


def end(directory: Path) -> dict[str, Any]:
    """All that may depend on nothing but the spec."""
    result = json.loads((directory / "result.json").read_text())
    newest = checkpoint.newest(directory / "checkpoints")[0]
    assert newest is not None
    return {
        "weights": weights(directory),
        "state": newest.state,
        "history": (directory / "history.jsonl").read_bytes(),
        "result": {key: value for key, value in result.items() if key != "warnings"},
    }


# --- looking --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["vanilla", "cgan", pytest.param("wgan-gp", marks=pytest.mark.slow)])
def test_weights_and_rows_are_the_same_to_the_last_bit_with_and_without(method: str, tmp_path: Path) -> None:
    go(spec(None, method=method), tmp_path / "without")
    run = go(spec(chosen(), method=method), tmp_path / "with")
    assert [lane["monitor"]["looks"] for lane in run.metrics] == [10, 10]
    assert weights(tmp_path / "with") == weights(tmp_path / "without")
    assert (tmp_path / "with/history.jsonl").read_bytes() == (tmp_path / "without/history.jsonl").read_bytes()
    bare = [{key: value for key, value in lane.items() if key != "monitor"} for lane in run.metrics]
    assert bare == load(tmp_path / "without").metrics


def test_a_loss_is_one_row_of_its_seed_and_a_line_on_the_console(
    plant: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="uncollapse.monitor"):
        run = go(spec(chosen()), tmp_path / "run")
    (row,) = rows(tmp_path / "run", "alarm")
    assert set(row) == {"update", "alarm"}
    assert LOST_AFTER < row["update"] <= LOST_AFTER + 2 * EVERY
    assert set(row["alarm"]) == {"status", "seed", "sentence"}
    assert (row["alarm"]["status"], row["alarm"]["seed"]) == ("collapsed", 5)
    assert "the classes that hold 50 % of the real data" in row["alarm"]["sentence"]
    assert "(5, 5)" not in row["alarm"]["sentence"].split("Missing: ")[0]
    (message,) = [record.getMessage() for record in caplog.records if record.name == "uncollapse.monitor"]
    assert message == f"{tmp_path / 'run'}: seed 5, step {row['update']}: collapsed: {row['alarm']['sentence']}"
    healthy, lost = (lane["monitor"] for lane in run.metrics)
    assert healthy["status"] == "healthy"
    assert (healthy["looks"], healthy["alarms"], healthy["first_alarm"]) == (10, 0, None)
    assert healthy["low"] <= healthy["best"] <= 1
    assert (lost["status"], lost["alarms"], lost["first_alarm"]) == ("collapsed", 1, row["update"])
    assert lost["coverage"] == pytest.approx(0.5, abs=1e-6)
    assert lost["rolled_back"] is None


@pytest.mark.parametrize(
    ("method", "every", "points"),
    [
        ("vanilla", 30, [30, 60, 90]),
        ("wgan-gp", 30, [30, 60, 90]),
        ("wgan-gp", 33, [35, 70, 100]),  # at the end of the round that a multiple falls into
        ("wgan-gp", 2, list(range(5, 101, 5))),
        ("vanilla", 101, []),
    ],
)
def test_looks_are_at_whole_rounds_after_the_multiples(
    method: str, every: int, points: list[int], plant: None, tmp_path: Path
) -> None:
    run = go(spec(MonitorChoice(every=every, samples=100), method=method, seeds=(3,)), tmp_path)
    assert run.metrics[0]["monitor"]["looks"] == len(points)
    found = checkpoint.newest(tmp_path / "checkpoints")[0]
    assert found is not None
    assert found.state is not None
    history = found.state["seeds"][0]["monitor"]["history"]
    assert [look["step"] for look in history] == points
    # Losses are written where they would be without a monitor.
    written = list(range(1, 101) if method == "vanilla" else range(5, 101, 5))
    assert [row["update"] for row in rows(tmp_path, "losses")] == written


def test_more_updates_give_the_looks_of_a_long_run(plant: None, tmp_path: Path) -> None:
    go(spec(chosen(), updates=45), tmp_path / "further")
    go(spec(chosen()), tmp_path / "further")
    go(spec(chosen()), tmp_path / "whole")
    assert rows(tmp_path / "further", "alarm") == rows(tmp_path / "whole", "alarm")
    assert load(tmp_path / "further").metrics == load(tmp_path / "whole").metrics


def fresh(monitors: Monitors, trainer: Trainer, place: int) -> Tensor:
    assert monitors.trainer is trainer
    return monitors._fresh(place)


@pytest.mark.parametrize("method", ["vanilla", "cgan", "ensemble"])
def test_fakes_of_a_look_are_fresh_and_of_no_other_stream(method: str, tmp_path: Path) -> None:
    if method == "ensemble":
        method = next(name for name, row in METHODS.items() if row.population.members > 1)
    one = spec(chosen(), method=method, networks=MLP(width=32, depth=2))
    trainer = Trainer(one, device="cpu")
    monitors = Monitors(one, tmp_path, trainer)
    trainer.advance(10)
    first, again, other = fresh(monitors, trainer, 0), fresh(monitors, trainer, 0), fresh(monitors, trainer, 1)
    trainer.advance(11)
    later = fresh(monitors, trainer, 0)
    usual = trainer.lane_samples(0, 300, averaged=False, draw=11)
    assert torch.equal(first, again)  # a function of seed and update
    for unlike in (other, later, usual):
        assert not (first == unlike).all(1).any()
    # The live generator, and the averaged one where that is asked for.
    averaged = Monitors(
        spec(chosen(weights="averaged"), method=method, networks=one.networks), tmp_path, trainer
    )._fresh(0)
    for found, which in ((later, False), (averaged, True)):
        labels = None
        if one.method.labelled:
            labels = stream(3, "monitor labels", 11).choice(one.task.modes.weights, 300)
            assert np.bincount(labels.numpy(), minlength=8).tolist() != [38, 38, 38, 38, 37, 37, 37, 37]
        same = REAL(trainer, 0, 300, averaged=which, draw=11, purpose="monitor", labels=labels)
        assert torch.equal(found, same)


def test_seeds_are_not_exchanged(tmp_path: Path) -> None:
    """The monitor of a seed among others says what it says of that seed alone."""
    both = go(spec(chosen(), dtype="float64"), tmp_path / "both")
    for place, seed in enumerate(SEEDS):
        alone = go(spec(chosen(), dtype="float64", seeds=(seed,)), tmp_path / str(seed))
        assert alone.metrics[0]["monitor"] == both.metrics[place]["monitor"]


def test_a_diverged_seed_is_not_looked_at(plant: None, tmp_path: Path) -> None:
    one = spec(chosen())
    trainer = Trainer(one, device="cpu")
    monitors = Monitors(one, tmp_path, trainer)
    trainer.advance(10)
    monitors.look()
    trainer.lanes.diverged_at[1] = 12
    trainer.advance(20)
    monitors.look()
    assert [facts["looks"] for facts in monitors.facts()] == [2, 1]


def test_a_generator_that_is_never_healthy_is_one_row(tmp_path: Path) -> None:
    run = go(spec(chosen(patience=3), seeds=(3,)), tmp_path)
    (row,) = rows(tmp_path, "alarm")
    assert (row["update"], row["alarm"]["status"]) == (30, "never-healthy")
    facts = run.metrics[0]["monitor"]
    assert (facts["status"], facts["alarms"], facts["first_alarm"], facts["best"]) == ("never-healthy", 0, None, None)


def test_fakes_that_are_all_alike_or_not_finite_can_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Trainer, lane: int, n: int, *, purpose: str = "sampling", **options: Any) -> Tensor:
        found = REAL(self, lane, n, purpose=purpose, **options)
        return found.fill_(0.1 if lane else torch.nan) if purpose == "monitor" else found

    monkeypatch.setattr(Trainer, "lane_samples", broken)
    one = spec(chosen())
    go(one, tmp_path)
    state = checkpoint.newest(tmp_path / "checkpoints")[0]
    assert state is not None
    monitors = Monitors(one, tmp_path, Trainer(one, device="cpu"))
    monitors.load(state.state, state.tensors)
    # Nowhere, and all in one mode of eight.
    assert [facts["coverage"] for facts in monitors.facts()] == [0.0, 0.125]


# --- stopping, killing, going on ------------------------------------------------------------------------------------


def stopping_at(*updates: int) -> tuple[Callable[[Progress], None], Callable[[], bool]]:
    """A progress and a stop that together stop a run once it has reached an update."""
    reached = {"update": 0}

    def progress(now: Progress) -> None:
        reached["update"] = now.update

    return progress, lambda: reached["update"] in updates


@pytest.mark.parametrize("choice", ["log", "rollback"])
def test_a_stop_at_any_update_costs_no_row(choice: str, plant: None, tmp_path: Path) -> None:
    one = spec(chosen(on_alarm=choice))
    go(one, tmp_path / "whole")
    for at in (9, 10, 40, 49, 50, 51, 61):
        progress, stop = stopping_at(at)
        with pytest.raises(Stopped):
            go(one, tmp_path / "stopped", progress=progress, stop=stop)
        assert (tmp_path / "stopped/history.jsonl").read_bytes() in (tmp_path / "whole/history.jsonl").read_bytes()
    go(one, tmp_path / "stopped")
    assert end(tmp_path / "stopped") == end(tmp_path / "whole")
    assert len(rows(tmp_path / "stopped", "alarm")) == 1


@pytest.mark.parametrize("after", ["alarm", "rollback", pytest.param("losses", marks=pytest.mark.slow)])
def test_what_fails_between_an_alarm_and_its_checkpoint_writes_no_row_twice(
    after: str, plant: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = spec(chosen(on_alarm="rollback"))
    go(one, tmp_path / "whole")
    at = rows(tmp_path / "whole", "alarm")[0]["update"]
    record = Keeper.record

    def failing(self: Keeper, row: Mapping[str, Any]) -> None:
        record(self, row)
        if after in row and row["update"] == at:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "record", failing)
        with pytest.raises(KeyboardInterrupt):
            go(one, tmp_path / "broken", checkpoint_seconds=0.0)
    assert len(rows(tmp_path / "broken", "alarm")) == 1  # it is there, and no checkpoint covers it
    go(one, tmp_path / "broken")
    assert end(tmp_path / "broken") == end(tmp_path / "whole")
    assert (len(rows(tmp_path / "broken", "alarm")), len(rows(tmp_path / "broken", "rollback"))) == (1, 1)


def dies(document: dict[str, Any], directory: str, at: int, cache: str) -> None:
    """Trains in a process of its own, which kills itself before its so manieth row of the history."""
    os.environ["UNCOLLAPSE_CACHE"] = cache
    Trainer.lane_samples = planted  # type: ignore[assignment, method-assign]
    record, count = Keeper.record, 0

    def counted(self: Keeper, row: Mapping[str, Any]) -> None:
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)
        record(self, row)

    Keeper.record = counted  # type: ignore[method-assign]
    execute(RunSpec.from_json(document), Path(directory), device="cpu", checkpoint_seconds=0.0)


@pytest.mark.slow
def test_kills_cost_no_row_and_no_bit(plant: None, cache: str, tmp_path: Path) -> None:
    one = spec(chosen(on_alarm="rollback"))
    go(one, tmp_path / "whole")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "scipy.stats", "sklearn.cluster"])
    for at in (30, 24, 12):  # within what is left, before and after the alarm
        process = context.Process(target=dies, args=(one.to_json(), str(tmp_path / "killed"), at, cache))
        process.start()
        process.join(timeout=120)
        assert process.exitcode == -signal.SIGKILL
        process.close()
    go(one, tmp_path / "killed")
    assert end(tmp_path / "killed") == end(tmp_path / "whole")
    assert json.loads((tmp_path / "killed/timing.jsonl").read_text().splitlines()[-1])["from"] > LOST_AFTER


def test_a_state_of_another_version_is_refused_with_a_sentence(plant: None, tmp_path: Path) -> None:
    one = spec(chosen())
    monitors = Monitors(one, tmp_path, Trainer(one, device="cpu"))
    state = monitors.state()
    state["seeds"][0]["monitor"]["reference"] = "of other data"
    for wrong in (None, {}, {"seeds": []}, state):
        with pytest.raises(UserError, match=r"does not fit this version \(.*\); train again with --fresh\.$"):
            monitors.load(wrong, {})


# --- on an alarm ----------------------------------------------------------------------------------------------------


def lane(tensors: Mapping[str, Tensor], place: int) -> dict[str, bytes]:
    """What one seed owns."""
    parts = ("state.", "average", "average_buffers.")
    return {name: value[place].numpy().tobytes() for name, value in tensors.items() if name.startswith(parts)}


@pytest.mark.long
def test_a_rollback_puts_one_seed_back_and_its_draws_go_on(plant: None, tmp_path: Path) -> None:
    run = go(spec(chosen(on_alarm="rollback")), tmp_path / "run")
    (alarm,), (row,) = rows(tmp_path / "run", "alarm"), rows(tmp_path / "run", "rollback")
    at, to = row["update"], row["rollback"]["to"]
    assert at == alarm["update"]
    assert to == LOST_AFTER  # the last look that proved health
    assert row["rollback"]["seed"] == 5
    assert row["rollback"]["sentence"] == (
        "Seed 5 was put back to what it was at update 40, the last look that proved health."
    )
    assert [entry["monitor"]["rolled_back"] for entry in run.metrics] == [None, {"update": at, "to": to}]
    # By hand: a plain training, one lane of which is exchanged at that update and then goes on with the next draws.
    by_hand = Trainer(spec(None), device="cpu")
    by_hand.advance(to)
    then = {name: value.clone() for name, value in flatten(by_hand.lanes).items()}
    by_hand.advance(at)
    for name, value in flatten(by_hand.lanes).items():
        if name.startswith(("state.", "average")):
            value[1] = then[name][1]
    by_hand.advance(UPDATES)
    got, plain = checkpoint.newest(tmp_path / "run/checkpoints")[0], Trainer(spec(None), device="cpu")
    assert got is not None
    assert lane(got.tensors, 1) == lane(flatten(by_hand.lanes), 1)
    # The other seed does not notice, and this one does not repeat the path that it came from.
    plain.advance(UPDATES)
    assert lane(got.tensors, 0) == lane(flatten(plain.lanes), 0)
    assert lane(got.tensors, 1) != lane(flatten(plain.lanes), 1)
    plain = Trainer(spec(None), device="cpu")
    plain.advance(to + UPDATES - at)
    assert lane(got.tensors, 1) != lane(flatten(plain.lanes), 1)


def test_all_members_of_an_ensemble_are_put_back_and_no_neighbour(tmp_path: Path) -> None:
    method = next(name for name, row in METHODS.items() if row.population.members > 1)
    one = spec(chosen(on_alarm="rollback"), method=method, networks=MLP(width=32, depth=2), seeds=(3, 5, 8))
    trainer = Trainer(one, device="cpu")
    monitors, members = Monitors(one, tmp_path, trainer), trainer.members
    trainer.advance(10)
    then = {name: value.clone() for name, value in flatten(trainer.lanes).items()}
    monitors._keep(1)
    trainer.advance(20)
    now = {name: value.clone() for name, value in flatten(trainer.lanes).items()}
    monitors._keep(2)
    monitors._roll_back(1, 10)
    for name, value in flatten(trainer.lanes).items():
        if not name.startswith(("state.", "average")):
            assert torch.equal(value, now[name])  # counts and losses go on
            continue
        for at in range(3 * members):
            expected = then if at // members == 1 else now
            assert torch.equal(value[at], expected[name][at])
    assert not torch.equal(then["average"][members : 2 * members], now["average"][members : 2 * members])


def test_a_seed_is_rolled_back_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(self: Trainer, lane: int, n: int, *, draw: int = 0, purpose: str = "sampling", **options: Any) -> Tensor:
        if purpose != "monitor":
            return REAL(self, lane, n, draw=draw, purpose=purpose, **options)
        x, component = self.spec.task.sample(4 * n, stream(1, "planted", draw))
        assert component is not None
        return x[component < 4][:n] if 40 < draw <= 60 or draw > 100 else x[:n]

    monkeypatch.setattr(Trainer, "lane_samples", twice)
    run = go(spec(chosen(on_alarm="rollback"), updates=150, seeds=(3,)), tmp_path)
    assert len(rows(tmp_path, "alarm")) == 2
    (row,) = rows(tmp_path, "rollback")
    assert (row["update"], row["rollback"]["to"]) == (50, 40)
    assert run.metrics[0]["monitor"]["alarms"] == 2


@pytest.mark.long
def test_an_alarm_stops_where_that_is_wanted_and_the_same_call_goes_on(plant: None, tmp_path: Path) -> None:
    one = spec(chosen(on_alarm="stop"))
    with pytest.raises(StoppedByAlarm, match=r"^seed 5 at update 50: the fakes reach the classes that hold 50 %"):
        go(one, tmp_path / "run")
    assert load(tmp_path / "run").status == "unfinished"
    (alarm,) = rows(tmp_path / "run", "alarm")
    newest = checkpoint.newest(tmp_path / "run/checkpoints")[0]
    assert newest is not None
    assert newest.update == alarm["update"] == 50
    go(one, tmp_path / "run")
    assert len(rows(tmp_path / "run", "alarm")) == 1
    go(spec(chosen()), tmp_path / "log")
    assert (tmp_path / "run/history.jsonl").read_bytes() == (tmp_path / "log/history.jsonl").read_bytes()
    assert weights(tmp_path / "run") == weights(tmp_path / "log")


def test_an_alarm_at_the_last_update_ends_the_call_as_any_other_beside_the_result(plant: None, tmp_path: Path) -> None:
    one = spec(chosen(on_alarm="stop"), updates=50)
    with pytest.raises(StoppedByAlarm, match=r"^seed 5 at update 50: "):
        go(one, tmp_path / "run")
    assert load(tmp_path / "run").status == "finished"


def test_what_a_seed_may_go_back_to_is_a_copy(plant: None, tmp_path: Path) -> None:
    one = spec(chosen(on_alarm="rollback"))
    trainer = Trainer(one, device="cpu")
    monitors = Monitors(one, tmp_path, trainer)
    trainer.advance(10)
    monitors.look()
    kept = {name: value.clone() for name, value in monitors.tensors().items()}
    assert {name.removeprefix("healthy.") for name in kept} == {
        name for name in flatten(trainer.lanes) if name.startswith(("state.", "average"))
    }
    for value in flatten(trainer.lanes).values():
        value.zero_()
    assert all(torch.equal(kept[name], value) for name, value in monitors.tensors().items())
    assert any(value.abs().sum() > 0 for value in kept.values())


def test_the_reference_is_computed_once_for_all_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    real = monitoring.task_reference

    def counted(*args: Any, **options: Any) -> Any:
        made.append(real(*args, **options))
        return made[-1]

    monkeypatch.setattr(monitoring, "task_reference", counted)
    one = spec(chosen(), seeds=tuple(range(6)))
    monitors = Monitors(one, tmp_path, Trainer(one, device="cpu"))
    assert len(made) == 1
    assert all(isinstance(watched.monitor, CollapseMonitor) for watched in monitors.seeds)
    assert {id(watched.monitor.reference) for watched in monitors.seeds} == {id(made[0])}
    assert len({watched.monitor.seed for watched in monitors.seeds}) == 6
