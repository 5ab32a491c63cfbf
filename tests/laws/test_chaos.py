"""A sweep among kills, a full disk and a poisoned spec ends as a quiet one: `benchmarks/chaos.py` in small."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest


def experiment(root: Path, engine: str) -> dict[str, Any]:
    specification = importlib.util.spec_from_file_location("chaos", root / "benchmarks" / "chaos.py")
    assert specification is not None
    assert specification.loader is not None
    chaos = importlib.util.module_from_spec(specification)
    sys.modules["chaos"] = chaos  # where its dataclasses look their module up
    try:
        specification.loader.exec_module(chaos)
        found: dict[str, Any] = chaos.experiment(engine, runs=9, updates=40, kills=6, mean=4.0, seed=1)
    except SystemExit as error:
        if "mount" in str(error):
            pytest.skip("a file system cannot be mounted here")
        raise
    finally:
        del sys.modules["chaos"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_a_sweep_in_chaos_ends_as_a_quiet_one(root: Path, engine: str) -> None:
    if engine == "ray":
        pytest.importorskip("ray", reason="Ray is not installed here")
    found = experiment(root, engine)
    assert found["tables_equal"]
    assert found["table_bytes"] > 10_000
    assert (found["runs_unequal"], found["finished_runs_lost"], found["finished_runs_repeated"]) == ([], [], [])
    (row,) = found["poisoned"]
    assert row["error"] == "ZeroDivisionError: this spec is poisoned"
    assert found["runs"] == 9
    assert found["worker_kills"] + found["head_kills"] == 6
    assert found["full_disks"] == 1
