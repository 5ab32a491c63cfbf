"""Which run a directory holds: whose it is, what is beside its spec, when it is finished, what a clearing leaves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from uncollapse.errors import UserError
from uncollapse.methods import METHODS
from uncollapse.parts.losses import LeastSquares
from uncollapse.run_files import check_code, claim, clear, is_finished, read_result
from uncollapse.spec import RunSpec, make_spec

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
        claim(tmp_path, watched, fresh=False)
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
        claim(tmp_path, spec, fresh=False)
    claim(tmp_path, spec, fresh=True)
    assert json.loads(path.read_text())["code"] == {name: "another"}


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
    (tmp_path / "result.json").write_text('{"status": "fini')
    assert read_result(tmp_path) is None


def test_clearing_takes_what_a_run_writes_and_nothing_else(tmp_path: Path) -> None:
    for name in ("history.jsonl", "timing.jsonl", "result.json", "spec.json", "notes.txt"):
        (tmp_path / name).write_text("{}")
    for name in ("checkpoints", "samples", "tensorboard", "pictures"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    clear(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "pictures"]
    assert (tmp_path / "pictures/file").exists()
