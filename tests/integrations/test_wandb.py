"""Weights & Biases, offline: what its own file holds is what the run said, and no process stays behind."""

from __future__ import annotations

import importlib.util
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import uncollapse as uc
from uncollapse.errors import UserError
from uncollapse.integrations.wandb import NUMBER, WandbLogger

if importlib.util.find_spec("wandb") is None:
    pytest.skip("wandb is not installed here", allow_module_level=True)

# A process of its own for each: the package starts a service, and leaves marks in the environment.
TELL = """
import json, sys
from pathlib import Path
from uncollapse.loggers import find_loggers
told = json.load(sys.stdin)
(logger,) = find_loggers(["wandb"])
logger.start(told["spec"], Path(told["directory"]))
for row in told["history"]:
    logger.log(row)
logger.finish(told["result"])
"""
BLOCK = 32_768


def run_python(code: str, told: dict[str, Any]) -> None:
    environment = {**os.environ, "WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=environment, cwd=told["directory"],
    )  # fmt: skip
    printed, said = process.communicate(json.dumps(told))
    assert process.returncode == 0, said
    assert printed == "", "results go to stdout, a logger does not"
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert f"--pid {process.pid}" not in running


def payloads(content: bytes) -> list[bytes]:
    """The records of a file in the log format of LevelDB, which wandb writes after seven bytes of its own."""
    found, part, at = [], b"", 7
    while at + 7 <= len(content):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        part += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            found.append(part)
            part = b""
    return found


def records(directory: Path) -> dict[str, list[Any]]:
    """By kind, what the one offline run of a directory holds."""
    from wandb.proto import wandb_internal_pb2

    (file,) = directory.glob("wandb/offline-run-*/run-*.wandb")
    found: dict[str, list[Any]] = {}
    for payload in payloads(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(payload)
        kind = record.WhichOneof("record_type")
        found.setdefault(kind, []).append(getattr(record, kind))
    return found


def rows(found: dict[str, list[Any]], kind: str = "history") -> list[dict[str, Any]]:
    items = [part.item if kind == "history" else part.update for part in found[kind]]
    return [{item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in part} for part in items]


@pytest.mark.slow
def test_a_run_is_read_back(tmp_path: Path) -> None:
    run = uc.train("vanilla", "ring-8", seeds=(3, 5), updates=20, batch=16, out=tmp_path / "run")
    raised = {"update": 20, "alarm": {"status": "collapsed", "seed": 5, "sentence": "Two modes are lost."}}
    spec = json.loads((run.directory / "spec.json").read_text())
    told = {"directory": str(run.directory), "spec": spec, "history": [*run.history, raised], "result": run.result}
    run_python(TELL, told)
    found = records(run.directory)
    logged = rows(found)
    losses = [row for row in run.history if "losses" in row]
    seen = [row for row in logged if "losses/critic" in row]
    assert [row["update"] for row in seen] == [row["update"] for row in losses]
    assert [row["seed-5/losses/critic"] for row in seen] == [row["losses"]["critic"][1] for row in losses]
    assert [row["losses/critic"] for row in seen] == [pytest.approx(sum(row["losses"]["critic"]) / 2) for row in losses]
    assert {row["seed-3/samples/_type"] for row in logged if "seed-3/samples/_type" in row} == {"image-file"}
    (alarm,) = found["alert"]
    assert (alarm.title, alarm.text) == ("collapsed of seed 5 at update 20", "Two modes are lost.")
    assert [row["update"] for row in logged if "seed-5/alarm" in row] == [20]
    summary = {name: value for row in rows(found, "summary") for name, value in row.items()}
    measured = run.metrics[1]["measures"]["averaged"]["modes_hit"]
    assert summary["seed-5/final/averaged/modes_hit"] == measured
    assert found["run"][0].project == "uncollapse"
    assert (found["run"][0].run_id, found["run"][0].display_name) == ((run.directory / NUMBER).read_text(), "run")
    assert found["exit"][0].exit_code == 0


@pytest.mark.long
@pytest.mark.slow
def test_a_run_of_the_users_own_stays_open_and_a_continued_run_keeps_its_number(tmp_path: Path) -> None:
    code = TELL.replace("(logger,)", "import wandb; own = wandb.init(dir=told['directory'] + '/own')\n(logger,)")
    code += "own.log({'mine': 1})\nassert wandb.run is own\nown.finish()\n"
    (tmp_path / "own").mkdir()
    told = {"directory": str(tmp_path), "spec": {"seeds": [0]}, "history": [{"update": 0}], "result": {}}
    number = tmp_path / NUMBER
    number.parent.mkdir()
    number.write_text("abc123")
    run_python(
        code,
        told | {"history": [{"update": 40, "losses": {"critic": [None]}}, {"update": 50, "losses": {"critic": [1.5]}}]},
    )
    assert number.read_text() == "abc123"
    found = records(tmp_path)
    assert found["run"][0].run_id == "abc123"
    assert [row["update"] for row in rows(found) if "losses/critic" in row] == [50]
    assert found["exit"][0].exit_code == 1, "a run that stopped is not called finished"
    assert [row["mine"] for row in rows(records(tmp_path / "own"))] == [1]


def test_only_a_run_that_begins_anew_gets_another_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = WandbLogger()
    logger.start({"seeds": [0]}, tmp_path)
    first = logger._number(fresh=False)
    assert first.isalnum()
    assert logger._number(fresh=False) == first
    assert logger._number(fresh=True) != first
    (tmp_path / NUMBER).write_text("../../elsewhere")
    assert logger._number(fresh=False).isalnum()


def test_without_the_package_one_sentence_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"pip install 'uncollapse\[wandb\]'"):
        WandbLogger()
