from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from uncollapse.data import cache
from uncollapse.data.cache import DTYPES, NO_CACHE, cache_folder, cache_limit, load, save
from uncollapse.errors import UserError

ARRAYS = {
    "features": np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32),
    "labels": np.arange(50),
    "one": np.array(3.5),
    "none": np.zeros((0, 3), np.float16),
}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNCOLLAPSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("UNCOLLAPSE_CACHE_GB", raising=False)
    return tmp_path / "cache"


def entries(place: Path) -> list[Path]:
    return sorted((place / "arrays").iterdir())


def test_what_is_saved_is_loaded() -> None:
    assert load("key") is None
    assert save("key", ARRAYS)
    found = load("key")
    assert found is not None
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert load("other") is None


def test_strided_arrays_and_odd_keys() -> None:
    key = "a/../b\0\n\ud800 " * 100
    assert save(key, {"x": ARRAYS["features"].T[::2]})
    found = load(key)
    assert found is not None
    np.testing.assert_array_equal(found["x"], ARRAYS["features"].T[::2])


def test_any_damage_drops_the_entry(place: Path) -> None:
    save("key", ARRAYS)
    (file,) = entries(place)
    whole = file.read_bytes()
    for spoil in (
        lambda data: data[:-1],
        lambda data: data[:5],
        lambda data: b"",
        lambda data: data + b"x",
        lambda data: b"\xff" * 8 + data[8:],
        *(lambda data, at=at: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in range(0, len(whole), 97)),
    ):
        file.write_bytes(spoil(whole))
        assert load("key") is None
        assert not file.exists()
    assert save("key", ARRAYS)
    assert load("key") is not None


def test_an_entry_of_another_key_is_not_taken(place: Path) -> None:
    save("key", ARRAYS)
    (file,) = entries(place)
    content = file.read_bytes()
    save("other", {"x": np.zeros(3)})
    (other,) = [entry for entry in entries(place) if entry != file]
    other.write_bytes(content)
    assert load("other") is None


def test_the_longest_unused_go_first(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = {"x": np.zeros(100_000)}  # 0.8 MB
    for number, key in enumerate("abc"):
        save(key, arrays)
        os.utime(max(entries(place), key=lambda file: file.stat().st_mtime_ns), (number, number))
    assert load("a") is not None  # which makes it the newest
    monkeypatch.setenv("UNCOLLAPSE_CACHE_GB", "0.0026")  # room for three
    assert save("d", arrays)
    assert [load(key) is not None for key in "abcd"] == [True, False, True, True]
    (place / "arrays" / "foreign.txt").write_text("kept")
    monkeypatch.setenv("UNCOLLAPSE_CACHE_GB", "0.0009")
    assert save("e", arrays)
    assert [load(key) is not None for key in "abcde"] == [False] * 4 + [True]
    assert (place / "arrays" / "foreign.txt").exists()


def test_what_does_not_fit_is_not_kept(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("0", "0.0000001"):
        monkeypatch.setenv("UNCOLLAPSE_CACHE_GB", limit)
        assert not save("key", ARRAYS)
    assert not (place / "arrays").exists()


def test_a_cache_that_cannot_be_written_is_no_error(place: Path) -> None:
    place.parent.mkdir(exist_ok=True)
    place.write_text("a file in its place")
    assert not save("key", ARRAYS)
    assert load("key") is None


def test_no_half_file_stays(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert not save("key", ARRAYS)
    assert entries(place) == []


def test_an_entry_is_a_file_that_the_library_itself_reads_and_writes(place: Path) -> None:
    save("key", ARRAYS)
    (file,) = entries(place)
    found = load_file(file)
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
    with safe_open(file, framework="np") as opened:
        described = opened.metadata()
    save_file(ARRAYS, file, metadata=described)  # as entries were written before
    assert load("key") is not None


@pytest.mark.parametrize("code", [*DTYPES, ">f4"])
def test_every_kind_of_number_comes_back(code: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(code)
    assert save(code, {"x": array})
    found = load(code)
    assert found is not None
    np.testing.assert_array_equal(found["x"], array)


def test_saving_holds_no_copy_and_loading_maps_what_is_large(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "BLOCK", 100_000)
    monkeypatch.setattr(cache, "IN_MEMORY", 1_000_000)
    rows = np.memmap(tmp_path / "rows", dtype=np.float32, mode="w+", shape=(5_000, 1_000))  # 20 MB
    rows[:] = np.arange(5_000)[:, None]
    for arrays, most in (({"x": rows, "small": np.arange(3)}, 2e6), ({"x": np.array(rows).T}, 2e6)):
        tracemalloc.start()
        assert save("key", arrays)
        found = load("key")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < most
        assert found is not None
        assert isinstance(found["x"], np.memmap)
        np.testing.assert_array_equal(found["x"], arrays["x"])
    found["x"][0, 0] = 7  # a reader may write to what it got; the entry stays as it is
    assert load("key")["x"][0, 0] == 0  # type: ignore[index]
    monkeypatch.setattr(cache, "IN_MEMORY", 20_000_000)
    assert not isinstance(load("key")["x"], np.memmap)  # type: ignore[index]


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("UNCOLLAPSE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_folder() == tmp_path / "x" / "uncollapse"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "uncollapse"


def test_without_a_home_folder_there_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UNCOLLAPSE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    assert cache_folder() == NO_CACHE
    assert not save("key", {"x": np.arange(3)})
    assert load("key") is None
    assert not NO_CACHE.exists()


def test_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_limit() == 10e9
    monkeypatch.setenv("UNCOLLAPSE_CACHE_GB", "2.5")
    assert cache_limit() == 2.5e9
    for wrong in ("much", "-1", "nan", "inf"):
        monkeypatch.setenv("UNCOLLAPSE_CACHE_GB", wrong)
        with pytest.raises(UserError, match=f"UNCOLLAPSE_CACHE_GB={wrong} is no number of gigabytes"):
            cache_limit()
