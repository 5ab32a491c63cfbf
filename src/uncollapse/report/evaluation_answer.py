"""The first two sections of an evaluation's page: the verdict, what was lost, and the tests behind it.

Every sentence comes from the file; here numbers become text with their intervals, and marks on lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from uncollapse.report.evaluation_exhibits import Same
from uncollapse.report.evaluation_record import ClassVerdict, Evaluation, Evidence, Loss, Verdict
from uncollapse.report.evaluation_same import of_mode
from uncollapse.report.evaluation_strips import Scale, Strip, effect_scale, effect_strip, interval_strip
from uncollapse.report.evaluation_words import amount, between, places, share
from uncollapse.report.measures import MINUS, number, p_text

# What each status means; the page's glossary says it in these words.
MEANINGS = {
    "collapsed": "A loss of coverage, variety or class share that is beyond chance and at least as large as the stated "
    "minimum effect.",
    "suspect": "A loss that is beyond chance but smaller than the minimum effect.",
    "inconclusive": "No loss was established, and there are too few rows to have seen one of the minimum effect in "
    "80 % of such evaluations.",
    "healthy": "No loss was established, and there are enough rows to have seen one of the minimum effect.",
}
FLAGS = {"memorised": "fakes lie nearer to training rows than chance allows"}
# Drawn in a box of 48: each status has its own outline and sign, so that it reads without colour.
MARKS = {
    "healthy": '<circle cx="24" cy="24" r="21"/><path class="sign" d="M14.5 24.5l6.5 6.8 13-14.3"/>',
    "suspect": '<path d="M24 4.5L45.5 42H2.5z"/><path class="sign" d="M24 18v11M24 35v.1"/>',
    "collapsed": '<path d="M15.3 3h17.4L45 15.3v17.4L32.7 45H15.3L3 32.7V15.3z"/>'
    '<path class="sign" d="M16.5 16.5l15 15M31.5 16.5l-15 15"/>',
    "inconclusive": '<rect x="4" y="4" width="40" height="40" rx="9" stroke-dasharray="7 4.5"/>'
    '<path class="sign" d="M17.8 18.5c0-8.3 12.6-8.3 12.6 0 0 5-6.3 4.8-6.3 10M24.1 35v.1"/>',
}
MOST_LOST, MOST_CLASSES, MOST_FOLDED = 10, 30, 200


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a test measures: the unit of its effect, what its two values are, and a remark on its minimum effect."""

    unit: str
    values: str
    remark: str = ""


ASKED = {
    "class shares": Asked(unit="of the class's share lost", values="share"),
    "region shares": Asked(unit="of the region's share surely lost", values="share"),
    "spread within classes": Asked(unit="of the spread within classes lost", values="spread"),
    "spread within clusters": Asked(unit="of the spread within clusters lost", values="spread"),
    "spread overall": Asked(
        unit="of the overall spread lost",
        values="spread",
        remark="The minimum is 0.20 for images, whose overall spread changes with contrast too, and 0.10 for others.",
    ),
    "repeats": Asked(unit="of the fakes repeat, more than by chance", values="share"),
}


@dataclass(frozen=True, kw_only=True)
class LossRow:
    """One lost mode as text: its shares, the interval of the fakes' share, and both on a line.

    `kind` is the word "class" where the name alone, such as "3", would not say what it is; empty otherwise. `also` are
    other names of the same rows. `by` holds what the columns "real" and "fake" are sorted by.
    """

    mode: str
    kind: str
    also: str
    real: str
    fake: str
    interval: str
    strip: Strip | None
    by: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class EvidenceRow:
    """One test as text.

    Attributes:
        metric: What was tested.
        compared: Its values in the real data and in the fakes; empty without them.
        effect: The effect.
        unit: What it is a part of; empty for a test that is not known here.
        facts: Minimum effect, adjusted p and, where it is known, power.
        weight: What effect and p say together.
        strong: Whether it is beyond chance and at least of the minimum effect.
        strip: The effect on a line; None without one.
        ends: The values at the ends of that line.
        sentence: The sentence of the file.
        remark: What else a reader has to know; mostly empty.
    """

    metric: str
    compared: str
    effect: str
    unit: str
    facts: tuple[str, ...]
    weight: str
    strong: bool
    strip: Strip | None
    ends: tuple[str, str]
    sentence: str
    remark: str


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """The verdict of one class as text, with its tests, and what the columns "real" and "fake" are sorted by."""

    label: str
    n_real: str
    n_fake: str
    status: str
    sentence: str
    evidence: tuple[EvidenceRow, ...]
    by: Mapping[str, float | None]


def mark(status: str) -> Markup:
    """The sign of a status: outline and sign in its colour; empty for a status that is not known."""
    if status not in MARKS:
        return Markup("")
    return Markup(
        f'<svg class="sign-{status} verdict-mark" aria-hidden="true" viewBox="0 0 48 48">{MARKS[status]}</svg>'
    )


def flags(verdict: Verdict) -> list[tuple[str, str]]:
    """Each flag with what it means; the meaning is empty for a flag that is not known here."""
    return [(flag, FLAGS.get(flag, "")) for flag in verdict.flags]


def sizes(record: Evaluation) -> str:
    """How many rows of each side were judged: "n = 10,000 real and 12,000 generated rows"."""
    counts = []
    for key, count, word in (("real", record.verdict.n_real, "real"), ("fake", record.verdict.n_fake, "generated")):
        side = record.inputs.get(key)
        count = side.rows if count is None and side is not None else count
        counts += [] if count is None else [f"{count:,} {word}"]
    return f"n = {' and '.join(counts)} rows" if counts else ""


def needed(verdict: Verdict) -> str:
    """How many samples an answer takes; empty where that is not known, or the verdict's sentence says it already."""
    if verdict.needed is not None and re.search(rf"(?<![\d,]){verdict.needed:,}(?![\d,])", verdict.sentence):
        return ""
    if verdict.needed_sentence or not verdict.needed:
        return verdict.needed_sentence
    return f"{verdict.needed:,} samples a side would be enough."


def lost(verdict: Verdict, same: Sequence[Same] = ()) -> tuple[list[LossRow], list[LossRow], int]:
    """What was lost, worst first: the rows to show, further rows to fold away, and how many are left out."""
    shown = verdict.lost[: MOST_LOST + MOST_FOLDED]
    scale, digits = Scale(low=0.0, high=_top(verdict)), (_digits(verdict), _digits_of_ends(verdict))
    rows = [_loss(loss, scale, digits, same) for loss in shown]
    return rows[:MOST_LOST], rows[MOST_LOST:], len(verdict.lost) - len(rows)


def _loss(loss: Loss, scale: Scale, digits: tuple[int, int], same: Sequence[Same]) -> LossRow:
    real, fake = share(loss.share_real, digits[0]), share(loss.share_fake, digits[0])
    interval = between(loss.low, loss.high, digits[1])
    label = f"{loss.mode}: {real} of the real data, {fake} of the fakes, interval {interval}"
    return LossRow(
        mode=loss.mode,
        kind="class" if loss.kind == "class" and "class" not in loss.mode else "",
        also=of_mode(same, loss.mode, loss.kind),
        real=real,
        fake=fake,
        interval=interval,
        strip=interval_strip(label, scale, loss.share_fake, loss.low, loss.high, reference=loss.share_real),
        by={"real": loss.share_real, "fake": loss.share_fake},
    )


def _digits(verdict: Verdict) -> int:
    """Digits after the point of all shares of what was lost."""
    return places(value for loss in verdict.lost for value in (loss.share_real, loss.share_fake))


def _digits_of_ends(verdict: Verdict) -> int:
    """Digits after the point of all their intervals, which are about smaller shares."""
    return max(_digits(verdict), places(end for loss in verdict.lost for end in (loss.low, loss.high)))


def scale_end(verdict: Verdict) -> str:
    """The share at the right end of the lines of `lost`."""
    return share(_top(verdict), _digits(verdict))


def _top(verdict: Verdict) -> float:
    """The largest share that the lines of `lost` must hold, with a margin."""
    shares = [share for loss in verdict.lost for share in (loss.share_real, loss.high, loss.share_fake) if share]
    return min(1.0, 1.05 * max(shares, default=1.0))


def evidence(rows: tuple[Evidence, ...]) -> list[EvidenceRow]:
    """The tests, those that decide first: beyond chance and large, then beyond chance, then the others."""

    def weight(row: Evidence) -> tuple[bool, bool, float]:
        size = (row.effect or 0.0) / row.minimum_effect if row.minimum_effect else row.effect or 0.0
        return row.significant and row.reached, row.significant, size

    return [_evidence(row) for row in sorted(rows, key=weight, reverse=True)]


def _evidence(row: Evidence) -> EvidenceRow:
    asked = ASKED.get(row.metric, Asked(unit="", values=""))
    effect, least = amount(row.effect), amount(row.minimum_effect)
    facts = [f"minimum {least}", f"adjusted p {p_text(row.p_adjusted)}"]
    if row.power is not None:
        facts.append(f"power {number(row.power, 'share')}")
    if row.needed is not None and not row.significant:
        facts.append(f"80 % takes {row.needed:,} rows a side")
    kind = "effect unsure" if not row.significant else "effect large" if row.reached else "effect small"
    unit = f" {asked.unit}" if asked.unit else ""
    label = f"{row.metric}: effect {effect}{unit}, minimum effect {least}"
    return EvidenceRow(
        metric=row.metric,
        compared=_compared(row, asked.values),
        effect=effect,
        unit="" if row.effect is None else asked.unit,
        facts=tuple(facts),
        weight=weight_of(row),
        strong=row.significant and row.reached,
        strip=effect_strip(label, row.effect, row.minimum_effect, kind),
        ends=_ends(row),
        sentence=row.sentence,
        remark=asked.remark,
    )


def _compared(row: Evidence, values: str) -> str:
    """The values of both sides, in the words of the test; empty where one is missing."""
    real, fake = row.value_real, row.value_fake
    if real is None or fake is None:
        return ""
    if values == "share":
        digits = places((real, fake))
        return f"{share(real, digits)} of the real rows, {share(fake, digits)} of the fakes"
    if values == "spread" and real == 1:
        return f"the fakes have {amount(fake)} times the real spread"
    return f"{amount(real)} in the real data, {amount(fake)} in the fakes"


def _ends(row: Evidence) -> tuple[str, str]:
    """The values at the ends of the line of an effect; empty without one."""
    if row.effect is None:
        return "", ""
    scale = effect_scale(row.effect, row.minimum_effect)
    low, high = ("0" if end == 0 else f"{end:.2g}".replace("-", MINUS) for end in (scale.low, scale.high))
    return low, high


def weight_of(row: Evidence) -> str:
    """What a test says, in words."""
    if row.effect is None:
        return "not computed"
    if row.significant:
        return "beyond chance and large enough" if row.reached else "beyond chance, below the minimum"
    return "large, but chance may explain it" if row.reached else "no loss established"


def class_rows(record: Evaluation) -> tuple[list[ClassRow], list[ClassRow], int]:
    """The verdict of each class, worst first: those to show, further ones to fold away, and how many are left out."""
    rows = [_class_row(row) for row in record.per_class[:MOST_FOLDED]]
    return rows[:MOST_CLASSES], rows[MOST_CLASSES:], len(record.per_class) - len(rows)


def _class_row(row: ClassVerdict) -> ClassRow:
    counts = ["" if count is None else f"{count:,}" for count in (row.n_real, row.n_fake)]
    return ClassRow(
        label=row.label,
        n_real=counts[0],
        n_fake=counts[1],
        status=row.status,
        sentence=row.sentence,
        evidence=tuple(evidence(row.evidence)),
        by={"real": row.n_real, "fake": row.n_fake},
    )
