"""Several processes train one run: equal to one process with the whole batch, and no failure that hangs or loses."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests import in_processes
from tests.in_processes import TRAINED, UPDATES, specification
from tests.rank_processes import ENVIRONMENT, linux, processes, threads
from torch import Tensor

from uncollapse.distributed import RanksFailed, Team, fingerprint, joined
from uncollapse.errors import UserError
from uncollapse.loop import Trainer
from uncollapse.ranks import Ranks
from uncollapse.run import execute, make_spec
from uncollapse.trees import flatten

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 300  # seconds for what takes ten on an idle machine


class Seen:
    """What two processes left behind."""

    def __init__(self, folder: Path, codes: list[int]) -> None:
        self.codes = codes
        self.said = [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(2)]
        self.tensors = [load_file(folder / f"rank-{rank}.safetensors") for rank in range(2)]

    def lanes(self, rank: int, name: str) -> dict[str, Tensor]:
        return {
            path.removeprefix(f"{name}/"): value
            for path, value in self.tensors[rank].items()
            if path.startswith(f"{name}/")
        }


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("two")
    with processes(2, in_processes.__file__, str(folder), cwd=folder) as started:
        told = [process.communicate(timeout=LONGEST) for process in started]
        codes = [process.returncode for process in started]
    assert codes == [0, 9], told
    return Seen(folder, codes)


def alone(method: str) -> Trainer:
    trainer = Trainer(specification(method))
    trainer.advance(UPDATES)
    return trainer


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.slow
def test_two_processes_train_what_one_trains_with_the_whole_batch(seen: Seen, name: str) -> None:
    trainer = alone(TRAINED[name][0])
    expected, found = flatten(trainer.lanes), seen.lanes(0, name)
    assert found.keys() == expected.keys()
    for player in ("critic", "generator"):
        # A weight without any gradient (a constant, where only differences of scores count) moves by rounding alone.
        moved = expected[f"state.{player}.moments.second"] > 1e-20
        assert moved.float().mean() > 0.4
        ours, theirs = (one[f"state.{player}.parameters"][moved] for one in (found, expected))
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    for path in ("state.critic.parameters", "average", "critic_loss", "generator_loss", "state.critic.moments.second"):
        torch.testing.assert_close(found[path], expected[path], rtol=1e-10, atol=1e-12)
    for path in ("diverged_at", "critic_updates", "generator_updates"):
        assert torch.equal(found[path], expected[path])


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.long
def test_all_processes_hold_the_same_numbers_to_the_last_bit(seen: Seen, name: str) -> None:
    first, second = (seen.lanes(rank, name) for rank in range(2))
    assert first.keys() == second.keys() != set()
    assert all(torch.equal(first[path], second[path]) for path in first)


@pytest.mark.long
def test_all_take_up_what_only_rank_0_knows(seen: Seen) -> None:
    """As after a checkpoint: the second half in two processes, from numbers that rank 0 brings."""
    expected = flatten(alone("wgan-gp").lanes)
    for rank in range(2):
        found = seen.lanes(rank, "continued")
        for path in ("state.critic.parameters", "state.generator.moments.second", "average", "critic_updates"):
            torch.testing.assert_close(found[path], expected[path], rtol=1e-10, atol=1e-11)


@pytest.mark.long
def test_a_seed_that_rank_0_puts_back_is_put_back_in_all(seen: Seen) -> None:
    trainer = Trainer(specification("wgan-gp"))
    trainer.advance(UPDATES // 2)
    in_processes.put_back(trainer)
    trainer.advance(UPDATES)
    expected, plain = flatten(trainer.lanes), flatten(alone("wgan-gp").lanes)
    first, second = (seen.lanes(rank, "put back") for rank in range(2))
    assert all(torch.equal(first[path], second[path]) for path in expected)
    for path in ("state.critic.parameters", "state.generator.moments.second", "average", "critic_updates"):
        torch.testing.assert_close(first[path], expected[path], rtol=1e-10, atol=1e-11)
    assert (expected["average"][1] - plain["average"][1]).abs().max() > 1e-4


@pytest.mark.long
def test_the_comparison_would_see_half_a_batch(seen: Seen) -> None:
    """The law can fail: what one process makes of half the batch is another run."""
    half = Trainer(make_spec("wgan-gp", "blobs-4", seeds=(3, 7), updates=100, batch=12, dtype="float64",
                             networks=specification("wgan-gp").networks))  # fmt: skip
    half.advance(UPDATES)
    found = seen.lanes(0, "wgan-gp")["state.critic.parameters"]
    assert (found - half.lanes.state.critic.parameters).abs().max() > 1e-4


@pytest.mark.long
def test_processes_agree_or_rank_0_has_the_sentence(seen: Seen) -> None:
    assert [said["same number"] for said in seen.said] == ["", ""]
    assert [said["other numbers"] for said in seen.said] == ["UserError: They differ.", "RanksFailed: They differ."]


@pytest.mark.long
def test_a_process_that_is_asked_to_stop_stops_all(seen: Seen) -> None:
    assert [said["asked"] for said in seen.said] == ["Halted: ", "Halted: "]


@pytest.mark.long
def test_one_changed_bit_in_one_process_ends_all_with_a_sentence(seen: Seen) -> None:
    for said in seen.said:
        assert said["drifted"].startswith("RanksFailed: The processes no longer hold the same weights: their machines")
    assert seen.said[1]["order after the drift"] == "FAIL"  # for whoever had not noticed


@pytest.mark.long
def test_processes_that_see_other_data_do_not_train(seen: Seen) -> None:
    sentence = "The processes do not see the same data; give every machine the same files"
    assert [said["other data"].partition(": ")[0] for said in seen.said] == ["UserError", "RanksFailed"]
    assert all(sentence in said["other data"] for said in seen.said)


@pytest.mark.long
def test_a_process_that_is_gone_ends_the_other_with_a_sentence(seen: Seen) -> None:
    assert seen.said[0]["gone"].startswith(
        "RanksFailed: Another process of this run is gone; its own message says why."
    )
    assert seen.said[0]["gone"].endswith("What is saved is intact, and the same command continues from it.")


@pytest.mark.long
@linux
def test_no_thread_outlives_the_team(seen: Seen) -> None:
    """One that did could abort the process when Python ends, whatever it had said and saved."""
    assert "pt_gloo_runloop" in seen.said[0]["threads with the others"]
    assert seen.said[0]["threads alone"] == []


@pytest.fixture
def one_rank(monkeypatch: pytest.MonkeyPatch) -> Ranks:
    """This process as the only one of its run, which also holds the place where all meet."""
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}.items():
        monkeypatch.setenv(name, value)
    return Ranks(rank=0, size=1)


def fail_with(group: object, raising: Callable[[], None]) -> None:
    """Fails in a frame that holds the group, as those of torch do."""
    raising()


def plainly() -> None:
    raise KeyError("one")


def with_a_cause_and_another_context() -> None:
    try:
        plainly()
    except KeyError:
        raise ValueError("two") from RuntimeError("three")


def in_a_circle() -> None:
    try:
        with_a_cause_and_another_context()
    except ValueError as error:
        error.__context__, other = None, KeyError("four")
        other.__cause__, error.__cause__ = error, other
        raise


@linux
@pytest.mark.parametrize("raising", [plainly, with_a_cause_and_another_context, in_a_circle])
def test_an_error_that_somebody_keeps_keeps_no_thread(one_rank: Ranks, raising: Callable[[], None]) -> None:
    kept: Exception | None = None
    try:
        with joined(one_rank, torch.device("cpu")) as team:
            deadline = time.monotonic() + 60
            while not {"pt_gloo_runloop", "pt_tcpstore_uv"} <= set(threads()):  # a thread names itself once it runs
                assert time.monotonic() < deadline
                time.sleep(0.01)
            fail_with(team.orders, raising)
    except (KeyError, ValueError) as error:
        kept = error
    assert kept is not None
    assert threads() == []
    assert kept.__traceback__ is not None


@linux
def test_processes_that_do_not_find_each_other_leave_no_thread(
    one_rank: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alone(**options: object) -> None:
        group = torch.distributed.group.WORLD
        raise RuntimeError(f"{type(group).__name__}: nobody came")

    monkeypatch.setattr(torch.distributed, "new_group", alone)
    with (
        pytest.raises(RanksFailed, match=r"do not find each other \(ProcessGroup: nobody came\)") as kept,
        joined(one_rank, torch.device("cpu")),
    ):
        pass
    assert threads() == []
    assert not torch.distributed.is_initialized()
    assert kept.value.__cause__ is not None


@linux
def test_locals_of_an_error_from_outside_and_a_group_of_somebody_else_are_left_alone(one_rank: Ranks) -> None:
    """Whoever uses us within an `except` may look at its error, and at its own group, afterwards."""

    def theirs() -> None:
        precious = 7
        raise OSError(precious)

    store = torch.distributed.HashStore()
    try:
        theirs()
    except OSError as error:
        outside = error
        with pytest.raises(KeyError), joined(one_rank, torch.device("cpu")):
            plainly()
    frames = [frame for frame, _ in traceback.walk_tb(outside.__traceback__)]
    assert frames[-1].f_locals == {"precious": 7}
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        with pytest.raises(UserError, match="already belongs to a group"), joined(one_rank, torch.device("cpu")):
            pass
        assert torch.distributed.is_initialized()
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("fails_in", "told"), [("play", ["BEGIN", "ADVANCE"]), ("later", ["BEGIN", "ADVANCE", "FAIL"])]
)
def test_rank_0_gives_no_order_that_nobody_hears(
    fails_in: str, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a stretch the others wait for gradients: an order would wait for them in turn until the time is over."""
    orders: list[str] = []
    monkeypatch.setattr(Team, "_tell", lambda self, order, until=0: orders.append(order.name))
    monkeypatch.setattr(Team, "_begin", lambda self, trainer: None)
    monkeypatch.setattr(Team, "_meet", lambda self, trainer, *, asked: None)

    class Stub:
        def play(self, until: int) -> None:
            if fails_in == "play":
                raise MemoryError

    def lead(team: Team) -> None:
        with team.leading(KeyboardInterrupt):
            team.advance(Stub(), 5)  # type: ignore[arg-type]
            raise MemoryError

    with pytest.raises(MemoryError):
        lead(Team(Ranks(rank=0, size=2), None))
    assert orders == told


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool])
def test_a_fingerprint_sees_any_one_number(dtype: torch.dtype) -> None:
    values = (torch.rand(7, 5) > 0.5) if dtype == torch.bool else torch.rand(7, 5).mul(100).to(dtype)
    before = fingerprint([values, values.flip(0)])
    assert before.shape == (2,)
    assert before[0] == before[1] >= 0  # the order within a tensor does not count
    changed = values.clone()
    changed[3, 2] = ~changed[3, 2] if dtype == torch.bool else changed[3, 2] + 1
    assert fingerprint([changed, values])[0] != before[0]
    assert fingerprint([changed, values])[1] == before[1]


def test_a_fingerprint_tells_numbers_apart_that_compare_equal() -> None:
    zeros = torch.zeros(3), -torch.zeros(3)
    assert torch.equal(*zeros)
    assert fingerprint([zeros[0]]) != fingerprint([zeros[1]])
    nan = torch.full((3,), float("nan"))
    assert torch.equal(fingerprint([nan]), fingerprint([nan.clone()]))


def test_several_processes_need_a_folder() -> None:
    spec = specification("vanilla")
    with pytest.raises(UserError, match=r"^Several processes need one folder for their run; give it, as out=\.$"):
        execute(spec, ranks=Ranks(rank=0, size=2))


def torchrun(folder: Path, *arguments: str, expect: int = 0) -> str:
    """What two processes under torchrun print, all together."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "uncollapse", "train", *arguments]
    done = subprocess.run(
        command, env=ENVIRONMENT, cwd=folder, capture_output=True, text=True, timeout=LONGEST, check=False
    )
    assert (done.returncode == 0) == (expect == 0), done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_the_command_line_trains_under_torchrun_what_it_trains_alone(tmp_path: Path) -> None:
    given = ("wgan-gp", "ring-8", "--seeds", "2", "--updates", "20", "--monitor-every", "10")
    printed = torchrun(tmp_path, *given, "--out", "two", "--json")
    assert printed.count('"status": "finished"') == 1  # rank 0 alone prints
    ours = json.loads((tmp_path / "two" / "result.json").read_text())
    spec = make_spec("wgan-gp", "ring-8", seeds=range(2), updates=20, monitor=10)
    theirs = execute(spec, tmp_path / "one").result
    assert ours["hash"] == theirs["hash"] == spec.hash
    assert ours["cost"] == theirs["cost"] | {"ranks": 2}
    for one, other in zip(ours["lanes"], theirs["lanes"], strict=True):
        assert one["monitor"]["looks"] == other["monitor"]["looks"] == 2  # rank 0 alone looks
        for weights in ("averaged", "live"):
            measures, expected = one["measures"][weights], other["measures"][weights]
            assert measures.keys() == expected.keys()
            for name, value in measures.items():
                assert value == (None if expected[name] is None else pytest.approx(expected[name], rel=0.02, abs=1e-3))
    histories = [
        [json.loads(line) for line in (tmp_path / name / "history.jsonl").read_text().splitlines()]
        for name in ("two", "one")
    ]
    losses = [[line["losses"]["critic"] for line in history if "losses" in line] for history in histories]
    torch.testing.assert_close(torch.tensor(losses[0]), torch.tensor(losses[1]), rtol=1e-4, atol=1e-5)
    lines = [json.loads(line) for line in (tmp_path / "two" / "timing.jsonl").read_text().splitlines()]
    assert {line["ranks"] for line in lines} == {2}
    assert not [line for line in (tmp_path / "one" / "timing.jsonl").read_text().splitlines() if "ranks" in line]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["bures", "ring-8"], "uncollapse: BuresMetric depends on the whole batch at once, so that 2 shares of it"),
        (["wgan-gp", "ring-8", "--batch", "7"], "uncollapse: A batch of 7 cannot be split into 2 equal shares"),
        (
            ["vanilla", "digits", "--set", "networks.family=dcgan", "--set", "networks.norm=batch"],
            "uncollapse: In the generator the samples of a batch see each other (batch norm), so that 2 shares",
        ),
    ],
)
def test_what_cannot_be_shared_is_refused_once_and_leaves_nothing(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    printed = torchrun(tmp_path, *arguments, "--seeds", "1", "--updates", "20", "--out", "run", expect=1)
    assert printed.count(sentence) == 1
    assert printed.count("uncollapse: ") == 1
    assert not (tmp_path / "run").exists()


TRAINING = ("-m", "uncollapse", "train", "wgan-gp", "ring-8", "--seeds", "2", "--batch", "16", "--updates", "400")


def wait_for_a_checkpoint(run: Path) -> None:
    until = time.monotonic() + LONGEST
    while not list(run.glob("checkpoints/step-*/MANIFEST.json")):
        assert time.monotonic() < until, "no checkpoint was saved"
        time.sleep(0.05)


def newest(run: Path) -> dict[str, Tensor]:
    return load_file(max(run.glob("checkpoints/step-*")) / "lanes.safetensors")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """The last numbers of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    with processes(2, *TRAINING, "--out", str(folder / "run"), cwd=folder) as started:
        assert [process.wait(LONGEST) for process in started] == [0, 0]
    return newest(folder / "run")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rank", "number", "codes", "says"),
    [
        (0, signal.SIGKILL, [-9, 1], ["", ""]),
        (
            1,
            signal.SIGKILL,
            [1, -9],
            ["uncollapse: Another process of this run is gone; its own message says why.", ""],
        ),
        (0, signal.SIGTERM, [143, 143], ["Stopped by signal 15 with a checkpoint in", ""]),
        (1, signal.SIGTERM, [143, 143], ["Stopped as another process was asked to with a checkpoint in", ""]),
    ],
)
def test_whoever_ends_ends_all_and_the_same_command_continues_to_the_same_numbers(
    tmp_path: Path, uninterrupted: dict[str, Tensor], rank: int, number: int, codes: list[int], says: list[str]
) -> None:
    cut = tmp_path / "cut"
    with processes(2, *TRAINING, "--out", str(cut), cwd=tmp_path) as started:
        wait_for_a_checkpoint(cut)
        started[rank].send_signal(number)
        told = [process.communicate(timeout=LONGEST)[1] for process in started]
        assert [process.returncode for process in started] == codes, told
    for text, sentence in zip(told, says, strict=True):
        assert sentence in text
        assert "Traceback" not in text
    assert not (cut / "result.json").exists()
    with processes(2, *TRAINING, "--out", str(cut), cwd=tmp_path) as started:
        assert [process.wait(LONGEST) for process in started] == [0, 0]
    ours = newest(cut)
    assert ours.keys() == uninterrupted.keys()
    assert all(torch.equal(ours[path], uninterrupted[path]) for path in ours)


@pytest.mark.slow
def test_three_processes_agree_to_the_last_bit_and_continue_what_two_began(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for count, updates in ((2, "100"), (3, "200")):
        command = (
            "-m",
            "uncollapse",
            "train",
            "r3gan",
            "ring-8",
            "--seeds",
            "2",
            "--batch",
            "24",
            "--updates",
            updates,
        )
        with processes(count, *command, "--set", 'dynamics.schedule={part = "Constant"}', "--set",
                       'penalties.0.schedule={part = "Constant"}', "--set", 'penalties.1.schedule={part = "Constant"}',
                       "--out", str(run), cwd=tmp_path) as started:  # fmt: skip
            told = [process.communicate(timeout=LONGEST) for process in started]
            assert [process.returncode for process in started] == [0] * count, told
    result: dict[str, Any] = json.loads((run / "result.json").read_text())
    assert result["cost"]["ranks"] == 3
    assert result["warnings"] == ["Started under ranks 2, continued under 3: equal in law only."]
