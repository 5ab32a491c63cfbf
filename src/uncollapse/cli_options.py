"""Options that several verbs of the command line share, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Plugins = Annotated[
    list[str], typer.Option("--plugin", metavar="MODULE:ATTR", help="Your own method, part or task; may be repeated.")
]
OwnNetworks = Annotated[
    str | None, typer.Option("--networks", metavar="MODULE:FACTORY", help="Your own generator and critic.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:0.")]
Jobs = Annotated[int | None, typer.Option(help="Processes at a time; default: one a core, one on a GPU.")]
LabelColumn = Annotated[
    str | None, typer.Option("--label-column", help="Column of a .csv or .parquet that holds labels or prompts.")
]
TimeLimit = Annotated[
    float | None,
    typer.Option("--time-limit", metavar="MIN", help="Stop cleanly after so many minutes; continue later."),
]
OutDirectory = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where results go.")]
