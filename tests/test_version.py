"""The version: one number, everywhere the same, and cheap to ask for."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import uncollapse
from uncollapse.version import __version__


def test_the_version_is_that_of_the_project(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert __version__ == uncollapse.__version__ == project["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


def test_asking_for_the_version_imports_nothing_heavy() -> None:
    code = "import sys, uncollapse.version; print(sorted({'torch', 'numpy', 'scipy'} & set(sys.modules)))"
    folder = str(Path(uncollapse.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": folder}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
