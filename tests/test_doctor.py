"""The doctor: a healthy machine is healthy, and each way a directory can be damaged is found and named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from uncollapse import checkpoint, doctor
from uncollapse.cli import app
from uncollapse.errors import UserError
from uncollapse.experiments.compare import compare
from uncollapse.experiments.plan import Plan

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
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished comparison."""
    return compare(Plan.from_toml(TOML), out=tmp_path_factory.mktemp("d") / "c", jobs=1, progress=False).directory


@pytest.fixture
def comparison(healthy: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    shutil.copytree(healthy, tmp_path / "c")
    return tmp_path / "c"


def bad(checks: list[doctor.Check]) -> dict[str, str]:
    """Name -> detail of what is bad."""
    return {check.name: check.detail for check in checks if check.status == "bad"}


def test_this_machine_trains() -> None:
    checks = {check.name: check for check in doctor.examine()}
    assert bad(list(checks.values())) == {}
    assert {"python", "torch", "device", "cores", "cache", "free disk", "self-test"} <= set(checks)
    assert "two updates of vanilla on ring-8" in checks["self-test"].detail


def test_a_training_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    import uncollapse.run

    def fail(*args: object, **options: object) -> None:
        raise RuntimeError("no kernel image")

    monkeypatch.setattr(uncollapse.run, "execute", fail)
    check = doctor.self_test()
    assert (check.status, check.detail) == ("bad", "training failed: RuntimeError: no kernel image")
    assert not doctor.healthy([check])


def test_a_whole_comparison_is_healthy(healthy: Path) -> None:
    checks = doctor.examine(healthy)
    assert {check.status for check in checks} == {"ok"}
    assert sum(check.name.endswith(": checkpoint") for check in checks) == 2
    assert doctor.healthy(checks)


def test_a_run_alone_is_examined(healthy: Path) -> None:
    checks = doctor.examine(next(healthy.glob("runs/*")))
    assert [check.name for check in checks] == ["spec", "history", "checkpoint", "result", "disk use"]
    assert doctor.healthy(checks)


def test_disk_use_is_shown_by_what_takes_it_the_largest_run_first(comparison: Path) -> None:
    small, large = sorted(comparison.glob("runs/*"))
    (large / "notes").write_bytes(bytes(5_000_000))
    checks = {check.name: check for check in doctor.examine(comparison) if check.name.startswith("disk use")}
    assert list(checks) == ["disk use", f"disk use: {large.name}", f"disk use: {small.name}"]
    of_large = checks[f"disk use: {large.name}"]
    assert of_large.bytes is not None
    assert 5_000_000 <= of_large.bytes["other"] < 5_010_000
    assert of_large.detail.startswith("5.")
    assert "MB: other 5.0 MB, samples " in of_large.detail
    whole = checks["disk use"].bytes
    assert whole is not None
    files = [path.stat().st_size for path in comparison.rglob("*") if path.is_file()]
    assert sum(whole.values()) == sum(files)
    assert checks["disk use"].to_json()["bytes"] == whole
    assert "bytes" not in doctor.Check(name="x", status="ok", detail="y").to_json()


def test_the_best_checkpoint_is_shown_and_missed(healthy: Path, comparison: Path) -> None:
    name = sorted(comparison.glob("runs/*"))[0].name
    found, _ = checkpoint.best(healthy / "runs" / name / "checkpoints")
    assert found is not None
    shown = {check.name: check for check in doctor.examine(healthy)}[f"{name}: checkpoint"]
    assert shown.detail == f"the newest valid one is of round 10, the best of round {found.rounds}."
    damaged = comparison / "runs" / name / "checkpoints" / f"step-{found.update:09d}" / "lanes.safetensors"
    damaged.write_bytes(b"")
    check = {check.name: check for check in doctor.examine(comparison)}[f"{name}: checkpoint"]
    assert check.status == "note"
    assert f"step-{found.update:09d} is damaged and was skipped" in check.detail


def test_damage_is_found_where_it_is(comparison: Path) -> None:
    first, second = sorted(comparison.glob("runs/*"))
    (first / "spec.json").write_text("{", encoding="utf-8")
    (first / "result.json").write_text("{", encoding="utf-8")
    lines = (second / "history.jsonl").read_text(encoding="utf-8").splitlines()
    (second / "history.jsonl").write_text("\n".join(["{", *lines]) + "\n", encoding="utf-8")
    for tensors in second.glob("checkpoints/*/*.safetensors"):
        tensors.write_bytes(tensors.read_bytes()[:-1])
    found = bad(doctor.examine(comparison))
    assert "spec.json is not valid JSON" in found[f"{first.name}: spec"]
    assert "result.json is not valid JSON" in found[f"{first.name}: result"]
    assert "Line 1 of" in found[f"{second.name}: history"]
    assert "does not match its manifest" in found[f"{second.name}: checkpoint"]
    assert len(found) == 4


def test_a_torn_history_is_damage_once_the_run_is_finished(comparison: Path) -> None:
    run = sorted(comparison.glob("runs/*"))[0]
    history = run / "history.jsonl"
    history.write_bytes(history.read_bytes()[:-3])
    assert list(bad(doctor.examine(run))) == ["history"]
    assert "the last line is torn" in bad(doctor.examine(run))["history"]
    history.write_bytes(history.read_bytes()[: history.read_bytes().rfind(b"\n", 0, -400) + 1])
    assert "the last lines are gone, up to update 10, as only update" in bad(doctor.examine(run))["history"]
    (run / "result.json").unlink()  # a kill leaves it so, and the next start cuts it off
    assert bad(doctor.examine(run)) == {}


def test_a_compact_record_is_no_damaged_run(comparison: Path) -> None:
    run = sorted(comparison.glob("runs/*"))[0]
    shutil.rmtree(run / "checkpoints")
    shutil.rmtree(run / "samples")
    assert list(bad(doctor.examine(run))) == ["samples"]
    (run / "history.jsonl").unlink()
    checks = {check.name: check for check in doctor.examine(run)}
    assert bad(list(checks.values())) == {}
    assert checks["checkpoint"].status == "note"
    assert "compact records of finished runs keep none" in checks["checkpoint"].detail
    (run / "result.json").unlink()
    assert {check.name: check for check in doctor.examine(run)}["checkpoint"].detail == "no checkpoint yet"


@pytest.mark.parametrize("lock", [{}, {"runs": 3}, {"runs": [{"method": "vanilla"}]}])
def test_a_lock_without_its_runs_is_a_finding(comparison: Path, lock: dict[str, object]) -> None:
    (comparison / "plan.lock.json").write_text(json.dumps({"schema": 1} | lock), encoding="utf-8")
    assert "plan.lock.json is damaged (" in bad(doctor.examine(comparison))["plan.lock.json"]


def test_one_seed_is_no_plural(healthy: Path) -> None:
    told = " ".join(check.detail for check in doctor.examine(healthy))
    assert ", 1 seed, " in told
    assert "1 seeds" not in told


def test_a_cache_that_cannot_be_used_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNCOLLAPSE_CACHE", str(tmp_path))
    assert (doctor.cache().status, doctor.cache().detail) == ("ok", f"{tmp_path} (exists)")
    monkeypatch.setenv("UNCOLLAPSE_CACHE", str(tmp_path / "new"))
    assert (doctor.cache().status, doctor.cache().detail) == ("ok", f"{tmp_path / 'new'} (not made yet)")
    monkeypatch.setenv("UNCOLLAPSE_CACHE", str(tmp_path / ("x" * 300)))
    assert doctor.cache().status == "note"
    assert "counts as absent; set UNCOLLAPSE_CACHE" in doctor.cache().detail
    monkeypatch.setattr(doctor, "cache_folder", lambda: doctor.NO_CACHE)
    assert (doctor.cache().status, doctor.cache().detail[:34]) == ("note", "none, as there is no home folder; ")


def test_an_edited_spec_is_noticed(comparison: Path) -> None:
    path = next(comparison.glob("runs/*")) / "spec.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(document | {"batch": 9}), encoding="utf-8")
    notes = [check.detail for check in doctor.examine(path.parent) if check.status == "note"]
    assert any("the file was edited" in note for note in notes)


def test_a_damaged_lock_and_an_unstarted_run_are_named(comparison: Path) -> None:
    gone = sorted(comparison.glob("runs/*"))[0]
    shutil.rmtree(gone)
    checks = {check.name: check for check in doctor.examine(comparison)}
    assert (checks[gone.name].status, checks[gone.name].detail) == ("note", "not started")
    (comparison / "plan.lock.json").write_text("[", encoding="utf-8")
    assert "is not valid JSON" in bad(doctor.examine(comparison))["plan.lock.json"]


def test_the_verb_cleans_and_may_be_asked_twice(comparison: Path) -> None:
    run = sorted(comparison.glob("runs/*"))[0]
    (run / ".result.json.77.tmp").write_bytes(b"1234567")
    first = CliRunner().invoke(app, ["doctor", str(comparison), "--clean"])
    assert first.exit_code == 0
    assert first.output.splitlines() == [
        f"removed runs/{run.name}/.result.json.77.tmp (7 B): a killed process left it half-written",
        f"{comparison} holds 7 B less.",
    ]
    again = CliRunner().invoke(app, ["doctor", str(comparison), "--clean", "--json"])
    assert json.loads(again.output) == {"directory": str(comparison), "bytes": 0, "removed": [], "left": []}
    refused = CliRunner().invoke(app, ["doctor", "--clean"])
    assert isinstance(refused.exception, UserError)
    assert doctor.healthy(doctor.examine(comparison))


def test_the_verb_tells_bytes_as_json(comparison: Path) -> None:
    told = {
        check["name"]: check
        for check in json.loads(CliRunner().invoke(app, ["doctor", str(comparison), "--json"]).output)
    }
    assert set(told["disk use"]["bytes"]) == {"checkpoints", "samples", "history", "report", "other"}
    assert set(told["comparison.json"]) == {"name", "status", "detail"}


def test_other_directories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"neither a run .* nor a comparison"):
        doctor.examine(tmp_path)
    with pytest.raises(UserError, match="no directory"):
        doctor.examine(tmp_path / "nowhere")
