"""What to try against a symptom, from committed results only: no method is named without a row that shows its help.

`evidence.json` holds the rows, which `docs/evidence.py` extracts. The command line and the report print what is here.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from itertools import count
from string import ascii_uppercase

from uncollapse.symptoms import SYMPTOMS, Row, Symptom, find_symptom, span

ALPHA, MOST_NAMES = 0.05, 8


@dataclass(frozen=True, kw_only=True)
class Cited:
    """One row of a committed result, as it is printed.

    Attributes:
        result: Folder in `results/`.
        plan: The plan.
        task: The task.
        seeds: Number of seeds.
        settings: What the plan set of the method.
        value: The value with its interval.
        difference: The paired difference from the plain GAN with its interval.
        sure: How sure the difference is.
    """

    result: str
    plan: str
    task: str
    seeds: int
    settings: str
    value: str
    difference: str
    sure: str


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A method with the rows that speak for it and against it.

    Attributes:
        method: Its name.
        labelled: Whether it needs labels.
        rows: Rows that show help, the strongest first.
        against: Rows in which it did worse than the plain GAN.
        compared: Rows in which help was possible or harm was seen.
    """

    method: str
    labelled: bool
    rows: tuple[Cited, ...]
    against: tuple[Cited, ...] = ()
    compared: int = 0

    def counter_evidence(self, letter: str = "") -> str:
        """The rows against it as a sentence, with the last one cited.

        Args:
            letter: Stands for the settings of that row.
        """
        worst, n = self.against[-1], len(self.against)
        rows = f"{n} of its {self.compared} rows {'is' if n == 1 else 'are'}"
        return (
            f"Against {self.method}: {rows} worse than the plain GAN, as {worst.difference} on {worst.task} "
            f"({worst.result}{f', {letter}' if letter else ''})."
        )


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What the committed results say about one symptom.

    Attributes:
        symptom: Which.
        suggestions: Methods that helped, the best evidence first.
        sentence: What the ranking rests on, or that there is no evidence.
        unhelpful: Methods that were compared where help was possible and did not show it.
        unknown: Methods of the list of which no committed result could show it.
        further: Methods that helped, too, and were left out of the suggestions as their evidence is weaker.
    """

    symptom: Symptom
    suggestions: tuple[Suggestion, ...]
    sentence: str
    unhelpful: tuple[str, ...]
    unknown: tuple[str, ...]
    further: tuple[str, ...] = ()

    def legend(self) -> dict[str, str]:
        """Settings of the rows cited for and against -> the letter that stands for them, as first cited."""
        cited = [row for item in self.suggestions for row in item.rows]
        cited += [row for item in self.suggestions for row in item.against[-1:]]
        settings = dict.fromkeys(row.settings for row in cited if row.settings)
        return dict(zip(settings, _letters(), strict=False))

    def remarks(self) -> list[str]:
        """What speaks against the suggestions, what did not help, and what nobody has measured, a sentence each."""
        letters = self.legend()
        lines = [
            item.counter_evidence(letters.get(item.against[-1].settings, ""))
            for item in self.suggestions
            if item.against
        ]
        if self.further:
            lines.append(f"Rows speak for these, too, with weaker evidence: {', '.join(self.further)}.")
        if self.unhelpful:
            lines.append(f"Measured without a sign of help: {', '.join(self.unhelpful)}.")
        if self.unknown:
            named = f": {', '.join(self.unknown)}" if len(self.unknown) <= MOST_NAMES else ""
            many = "" if len(self.unknown) == 1 else "s"
            lines.append(f"No committed result can tell for {len(self.unknown)} method{many}{named}.")
        return lines


@cache
def evidence() -> tuple[Row, ...]:
    """The rows of the committed results."""
    text = resources.files("uncollapse").joinpath("evidence.json").read_text(encoding="utf-8")
    return tuple(json.loads(text)["rows"])


def advise(symptom: str, rows: Sequence[Row] | None = None) -> Advice:
    """What the results say against a symptom.

    A row speaks for a method when the plain GAN of the same comparison and task shows the symptom, the interval of the
    paired difference from it lies above zero, and that of the solid modes does not lie below. For divergence: when some
    method of the same comparison and task diverged and this one did not. Methods are ranked by the share of such rows
    among those in which they could have helped or did harm (the lower end of Wilson's interval, so that two of two come
    before one of one), then by what they reached; those with a row beyond chance, corrected over the methods of its
    task, come before all others.

    Args:
        symptom: A name of `SYMPTOMS`.
        rows: Evidence; None = what ships with the package.

    Raises:
        UserError: There is no such symptom; names the nearest.
    """
    from uncollapse.methods import METHODS

    wanted = find_symptom(symptom)
    known = evidence() if rows is None else rows
    # Only where methods are judged by the symptom alone: the others' rows say themselves what their plain GAN showed.
    ill = {_place(row) for row in known if wanted.absolute and wanted.shown(row)}
    open_rows = [row for row in known if _counts(row, wanted, ill)]
    seen_ill = bool(ill) or any(wanted.name in row.get("plain_shows", ()) for row in known)
    ranked = sorted(dict.fromkeys(row["method"] for row in open_rows), key=lambda name: _rank(name, open_rows, wanted))
    found = [_suggestion(name, open_rows, wanted) for name in ranked]
    helpful = tuple(item for item in found if item.rows)
    seen = {item.method for item in found}
    return Advice(
        symptom=wanted,
        suggestions=helpful,
        sentence=_sentence(wanted, helpful, seen_ill),
        unhelpful=tuple(item.method for item in found if not item.rows),
        unknown=tuple(name for name in METHODS if name not in seen and (wanted.absolute or name != "vanilla")),
    )


def _place(row: Row) -> tuple[str, str, bool]:
    """Where rows can be compared: the comparison, the task, and whether settings were tuned."""
    return row["result"], row["task"], str(row["label"]).endswith("tuned")


def _counts(row: Row, symptom: Symptom, ill: Container[tuple[str, str, bool]]) -> bool:
    """Whether the method could have helped there, or did harm."""
    if symptom.absolute:
        return _place(row) in ill
    return symptom.measure in row["versus"] and (symptom.name in row.get("plain_shows", ()) or _worse(row, symptom))


def _better(row: Row, symptom: Symptom) -> bool:
    if symptom.absolute:
        return not symptom.shown(row)
    low, modes = row["versus"][symptom.measure]["low"], row["versus"].get("modes_solid", {}).get("high")
    return low is not None and low > 0 and (modes is None or modes >= 0)


def _worse(row: Row, symptom: Symptom) -> bool:
    high = row["versus"].get(symptom.measure, {}).get("high")
    return high is not None and high < 0


def _established(row: Row, symptom: Symptom) -> bool:
    """Whether the corrected test of its comparison establishes that it helped there."""
    versus = row["versus"].get(symptom.measure)
    return _better(row, symptom) and versus is not None and versus["p_adjusted"] <= ALPHA


def _rank(name: str, rows: Sequence[Row], symptom: Symptom) -> tuple[bool, float, float, str]:
    """Sorts the best first: what a test establishes before what only looked so."""
    from uncollapse.metrics.intervals import wilson

    mine = [row for row in rows if row["method"] == name]
    helped = sum(_better(row, symptom) for row in mine)
    sure = any(_established(row, symptom) for row in mine)
    return not sure, -wilson(helped, len(mine))[0], -sum(symptom.level(row) for row in mine) / len(mine), name


def _suggestion(name: str, rows: Sequence[Row], symptom: Symptom) -> Suggestion:
    mine = sorted((row for row in rows if row["method"] == name), key=symptom.level, reverse=True)
    return Suggestion(
        method=name,
        labelled=mine[0]["labelled"],
        rows=tuple(cited(row, symptom) for row in mine if _better(row, symptom)),
        against=tuple(cited(row, symptom) for row in mine if _worse(row, symptom)),
        compared=len(mine),
    )


def cited(row: Row, symptom: Symptom) -> Cited:
    """A row as it is printed for a symptom."""
    settings = ", ".join(f"{path} = {json.dumps(value)}" for path, value in row["settings"].items())
    settings = ", ".join(filter(None, [settings, f"{row['updates']:,} critic updates"]))
    difference, sure = _against_plain(row, symptom)
    if symptom.measure in ("high_quality_share", "modes_solid") and SYMPTOMS["shrunken-variance"].shown(row):
        # Narrow modes lie within 3 sigma more often than real data do, so these modes and this precision have a price.
        sure += f"; its modes are too narrow, core sigma ratio {row['measures']['core_sigma_ratio']['mean']:.2g}"
    return Cited(
        result=row["result"],
        plan=row["plan"],
        task=row["task"],
        seeds=row["seeds"],
        settings=f"{row['label']}: {settings}" if row["label"] and settings else row["label"] or settings,
        value=symptom.value(row),
        difference=difference,
        sure=sure,
    )


def _against_plain(row: Row, symptom: Symptom) -> tuple[str, str]:
    """The paired difference with its interval, and how sure it is; empty where there is none."""
    versus = row["versus"].get(symptom.measure)
    if versus is None:
        return "", ""
    kind = "%" if symptom.measure in ("high_quality_share", "diverged") else ""
    text = span(versus["difference"], versus["low"], versus["high"], kind, sign=True).replace(" %", " points")
    if symptom.measure == "modes_solid":
        text = f"{text} of {row['modes']}"
    if versus["p_adjusted"] <= ALPHA:
        return text, "beyond chance"
    return text, f"not established by {versus['n']} seeds"


def _sentence(symptom: Symptom, helpful: Sequence[Suggestion], is_ill: bool) -> str:
    what = symptom.title.lower()
    if not is_ill:
        who = "any method" if symptom.absolute else "the plain GAN"
        return f"No committed result shows {who} with {what}, so none can show what helps against it."
    if not helpful:
        return f"No committed result shows a method that helps against {what}."
    if symptom.absolute:
        return "In committed results in which another method diverged on the same task, these did not."
    return (
        f"Against {what}, these looked better than the plain GAN on common seeds of committed results; where a test"
        " corrected for all methods establishes it, the row says beyond chance. Intervals are 95 % and not corrected;"
        " only the cited settings were measured."
    )


def trimmed(advice: Advice, most: int) -> Advice:
    """The same advice with at most so many methods; the others are named."""
    further = tuple(item.method for item in advice.suggestions[most:])
    return replace(advice, suggestions=advice.suggestions[:most], further=further + advice.further)


def _letters() -> Iterator[str]:
    """A, B, ..., Z, A2, B2, ..."""
    for turn in count(1):
        yield from (letter if turn == 1 else f"{letter}{turn}" for letter in ascii_uppercase)
