"""The plain-language answer: which method covered what, and how sure that is, built only from the recorded numbers.

A difference is claimed only where the named paired test says so; otherwise the page says that it is open and why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from uncollapse.report.measures import (
    best,
    entry_of,
    level,
    measure_of,
    number,
    p_text,
    points,
    seeds_of,
    seeds_text,
    span,
    spoken,
)
from uncollapse.report.records import Cell, Record

ALPHA = 0.05  # of the Holm-adjusted p
# One sentence holds so many methods; of more, the largest differences are named and the rest counted.
MANY, LARGEST = 8, 3


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the first section says about one task.

    Attributes:
        task: Name of the task.
        lead: The one sentence to remember.
        methods: One sentence a method, with interval and seeds.
        comparisons: One sentence a comparison with the baseline.
    """

    task: str
    lead: str
    methods: tuple[str, ...]
    comparisons: tuple[str, ...]


def answers(record: Record) -> tuple[Answer, ...]:
    """One answer a task, in the plan's order."""
    return tuple(_answer(record, task) for task in record.tasks)


def _answer(record: Record, task: str) -> Answer:
    cells = record.of(task)
    rows = [row for row in record.differences if row.get("task") == task and row.get("measure") == record.headline]
    return Answer(
        task=task,
        lead=" ".join(_leads(task, cells, rows, record.headline)),
        methods=tuple(method_sentence(cell, record.headline) for cell in cells),
        comparisons=tuple(difference_sentence(row, cells, record.headline) for row in rows),
    )


def _leads(task: str, cells: Sequence[Cell], rows: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    """One sentence a baseline: where methods were tuned, the tuned ones are compared with the tuned baseline."""
    baselines = dict.fromkeys(row["baseline"] for row in rows)
    if len(baselines) < 2:
        return [lead(task, cells, rows, key)]
    found = []
    for baseline in baselines:
        mine = [row for row in rows if row["baseline"] == baseline]
        names = {baseline, *(row["method"] for row in mine)}
        found.append(lead(task, [cell for cell in cells if cell.method in names], mine, key))
    return found


def joined(names: Sequence[str]) -> str:
    """Names as a list in a sentence: "a", "a and b", "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def lead(task: str, cells: Sequence[Cell], rows: Sequence[Mapping[str, Any]], key: str) -> str:
    """The sentence to remember of one task: who differs from the baseline beyond chance, or why that is not known.

    Args:
        task: Name of the task.
        cells: Its methods.
        rows: The paired differences of the task in the headline measure; they decide, the single intervals do not.
        key: The headline measure.
    """
    known = {cell.method: float(entry["mean"]) for cell in cells if (entry := entry_of(cell, key)) is not None}
    if not known:
        return f"On {task} {_silence(cells, key)}, so there is no answer{'' if _measured(cells) else ' so far'}."
    if len(known) == 1:
        return _alone(task, next(cell for cell in cells if cell.method in known), key)
    rows = [row for row in rows if row.get("difference") is not None]
    if not rows:
        return f"On {task}, {_leading(known, key)}, but no paired test was made."
    beyond = [row for row in rows if _is_beyond(row)]
    if not beyond:
        return _undecided(task, rows, cells, key)
    base, left = rows[0]["baseline"], [row["method"] for row in rows if row not in beyond]
    if len(rows) > MANY:
        rest = f"; {len(left)} of {len(rows)} methods cannot be told apart from it" if left else ""
        return f"On {task}, {_in_groups(beyond, base, key)}{rest}."
    found = f"On {task}, {joined([_seen(row, cells, key) for row in beyond])}"
    rest = f"; {joined(left)} cannot be told apart from it" if left else ""
    return f"{found} than {base}, beyond chance{_better(beyond, known, key)}{rest}."


def _in_groups(beyond: Sequence[Mapping[str, Any]], base: str, key: str) -> str:
    """How many methods differ from the baseline in each direction, and the largest differences of each."""
    measure, texts = measure_of(key), []
    for up in (True, False):
        group = sorted(
            (row for row in beyond if (row["difference"] > 0) == up), key=lambda row: -abs(row["difference"])
        )
        if not group:
            continue
        if measure.kind == "count":
            said = f"{'hit' if key == 'modes_hit' else 'kept'} {'more' if up else 'fewer'} modes"
        else:
            said = f"had a {'higher' if up else 'lower'} {spoken(key)}"
        sizes = [
            f"{row['method']} by {points(number(abs(row['difference']), measure.kind))}" for row in group[:LARGEST]
        ]
        more = [f"{len(group) - LARGEST} more"] if len(group) > LARGEST else []
        methods = f"{len(group)} method{'s' * (len(group) != 1)}"
        texts.append(f"{methods} {said} than {base} ({joined([*sizes, *more])})")
    better = "" if measure.direction == "higher" else f" ({measure.better})"
    return f"beyond chance {joined(texts)}{better}"


def _leading(known: Mapping[str, float], key: str) -> str:
    """Who has the best mean, or that several share it: a tie has no winner."""
    top = known[best(known, key)]
    names = [name for name, mean in known.items() if math.isclose(mean, top, abs_tol=1e-12)]
    value = number(top, measure_of(key).kind)
    if len(names) == 1:
        return f"{names[0]} has the best {spoken(key)} ({value})"
    more = [f"{len(names) - LARGEST} more"] if len(names) > LARGEST else []
    return f"{joined([*names[:LARGEST], *more])} are equal with the best {spoken(key)} ({value})"


def _measured(cells: Sequence[Cell]) -> bool:
    """Whether some seed of some method is finished, whatever its measures."""
    return any(cell.finished and (cell.measures or cell.diverged) for cell in cells)


def _silence(cells: Sequence[Cell], key: str) -> str:
    """Why no method has the headline measure."""
    if not _measured(cells):
        return "nothing is finished yet"
    if all(set(cell.seeds) <= set(cell.diverged) for cell in cells):
        return "every seed diverged"
    return f"no finished seed has a {spoken(key)}"


def _is_beyond(row: Mapping[str, Any]) -> bool:
    """Whether the Holm-adjusted p of the named test establishes a difference."""
    p = row.get("p_adjusted")
    return p is not None and p <= ALPHA


def _better(rows: Sequence[Mapping[str, Any]], known: Mapping[str, float], key: str) -> str:
    """Where a larger number is not the better one, says which of the differing methods are better."""
    if measure_of(key).direction == "higher":
        return ""
    base = rows[0]["baseline"]
    pairs = [(row["method"], {row["method"]: known[row["method"]], base: known[base]}) for row in rows if base in known]
    good = [method for method, pair in pairs if best(pair, key) == method]
    return f" ({joined(good) if good else base} is better: {measure_of(key).better})"


def _undecided(task: str, rows: Sequence[Mapping[str, Any]], cells: Sequence[Cell], key: str) -> str:
    """The lead where the test establishes nothing: too few seeds, or no difference beyond chance."""
    base, n = rows[0]["baseline"], max(int(row.get("n") or 0) for row in rows)
    if all(row["difference"] == 0 and _equal(row, cells, key) for row in rows):
        return f"On {task}, no difference from {base} was seen on {seeds_text(n)}."
    largest = sorted(rows, key=lambda row: -abs(row["difference"]))[:LARGEST] if len(rows) > 4 else rows
    some = f" (the 3 largest of {len(rows)} differences)" if len(largest) < len(rows) else ""
    seen = f"against {base}{some}, {joined([_seen(row, cells, key) for row in largest])}"
    need = needed_seeds(len(rows))
    if n >= need:
        return f"On {task}, no difference from {base} is established beyond chance on {seeds_text(n)}; {seen}."
    verb = "is" if n == 1 else "are"
    why = f"it takes at least {need} for {'one comparison' if len(rows) == 1 else f'{len(rows)} comparisons'}"
    return f"On {task}, {seeds_text(n)} {verb} too few for the paired test to tell ({why}); seen so far: {seen}."


def _seen(row: Mapping[str, Any], cells: Sequence[Cell], key: str) -> str:
    if row["difference"] == 0:
        return f"{row['method']} was equal" + ("" if _equal(row, cells, key) else " on average")
    return f"{row['method']} {_size(row['difference'], key)}"


def needed_seeds(comparisons: int) -> int:
    """Fewest common seeds with which a two-sided sign-flip test can reach .05 after Holm: m 2^(1-n) <= .05.

    >>> needed_seeds(1), needed_seeds(2)
    (6, 7)
    """
    return math.ceil(1 + math.log2(comparisons / ALPHA))


def apart(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> bool:
    """Whether two intervals do not touch."""
    return lower.get("high") is not None and upper.get("low") is not None and bool(lower["high"] < upper["low"])


def _alone(task: str, cell: Cell, key: str) -> str:
    if not cell.finished:
        update = max((run.snapshots[-1]["update"] for run in cell.runs if run.snapshots), default=0)
        return f"On {task}, {cell.method} is still training: these are the numbers of update {update:,}."
    if key != "modes_solid" or not cell.success.get("n"):
        return f"On {task}, {cell.method} is the only method with results."
    full, total = cell.success["successes"], cell.success["n"]
    if full == total:
        return f"On {task}, {cell.method} kept every mode in each of {seeds_text(total)}."
    return f"On {task}, {cell.method} lost modes in {total - full} of {seeds_text(total)}."


def method_sentence(cell: Cell, key: str) -> str:
    """One method on one task: its mean, interval, seeds and successes."""
    entry, measure = entry_of(cell, key), measure_of(key)
    if entry is None:
        missing = f"no {spoken(key)}" if _measured([cell]) else "no result"
        return f"{cell.method} has {missing}{_outcome(cell, key)}."
    value = number(entry["mean"], measure.kind)
    said = f"kept {value} of {cell.modes} modes" if key == "modes_solid" else f"had {spoken(key)} {value}"
    if key == "modes_hit":
        said = f"hit {value} of {cell.modes} modes"
    sure = f"{level(entry)} interval {span(entry, measure.kind)}, {seeds_text(seeds_of(entry))}"
    all_modes = "all modes" if key == "modes_solid" else "all modes solid"
    full = f"; {all_modes} in {cell.success['successes']} of {cell.success['n']}" if cell.success.get("n") else ""
    return f"{cell.method} {said} on average ({sure}{full}){_outcome(cell, key)}."


def _outcome(cell: Cell, key: str) -> str:
    """What became of the seeds that have no number."""
    parts = []
    if cell.diverged:
        entry = cell.measures.get(key, {}).get("per_seed", ())
        values = dict(zip(cell.seeds, entry, strict=False))
        zero = all(values.get(seed) == 0 for seed in cell.diverged)
        parts.append(f"{seeds_text(len(cell.diverged))} diverged and {'counts as 0' if zero else 'is left out'}")
    lost = sum(len(row.get("seeds", ())) for row in cell.failed)
    if lost:
        parts.append(f"{seeds_text(lost)} failed")
    return f"; {' and '.join(parts)}" if parts else ""


def difference_sentence(row: Mapping[str, Any], cells: Sequence[Cell], key: str) -> str:
    """One paired difference against the baseline in plain words, with its interval, test and adjusted p."""
    method, baseline, value = row["method"], row["baseline"], row.get("difference")
    if value is None:
        return str(row.get("sentence") or f"{method} and {baseline} share no finished seed, so they cannot be paired.")
    if value == 0 and _equal(row, cells, key):
        return f"No difference seen between {method} and {baseline}: equal on each of {seeds_text(row.get('n') or 0)}."
    kind = measure_of(key).kind
    known = row.get("low") is not None and row.get("high") is not None
    interval = f"{level(row)} interval of the paired difference {points(span(row, kind))}, " if known else ""
    facts = f"{interval}{row.get('test') or 'no test'}, {seeds_text(row.get('n') or 0)}, Holm-adjusted p "
    facts += p_text(row.get("p_adjusted"))
    return f"Against {baseline}, {method} {_size(value, key)} ({facts}): {_weight(row)}."


def _size(value: float, key: str) -> str:
    """A difference in words: "kept 3.0 more modes", "had a class entropy 0.20 lower"."""
    measure = measure_of(key)
    size = points(number(abs(value), measure.kind))
    if measure.kind == "count":
        verb = "hit" if key == "modes_hit" else "kept"
        return f"{verb} {size} {'more' if value > 0 else 'fewer'} modes"
    return f"had a {spoken(key)} {size} {'higher' if value > 0 else 'lower'}"


def _equal(row: Mapping[str, Any], cells: Sequence[Cell], key: str) -> bool:
    """Whether both methods have the same value on every common seed."""
    pair = [c for c in cells if c.method in (row["method"], row["baseline"]) and key in c.measures]
    values = [dict(zip(cell.seeds, cell.measures[key].get("per_seed", ()), strict=False)) for cell in pair]
    return len(values) == 2 and all(values[0][seed] == values[1][seed] for seed in values[0].keys() & values[1].keys())


def _weight(row: Mapping[str, Any]) -> str:
    """How much a difference weighs."""
    low, high, least = (row.get(name) for name in ("low", "high", "smallest_p"))
    if _is_beyond(row):
        return "a difference beyond chance"
    if low is not None and high is not None and not low <= 0 <= high:
        few = f"; so few seeds can reach no p below {p_text(least)}" if least is not None and least > 0.05 else ""
        return f"the interval leaves out zero, but the test alone does not establish it{few}"
    return "chance may explain it, so no difference is established"
