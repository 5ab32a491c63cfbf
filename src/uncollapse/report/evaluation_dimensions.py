"""Which columns of a table of vectors differ, by how much, and whether by more than chance.

Means, spreads and p values come from the file; in files that were written before there was a test the page says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from uncollapse.report.evaluation_exhibits import Dimension
from uncollapse.report.evaluation_record import Evaluation
from uncollapse.report.evaluation_strips import Scale, Strip, spread_strip
from uncollapse.report.evaluation_words import amount
from uncollapse.report.measures import p_text

MOST_DIMENSIONS = 40


@dataclass(frozen=True, kw_only=True)
class DimensionRow:
    """One column of a table of vectors.

    Attributes:
        name: Its name.
        real: Mean and standard deviation of the real rows.
        fake: The same of the fakes.
        difference: The larger of shift and stretch.
        p: Adjusted p; empty without a test.
        chance: Whether it is beyond chance, in words; empty without a test.
        strip: Means and spreads on a line; None without them.
        sentence: What differs.
        by: What the columns "real", "fake" (by their means), "difference" and "p" are sorted by.
    """

    name: str
    real: str
    fake: str
    difference: str
    p: str
    chance: str
    strip: Strip | None
    sentence: str
    by: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Dimensions:
    """The columns of a page.

    Attributes:
        rows: Those that differ most.
        left_out: How many are in the file beside them.
        answer: How many differ by more than chance; empty without a test.
        tested: Whether there is a test.
        note: What the numbers are, and of how many rows.
    """

    rows: tuple[DimensionRow, ...]
    left_out: int
    answer: str
    tested: bool
    note: str


def dimensions(record: Evaluation) -> Dimensions:
    """The dimensions that differ most, with what the test of all of them says."""
    test = record.dimension_test
    shown = tuple(_dimension(row) for row in record.dimensions[:MOST_DIMENSIONS])
    tested = test is not None and any(row.p for row in shown)
    sides = ((test.n_real, "real"), (test.n_fake, "generated")) if test is not None else ()
    known = [f"{count:,} {word}" for count, word in sides if count is not None]
    sizes = f" n = {' and '.join(known)} rows for each dimension." if known else ""
    chance = "" if tested else " No test was recorded, so any of these differences may be chance."
    return Dimensions(
        rows=shown,
        left_out=len(record.dimensions) - len(shown),
        answer=test.sentence if test is not None and tested else "",
        tested=tested,
        note="Means with one standard deviation. The difference is the shift of the mean in real standard deviations, "
        f"or the logarithm of the ratio of the spreads where that is larger.{sizes}{chance}",
    )


def _dimension(row: Dimension) -> DimensionRow:
    real, fake = (
        f"{amount(mean)} ± {amount(sd)}" for mean, sd in ((row.real_mean, row.real_sd), (row.fake_mean, row.fake_sd))
    )
    return DimensionRow(
        name=row.name,
        real=real,
        fake=fake,
        difference=amount(row.effect),
        p="" if row.p_adjusted is None else p_text(row.p_adjusted),
        chance="" if row.beyond_chance is None else "beyond chance" if row.beyond_chance else "no more than chance",
        strip=_strip(row, f"{row.name}: real {real}, generated {fake}"),
        sentence=row.sentence,
        by={"real": row.real_mean, "fake": row.fake_mean, "difference": row.effect, "p": row.p_adjusted},
    )


def _strip(row: Dimension, label: str) -> Strip | None:
    values = (row.real_mean, row.real_sd, row.fake_mean, row.fake_sd)
    if None in values:
        return None
    mean, sd, other, spread = (float(value or 0.0) for value in values)
    low, high = min(mean - sd, other - spread), max(mean + sd, other + spread)
    margin = 0.08 * (high - low) or 1.0
    return spread_strip(label, Scale(low=low - margin, high=high + margin), (mean, sd), (other, spread))
