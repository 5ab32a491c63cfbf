"""Alarms of the monitor, as `history.jsonl` keeps them: where each was raised, for the curves and for a list.

A row of the history is {"update", "alarm": {"status", "seed", "sentence"}}; what is missing in one stays empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from uncollapse.text import clean


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """What the monitor said at one look.

    Attributes:
        update: The critic update of the look.
        seed: The seed it is about, None when the row names none.
        status: The monitor's word, for example "collapsed".
        sentence: What it saw.
    """

    update: int
    seed: int | None
    status: str
    sentence: str

    @property
    def words(self) -> str:
        """In one line, for the mark in a curve."""
        return ": ".join(part for part in (self.status or "alarm", self.sentence) if part)


def alarms(history: Iterable[Mapping[str, Any]]) -> tuple[Alarm, ...]:
    """The alarms of one run in order; rows that are not as documented are left out.

    Args:
        history: The lines of `history.jsonl`.
    """
    found = []
    for line in history:
        row, update = line.get("alarm"), line.get("update")
        if isinstance(row, Mapping) and _whole(update):
            seed = row.get("seed")
            texts = (clean(row.get(key) or "") for key in ("status", "sentence"))
            status, sentence = texts
            found.append(
                Alarm(update=int(update), seed=int(seed) if _whole(seed) else None, status=status, sentence=sentence)  # type: ignore[arg-type]
            )
    return tuple(found)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
