"""What image runs say of labels: do they bring every class, at what quality, and do generators repeat themselves?

Every sentence is chosen by the numbers: a difference is claimed only where the paired test over common seeds, corrected
over all comparisons of the task, establishes it, and collapse inside classes only where the interval lies below 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from uncollapse.experiments.statistics import Difference, holm, pair_differences
from uncollapse.features.classifier import CLASSIFIERS, load_card
from uncollapse.report.class_shares import real_entropy
from uncollapse.report.measures import entry_of, measure_of, number, p_text, seeds_of, seeds_text, span, spoken
from uncollapse.report.real import Real
from uncollapse.report.records import Cell
from uncollapse.report.words import ALPHA, joined, needed_seeds

SOLID, ENTROPY, AGREEMENT, INSIDE = "modes_solid", "class_entropy", "label_agreement", "within_class_diversity"
QUALITY = ("frechet_distance", "precision", "recall", INSIDE)
# Diversity inside classes as a multiple of real images': wholly below the first it is collapse, between the two the
# generator repeats itself, and between the second and 1 hardly so.
COLLAPSED, REPEATS = 0.5, 0.9
# More methods than these are told in groups, without their intervals.
MANY = 4


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """One conditional method against the unconditional reference of its task.

    Attributes:
        told: The cell of the method that takes labels.
        alone: The cell of the reference.
        rows: Key -> the paired difference, oriented so that more is better; its p is adjusted over all of the task.
        needed: Fewest common seeds that could establish a difference.
        together: How many comparisons are corrected together.
    """

    told: Cell
    alone: Cell
    rows: Mapping[str, Difference]
    needed: int
    together: int


def findings(cells: Sequence[Cell], real: Real, baseline: str = "") -> tuple[str, ...]:
    """The findings on one image task, one text a paragraph; empty where no method has image measures.

    Args:
        cells: The methods of the task.
        real: Its real data.
        baseline: The method that labels are judged against, where it takes none; else the first that takes none.
    """
    cells = [cell for cell in cells if entry_of(cell, INSIDE)]
    if not cells:
        return ()
    bits = real_entropy(real)
    told = [cell for cell in cells if cell.conditional]
    paragraphs = [_classes(contrast, bits) + _quality(contrast) for contrast in contrasts(cells, baseline)]
    if agreed := _agreement(told, real):
        paragraphs.append(agreed)
    return (*paragraphs, _inside(cells))


def contrasts(cells: Sequence[Cell], baseline: str = "") -> list[Contrast]:
    """Every conditional method against the reference, with Holm's correction over all their comparisons.

    Args:
        cells: The methods of one task.
        baseline: See `findings`.
    """
    told = [cell for cell in cells if cell.conditional]
    others = sorted((cell for cell in cells if not cell.conditional), key=lambda cell: cell.method != baseline)
    if not told or not others:
        return []
    alone = others[0]
    rows: dict[tuple[str, str], Difference] = {}
    for key in (SOLID, *QUALITY):
        values = {cell.method: _oriented(cell, key) for cell in (*told, alone)}
        pairs = [(cell.method, alone.method) for cell in told if values[cell.method] and values[alone.method]]
        limits = (entry_of(alone, key) or {}).get("bounds")
        bounds = (float(limits[0]), float(limits[1])) if limits else None
        for row in pair_differences(values, pairs, task=alone.task, measure=key, bounds=bounds, diverged="omit"):
            if row.p is not None:
                rows[row.method, key] = row
    adjusted = dict(zip(rows, holm([row.p or 0.0 for row in rows.values()]), strict=True))
    rows = {place: replace(row, p_adjusted=adjusted[place]) for place, row in rows.items()}
    needed = needed_seeds(max(1, len(rows)))
    return [
        Contrast(
            told=cell,
            alone=alone,
            rows={key: row for (method, key), row in rows.items() if method == cell.method},
            needed=needed,
            together=len(rows),
        )
        for cell in told
    ]


def _oriented(cell: Cell, key: str) -> dict[int, float | None]:
    """A measure by seed so that more is better: distances to what is right count negatively."""
    entry = entry_of(cell, key)
    if entry is None or len(entry["per_seed"]) != len(cell.seeds):
        return {}
    right = {INSIDE: 1.0, "frechet_distance": 0.0}.get(key)
    found: dict[int, float | None] = {}
    for seed, value in zip(cell.seeds, entry["per_seed"], strict=True):
        found[seed] = value if value is None or right is None else -abs(float(value) - right)
    return found


def _classes(contrast: Contrast, bits: float | None) -> str:
    """Which classes labels bring, and their entropy, which is not compared: labels are asked for in the true shares."""
    told, alone = contrast.told, contrast.alone
    kept = f"{told.method} keeps every class in {_wins(told)}, {alone.method} in {_wins(alone)}: "
    text = kept + _judged(contrast, SOLID, lambda size, more: f"{size} {'more' if more else 'fewer'} solid classes")
    if bits is None or not (entry_of(told, ENTROPY) and entry_of(alone, ENTROPY)):
        return f"{text} "
    return (
        f"{text} Its classes have an entropy of {_value(told, ENTROPY, ' bits')}, those of {alone.method} "
        f"{_value(alone, ENTROPY, ' bits')}, the true shares {number(bits)}; it was asked for labels in the true "
        "shares, so that its entropy tells how well it obeys, not what it found. "
    )


def _wins(cell: Cell) -> str:
    success = cell.success
    return f"{success.get('successes', 0)} of {seeds_text(int(success.get('n') or 0))}"


def _judged(contrast: Contrast, key: str, words: Callable[[str, bool], str]) -> str:
    """The difference in words where it is established, or that none is."""
    row = contrast.rows.get(key)
    if row is None or row.difference is None or row.p_adjusted is None:
        return "not compared."
    size = words(number(abs(row.difference), measure_of(key).kind), row.difference > 0)
    if row.p_adjusted <= ALPHA:
        return f"{size}{_ends(row, key)}, beyond chance (Holm-adjusted p {p_text(row.p_adjusted)})."
    if row.n < contrast.needed and row.difference:
        least = f"it takes {contrast.needed} for {contrast.together} comparison{'s' * (contrast.together != 1)}"
        return f"{size}, which {seeds_text(row.n)} cannot establish ({least})."
    return "no difference seen."


def _ends(row: Difference, key: str) -> str:
    """The interval of the size of a difference; empty where it has none or holds 0."""
    if row.low is None or row.high is None or row.low <= 0 <= row.high:
        return ""
    low, high = sorted((abs(row.low), abs(row.high)))
    return f" ({span({'low': low, 'high': high}, measure_of(key).kind)})"


def _quality(contrast: Contrast) -> str:
    """Distance, quality and variety against the reference, the established differences first."""
    told, alone, rows = contrast.told, contrast.alone, contrast.rows
    known = [key for key in QUALITY if key in rows]
    sure = [key for key in known if (rows[key].p_adjusted or 0.0) <= ALPHA]
    better = [key for key in sure if (rows[key].difference or 0.0) > 0]
    worse = [key for key in sure if key not in better]
    open_ = [key for key in known if key not in sure]

    def listed(keys: Sequence[str]) -> str:
        return joined([f"{spoken(key)} ({_mean(told, key)} against {_mean(alone, key)})" for key in keys])

    parts = []
    for keys, verdict in ((better, "better"), (worse, "worse")):
        if keys:
            parts.append(f"Beyond chance, {told.method} is {verdict} than {alone.method} in {listed(keys)}.")
    if open_:
        few = min(rows[key].n for key in open_) < contrast.needed
        why = "Not established on so few seeds" if few else "No difference is seen"
        parts.append(f"{why}{': ' if few else ' in '}{listed(open_)}.")
    return " ".join(parts)


def _agreement(told: Sequence[Cell], real: Real) -> str:
    """How often the classifier sees the label asked for, beside how often it is right on real images."""
    known = [cell for cell in told if entry_of(cell, AGREEMENT)]
    if not known:
        return ""
    shares = joined([f"{_value(cell, AGREEMENT)} of the images of {cell.method}" for cell in known])
    name = "" if real.task is None else real.task.name
    right = ""
    if name in CLASSIFIERS:
        right = f"; of held-out real images it is right on {number(load_card(name).accuracy, 'share')}"
    return f"The classifier sees the label asked for in {shares}{right}."


def _inside(cells: Sequence[Cell]) -> str:
    """Whether the generators repeat themselves inside classes: the collapse that class shares cannot show."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(inside_verdict(cell), []).append(cell)
    texts = [
        f"{joined([_multiple(cell, len(cells)) for cell in group])}: {verdict}." for verdict, group in groups.items()
    ]
    rule = ""
    if not all(cell.conditional for cell in cells):
        rule = (
            " Where no label is asked for, the classifier names the classes, and one that is hardly ever made counts 0."
        )
    return f"Inside classes, as a multiple of how varied real images are: {' '.join(texts)}{rule}"


def _multiple(cell: Cell, methods: int) -> str:
    return f"{cell.method} {_value(cell, INSIDE) if methods <= MANY else _mean(cell, INSIDE)}"


def inside_verdict(cell: Cell) -> str:
    """What the interval of the diversity inside classes says of one method."""
    entry = entry_of(cell, INSIDE)
    low, high = (None, None) if entry is None else (entry.get("low"), entry.get("high"))
    if entry is None or low is None or high is None:
        return "one number without an interval, so no verdict"
    if not math.isfinite(low + high) or low <= 1 <= high:
        return "no collapse inside classes seen"
    if low > 1:
        return "more spread than real images, as noisy images are, which is not collapse"
    if high < REPEATS:
        # Where the classifier names the classes, one that is missing and one that is repeated count alike.
        lost = "" if cell.conditional else ", or lost classes"
        return f"{'collapse' if high < COLLAPSED else 'repetition'} inside classes{lost}"
    return "a little less variety than in real images, too little to be called collapse"


def _value(cell: Cell, key: str, unit: str = "") -> str:
    """A mean with its interval."""
    entry = entry_of(cell, key)
    if entry is None:
        return "unknown"
    kind = measure_of(key).kind
    return f"{number(entry['mean'], kind)}{unit} ({span(entry, kind)}, {seeds_text(seeds_of(entry))})"


def _mean(cell: Cell, key: str) -> str:
    entry = entry_of(cell, key)
    return "unknown" if entry is None else number(entry["mean"], measure_of(key).kind)
