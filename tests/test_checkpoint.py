"""Checkpoints: whole or skipped, the newest intact one, two kept."""

from __future__ import annotations

import hashlib
import json
import os
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


def save(directory: Path, update: int, tensors: dict[str, Tensor] | None = None) -> Path:
    values = tensors or {"x": torch.full((40,), float(update))}
    return checkpoint.save(directory, values, spec=SPEC, update=update, rounds=update // 5, history_bytes=update * 11)


def test_what_is_saved_is_what_is_read(tmp_path: Path) -> None:
    folder = checkpoint.save(tmp_path / "checkpoints", TENSORS, spec=SPEC, update=35, rounds=7, history_bytes=1234)
    assert folder == tmp_path / "checkpoints" / "step-000000035"
    for found in (checkpoint.read(folder), checkpoint.newest(folder.parent)[0]):
        assert found is not None
        assert (found.rounds, found.history_bytes) == (7, 1234)
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


def test_where_nothing_was_saved_nothing_is_found(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path / "nowhere") == (None, [])
    assert checkpoint.newest(tmp_path) == (None, [])


def test_the_two_newest_are_kept(tmp_path: Path) -> None:
    for update in (5, 20, 10, 100):
        save(tmp_path, update)
        assert len(names(tmp_path)) <= 2
    assert names(tmp_path) == ["step-000000020", "step-000000100"]
    found, skipped = checkpoint.newest(tmp_path)
    assert found is not None
    assert (found.rounds, skipped) == (20, [])


def test_the_same_update_may_be_saved_again(tmp_path: Path) -> None:
    save(tmp_path, 5, {"x": torch.zeros(1)})
    save(tmp_path, 5, {"x": torch.ones(1)})
    found, _ = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.tensors["x"].tolist() == [1.0]
    assert names(tmp_path) == ["step-000000005"]


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


def test_a_manifest_that_is_no_object_is_skipped(tmp_path: Path) -> None:
    folder = save(tmp_path, 5)
    (folder / "MANIFEST.json").write_text("[1, 2]")
    found, skipped = checkpoint.newest(tmp_path)
    assert found is None
    assert len(skipped) == 1
    assert "is damaged and was skipped" in skipped[0]
