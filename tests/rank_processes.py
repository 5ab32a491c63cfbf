"""The same command in several processes that know of each other, as torchrun starts them, for the tests of ranks."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch.distributed import TCPStore

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}


linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads have names to read under Linux only")


def threads() -> list[str]:
    """Names of the threads of this process that exchange with others."""
    names = []
    for task in Path("/proc/self/task").glob("*"):
        with contextlib.suppress(OSError):  # it has just ended
            names.append(task.joinpath("comm").read_text().strip())
    return sorted(name for name in names if "gloo" in name or "tcpstore" in name)


@contextlib.contextmanager
def processes(count: int, *command: str, cwd: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Starts `python COMMAND` as ranks 0 to count - 1; whatever is left of them at the end is killed.

    They meet where this process listens, as under torchrun: a port that was free is not free for good.
    """
    meeting = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    shared = {
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(meeting.port),
        "TORCHELASTIC_USE_AGENT_STORE": str(True),
    }
    started = [
        subprocess.Popen(
            [sys.executable, *command],
            env={**ENVIRONMENT, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(count)
    ]  # fmt: skip
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()
