"""The command of a run: read back by the command line it makes the same run, and where none does there is none."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from uncollapse import cli, commands, methods, tasks
from uncollapse.commands import parse_settings
from uncollapse.experiments.plan import parse_seeds
from uncollapse.methods import VANILLA
from uncollapse.monitor import MonitorChoice
from uncollapse.parts.losses import LeastSquares
from uncollapse.spec import RunSpec, make_spec
from uncollapse.spec_command import command
from uncollapse.tasks.arrays import Arrays
from uncollapse.tasks.mixtures import Mixture


def command_runs(command: str) -> RunSpec:
    """The run that a command trains, without training it."""
    found: list[RunSpec] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands, "train_run", lambda spec, *args, **options: found.append(spec))
        done = CliRunner().invoke(cli.app, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    return found[0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"accumulate": 2},
        {"dtype": "bfloat16"},
        {"accumulate": 2, "dtype": "bfloat16"},
        {"monitor": MonitorChoice(every=100)},
        {"monitor": MonitorChoice(every=100, margin=0.05, samples=40, weights="averaged", on_alarm="rollback")},
    ],
)
def test_the_command_line_reads_it_back(options: dict[str, Any]) -> None:
    one = replace(make_spec("r3gan", "blobs-4", seeds=(3, 5), updates=70, batch=16), **options)
    assert command_runs(command(one)) == one
    assert command_runs(one.command()) == one


def test_a_rollback_of_the_command_line_is_one_of_the_spec() -> None:
    typed = "uncollapse train vanilla ring-8 --monitor 250 --rollback --set monitor.margin=0.05"
    assert command_runs(typed).monitor == MonitorChoice(every=250, margin=0.05, on_alarm="rollback")


@pytest.mark.parametrize("more", [{}, {"dynamics.schedule": {"part": "Cosine", "final": 0.0}}])
def test_the_command_of_a_run_makes_the_same_run(more: dict[str, Any]) -> None:
    """What the report prints as the way to reproduce a run is read back by the command line to the same hash."""
    settings = {"penalties.0.weight": 0.1, "dynamics.betas": [0.5, 0.9], "task.train_size": 100, "networks.width": 16}
    settings |= more
    spec = make_spec("wgan-gp", "blobs-8", seeds=[3], updates=7, batch=32, settings=settings)
    words = shlex.split(spec.command())
    assert words[:4] == ["uncollapse", "train", "wgan-gp", "blobs-8"]
    options = dict(zip(words[4::2], words[5::2], strict=True))
    given = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    again = make_spec(
        words[2],
        words[3],
        seeds=parse_seeds(options["--seeds"]),
        updates=int(options["--updates"]),
        batch=int(options["--batch"]),
        threads=int(options["--threads"]),
        settings=parse_settings(given),
    )
    assert again.hash == spec.hash
    assert make_spec(VANILLA.but(name="mine"), "ring-8", seeds=[0]).command() == ""


@pytest.mark.parametrize(
    "spec",
    [
        lambda: make_spec(VANILLA.but(loss=LeastSquares()), "ring-8", seeds=[0]),
        lambda: make_spec("vanilla", Mixture(name="mine", centres=((0.0, 0.0), (1.0, 1.0)), sigma=0.1), seeds=[0]),
        lambda: make_spec("vanilla", Arrays(np.random.default_rng(0).normal(size=(50, 3))), seeds=[0]),
    ],
)
def test_no_command_is_given_where_none_makes_the_same_run(spec: Callable[[], RunSpec]) -> None:
    assert spec().command() == ""


def test_what_a_plugin_named_is_named_by_the_command() -> None:
    """The command that a run keeps knew neither its method nor its task."""
    mine = Mixture(name="mine", centres=((0.0, 0.0), (1.0, 1.0)), sigma=0.1)
    method = VANILLA.but(name="own", loss=LeastSquares())
    spec = make_spec(method, mine, seeds=[0])
    for method_from, task_from, options in (
        ("my:METHOD", "my:TASK", " --plugin my:METHOD --plugin my:TASK"),
        ("my:BOTH", "my:BOTH", " --plugin my:BOTH"),
        ("", "my:TASK", None),
        ("my:METHOD", "", None),
    ):
        methods.register(method, method_from)
        tasks.register(mine, task_from)
        found = command(spec)
        if options is None:
            assert found == ""
        else:
            assert found.startswith("uncollapse train own mine --seeds 0-0")
            assert found.endswith(options)
