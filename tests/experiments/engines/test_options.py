"""Options of engines: read into their dataclass, and refused in one sentence."""

from __future__ import annotations

import pytest

from uncollapse.errors import UserError
from uncollapse.experiments.engines.limits import Limits
from uncollapse.experiments.engines.options import read_options
from uncollapse.experiments.engines.slurm import SlurmOptions


def test_each_option_reaches_the_dataclass_that_has_it_with_its_type() -> None:
    slurm, limits = read_options(
        ["partition = gpu-long", "gpus=2", "memory=1.5", "run_minutes=30", "retries=0"], (SlurmOptions, Limits), "slurm"
    )
    assert slurm == SlurmOptions(partition="gpu-long", gpus=2, memory=1.5)
    assert limits == Limits(run_minutes=30.0, retries=0)
    assert isinstance(slurm.gpus, int)
    assert read_options([], (Limits,), "local") == [Limits()]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("run_minutes", "'run_minutes' is not of the form NAME=VALUE, such as run_minutes=30"),
        ("=3", "not of the form NAME=VALUE"),
        ("retries=", "not of the form NAME=VALUE"),
        ("run_minute=3", "no option of the engine local, 'run_minute'; did you mean 'run_minutes'"),
        ("retries=two", "retries=two is not possible; give a whole number"),
        ("retries=1.5", "give a whole number"),
        ("run_memory=much", "give a number"),
        ("run_memory=0", "run_memory = 0 leaves nothing to a run"),
        ("run_minutes=-1", "run_minutes = -1 leaves nothing"),
        ("run_minutes=nan", "run_minutes = nan leaves nothing"),
        ("retries=-1", "retries = -1 is not possible"),
        ("retry_seconds=-2", "retry_seconds = -2 is not possible"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        read_options([text], (Limits,), "local")


def test_an_option_given_twice_is_refused() -> None:
    with pytest.raises(UserError, match="retries is given twice"):
        read_options(["retries=1", "retries=2"], (Limits,), "local")
