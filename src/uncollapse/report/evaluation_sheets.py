"""The sheets of an evaluation: verdict, evidence, what was lost, every metric, and the two generators side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from uncollapse.metrics.estimate import Estimate
from uncollapse.report.amounts import NOTHING, Amount, whole
from uncollapse.report.evaluation_answer import weight_of
from uncollapse.report.evaluation_inputs import HEADS, generators
from uncollapse.report.evaluation_metrics import in_order, sizes, title_of
from uncollapse.report.evaluation_record import Evaluation, Evidence, Verdict
from uncollapse.report.sheets import Entry, Sheet, found, named, sheet_of, used

Judged = Sequence[tuple[str, Verdict]]

GENERATOR = named(("generator", "Generator"))


def evaluation_sheets(record: Evaluation) -> tuple[Sheet, ...]:
    """Every table of an evaluation; one that would be empty is left out.

    Args:
        record: What `load_evaluation` read.
    """
    names = generators(record)
    verdicts, metrics = [(names[0], record.verdict)], [(names[0], record.metrics)]
    if record.versus is not None:
        verdicts.append((names[1], record.versus.verdict))
        metrics.append((names[1], record.versus.metrics))
    made = (
        _verdicts(verdicts),
        _evidence(verdicts),
        _lost(verdicts),
        _metrics(metrics, record.names),
        _differences(record),
        _classes(record),
        _inputs(record),
    )
    return tuple(used(sheet) for sheet in made if sheet.rows)


def _verdicts(verdicts: Judged) -> Sheet:
    columns = found(("verdict", "Verdict"), ("flags", "Flags"), ("sentence", "Sentence"))
    rows = ((name, it.status, ", ".join(it.flags), it.sentence) for name, it in verdicts)
    return sheet_of("verdict", "Verdict", (*GENERATOR, *columns), rows)


def _evidence(verdicts: Judged) -> Sheet:
    return sheet_of(
        "evidence",
        "Evidence",
        (*GENERATOR, *named(("test", "Test")), *_TESTED),
        ((name, *_test(row)) for name, verdict in verdicts for row in verdict.evidence),
    )


_TESTED = found(
    ("real", "Real"),
    ("fake", "Generated"),
    ("effect", "Effect"),
    ("minimum_effect", "Minimum effect"),
    ("p_adjusted", "Adjusted p"),
    ("power", "Power"),
    ("weight", "What it says"),
)


def _test(row: Evidence) -> tuple[Entry, ...]:
    plain = (row.value_real, row.value_fake, row.effect, row.minimum_effect)
    return (
        row.metric,
        *(Amount(value=value) for value in plain),
        Amount(value=row.p_adjusted, kind="p"),
        Amount(value=row.power, kind="share"),
        weight_of(row),
    )


def _lost(verdicts: Judged) -> Sheet:
    return sheet_of(
        "lost",
        "What was lost",
        (
            *GENERATOR,
            *named(("mode", "Mode")),
            *found(("share_real", "Share, real"), ("share_fake", "Share, generated")),
        ),
        (
            (
                name,
                loss.mode,
                Amount(value=loss.share_real, kind="share"),
                Amount(value=loss.share_fake, low=loss.low, high=loss.high, level=verdict.level, kind="share"),
            )
            for name, verdict in verdicts
            for loss in verdict.lost
        ),
    )


def _metrics(judged: Sequence[tuple[str, Mapping[str, Estimate]]], names: Mapping[str, str]) -> Sheet:
    return sheet_of(
        "metrics",
        "Every metric",
        (
            *GENERATOR,
            *named(("metric", "Metric")),
            *found(("estimate", "Estimate"), ("reason", "Why a number is missing")),
        ),
        (
            (generator, title_of(name, names), _estimate(metrics[name]), metrics[name].reason or "")
            for generator, metrics in judged
            for name in in_order(metrics)
        ),
    )


def _estimate(estimate: Estimate) -> Amount:
    if estimate.value is None:
        return NOTHING
    return Amount(
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        level=estimate.level,
        n=estimate.n_fake,
        basis=sizes(estimate),
    )


def _differences(record: Evaluation) -> Sheet:
    versus = record.versus
    changes: Mapping[str, Estimate] = versus.differences if versus else {}
    title = f"Differences: {' minus '.join(generators(record))}" if versus else ""
    return sheet_of(
        "differences",
        title,
        (*named(("metric", "Metric")), *found(("difference", "Difference"))),
        (
            (title_of(name, record.names), replace(_estimate(changes[name]), difference=True))
            for name in in_order(changes)
        ),
    )


def _classes(record: Evaluation) -> Sheet:
    columns = found(("n_real", "Real n"), ("n_fake", "Generated n"), ("verdict", "Verdict"), ("sentence", "Sentence"))
    return sheet_of(
        "classes",
        "Class by class",
        (*named(("class", "Class")), *columns),
        ((row.label, whole(row.n_real), whole(row.n_fake), row.status, row.sentence) for row in record.per_class),
    )


def _inputs(record: Evaluation) -> Sheet:
    columns = found(("name", "Name"), ("form", "What it is"), ("rows", "Rows"), ("unread", "Could not be read"))
    return sheet_of(
        "inputs",
        "Inputs",
        (*named(("side", "Side")), *columns),
        (
            (HEADS.get(key, key), side.name, side.form, whole(side.rows), whole(side.bad_count))
            for key, side in record.inputs.items()
        ),
    )
