"""Which run a directory holds: whose it is, what is beside its spec, when it is finished, what a clearing leaves."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from uncollapse.errors import UserError
from uncollapse.methods import METHODS
from uncollapse.parts.losses import LeastSquares
from uncollapse.run_files import check_claim, check_code, claim, clear, is_finished, read_result
from uncollapse.spec import RunSpec, make_spec
from uncollapse.tasks import _OWN, Mixture, register

SPEC = make_spec("vanilla", "unequal-3", seeds=(3,), updates=10)


def result(directory: Path, **changes: object) -> None:
    content = {"status": "finished", "hash": SPEC.hash, "updates": 10, **changes}
    (directory / "result.json").write_text(json.dumps(content))


def test_the_modes_stand_beside_the_spec_and_in_no_hash(tmp_path: Path) -> None:
    claim(tmp_path, SPEC, fresh=False)
    written = json.loads((tmp_path / "spec.json").read_text())
    assert written["modes"]["names"] == list(SPEC.task.modes.names)
    assert written["modes"]["weights"] == pytest.approx([6 / 11, 3 / 11, 2 / 11])
    again = RunSpec.from_json(written)
    assert again == SPEC
    assert again.hash == written["hash"] == SPEC.hash
    assert "modes" not in SPEC.to_json()


def test_a_directory_is_one_runs_own(tmp_path: Path) -> None:
    claim(tmp_path, SPEC, fresh=False)
    claim(tmp_path, SPEC, fresh=False)
    watched = make_spec("vanilla", "unequal-3", seeds=(3,), updates=10, monitor=5)
    with pytest.raises(UserError, match=r"holds another run .*; choose another --out, or --fresh to replace it"):
        check_claim(tmp_path, watched, fresh=False)
    check_claim(tmp_path, SPEC, fresh=False)
    check_claim(tmp_path, watched, fresh=True)
    claim(tmp_path, watched, fresh=True)
    assert json.loads((tmp_path / "spec.json").read_text())["hash"] == watched.hash


@dataclass(frozen=True, kw_only=True)
class Own(LeastSquares):
    """A loss of one's own."""


def test_a_run_does_not_go_on_with_another_code_of_its_own_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(METHODS["lsgan"].but(name="own", loss=Own()), "unequal-3", seeds=(3,), updates=10)
    claim(tmp_path, spec, fresh=False)
    path = tmp_path / "spec.json"
    (name,) = json.loads(path.read_text())["code"]
    assert name.endswith(":Own")
    result(tmp_path, hash=spec.hash)
    claim(tmp_path, spec, fresh=False)
    assert is_finished(tmp_path, spec)
    monkeypatch.setattr("uncollapse.method.digest", lambda kind: "another")
    with pytest.raises(UserError, match="has changed since"):
        check_code(tmp_path, spec)
    check_code(tmp_path / "elsewhere", spec)
    assert not is_finished(tmp_path, spec)
    with pytest.raises(UserError, match=r"The code of \S+:Own has changed since .*; restore it, .* or remove"):
        check_claim(tmp_path, spec, fresh=False)
    claim(tmp_path, spec, fresh=True)
    assert json.loads(path.read_text())["code"] == {name: "another"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Mine(Mixture):
    """A task of one's own."""


def task_spec(**changes: object) -> RunSpec:
    task = Mine(**{"name": "mine", "centres": ((0.0, 0.0), (1.0, 1.0)), "sigma": 0.1, **changes})  # type: ignore[arg-type]
    return make_spec("vanilla", task, seeds=(3,), updates=10)


def test_a_run_does_not_go_on_with_another_code_of_its_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It went on with another task, or gave the result of the one before, without a word."""
    spec = task_spec()
    claim(tmp_path, spec, fresh=False)
    written = json.loads((tmp_path / "spec.json").read_text())
    assert list(written["code"]) == ["task 'mine'"]
    assert written["own_task"] == {"plugin": "", "file": "test_run_files.py"}
    check_claim(tmp_path, spec, fresh=False)
    result(tmp_path, hash=spec.hash)
    assert is_finished(tmp_path, spec)
    check_claim(tmp_path, spec, fresh=False)
    monkeypatch.setattr("uncollapse.tasks.identity.digest", lambda kind: "another")
    assert not is_finished(tmp_path, spec)
    message = r"The code of task 'mine' has changed since .* was trained with it; restore it, choose another --out, or"
    with pytest.raises(UserError, match=message):
        check_claim(tmp_path, spec, fresh=False)
    claim(tmp_path, spec, fresh=True)
    assert json.loads((tmp_path / "spec.json").read_text())["code"] == {"task 'mine'": "another"}


def test_where_a_task_came_from_is_told_to_whoever_opens_its_run(tmp_path: Path) -> None:
    spec = task_spec()
    for reference, words in (
        ("", r"\(class Mine in test_run_files\.py\)"),
        ("my:TASK", r"with the `--plugin my:TASK`"),
    ):
        register(spec.task, reference)
        claim(tmp_path, spec, fresh=False)
        document = json.loads((tmp_path / "spec.json").read_text())
        assert RunSpec.from_json(document).hash == spec.hash
        _OWN.clear()
        with pytest.raises(UserError, match=words):
            RunSpec.from_json(document)
    claim(tmp_path / "other", SPEC, fresh=False)
    assert "own_task" not in json.loads((tmp_path / "other" / "spec.json").read_text())


def test_data_that_changed_between_sittings_are_named_and_another_run_is_not_taken_for_it(tmp_path: Path) -> None:
    file, draws = tmp_path / "x.npz", np.random.default_rng(0)

    def spec(method: str = "vanilla", updates: int = 4) -> RunSpec:
        np.savez(file, x=draws.normal(size=(60, 2)))
        return make_spec(method, f"array:{file}", seeds=(0,), updates=updates)

    claim(tmp_path / "run", spec(), fresh=False)
    sentence = rf"^The data of array:{file} have changed since {tmp_path / 'run'} was trained on them; restore them, ch"
    for updates in (4, 8):
        with pytest.raises(UserError, match=sentence):
            check_claim(tmp_path / "run", spec(updates=updates), fresh=False)
    with pytest.raises(UserError, match="holds another run"):
        check_claim(tmp_path / "run", spec("lsgan"), fresh=False)
    with pytest.raises(UserError, match="holds another run"):
        check_claim(tmp_path / "run", SPEC, fresh=False)
    check_claim(tmp_path / "run", spec(), fresh=True)


def test_what_was_refused_before_its_first_update_may_be_corrected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(METHODS["lsgan"].but(name="own", loss=Own()), "unequal-3", seeds=(3,), updates=10)
    claim(tmp_path, spec, fresh=False)
    monkeypatch.setattr("uncollapse.method.digest", lambda kind: "another")
    check_claim(tmp_path, spec, fresh=False)
    (tmp_path / "checkpoints" / "step-000000004").mkdir(parents=True)
    with pytest.raises(UserError, match="has changed since"):
        check_claim(tmp_path, spec, fresh=False)


def test_a_run_does_not_go_back(tmp_path: Path) -> None:
    """It was called finished with fewer updates than its result said, and `doctor` found the history torn."""
    claim(tmp_path, SPEC, fresh=False)
    (tmp_path / "checkpoints" / "step-000000010").mkdir(parents=True)
    check_claim(tmp_path, SPEC, fresh=False)
    (tmp_path / "checkpoints" / "step-000000061").mkdir()
    with pytest.raises(UserError, match="holds 61 updates of this run, and 10 are asked for; ask for at least as many"):
        check_claim(tmp_path, SPEC, fresh=False)
    check_claim(tmp_path, SPEC, fresh=True)
    result(tmp_path, updates=61)
    check_claim(tmp_path, SPEC, fresh=False)
    assert is_finished(tmp_path, SPEC)


@pytest.mark.parametrize(("done", "goes_on"), [(10, True), (15, True), (20, False)])
def test_the_last_round_may_end_beyond_the_budget(done: int, goes_on: bool, tmp_path: Path) -> None:
    """A run of 12 updates in rounds of 5 ends with 15, and may be killed between its last checkpoint and its result."""
    spec = make_spec("wgan-gp", "unequal-3", seeds=(3,), updates=12)
    claim(tmp_path, spec, fresh=False)
    (tmp_path / "checkpoints" / f"step-{done:09d}").mkdir(parents=True)
    with nullcontext() if goes_on else pytest.raises(UserError, match=f"holds {done} updates"):
        check_claim(tmp_path, spec, fresh=False)


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("name", ["samples", "checkpoints", "report.html", "evaluation.json", "plan.lock.json"])
def test_a_folder_of_something_else_is_left_alone(name: str, fresh: bool, tmp_path: Path) -> None:
    """`train --fresh --out my-project` removed the user's own folders of these names."""
    (tmp_path / "notes.txt").touch()
    check_claim(tmp_path, SPEC, fresh=fresh)
    (tmp_path / name).touch()
    with pytest.raises(UserError, match=rf"holds {name} and is no run, so nothing is written there; choose another"):
        check_claim(tmp_path, SPEC, fresh=fresh)


def test_a_run_of_before_digests_goes_on(tmp_path: Path) -> None:
    spec = make_spec(METHODS["lsgan"].but(name="own", loss=Own()), "unequal-3", seeds=(3,), updates=10)
    claim(tmp_path, spec, fresh=False)
    path = tmp_path / "spec.json"
    content = json.loads(path.read_text())
    code = content.pop("code")
    path.write_text(json.dumps(content))
    claim(tmp_path, spec, fresh=False)
    assert json.loads(path.read_text())["code"] == code
    result(tmp_path, hash=spec.hash)
    path.unlink()
    assert is_finished(tmp_path, spec)


def test_the_first_versions_are_kept(tmp_path: Path) -> None:
    claim(tmp_path, SPEC, fresh=False)
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "versions": {"torch": "1.0"}}))
    claim(tmp_path, SPEC, fresh=False)
    assert json.loads(path.read_text())["versions"] == {"torch": "1.0"}


def test_only_a_whole_result_of_this_spec_with_enough_updates_is_finished(tmp_path: Path) -> None:
    assert read_result(tmp_path) is None
    assert not is_finished(tmp_path, SPEC)
    result(tmp_path)
    assert is_finished(tmp_path, SPEC)
    result(tmp_path, updates=9)
    assert not is_finished(tmp_path, SPEC)
    result(tmp_path, hash="0" * 12)
    assert not is_finished(tmp_path, SPEC)
    result(tmp_path, status="unfinished")
    assert read_result(tmp_path) is None
    for text in ('{"status": "fini', "[" * 200_000):
        (tmp_path / "result.json").write_text(text)
        assert read_result(tmp_path) is None


def test_nothing_is_cleared_where_the_new_run_cannot_be_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim(tmp_path, SPEC, fresh=False)
    (tmp_path / "history.jsonl").write_text("{}\n")
    with monkeypatch.context() as patch:
        patch.setattr(RunSpec, "command", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            claim(tmp_path, SPEC, fresh=True)
    assert (tmp_path / "spec.json").exists()
    assert (tmp_path / "history.jsonl").exists()
    claim(tmp_path, SPEC, fresh=True)
    assert not (tmp_path / "history.jsonl").exists()


def test_clearing_takes_what_a_run_writes_and_nothing_else(tmp_path: Path) -> None:
    for name in ("history.jsonl", "timing.jsonl", "result.json", "spec.json", "notes.txt"):
        (tmp_path / name).write_text("{}")
    for name in ("checkpoints/step-000000010", "samples", "tensorboard", "pictures"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").touch()
    for name in ("samples/step-00000010.npz", "samples/final.npz", "checkpoints/mine.pt"):
        (tmp_path / name).touch()
    clear(tmp_path)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["checkpoints/mine.pt", "notes.txt", "pictures/file", "samples/file"]
    for name in ("checkpoints/mine.pt", "samples/file"):
        (tmp_path / name).unlink()
    clear(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "pictures"]
