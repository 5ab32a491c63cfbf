"""The command line: each verb reads its options, calls one function and prints; no verb decides anything.

Results go to stdout, progress and errors to stderr. Exit codes: 0 ok (a diverged seed is a result), 1 an error or a
failed run, 2 a usage error, 128 + n after signal n. Nothing heavy is imported before a verb needs it.
"""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from uncollapse.cli_options import AsJson, Device, Jobs, LabelColumn, OutDirectory, OwnNetworks, Plugins, TimeLimit
from uncollapse.cli_train import EXAMPLE as TRAIN_EXAMPLE
from uncollapse.cli_train import train
from uncollapse.errors import UserError, system_sentence

OUT_OF_MEMORY = re.compile(r"can't allocate memory|out of memory", re.IGNORECASE)

app = typer.Typer(
    name="uncollapse",
    help="A laboratory for mode collapse in GANs: see it, measure it over many seeds, compare its cures.",
    epilog="Begin with: uncollapse demo",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command(epilog="Example: uncollapse demo --out demo")
def demo(out: OutDirectory = None, as_json: AsJson = False) -> None:
    """Run the small built-in comparison: eight modes on a ring and real handwritten digits, about two minutes."""
    from uncollapse.commands import run_comparison
    from uncollapse.experiments.plan import builtin_plan

    run_comparison(builtin_plan("demo"), out=out, as_json=as_json)


app.command(epilog=TRAIN_EXAMPLE)(train)


@app.command(epilog="Example: uncollapse compare mode-coverage --time-limit 30")
def compare(
    plan: Annotated[str, typer.Argument(help="A TOML file, or the name of a built-in plan.")],
    engine: Annotated[str, typer.Option(help="Where runs are trained: local, ray or slurm.")] = "local",
    engine_option: Annotated[
        list[str] | None,
        typer.Option("--engine-option", metavar="NAME=VALUE", help="As run_minutes=30; docs/engines.md has all."),
    ] = None,
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster; default: one of this machine.")] = None,
    out: OutDirectory = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the runs and the time that is left, only.")] = False,
    time_limit: TimeLimit = None,
    jobs: Jobs = None,
    device: Device = "auto",
    plugin: Plugins = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Run a plan, or what is left of it, and write comparison.json and report.html."""
    from uncollapse.commands import estimate_plan, run_comparison

    options: dict[str, Any] = {"out": out, "engine": engine, "jobs": jobs, "device": device, "plugins": plugin}
    options |= {"engine_options": engine_option or [], "address": address}
    if dry_run:
        estimate_plan(plan, as_json=as_json, **options)
    else:
        run_comparison(plan, as_json=as_json, time_limit=time_limit, **options)


@app.command(epilog="Example: uncollapse sample runs/wgan-gp-digits-0123456789ab --n 100 --out digits.png")
def sample(
    run: Annotated[Path, typer.Argument(help="A run's directory.")],
    n: Annotated[int, typer.Option("--n", help="Number of samples.")],
    out: Annotated[Path, typer.Option(help=".npz; .csv for vectors; .png (a grid) or a folder for images.")],
    seed: Annotated[
        int | None, typer.Option(help="Which seed's generator; default: the first that did not diverge.")
    ] = None,
    label: Annotated[str | None, typer.Option("--class", help="One class, as the data label it.")] = None,
    weights: Annotated[str, typer.Option(help="ema (the averaged generator), live or best.")] = "ema",
    draw: Annotated[int, typer.Option(help="Which independent batch, from 0.")] = 0,
    networks: OwnNetworks = None,
    plugin: Plugins = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Draw samples of a trained run into a file."""
    from uncollapse.console import show, show_json
    from uncollapse.plugins import permit_networks
    from uncollapse.sampling import write_samples

    permit_networks(networks)
    written = write_samples(run, n, out, seed=seed, label=label, weights=weights, draw=draw, plugins=tuple(plugin))
    show_json(written) if as_json else show(written["file"])


@app.command(epilog="Example: uncollapse evaluate my-data/ samples/ --out runs/evaluation")
def evaluate(
    real: Annotated[str, typer.Argument(help="Real data: a folder, archive, file or module:factory.")],
    fake: Annotated[str, typer.Argument(help="What the generator made, likewise, or the directory of a run.")],
    versus: Annotated[str | None, typer.Option(help="Samples of another generator to compare with.")] = None,
    train: Annotated[str | None, typer.Option(help="Training data, for the tests for copies.")] = None,
    per_class: Annotated[bool, typer.Option("--per-class", help="Judge each label by itself too.")] = False,
    label_column: LabelColumn = None,
    features: Annotated[str, typer.Option(help="A name of `uncollapse extractors`, or auto.")] = "auto",
    metrics: Annotated[str | None, typer.Option(help="Names of `uncollapse metrics` with commas; default all.")] = None,
    n: Annotated[int | None, typer.Option("--n", help="Rows of each side but the training data; default all.")] = None,
    weights: Annotated[Path | None, typer.Option(help="A file of Inception weights.")] = None,
    resize: Annotated[str, typer.Option(help="How inception resizes: clean or legacy.")] = "clean",
    alpha: Annotated[float, typer.Option(help="Chance of a false alarm of the verdict.")] = 0.03,
    max_bad: Annotated[float, typer.Option("--max-bad", help="Largest share of unreadable rows.")] = 0.01,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(help="Of all choices and draws.")] = 0,
    cache: Annotated[bool, typer.Option("--cache/--no-cache", help="Keep features and use them again.")] = True,
    engine: Annotated[str, typer.Option(help="Who reads images: local, or ray; torchrun works too.")] = "local",
    jobs: Jobs = None,
    networks: OwnNetworks = None,
    plugin: Plugins = [],  # noqa: B006
    out: OutDirectory = None,
    fail_on_collapse: Annotated[
        bool, typer.Option("--fail-on-collapse", help="Exit code 3 when the verdict is collapsed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Judge any generator by its samples: verdict, evidence, what was lost, and every metric with its interval."""
    from uncollapse.evaluation.verb import run_evaluation

    more = {"weights": weights, "resize": resize, "alpha": alpha, "max_bad": max_bad, "device": device, "seed": seed}
    run_evaluation(
        real, fake, versus=versus, train=train, per_class=per_class, label_column=label_column, features=features,
        metrics=metrics, n=n, cache=cache, plugins=tuple(plugin), out=out, as_json=as_json,
        networks=networks, fail_on_collapse=fail_on_collapse, engine=engine, jobs=jobs, **more,
    )  # fmt: skip


@app.command(epilog="Example: uncollapse report runs/demo --format csv --out numbers.csv")
def report(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The directory of a run, comparison or evaluation.")],
    form: Annotated[str, typer.Option("--format", help="html, md, csv, json or latex.")] = "html",
    out: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="- for standard output. Default: report.html in DIR; other formats: -."),
    ] = None,
    plugin: Plugins = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Build the report of a directory again and print its path, or write its tables in another format."""
    from uncollapse.console import show, show_json
    from uncollapse.plugins import load_plugins
    from uncollapse.report import write

    load_plugins(plugin)
    built = write(directory, form, out)
    if built is not None:
        show_json({"directory": str(directory), "report": str(built)}) if as_json else show(str(built))


@app.command(epilog="Example: uncollapse watch runs/demo")
def watch(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A run, a comparison, or a folder of runs.")],
    port: Annotated[int | None, typer.Option(help="Default: 8660, or a free one when that is taken.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; others than this machine's own need --i-know.")] = (
        "127.0.0.1"
    ),
    i_know: Annotated[bool, typer.Option("--i-know", help="Let other machines reach the page, unencrypted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a live page of what is trained, was trained or crashed in a directory; it is only read. Ctrl+C ends."""
    from uncollapse.watch import server

    raise typer.Exit(server.watch(directory, host=host, port=port, i_know=i_know, as_json=as_json))


@app.command(epilog="Example: uncollapse methods wgan-gp")
def methods(
    name: Annotated[str | None, typer.Argument(help="Show this one in full.")] = None,
    symptom: Annotated[
        str | None,
        typer.Option("--for", help="What helps against missing-modes, low-precision, shrunken-variance or divergence."),
    ] = None,
    plugin: Plugins = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """List the methods with their idea and paper, show one in full, or say what to try against a symptom."""
    from uncollapse import console
    from uncollapse.plugins import load_plugins

    load_plugins(plugin)
    if symptom is not None:
        from uncollapse.commands import show_advice

        show_advice(symptom, name, as_json=as_json)
        return
    cards = console.list_methods(name)
    single = name is not None
    console.show_listing(cards, console.methods_table, single=single, as_json=as_json, card=console.method_card)


@app.command(epilog="Example: uncollapse tasks blobs-16")
def tasks(
    name: Annotated[str | None, typer.Argument(help="Show this one in full.")] = None,
    plugin: Plugins = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """List what can be learned, or show one task in full."""
    from uncollapse import console
    from uncollapse.plugins import load_plugins

    load_plugins(plugin)
    families = console.list_tasks(name)
    console.show_listing(families, console.tasks_table, single=name is not None, as_json=as_json)


@app.command(epilog="Example: uncollapse metrics coverage")
def metrics(
    name: Annotated[str | None, typer.Argument(help="Show this one in full.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the metrics with what each measures, or show one in full: equation, interval, blind spot, paper."""
    from uncollapse import metric_cards
    from uncollapse.console import show_listing

    cards = metric_cards.list_metrics(name)
    single = name is not None
    show_listing(cards, metric_cards.metrics_table, single=single, as_json=as_json, card=metric_cards.metric_card)


@app.command(epilog="Example: uncollapse extractors inception")
def extractors(
    name: Annotated[str | None, typer.Argument(help="Show this one in full.")] = None,
    as_json: AsJson = False,
) -> None:
    """List what turns images into features, or show one in full: good at, blind to, cost, how to get it."""
    from uncollapse.console import show_listing
    from uncollapse.features.listing import extractor_card, extractors_table, list_extractors

    cards = list_extractors(name)
    show_listing(cards, extractors_table, single=name is not None, as_json=as_json, card=extractor_card)


data_app = typer.Typer(
    help="What is in a data set, and data sets to download.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(data_app, name="data")


@data_app.command(epilog="Example: uncollapse data inspect my-data/ --out grid.png")
def inspect(
    path: Annotated[str, typer.Argument(help="A folder, archive or file.")],
    out: Annotated[Path | None, typer.Option(help="Write a grid of the pictures to this .png.")] = None,
    label_column: LabelColumn = None,
    as_json: AsJson = False,
) -> None:
    """Show how many rows there are, their sizes and labels, duplicates and what cannot be read."""
    from uncollapse.commands import inspect_data

    inspect_data(path, out, label_column=label_column, as_json=as_json)


@data_app.command(epilog="Example: uncollapse data fetch mnist")
def fetch(
    name: Annotated[str, typer.Argument(help="mnist, fashion-mnist or inception (the weights of FID).")],
    as_json: AsJson = False,
) -> None:
    """Download a data set or weights into the cache, each file with a known hash; prints where they are."""
    from uncollapse.commands import fetch_data

    fetch_data(name, as_json=as_json)


@app.command(epilog="Example: uncollapse doctor runs/demo")
def doctor(
    directory: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="Check this directory.")] = None,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove what it does not need; never results, histories or samples.")
    ] = False,
    networks: OwnNetworks = None,
    plugin: Plugins = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Check this machine with a short training, or whether a directory is whole and what takes the room in it."""
    from uncollapse import disk
    from uncollapse.console import checks_table, show, show_json
    from uncollapse.doctor import examine, healthy
    from uncollapse.plugins import load_plugins, permit_networks

    load_plugins(plugin)
    permit_networks(networks)
    if clean:
        done = disk.clean(directory)
        for line in [] if as_json else done.lines():
            show(line)
        if as_json:
            show_json(done.to_json())
        return
    checks = examine(directory)
    show_json([check.to_json() for check in checks]) if as_json else show(checks_table(checks))
    raise typer.Exit(0 if healthy(checks) else 1)


def main() -> None:
    """The entry point: a user's mistake is one line on stderr and exit code 2, a missing file or full disk 1."""
    _prepare_streams()
    try:
        app(prog_name="uncollapse")
    except UserError as error:
        _fail(str(error), 2)
    except OSError as error:
        _fail(system_sentence(error), 1)
    except (MemoryError, RuntimeError) as error:
        if not (isinstance(error, MemoryError) or OUT_OF_MEMORY.search(str(error))):
            raise
        _fail("There is too little memory for this; choose fewer samples (--n), seeds or units, or a smaller batch.", 1)


def _prepare_streams() -> None:
    """Lets letters that a stream cannot show be replaced, and closed streams be read by nobody."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (for the whole process)
        elif isinstance(stream, io.TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
            stream.reconfigure(errors="replace")


def _fail(message: str, code: int) -> None:
    from uncollapse.ranks import said_by
    from uncollapse.text import clean

    print(f"uncollapse: {said_by()}{clean(message)}", file=sys.stderr)
    raise SystemExit(code)
