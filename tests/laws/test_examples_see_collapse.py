"""The examples do what they are there for: the monitor calls the healthy run healthy and sees the planted collapse."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

# Example -> the package it needs, and the statuses in the order of its runs.
SEEN = {
    "monitor_plain_dcgan": ("torch", ["healthy", "collapsed"]),
    "lightning_gan": ("lightning", ["healthy", "collapsed"]),
    "one_step_sampler": ("torch", ["healthy"] * 5 + ["collapsed"]),
    "tabular_generator": ("torch", ["healthy", "healthy", "collapsed", "collapsed"]),  # monitor and evaluation
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SEEN)
def test_health_is_called_health_and_the_collapse_is_seen(name: str, root: Path, tmp_path: Path) -> None:
    package, expected = SEEN[name]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed here")
    done = subprocess.run(
        [sys.executable, str(root / "examples" / f"{name}.py")], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root / "src")}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (
        re.findall(r"(?:^|[:,] )(healthy|collapsed|warming-up|never-healthy|suspect)\b", done.stdout, re.M) == expected
    )
