"""Sheets as text for other programs: Markdown, CSV, JSON and LaTeX.

Markdown and LaTeX print rounded numbers with their intervals; CSV and JSON hold the numbers as they are. Names
come from files, so each format escapes whatever means something to its reader.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence

from uncollapse.report.anchors import Anchors
from uncollapse.report.sheets import Column, Entry, Sheet, document, written
from uncollapse.text import clean

# A spreadsheet takes a text that begins with one of these for a formula.
FORMULA = (
    "=", "+", "-", "@", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}", "\N{FULLWIDTH HYPHEN-MINUS}",
    "\N{FULLWIDTH COMMERCIAL AT}",
)  # fmt: skip
WIDE = 6  # columns of a LaTeX table above which it is scaled to the line
NUMBERS = ("value", "low", "high", "level", "n")
LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}",
    # After the end of a row these would be read as its options.
    "[": "{[}", "]": "{]}", "*": "{*}",
    "\N{MINUS SIGN}": "$-$", "\N{NARROW NO-BREAK SPACE}": r"\,", "\N{NO-BREAK SPACE}": "~",
    "\N{MIDDLE DOT}": r"$\cdot$",
    "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}", "\N{RIGHTWARDS ARROW}": r"$\rightarrow$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\leq$", "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$",
}  # fmt: skip


def markdown(title: str, sheets: Sequence[Sheet]) -> str:
    """A document with a heading and a table for each sheet."""
    parts = [f"# {_marked(title)}"]
    for sheet in sheets:
        heads = [_marked(column.title) for column in sheet.columns]
        lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
        lines += [f"| {' | '.join(_marked(written(entry)) for entry in row)} |" for row in sheet.rows]
        note = [_marked(sheet.note)] if sheet.note else []
        parts += [f"## {_marked(sheet.title)}", *note, "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _marked(text: str) -> str:
    """A text that Markdown shows as it is, in one line of a table."""
    plain = clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # A bracket means something only where a link's address or name follows it.
    marked = re.sub(r"([\\`*_|~$]|\](?=[(\[:]))", r"\\\1", plain)
    # Many readers make a link of a bare address.
    return re.sub(r":(?=//)|(?<=\bwww)\.|(?<=mailto):|(?<=xmpp):", r"\\\g<0>", marked, flags=re.IGNORECASE)


def comma_separated(title: str, sheets: Sequence[Sheet]) -> str:
    """One line a number or text: table, what the row is about, column, and {value, low, high, level, n} or text.

    Args:
        title: Not in the file, which has one head and lines only.
        sheets: The tables; columns that name the row become columns of their own.
    """
    keys = list(dict.fromkeys(column.key for sheet in sheets for column in sheet.columns if column.names))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["table", *keys, "column", *NUMBERS, "text"])
    for sheet in sheets:
        for row in sheet.rows:
            pairs = list(zip(sheet.columns, row, strict=True))
            about = {column.key: _guarded(written(entry)) for column, entry in pairs if column.names}
            lines = [(column, entry) for column, entry in pairs if not column.names]
            for column, entry in lines:
                first = [sheet.name, *(about.get(key, "") for key in keys), _guarded(column.key)]
                writer.writerow([*first, *_values(entry)])
    return stream.getvalue()


def _values(entry: Entry) -> list[str]:
    """The plain numbers of an entry, or empty fields and its text."""
    if isinstance(entry, str):
        return [*("" for _ in NUMBERS), _guarded(written(entry))]
    numbers = ("" if entry.numbers[key] is None else repr(entry.numbers[key]) for key in NUMBERS)
    return [*numbers, _guarded(clean(entry.said))]


def _guarded(text: str) -> str:
    """A text that no spreadsheet runs: an apostrophe stands before what looks like a formula."""
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text


def as_json(title: str, sheets: Sequence[Sheet]) -> str:
    """The document of `sheets.document` under a title."""
    return json.dumps({"title": clean(title)} | document(sheets), allow_nan=False, ensure_ascii=False, indent=1) + "\n"


def latex(title: str, sheets: Sequence[Sheet]) -> str:
    """A table environment for each sheet, for the packages booktabs and graphicx."""
    anchors = Anchors()
    lines = [f"% {clean(title)}", r"% \usepackage{booktabs, graphicx} and UTF-8; LaTeX of 2020 or later."]
    return "\n".join([*lines, *(_environment(sheet, anchors) for sheet in sheets)])


def _environment(sheet: Sheet, anchors: Anchors) -> str:
    columns = "".join(
        _alignment(column, [row[place] for row in sheet.rows]) for place, column in enumerate(sheet.columns)
    )
    heads = " & ".join(_escaped(column.title) for column in sheet.columns)
    rows = [f"{' & '.join(_escaped(written(entry)) for entry in row)} \\\\" for row in sheet.rows]
    table = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", rf"{heads} \\", r"\midrule", *rows]
    table += [r"\bottomrule", r"\end{tabular}"]
    if len(sheet.columns) > WIDE:
        table = [r"\resizebox{\linewidth}{!}{%", *table[:-1], table[-1] + "}"]
    caption = _escaped(f"{sheet.title}. {sheet.note}" if sheet.note else f"{sheet.title}.")
    head = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\label{{tab:{anchors(sheet.name, sheet.part)}}}",
    ]
    return "\n".join(["", *head, *table, r"\end{table}", ""])


def _alignment(column: Column, entries: Sequence[Entry]) -> str:
    """Long texts get a column that breaks lines."""
    longest = max((len(written(entry)) for entry in entries if isinstance(entry, str)), default=0)
    return r"p{0.5\linewidth}" if longest > 60 and not column.names else "l"


def _escaped(text: str) -> str:
    # Two hyphens would be set as a dash.
    return re.sub("-(?=-)", "-{}", "".join(LATEX.get(letter, letter) for letter in clean(text)))


FORMATS: Mapping[str, Callable[[str, Sequence[Sheet]], str]] = {
    "md": markdown,
    "csv": comma_separated,
    "json": as_json,
    "latex": latex,
}
