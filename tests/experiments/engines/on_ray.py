"""What tests of Ray share: the environment of processes that start a cluster."""

from __future__ import annotations

import os
from pathlib import Path

import uncollapse

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(Path(uncollapse.__file__).parents[1]), str(ROOT)]),
    "OMP_NUM_THREADS": "1",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
    "RAY_USAGE_STATS_ENABLED": "0",
}
