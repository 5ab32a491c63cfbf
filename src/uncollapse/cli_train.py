"""The verb `train` of the command line: its options, and the one call that does the work.

`cli.py` registers it among the others.
"""

from __future__ import annotations

from typing import Annotated

import typer

from uncollapse.cli_options import AsJson, Device, OutDirectory, OwnNetworks, Plugins

EXAMPLE = "Example: uncollapse train wgan-gp ring-8 --seeds 8 --set penalties.0.weight=0.1"


def train(
    method: Annotated[str, typer.Argument(help="A name of `uncollapse methods`.")],
    task: Annotated[str, typer.Argument(help="A name of `uncollapse tasks`, or array:FILE.npz.")],
    seeds: Annotated[str, typer.Option(help="8 = seeds 0..7; 3,5 = these two; 100-107 = the range.")] = "8",
    updates: Annotated[int | None, typer.Option(help="Critic updates; default: the task's.")] = None,
    batch: Annotated[int | None, typer.Option(help="Batch size; default: the task's.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change one number of method, networks or task; repeatable."),
    ] = None,
    networks: OwnNetworks = None,
    plugin: Plugins = [],  # noqa: B006
    device: Device = "auto",
    threads: Annotated[int, typer.Option(help="Torch threads; they change the last bits.")] = 1,
    accumulate: Annotated[int, typer.Option(help="Make each update in so many shares of the batch: less memory.")] = 1,
    dtype: Annotated[str, typer.Option(help="float32, float64, or bfloat16 for the layers alone.")] = "float32",
    # The second names are for torchrun, which takes `--monitor` and `--log` for short forms of options of its own.
    monitor: Annotated[
        int | None,
        typer.Option(
            "--monitor", "--monitor-every", metavar="N", help="Judge each seed's generator every N critic updates."
        ),
    ] = None,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="On an alarm put that seed, once, back to where it was last healthy.")
    ] = False,
    log: Annotated[
        list[str] | None,
        typer.Option("--log", "--logger", metavar="NAME", help="Log to tensorboard or wandb, too; repeatable."),
    ] = None,
    out: OutDirectory = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin again instead of continuing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train all seeds of one method on one task; an unfinished run is continued."""
    from uncollapse.commands import parse_settings, plan_run, train_run

    spec = plan_run(
        method, task, seeds, updates, batch, threads, parse_settings(settings or []), plugin,
        networks=networks, dtype=dtype, accumulate=accumulate, monitor=monitor, rollback=rollback,
    )  # fmt: skip
    train_run(spec, out, device=device, fresh=fresh, as_json=as_json, loggers=tuple(log or ()))
