"""Assembles the page: records -> sections of text, tables and pictures -> one self-contained HTML file.

The template escapes everything that comes from a file; only charts made here are inserted as markup.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from uncollapse.cards import AVERAGED
from uncollapse.report import class_grids, class_history, class_shares, costs, curves, planar, sample_map, tables
from uncollapse.report.alarms import levels, monitor_sentences
from uncollapse.report.claims import claims
from uncollapse.report.conditional import findings
from uncollapse.report.frame import LIMIT, fill
from uncollapse.report.image_table import ImageTable, image_table
from uncollapse.report.measures import glossary, seeds_text
from uncollapse.report.method_cards import method_cards
from uncollapse.report.next_steps import healthy_sentence, next_steps
from uncollapse.report.palette import Style, styles
from uncollapse.report.planar import COLUMNS
from uncollapse.report.real import Real, real_data
from uncollapse.report.records import Record
from uncollapse.report.sheets_of import sheets_of
from uncollapse.report.tuned import tuned
from uncollapse.report.words import answers
from uncollapse.text import duration

# Classes of a task above which bars, and above which pictures with one row a class, would show nothing.
BARS, ROWS = 100, 25


@dataclass(frozen=True, kw_only=True)
class TaskPictures:
    """The pictures of one task, each empty where it does not apply."""

    task: str
    note: str
    classes: tuple[str, ...]
    densities: list[planar.PictureRow]
    strips: list[planar.PictureRow]
    modes: list[curves.Panel]
    losses: list[curves.Panel]
    grids: list[planar.PictureRow]
    history: list[planar.PictureRow]
    bars: class_shares.Bars | None
    spread: list[curves.Panel]
    maps: list[curves.Panel]
    findings: tuple[str, ...]
    beside_real: ImageTable | None
    judge: str
    class_note: str

    @property
    def of_classes(self) -> bool:
        """Whether there is anything to show about classes."""
        return bool(self.grids or self.bars or self.spread or self.maps or self.beside_real)


def compose(record: Record) -> str:
    """The page of a comparison or run, with as much detail as fits.

    Args:
        record: What `load` read, finished or not.
    """
    page = ""
    # A page that would be too large is drawn again with fewer snapshots, seeds and points.
    for detail in (1.0, 0.3, 0.1, 0.03):
        page = render(record, detail)
        if len(page.encode()) <= LIMIT:
            break
    return page


def render(record: Record, detail: float = 1.0) -> str:
    """The page as text.

    Args:
        record: What to show.
        detail: 1 draws everything; less draws fewer snapshots, seeds and points.
    """
    return fill("page.html.jinja", ("page.css",), sheets_of(record), _content(record, detail))


def _content(record: Record, detail: float) -> dict[str, Any]:
    looks = styles(record.methods)
    found = tables.monitor_rows(record)
    groups = {family: curves.coverage(record, family, looks) for family in curves.families(record)}
    return {
        "record": record,
        "looks": looks,
        "chip": lambda method: chip(looks[method]) if method in looks else Markup(""),
        "title": title(record),
        "subtitle": _subtitle(record),
        "unfinished": _unfinished(record),
        "bare": record.kind == "comparison" and not record.unfinished and not any(cell.runs for cell in record.cells),
        "answers": answers(record),
        "tables": [tables.table(record, task) for task in record.tasks],
        "differences": {task: tables.differences(record, task) for task in record.tasks},
        "level": tables.intervals_level(record),
        "family_methods": {family: _family_methods(record, family) for family in groups},
        "coverage": {family: panels for family, panels in groups.items() if panels},
        "claims": claims(record),
        "tuned": tuned(record),
        "steps": next_steps(record),
        "healthy": healthy_sentence(record),
        "tasks": [_pictures(record, task, looks, detail) for task in record.tasks],
        "cards": method_cards(record),
        "averaged": AVERAGED,
        "outcomes": tables.outcomes(record),
        "warnings": tables.warnings(record),
        "quiet": tables.quiet_runs(record),
        "interval_methods": tables.interval_methods(record),
        "costs": costs.costs(record),
        "cost_heads": tuple(costs.COSTS.values()),
        "runs": costs.runs(record),
        "run_heads": costs.RUNS,
        "alarms": found,
        "monitored": monitor_sentences(found),
        "alarm_level": levels(run.spec for cell in record.cells for run in cell.runs),
        "rollbacks": {task: tables.rollbacks(record, task) for task in record.tasks},
        "explained": {measure.key for measure in glossary(record.cells)},
        "took": duration(record.seconds) if record.seconds else "",
        "glossary": glossary(record.cells),
        "seeds_text": seeds_text,
    }


def _pictures(record: Record, name: str, looks: Mapping[str, Style], detail: float) -> TaskPictures:
    cells, real = record.of(name), real_data(record, name)
    columns = max(4, round(COLUMNS * detail**0.5))
    look, sharp = dict(looks), max(0.4, detail**0.5)
    images = real.images
    by_class = images or (real.labelled and (real.own_arrays or any(cell.conditional for cell in cells)))
    shown = any(cell.shown for cell in cells)
    count = len(real.mode_names) or next((cell.modes for cell in cells if cell.modes), 0)
    return TaskPictures(
        task=name,
        classes=class_grids.class_names(real) if images else (),
        note=f"The real samples are not shown: {real.reason}" if real.reason else "",
        densities=planar.densities(cells, real, look, record.weights, round(400 * sharp)) if real.planar else [],
        strips=planar.strips(cells, real, look, columns, round(240 * sharp)) if real.planar or images else [],
        modes=curves.modes_over_training(cells, name, look, detail, record.weights),
        losses=curves.losses(cells, name, look, detail),
        grids=class_grids.class_grids(cells, real, record.weights) if shown and images and count <= ROWS else [],
        history=class_history.class_history(cells, real, look, record.weights) if images and count <= ROWS else [],
        bars=class_shares.share_bars(cells, real, columns, record.weights) if by_class and count <= BARS else None,
        spread=_spread(record, real, look, count) if by_class else [],
        maps=sample_map.common_maps(cells, real, look, record.weights) if math.prod(real.shape) > 2 else [],
        findings=findings(cells, real, record.baseline),
        beside_real=image_table(cells, real),
        judge=real.judge,
        class_note=next((note for cell in cells if (note := curves.weights_note(cell, "shares", record.weights))), ""),
    )


def _family_methods(record: Record, family: str) -> list[str]:
    """The methods that have a cell on a task of the family."""
    tasks = {task for _, task in curves.families(record)[family]}
    return [method for method in record.methods if any(c.method == method and c.task in tasks for c in record.cells)]


def _spread(record: Record, real: Real, looks: Mapping[str, Style], count: int) -> list[curves.Panel]:
    cells = record.of(real.name)
    panels = (
        class_shares.entropies(cells, real, looks, record.weights),
        class_shares.final_shares(cells, real, looks, record.weights) if count <= BARS else None,
    )
    return [panel for panel in panels if panel is not None]


def title(record: Record) -> str:
    """What the page is called."""
    if record.kind == "comparison":
        return str(record.plan.get("name") or record.directory.resolve().name)
    return f"{record.methods[0]} on {record.tasks[0]}"


def _subtitle(record: Record) -> str:
    seeds = sorted({len(cell.seeds) for cell in record.cells})
    count = ("up to " if len(seeds) > 1 else "") + seeds_text(seeds[-1] if seeds else 0)
    if record.kind == "run":
        return f"{count}; measures of the {record.weights} generator."
    tuned = {row.get("tuned") for row in record.tuning.get("cells", ())}
    methods, tasks = len(set(record.methods) - tuned), len(record.tasks)
    twice = ", as they stand and tuned," if tuned else ""
    return (
        f"{methods} method{'s' * (methods != 1)}{twice} on {tasks} task{'s' * (tasks != 1)}, {count} each; "
        f"measures of the {record.weights} generator."
    )


def _unfinished(record: Record) -> list[str]:
    """A sentence for each run that has no result yet."""
    if record.unfinished:
        count = len(record.unfinished)
        what = "1 run is" if count == 1 else f"{count} runs are"
        return [f"{what} unfinished ({', '.join(record.unfinished)}); run the same command again to continue."]
    return [
        f"{cell.method} on {cell.task} is unfinished: update {run.update:,} of {run.spec.get('updates', 0):,}; "
        f"run the same command again to continue it."
        for cell in record.cells
        for run in cell.runs
        if run.result is None
    ]


SHAPES = {
    "o": '<circle cx="17" cy="7" r="4"/>',
    "s": '<path d="M13 3h8v8h-8z"/>',
    "^": '<path d="M17 2.2l4.8 8.6h-9.6z"/>',
    "D": '<path d="M17 1.8l5 5.2-5 5.2-5-5.2z"/>',
    "v": '<path d="M17 11.8l4.8-8.6h-9.6z"/>',
    "P": '<path d="M15.4 2.4h3.2v3h3v3.2h-3v3h-3.2v-3h-3V5.4h3z"/>',
    "X": '<path d="M14 2l3 2.6L20 2l2 2.2L19.4 7 22 9.8 20 12l-3-2.6L14 12l-2-2.2L14.600 7 12 4.200z"/>',
    "p": '<path d="M17 2l5 3.800-1.900 6h-6.200L12 5.800z"/>',
}


def chip(style: Style) -> Markup:
    """The mark of a method beside its name: its colour, line style and marker."""
    dash = f' stroke-dasharray="{" ".join(map(str, style.dash))}"' if style.dash else ""
    return Markup(
        f'<svg class="chip" aria-hidden="true" viewBox="0 0 34 14" style="color:var(--m{style.hue})">'
        f'<path class="dash" d="M0 7H34"{dash}/>{SHAPES[style.marker]}</svg>'
    )
