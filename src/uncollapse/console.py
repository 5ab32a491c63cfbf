"""Results as tables on stdout: lists of methods and tasks, a method's card, a run, a comparison, the doctor's findings.

Every text goes through `rich.text.Text`, so that no name in a file is read as markup or drives the terminal.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from uncollapse.text import clean, seed_text

if TYPE_CHECKING:
    from uncollapse.advice import Advice
    from uncollapse.doctor import Check

# Columns of a list that fits most terminals, of the names in it, of its costs, and of the text of a card.
PAGE_WIDTH, NAME_WIDTH, COST_WIDTH, CARD_WIDTH = 100, 24, 7, 85
# Columns without a terminal.
WIDE = 160


class PlainTable(Table):
    """A table that python's own `print` shows, too."""

    def __str__(self) -> str:
        """Its lines, as wide as without a terminal."""
        stream = io.StringIO()
        Console(width=WIDE, file=stream, color_system=None).print(self)
        return stream.getvalue().rstrip()


class _Console(Console):
    """Rich's console, which leaves it to us what to do when nobody reads."""

    def on_broken_pipe(self) -> None:
        """Rich would end the process with code 1."""
        raise BrokenPipeError


@contextmanager
def unread() -> Iterator[None]:
    """Within, it is no failure that nobody reads stdout to its end, as behind `| head`."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show(item: object) -> None:
    """Prints a table or a text on stdout; without a terminal lines are as long as they need to be."""
    console = _Console(width=None if sys.stdout.isatty() else WIDE)
    console.print(Text(clean(item)) if isinstance(item, str) else item, soft_wrap=isinstance(item, str))


def say(line: str) -> None:
    """One line on stderr."""
    print(clean(line), file=sys.stderr)


def show_json(document: object) -> None:
    """The document as JSON on stdout, never with NaN."""
    print(json.dumps(document, indent=1, allow_nan=False))


def make_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> Table:
    """A plain table; the columns named in `right` are set to the right."""
    table = PlainTable(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    return table


def list_methods(name: str | None) -> list[dict[str, Any]]:
    """What is known of all methods, or of the one of that name."""
    from uncollapse.methods import METHODS, card, find_method

    return [dict(card(method)) for method in (METHODS.values() if name is None else [find_method(name)])]


def methods_table(cards: Sequence[Mapping[str, Any]]) -> Group:
    """The list of methods under their headings, at most 100 columns wide."""
    from uncollapse.cards import authors, grouped

    known = {str(card["name"]): card for card in cards}
    # Without measured costs there is nothing to say in their column.
    measured = any(card["cost"] is not None for card in cards)
    parts: list[Table | Text] = []
    for title, names in grouped(known).items():
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(width=NAME_WIDTH, overflow="fold")
        if measured:
            table.add_column(width=COST_WIDTH, justify="right")
        table.add_column(max_width=PAGE_WIDTH - NAME_WIDTH - 2 - (COST_WIDTH + 2 if measured else 0))
        for name in names:
            card = known[name]
            told = f"{card['idea']} ({authors(str(card['paper']))})" if card["paper"] else str(card["idea"])
            price = [Text("" if card["cost"] is None else f"{card['cost']:.1f} x")] if measured else []
            table.add_row(Text(clean(name)), *price, Text(clean(told)))
        parts += [Text(clean(title), style="bold"), table, Text()]
    if measured:
        parts.append(Text("1.7 x: an update takes 1.7 times as long as one of vanilla (measured)."))
    parts.append(Text("`uncollapse methods NAME` shows one in full."))
    return Group(*parts)


def method_card(card: Mapping[str, Any]) -> Table:
    """Everything about one method: idea, equation, settings, deviations and cost."""
    from uncollapse.cards import AVERAGED, SYMBOLS, address
    from uncollapse.methods import find_method

    paper = "\n".join(line for line in (card["paper"], address(find_method(str(card["name"])))) if line)
    price = None if card["cost"] is None else f"{card['cost']:.1f} times the time of a vanilla update (measured)"
    return card_table(
        {
            "name": card["name"],
            "idea": card["idea"],
            "paper": paper,
            "equation": card["equation"],
            "where": SYMBOLS if card["equation"] else "",
            "good at": card["strengths"],
            "bad at": card["weaknesses"],
            "when it fails": card["fails"],
            "effort": card["complexity"],
            "cost": price,
            "watch first": card["sensitive"],
            "row": card["row"],
            "settings": card["settings"],
            "deviations": [f"- {sentence}" for sentence in card["differs"]],
            "weights": AVERAGED,
        }
    )


def card_table(card: Mapping[str, Any]) -> Table:
    """Everything about one method or task, one line a fact."""
    rows = []
    for key, value in card.items():
        if isinstance(value, Mapping):
            value = "\n".join(f"{path} = {json.dumps(item)}" for path, item in value.items())
        elif isinstance(value, list | tuple):
            value = "\n".join(str(item) for item in value)
        if value not in ("", None):
            rows.append((key, "" if value is None else value))
    table = PlainTable(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(max_width=CARD_WIDTH, overflow="fold")
    for key, value in rows:
        table.add_row(Text(key), Text("\n".join(clean(line) for line in str(value).splitlines())))
    return table


def show_listing(
    cards: Sequence[Mapping[str, Any]],
    table: Callable[[Sequence[Mapping[str, Any]]], Table | Group],
    *,
    single: bool,
    as_json: bool,
    card: Callable[[Mapping[str, Any]], Table] | None = None,
) -> None:
    """Prints a list, or the one card that was asked for (as `card` lays it out), as a table or as JSON."""
    if as_json:
        show_json(cards[0] if single else list(cards))
    else:
        show((card or card_table)(cards[0]) if single else table(cards))


def list_tasks(name: str | None) -> list[dict[str, Any]]:
    """What is known of all task families, or of the one task of that name."""
    from uncollapse.tasks import TASKS, find

    if name is None:
        families = TASKS.values()
        return [{"name": item.name, "summary": item.summary, "options": list(item.options)} for item in families]
    if name in TASKS and TASKS[name].example != name:
        family = TASKS[name]
        return [{"name": name, "summary": family.summary, "example": family.example, "options": list(family.options)}]
    task = find(name)
    return [
        {
            "name": task.name,
            "summary": task.summary,
            "shape": list(task.shape),
            "classes": task.classes,
            "modes": list(task.modes.names),
            "weights": [round(float(weight), 6) for weight in task.modes.weights],
            "updates": task.updates,
            "batch": task.batch,
            "measure_size": task.measure_size,
            "networks": task.networks.to_json(),
            "options": list(task.options),
        }
    ]


def tasks_table(families: Sequence[Mapping[str, Any]]) -> Table:
    """The list of task families."""
    return make_table(["task", "what"], [(family["name"], family["summary"]) for family in families])


def run_table(result: Mapping[str, Any]) -> Table:
    """One line a seed of a finished run, of the averaged generator."""
    modes = len(result["modes"]["names"])
    rows = []
    for lane in result["lanes"]:
        measures = lane["measures"].get("averaged") or {}
        state = f"diverged at {lane['diverged_at']:,}" if lane["diverged_at"] is not None else "trained"
        solid, hit = (_count(measures.get(key), modes) for key in ("modes_solid", "modes_hit"))
        rows.append((lane["seed"], state, solid, hit, _number(measures.get("high_quality_share"))))
    columns = ["seed", "state", "solid modes", "modes hit", "high quality"]
    return make_table(columns, rows, right=["seed", "high quality"])


def _count(value: float | None, modes: int) -> str:
    return "-" if value is None else f"{value:g} of {modes}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def comparison_table(document: Mapping[str, Any]) -> Table:
    """One line a cell: success rate and headline first, each with its interval and the number of seeds."""
    shown = tuple(dict.fromkeys((document["plan"].get("headline") or "modes_solid", "high_quality_share")))
    rows = []
    for cell in document["cells"]:
        rate = cell["success_rate"]
        rows.append(
            (
                cell["method"],
                cell["task"],
                seed_text(cell["seeds"], "") or "none",
                _interval(rate["value"], rate["low"], rate["high"], 0),
                *(_summary(cell["measures"].get(key)) for key in shown),
                _remarks(cell),
            )
        )
    return make_table(["method", "task", "seeds", "all modes solid", *shown, ""], rows)


def _summary(measure: Mapping[str, Any] | None) -> str:
    return _interval(measure["mean"], measure["low"], measure["high"], 2) if measure else "-"


def _interval(value: float | None, low: float | None, high: float | None, digits: int) -> str:
    if value is None:
        return "-"
    style = f".{digits}%" if digits == 0 else f".{digits}f"
    around = "" if low is None or high is None else f" [{low:{style}}, {high:{style}}]"
    return f"{value:{style}}{around}"


def _remarks(cell: Mapping[str, Any]) -> str:
    remarks = [f"{len(cell['diverged'])} diverged"] if cell["diverged"] else []
    remarks += [f"failed: {row['error']}" for row in cell["failed"]]
    if cell.get("unfinished"):
        remarks.append(f"{len(cell['unfinished'])} unfinished")
    return "; ".join(remarks)


def advice_table(advice: Advice) -> Table:
    """One line a cited row: the method, where it was measured, the value, and the difference from the plain GAN.

    The settings behind a row are a letter of `Advice.legend`.
    """
    letters = advice.legend()
    rows = [
        (
            f"{item.method} (needs labels)" if item.labelled else item.method,
            f"{row.result}: {row.task}",
            row.seeds,
            row.value,
            f"{row.difference}, {row.sure}" if row.difference else "",
            letters.get(row.settings, "as listed"),
        )
        for item in advice.suggestions
        for row in item.rows
    ]
    value, difference = advice.symptom.heads
    return make_table(["try", "cited result", "seeds", value, difference, "with"], rows, right=["seeds"])


def checks_table(checks: Sequence[Check]) -> Table:
    """The doctor's findings."""
    return make_table(["", "what", "finding"], [(check.status, check.name, check.detail) for check in checks])
