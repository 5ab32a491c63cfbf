"""The rows in which `history.jsonl` tells what monitors said and did, read in one place for reports, pages and loggers.

`monitoring` writes them: {"update", "alarm": {"status", "seed", "sentence"}} and {"update", "rollback": {"seed", "to",
"sentence"}}. Whoever reads them may hold somebody else's file, so nothing in a row is trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from uncollapse.text import clean

COLLAPSED, NEVER_HEALTHY, ROLLED_BACK = "collapsed", "never-healthy", "rolled back"


@dataclass(frozen=True, kw_only=True)
class MonitorRow:
    """One thing that a monitor said or did.

    Attributes:
        update: The critic update at which.
        seed: The seed it is about; None where the row names none.
        status: `COLLAPSED`, `NEVER_HEALTHY` or `ROLLED_BACK`, or another word of the file; "alarm" where it has none.
        sentence: For people, without control characters; may be empty.
        to: The update that the seed went back to; None for everything but a rollback.
    """

    update: int
    seed: int | None
    status: str
    sentence: str
    to: int | None = None

    @property
    def raised(self) -> bool:
        """Whether it counts as an alarm: what was never healthy is told in the same rows, and is none."""
        return self.status == COLLAPSED

    @property
    def words(self) -> str:
        """Status and sentence in one line."""
        return ": ".join(part for part in (self.status, self.sentence) if part)


def monitor_row(line: Mapping[str, object]) -> MonitorRow | None:
    """What a line of the history tells of a monitor; None where it tells nothing, or not as documented.

    Args:
        line: One line of `history.jsonl`.
    """
    update = _whole(line.get("update"))
    alarm, rollback = line.get("alarm"), line.get("rollback")
    if update is None:
        return None
    if isinstance(alarm, Mapping):
        status = clean(alarm.get("status") or "") or "alarm"
        return MonitorRow(update=update, seed=_whole(alarm.get("seed")), status=status, sentence=_sentence(alarm))
    if isinstance(rollback, Mapping):
        seed, to = _whole(rollback.get("seed")), _whole(rollback.get("to"))
        return MonitorRow(update=update, seed=seed, status=ROLLED_BACK, sentence=_sentence(rollback), to=to)
    return None


def _sentence(told: Mapping[str, object]) -> str:
    return clean(told.get("sentence") or "")


def _whole(value: object) -> int | None:
    """A whole number from 0 that every reader can hold exactly, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < 2**53 and value == int(value) else None
