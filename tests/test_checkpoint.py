"""Checkpoints: whole or skipped, the newest intact one, two kept and the best."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from uncollapse import checkpoint

TENSORS = {
    "a.weight": torch.arange(6, dtype=torch.float64).reshape(2, 3).T,  # not contiguous
    "a.steps": torch.tensor(7.25, dtype=torch.float64),
    "b": torch.tensor([-1, 2**40]),
    "c": torch.tensor([float("nan"), float("inf"), 0.1]),
    "d": torch.tensor([True, False]),
}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


SPEC = "0123456789ab"


def save(
    directory: Path,
    update: int,
    tensors: dict[str, Tensor] | None = None,
    *,
    measure: tuple[float, float] | None = None,
    best: int | None = None,
) -> Path:
    values = tensors or {"x": torch.full((40,), float(update))}
    return checkpoint.save(
        directory, values, spec=SPEC, update=update, rounds=update // 5, history_bytes=update * 11, measure=measure,
        best=best,
    )  # fmt: skip


def test_what_is_saved_is_what_is_read(tmp_path: Path) -> None:
    folder = checkpoint.save(
        tmp_path / "checkpoints", TENSORS, spec=SPEC, update=35, rounds=7, history_bytes=1234, measure=(2.5, 1 / 3)
    )
    assert folder == tmp_path / "checkpoints" / "step-000000035"
    for found in (checkpoint.read(folder), checkpoint.newest(folder.parent)[0]):
        assert found is not None
        assert (found.rounds, found.history_bytes, found.spec, found.update) == (7, 1234, SPEC, 35)
        assert found.measure == (2.5, 1 / 3)
        assert sorted(found.tensors) == sorted(TENSORS)
        for name, value in TENSORS.items():
            assert found.tensors[name].dtype == value.dtype
            torch.testing.assert_close(found.tensors[name], value, rtol=0, atol=0, equal_nan=True)


def test_the_files_are_what_other_readers_expect(tmp_path: Path) -> None:
    folder = save(tmp_path, 10)
    assert names(folder) == ["MANIFEST.json", "lanes.safetensors"]
    content = (folder / "lanes.safetensors").read_bytes()
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    digest = hashlib.sha256(content).hexdigest()
    assert manifest["files"]["lanes.safetensors"] == {"sha256": digest, "bytes": len(content)}
    assert {key: manifest[key] for key in ("schema", "update", "rounds", "history_bytes")} == {
        "schema": 1,
        "update": 10,
        "rounds": 2,
        "history_bytes": 110,
    }
    assert torch.equal(load_file(folder / "lanes.safetensors")["x"], torch.full((40,), 10.0))


def test_tensors_that_share_memory_are_saved_each_for_itself(tmp_path: Path) -> None:
    whole = torch.arange(12.0)
    shared = {"a": whole, "b": whole, "part": whole[4:8], "again": whole.reshape(3, 4), "empty": torch.empty(0)}
    found = checkpoint.read(save(tmp_path, 5, shared))
    for name, value in shared.items():
        assert torch.equal(found.tensors[name], value)


def test_where_nothing_was_saved_nothing_is_found(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path / "nowhere") == (None, [])
    assert checkpoint.newest(tmp_path) == (None, [])


def test_the_two_newest_are_kept(tmp_path: Path) -> None:
    for update in (5, 10, 20, 100):
        save(tmp_path, update)
        assert len(names(tmp_path)) <= 2
    assert names(tmp_path) == ["step-000000020", "step-000000100"]
    found, skipped = checkpoint.newest(tmp_path)
    assert found is not None
    assert (found.rounds, skipped) == (20, [])


def test_what_claims_to_be_later_goes_and_does_not_crowd_out_what_is_intact(tmp_path: Path) -> None:
    for update in (90, 100):
        truncate(save(tmp_path, update))
    save(tmp_path, 50)
    save(tmp_path, 60)
    assert names(tmp_path) == ["step-000000050", "step-000000060"]


def test_the_same_update_may_be_saved_again(tmp_path: Path) -> None:
    save(tmp_path, 5, {"x": torch.zeros(1)})
    save(tmp_path, 5, {"x": torch.ones(1)})
    found, _ = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.tensors["x"].tolist() == [1.0]
    assert names(tmp_path) == ["step-000000005"]


def test_what_bears_another_name_is_neither_read_nor_removed(tmp_path: Path) -> None:
    for name in ("step-mine", "step-12-copy", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "step-000000012").write_text("a file")
    for update in (5, 10, 20):
        save(tmp_path, update)
    assert names(tmp_path) == ["notes", *(f"step-0000000{n}" for n in (10, 12, 20)), "step-12-copy", "step-mine"]
    assert checkpoint.newest(tmp_path)[1] == []


def test_updates_are_ordered_as_numbers_also_beyond_nine_digits(tmp_path: Path) -> None:
    for update in (999_999_995, 1_000_000_000):
        save(tmp_path, update)
    found, _ = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.update == 1_000_000_000


# --- the best -------------------------------------------------------------------------------------------------------


def worths(directory: Path) -> tuple[int | None, list[str]]:
    found, skipped = checkpoint.best(directory)
    return (None if found is None else found.update), skipped


def test_the_best_is_kept_for_as_long_as_it_is_named(tmp_path: Path) -> None:
    save(tmp_path, 5, measure=(1.0, 0.5), best=5)
    for update in (10, 20, 30):
        save(tmp_path, update, measure=(0.5, 0.9), best=5)
    assert names(tmp_path) == ["step-000000005", "step-000000020", "step-000000030"]
    assert worths(tmp_path) == (5, [])
    save(tmp_path, 40, measure=(2.0, 0.1), best=40)
    assert names(tmp_path) == ["step-000000030", "step-000000040"]
    assert worths(tmp_path) == (40, [])


def test_modes_come_first_then_quality_then_the_earlier_one(tmp_path: Path) -> None:
    order = [(5, (3.0, 0.2)), (10, (3.0, 0.4)), (20, (2.9, 1.0)), (30, (3.0, 0.4)), (40, None)]
    for number, (update, measure) in enumerate(order):
        save(tmp_path / str(number), update, measure=measure)
        for path in (tmp_path / str(number)).iterdir():
            path.rename(tmp_path / path.name)
        (tmp_path / str(number)).rmdir()
    assert worths(tmp_path) == (10, [])


def test_what_was_not_measured_is_no_best(tmp_path: Path) -> None:
    assert worths(tmp_path / "nowhere") == (None, [])
    save(tmp_path, 5)
    assert worths(tmp_path) == (None, [])


def test_a_damaged_best_is_skipped_and_named_and_the_next_takes_its_place(tmp_path: Path) -> None:
    flip(save(tmp_path, 5, measure=(3.0, 0.2), best=5))
    save(tmp_path, 10, measure=(1.0, 0.2), best=5)
    sentence = "step-000000005 is damaged and was skipped (ValueError: lanes.safetensors does not match its manifest)."
    assert worths(tmp_path) == (10, [sentence])
    (tmp_path / "step-000000005" / "MANIFEST.json").write_text("{")
    assert worths(tmp_path) == (10, [])  # it does not even claim to be the best


def test_a_best_one_that_needs_more_history_than_there_is_is_none(tmp_path: Path) -> None:
    save(tmp_path, 5, measure=(1.0, 0.5), best=5)  # 55 bytes
    save(tmp_path, 10, measure=(2.0, 0.5), best=10)  # 110 bytes
    found, skipped = checkpoint.best(tmp_path, history=109)
    assert found is not None
    assert found.update == 5
    assert skipped == ["step-000000010 was skipped, because the history has lost lines that it builds on."]


def test_what_is_no_tensor_is_kept_beside_and_hashed_with_the_rest(tmp_path: Path) -> None:
    state = {"seeds": [{"monitor": {"best": 1 / 3, "name": "\u00e9"}, "healthy_at": None}]}
    folder = checkpoint.save(tmp_path, TENSORS, spec=SPEC, update=35, rounds=7, history_bytes=0, state=state)
    assert names(folder) == ["MANIFEST.json", "lanes.safetensors", "state.json"]
    assert checkpoint.read(folder).state == state
    content = (folder / "state.json").read_bytes()
    (folder / "state.json").write_bytes(content.replace(b"0.333", b"0.334"))
    with pytest.raises(ValueError, match=r"^state\.json does not match its manifest$"):
        checkpoint.read(folder)
    (folder / "state.json").unlink()
    found, skipped = checkpoint.newest(tmp_path)
    assert found is None
    assert skipped[0].startswith("step-000000035 is damaged and was skipped (FileNotFoundError")
    assert checkpoint.read(save(tmp_path, 40)).state is None


# --- damage ---------------------------------------------------------------------------------------------------------


def truncate(folder: Path) -> None:
    path = folder / "lanes.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def flip(folder: Path) -> None:
    path = folder / "lanes.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated tensors": (truncate, r"ValueError: lanes\.safetensors does not match its manifest"),
    "flipped bit": (flip, r"ValueError: lanes\.safetensors does not match its manifest"),
    "no manifest": (lambda folder: (folder / "MANIFEST.json").unlink(), "FileNotFoundError: .*MANIFEST"),
    "no tensors": (lambda folder: (folder / "lanes.safetensors").unlink(), "FileNotFoundError: .*lanes"),
    "torn manifest": (lambda folder: (folder / "MANIFEST.json").write_text('{"sche'), "JSONDecodeError"),
    "empty manifest": (lambda folder: (folder / "MANIFEST.json").write_text("{}"), "KeyError"),
    "binary manifest": (lambda folder: (folder / "MANIFEST.json").write_bytes(b"\xff\xfe"), "UnicodeDecodeError"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_skipped_and_named(damage: str, tmp_path: Path) -> None:
    save(tmp_path, 5)
    spoil, why = DAMAGES[damage]
    spoil(save(tmp_path, 10))
    found, skipped = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.rounds == 1
    assert found.tensors["x"].tolist() == [5.0] * 40
    assert len(skipped) == 1
    with pytest.raises(ValueError, match=rf"^step-000000010 is damaged and was skipped \({why}"):
        raise ValueError(skipped[0])


def test_a_manifest_of_another_update_is_damage(tmp_path: Path) -> None:
    save(tmp_path, 5).rename(tmp_path / "step-000000025")
    found, skipped = checkpoint.newest(tmp_path)
    assert found is None
    assert skipped == ["step-000000025 is damaged and was skipped (ValueError: its manifest is of update 5)."]


def test_a_form_of_another_version_is_skipped_but_not_called_damaged(tmp_path: Path) -> None:
    folder = save(tmp_path, 5)
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    manifest.pop("sha256")
    (folder / "MANIFEST.json").write_text(json.dumps(manifest | {"schema": 2}))
    found, skipped = checkpoint.newest(tmp_path)
    assert found is None
    assert skipped == ["step-000000005 was skipped, because another version of uncollapse wrote it (schema 2)."]
    with pytest.raises(checkpoint.AnotherVersion):
        checkpoint.read(folder)


def test_a_checkpoint_that_never_was_worth_anything_is_read_as_before(tmp_path: Path) -> None:
    folder = save(tmp_path, 5)
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    for key in ("sha256", "measure"):  # as they were written before there was a best one
        manifest.pop(key)
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))
    assert checkpoint.read(folder).measure is None
    assert checkpoint.read(folder).update == 5


def test_when_all_are_damaged_none_is_found_and_each_is_named(tmp_path: Path) -> None:
    for update in (5, 10):
        truncate(save(tmp_path, update))
    found, skipped = checkpoint.newest(tmp_path)
    assert found is None
    assert [sentence.split()[0] for sentence in skipped] == ["step-000000010", "step-000000005"]


def test_no_flipped_bit_anywhere_goes_unnoticed(tmp_path: Path) -> None:
    folder = save(tmp_path, 123_455)
    for path in folder.iterdir():
        content = path.read_bytes()
        for position in range(len(content)):
            path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
            found, _ = checkpoint.newest(tmp_path)
            if found is not None:  # the bit meant nothing
                told = (found.rounds, found.history_bytes, found.tensors["x"].tolist())
                assert told == (24_691, 1_358_005, [123_455.0] * 40), f"{path.name}, byte {position}"
        path.write_bytes(content)


def test_a_removal_that_was_killed_leaves_no_half_checkpoint_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for update in (5, 10):
        save(tmp_path, update)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)  # it never got so far
        save(tmp_path, 15)
    visible = [name for name in names(tmp_path) if name.startswith("step-")]
    assert visible == ["step-000000010", "step-000000015"]
    assert any(name.startswith(".tmp-old-step-000000005") for name in names(tmp_path))
    save(tmp_path, 20)
    assert names(tmp_path) == ["step-000000015", "step-000000020"]


def test_a_checkpoint_that_is_a_link_is_unlinked_and_its_target_stays(tmp_path: Path) -> None:
    target = save(tmp_path / "elsewhere", 5)
    home = tmp_path / "home"
    home.mkdir()
    (home / target.name).symlink_to(target)
    for update in (10, 15):
        save(home, update)
    assert names(home) == ["step-000000010", "step-000000015"]
    assert names(target) == ["MANIFEST.json", "lanes.safetensors"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failing_write_leaves_the_older_ones_untouched(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for update in (5, 10):
        save(tmp_path, update)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), fail)
        with pytest.raises(OSError, match="No space left"):
            save(tmp_path, 15)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert names(tmp_path) == ["step-000000005", "step-000000010"]


def test_what_a_killed_writer_left_is_no_checkpoint_and_goes_with_the_next(tmp_path: Path) -> None:
    save(tmp_path, 5)
    (tmp_path / ".tmp-step-000000010-4242").mkdir()
    (tmp_path / ".tmp-step-000000010-4242" / ".lanes.safetensors.4242.tmp").write_bytes(b"half")
    found, skipped = checkpoint.newest(tmp_path)
    assert found is not None
    assert (found.rounds, skipped) == (1, [])
    save(tmp_path, 15)
    assert names(tmp_path) == ["step-000000005", "step-000000015"]


def test_a_checkpoint_of_another_run_is_skipped_and_named(tmp_path: Path) -> None:
    save(tmp_path, 5)
    assert checkpoint.newest(tmp_path, spec=SPEC)[0] is not None
    found, skipped = checkpoint.newest(tmp_path, spec="ba9876543210")
    assert found is None
    assert skipped == ["step-000000005 was skipped, because it belongs to another run (spec 0123456789ab)."]


@pytest.mark.parametrize(
    "text", ["[1, 2]", "[" * 200_000, '{"update": 1e999, "schema": 1, "files": {}}', '{"a": ' * 101 + "1" + "}" * 101]
)
def test_a_manifest_that_is_no_object_of_ours_is_skipped(text: str, tmp_path: Path) -> None:
    folder = save(tmp_path, 5)
    (folder / "MANIFEST.json").write_text(text)
    assert checkpoint.best(tmp_path) == (None, [])
    found, skipped = checkpoint.newest(tmp_path)
    assert found is None
    assert len(skipped) == 1
    assert "is damaged and was skipped" in skipped[0]


def test_a_state_without_end_is_damage(tmp_path: Path) -> None:
    folder = checkpoint.save(
        tmp_path, {"x": torch.ones(2)}, spec=SPEC, update=5, rounds=1, history_bytes=0, state={"a": 1}
    )
    assert checkpoint.read(folder).state == {"a": 1}
    content = b"[" * 200_000
    (folder / "state.json").write_bytes(content)
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    manifest.pop("sha256")
    manifest["files"]["state.json"] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))
    found, skipped = checkpoint.newest(tmp_path)
    assert found is None
    assert "is nested more than 100 levels deep" in skipped[0]
