"""A table without looks: named columns, rows of texts and amounts. Pages are drawn from the same amounts.

Below the formats (`formats`), which write sheets as Markdown, CSV, JSON or LaTeX.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from uncollapse.report.amounts import Amount
from uncollapse.text import clean

SCHEMA = 1

Entry = str | Amount


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column.

    Attributes:
        key: Its name in JSON and CSV.
        title: Its head.
        names: Whether it says what a row is about, as the method does; other columns say what was found.
    """

    key: str
    title: str
    names: bool = False


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """One table.

    Attributes:
        name: Its name in JSON and CSV, and its label in LaTeX.
        title: What stands above it.
        columns: Its columns.
        rows: As many entries as columns in each.
        note: What a reader must know, empty for nothing.
        part: The task it is about, where there is such a table for each.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]
    note: str = ""
    part: str = ""

    def __post_init__(self) -> None:
        """A row that does not fit its columns is a mistake of ours."""
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"A row of the table {self.name!r} does not fit its {len(self.columns)} columns.")


def sheet_of(
    name: str, title: str, columns: tuple[Column, ...], rows: Iterable[tuple[Entry, ...]], note: str = ""
) -> Sheet:
    """A sheet whose rows come from anything that can be walked through."""
    return Sheet(name=name, title=title, columns=columns, rows=tuple(rows), note=note)


def named(*columns: tuple[str, str]) -> tuple[Column, ...]:
    """Columns that say what a row is about, from (key, title)."""
    return tuple(Column(key=key, title=title, names=True) for key, title in columns)


def found(*columns: tuple[str, str]) -> tuple[Column, ...]:
    """Columns that say what was found, from (key, title)."""
    return tuple(Column(key=key, title=title) for key, title in columns)


def used(sheet: Sheet) -> Sheet:
    """The sheet without the columns that say nothing in any row."""
    keep = [
        place
        for place, column in enumerate(sheet.columns)
        if column.names or any(written(row[place]) for row in sheet.rows)
    ]
    return replace(
        sheet,
        columns=tuple(sheet.columns[place] for place in keep),
        rows=tuple(tuple(row[place] for place in keep) for row in sheet.rows),
    )


def written(entry: Entry) -> str:
    """An entry in one line, rounded: "4.2 [2.7, 5.8], 4 seeds"; texts without control characters."""
    return clean(entry) if isinstance(entry, str) else clean(entry.compact)


def document(sheets: Sequence[Sheet]) -> dict[str, Any]:
    """The sheets as plain values for JSON, numbers not rounded.

    Args:
        sheets: The tables.

    Returns:
        {"schema", "tables": [{"name", "title", "note", "columns": [{"key", "title"}], "rows": [{key: entry}]}]}, an
        entry being a text, null, or {"value", "low", "high", "level", "n", "text"}.
    """
    return {"schema": SCHEMA, "tables": [_table(sheet) for sheet in sheets]}


def _table(sheet: Sheet) -> dict[str, Any]:
    return {
        "name": sheet.name,
        "title": clean(sheet.title),
        "note": clean(sheet.note),
        "columns": [{"key": column.key, "title": clean(column.title)} for column in sheet.columns],
        "rows": [
            {column.key: _plain(entry) for column, entry in zip(sheet.columns, row, strict=True)} for row in sheet.rows
        ],
    }


def _plain(entry: Entry) -> str | dict[str, Any] | None:
    if isinstance(entry, str):
        return clean(entry)
    return entry.numbers | {"text": written(entry)} if entry.text else None
