"""Assembles the page about an evaluation: records -> sections -> one self-contained HTML file.

It shares frame, style and marks with the comparison's page; the template escapes everything that comes from a file.
"""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup, escape

from uncollapse.report import evaluation_answer, evaluation_inputs, evaluation_maps, evaluation_metrics
from uncollapse.report import evaluation_shares as shares
from uncollapse.report import evaluation_tiles as tiles
from uncollapse.report.evaluation_record import Evaluation, Verdict
from uncollapse.report.evaluation_sheets import evaluation_sheets
from uncollapse.report.evaluation_tiles import DETAILS, Detail, Thumbs
from uncollapse.report.evaluation_values import shortened
from uncollapse.report.frame import LIMIT, fill

TITLE, SHORT = 90, 40  # longest title, and longest name of a generator beside another, in characters


def compose(record: Evaluation) -> str:
    """The page of an evaluation, with as much detail as fits.

    Args:
        record: What `load_evaluation` read.
    """
    thumbs, page = Thumbs(record.pictures.thumbs), ""
    # A page that would be too large is drawn again with fewer groups, samples and points.
    for detail in DETAILS:
        page = render(record, thumbs, detail)
        if len(page.encode()) <= LIMIT:
            break
    return page


def render(record: Evaluation, thumbs: Thumbs, detail: Detail) -> str:
    """The page as text.

    Args:
        record: What to show.
        thumbs: Its thumbnails.
        detail: How much of the galleries and maps is drawn.
    """
    styles, content = ("page.css", "evaluation.css"), _content(record, thumbs, detail)
    return fill("evaluation.html.jinja", styles, evaluation_sheets(record), content, coded=coded)


def coded(text: str) -> Markup:
    """A sentence whose `commands` are set as code; all is escaped, and no line ends between a number and its unit."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return _unbroken(text)
    found = [
        Markup("<code>{}</code>").format(part) if place % 2 else _unbroken(part) for place, part in enumerate(parts)
    ]
    return Markup("").join(found)


def _unbroken(text: str) -> Markup:
    return escape(re.sub(r"(?<=\d) (?=%)", "\N{NO-BREAK SPACE}", text))


def _content(record: Evaluation, thumbs: Thumbs, detail: Detail) -> dict[str, Any]:
    galleries = {
        kind: tiles.groups(record, kind, thumbs, detail) for kind in ("sample", "uncovered", "repeated", "neighbours")
    }
    names = evaluation_inputs.generators(record)
    return {
        "record": record,
        "title": shortened(record.fake_name, TITLE),
        "subtitle": evaluation_inputs.subtitle(record),
        "answer": _answer(record.verdict),
        "sizes": evaluation_answer.sizes(record),
        "evidence": evaluation_answer.evidence(record.verdict.evidence),
        "galleries": galleries,
        "clusters": shares.clusters(record, thumbs, detail),
        "bars": shares.class_bars(record.classes, names[1]),
        "dimensions": shares.dimensions(record.dimensions),
        "planar": evaluation_maps.planar(record.pictures, detail.points),
        "maps": _maps(record, detail),
        "keys": evaluation_maps.keys(record.pictures, *evaluation_inputs.generators(record, SHORT)),
        "memorisation": _memorisation(record),
        "per_class": evaluation_answer.class_rows(record),
        "versus": _versus(record),
        "groups": evaluation_metrics.metric_groups(record.metrics, record.names),
        "inputs": evaluation_inputs.input_table(record),
        "bad": evaluation_inputs.bad_rows(record),
        "took": evaluation_inputs.took(record),
        "meanings": evaluation_answer.MEANINGS,
        "mark": evaluation_answer.mark,
    }


def _answer(verdict: Verdict) -> dict[str, Any]:
    """One verdict with everything that stands in its panel."""
    shown, folded, left_out = evaluation_answer.lost(verdict)
    return {
        "verdict": verdict,
        "flags": evaluation_answer.flags(verdict),
        "lost": shown,
        "folded": folded,
        "left_out": left_out,
        "top": evaluation_answer.scale_end(verdict),
    }


def _maps(record: Evaluation, detail: Detail) -> list[evaluation_maps.Map]:
    names = () if record.classes is None else record.classes.names
    return evaluation_maps.maps(record.pictures, names, detail.points)


def _memorisation(record: Evaluation) -> dict[str, Any] | None:
    """The sentence and the metrics on copies of the training data; None when nobody asked for them."""
    if record.memorisation is None:
        return None
    sentence, metrics = record.memorisation
    rows = [row for _, rows in evaluation_metrics.metric_groups(metrics, record.names) for row in rows]
    return {"sentence": sentence, "rows": rows}


def _versus(record: Evaluation) -> dict[str, Any] | None:
    """Both verdicts side by side and the differences of the metrics; None without a second generator."""
    versus = record.versus
    if versus is None:
        return None
    names = evaluation_inputs.generators(record, SHORT)
    rows = evaluation_metrics.differences(record.metrics, versus.metrics, versus.differences, record.names, names)
    panels = [(names[0], "fake", _answer(record.verdict)), (names[1], "other", _answer(versus.verdict))]
    return {"names": names, "panels": panels, "rows": rows}
