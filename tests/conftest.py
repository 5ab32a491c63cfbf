"""What every test gets: fresh seeds, one thread, and a guard against leaking process-wide state to the next test."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import uncollapse.methods
import uncollapse.parts.registry
import uncollapse.tasks

ROOT = Path(__file__).resolve().parents[1]
# The lists that a plugin adds to.
REGISTRIES = (
    uncollapse.methods._METHODS,
    uncollapse.methods._REFERENCES,
    uncollapse.tasks._OWN,
    uncollapse.tasks._REFERENCES,
    uncollapse.parts.registry.PARTS,
)
SEED = 20_260_101
# Set by pytest and, on first use, by torch itself.
FOREIGN = ("PYTEST_", "TORCH", "TRITON", "KMP_")


def _process_state() -> dict[str, object]:
    """Everything a test may not leave changed, because a later test would silently see it."""
    return {
        "torch default dtype": torch.get_default_dtype(),
        "torch default device": torch.get_default_device(),
        "torch threads": torch.get_num_threads(),
        "torch grad mode": torch.is_grad_enabled(),
        "torch deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "numpy error handling": np.geterr(),
        "working directory": Path.cwd(),
        "environment": {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)},
    }


# A shell that starts the tests in its background has them ignore Ctrl+C, and all processes that they start as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever opens a browser is long."""
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.long)


@pytest.fixture(autouse=True)
def _fresh_and_unleaked() -> Iterator[None]:
    torch.set_num_threads(1)
    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002 - the legacy global stream is what a test could draw from by accident
    torch.manual_seed(SEED)
    before = _process_state()
    registered = [dict(registry) for registry in REGISTRIES]
    yield
    for registry, names in zip(REGISTRIES, registered, strict=True):
        registry.clear()
        registry.update(names)
    after = _process_state()
    leaked = [name for name in before if before[name] != after[name]]
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(1)
    assert not leaked, f"the test leaked: {', '.join(leaked)}"


@contextlib.contextmanager
def no_global_draws() -> Iterator[None]:
    """Fails when the code inside draws from a global random stream (python, NumPy or torch)."""
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    yield
    assert random.getstate() == states[0], "the code drew from python's global random stream"
    assert (np.random.get_state()[1] == states[1]).all(), "the code drew from NumPy's global random stream"  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2]), "the code drew from torch's global random stream"


@pytest.fixture
def global_random_untouched() -> Iterator[None]:
    """Fails a test that draws from a global random stream; not for tests that import packages on their way."""
    with no_global_draws():
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data sets that UNCOLLAPSE_DATA names; the test is skipped without it."""
    folder = os.environ.get("UNCOLLAPSE_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("UNCOLLAPSE_DATA does not name a folder of data sets")
    return Path(folder)
