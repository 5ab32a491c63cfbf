"""What the monitors of a run said and did, as the report tells it: alarms, seeds never seen healthy, rollbacks.

The rows themselves are read by `monitoring_rows`; a rollback that only `result.json` knows is told, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from uncollapse.monitoring_rows import NEVER_HEALTHY, ROLLED_BACK, MonitorRow, monitor_row
from uncollapse.text import seed_text

# Of which method, on which task.
Told = tuple[str, str, MonitorRow]


def told(history: Iterable[Mapping[str, Any]], lanes: Iterable[Mapping[str, Any]] = ()) -> tuple[MonitorRow, ...]:
    """The rows of one run by update; what is not as documented is left out.

    Args:
        history: The lines of `history.jsonl`.
        lanes: What `result.json` says of each seed.
    """
    rows = [row for line in history if (row := monitor_row(line)) is not None]
    known = {(row.seed, row.update) for row in rows if row.status == ROLLED_BACK}
    rows += [row for row in map(_summed_up, lanes) if row is not None and (row.seed, row.update) not in known]
    return tuple(sorted(rows, key=lambda row: row.update))


def _summed_up(lane: Mapping[str, Any]) -> MonitorRow | None:
    """The rollback of a seed as the result has it: {"rolled_back": {"update", "to"}}."""
    facts = lane.get("monitor")
    back = facts.get("rolled_back") if isinstance(facts, Mapping) else None
    if not isinstance(back, Mapping):
        return None
    return monitor_row({"update": back.get("update"), "rollback": {"seed": lane.get("seed"), "to": back.get("to")}})


def monitor_sentences(rows: Sequence[Told]) -> list[str]:
    """What stands above the answer: how many alarms, which seeds were never seen healthy, which were put back.

    Args:
        rows: Of all runs on the page.
    """
    raised = [it for it in rows if it[2].raised]
    never = [it for it in rows if it[2].status == NEVER_HEALTHY]
    back = [it for it in rows if it[2].status == ROLLED_BACK]
    said = []
    if raised:
        said.append(f"The monitor raised {len(raised)} alarm{'s' * (len(raised) != 1)}: {_cells(raised)}.")
    if never:
        said.append(f"Never seen healthy, which is no alarm: {_cells(never)}.")
    if back:
        said.append(f"Put back by a rollback, on which their numbers rest: {_cells(back)}.")
    others = len(rows) - len(raised) - len(never) - len(back)
    if others:
        said.append(f"The monitor said {others} more thing{'s' * (others != 1)} that this page knows no name for.")
    return said


def _cells(rows: Sequence[Told]) -> str:
    """Which cells: "vanilla on ring-8 (seeds 4-5)"."""
    seeds: dict[tuple[str, str], set[int]] = {}
    for method, task, row in rows:
        seeds.setdefault((method, task), set()).update(() if row.seed is None else (row.seed,))
    return ", ".join(
        f"{method} on {task} ({seed_text(sorted(found)) if found else 'of an unnamed seed'})"
        for (method, task), found in seeds.items()
    )


def rolled_back(method: str, task: str, rows: Iterable[MonitorRow]) -> list[str]:
    """A sentence for each seed of a cell that was put back; the sentence ends with what that means for its numbers."""
    return [
        f"{method} on {task}: {'a seed' if row.seed is None else f'seed {row.seed}'} was put back at update "
        f"{row.update:,}{'' if row.to is None else f' to what it was at update {row.to:,}'}; its numbers rest on that "
        "rollback."
        for row in rows
        if row.status == ROLLED_BACK
    ]


def levels(specs: Iterable[Mapping[str, Any]]) -> str:
    """What the level of the monitors means; empty where no spec states it.

    Args:
        specs: The content of each `spec.json`.
    """
    choices = (spec.get("monitor") for spec in specs)
    found = sorted({float(it["alpha"]) for it in choices if isinstance(it, Mapping) and _is_number(it.get("alpha"))})
    if not found:
        return ""
    chances = " or ".join(f"{100 * alpha:g} %" for alpha in found)
    return (
        f"A seed that loses nothing is given a false alarm in its whole run with a chance of at most {chances}. That "
        "holds for each seed by itself; that any of several seeds is, is likelier."
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
