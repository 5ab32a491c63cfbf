"""Assembles the page about an evaluation: records -> sections -> one self-contained HTML file.

It shares frame, style and marks with the comparison's page; the template escapes everything that comes from a file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

from uncollapse.metrics.estimate import Estimate
from uncollapse.report import evaluation_answer, evaluation_inputs, evaluation_maps, evaluation_metrics
from uncollapse.report import evaluation_shares as shares
from uncollapse.report import evaluation_tiles as tiles
from uncollapse.report.evaluation_dimensions import dimensions
from uncollapse.report.evaluation_exhibits import Gallery, Same
from uncollapse.report.evaluation_record import Evaluation, Verdict
from uncollapse.report.evaluation_sheets import evaluation_sheets
from uncollapse.report.evaluation_tiles import DETAILS, Detail, Thumbs
from uncollapse.report.evaluation_values import shortened
from uncollapse.report.evaluation_words import share
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
        "answer": _answer(record.verdict, record.same),
        "sizes": evaluation_answer.sizes(record),
        "evidence": evaluation_answer.evidence(record.verdict.evidence),
        "galleries": galleries,
        "surplus": record.uncovered is None or record.uncovered.surplus,
        "left": _left(record),
        "repeats": _repeats(record, len(galleries["repeated"][0])),
        "clusters": shares.clusters(record, thumbs, detail),
        "bars": shares.class_bars(record.classes, names[1]),
        "dimensions": dimensions(record),
        "planar": evaluation_maps.planar(record.pictures, detail.points),
        "maps": _maps(record, detail),
        "keys": _keys(record),
        "memorisation": _memorisation(record),
        "per_class": evaluation_answer.class_rows(record),
        "versus": _versus(record),
        "groups": evaluation_metrics.metric_groups(_shown_once(record), record.names),
        "elsewhere": _elsewhere(record),
        "inputs": evaluation_inputs.input_table(record),
        "bad": evaluation_inputs.bad_rows(record),
        "took": evaluation_inputs.took(record),
        "meanings": evaluation_answer.MEANINGS,
        "mark": evaluation_answer.mark,
    }


def _answer(verdict: Verdict, same: Sequence[Same] = ()) -> dict[str, Any]:
    """One verdict with everything that stands in its panel."""
    shown, folded, left_out = evaluation_answer.lost(verdict, same)
    return {
        "verdict": verdict,
        "flags": evaluation_answer.flags(verdict),
        "needed": evaluation_answer.needed(verdict),
        "lost": shown,
        "folded": folded,
        "left_out": left_out,
        "top": evaluation_answer.scale_end(verdict),
    }


def _left(record: Evaluation) -> str:
    """What is said of groups of real samples without a near fake that have no gallery; empty where all have one."""
    it, found = record.uncovered, record.of("uncovered")
    if it is None or it.rows is None or it.groups is None or it.groups <= len(found):
        return ""
    count, rows = it.groups - len(found), it.rows - _held(found)
    what = f"{count} groups with {rows:,} rows are" if count > 1 else f"group with {rows:,} rows is"
    return f"The other {what} no more than a perfect generator would leave."


def _held(galleries: Sequence[Gallery]) -> int:
    """How many rows the groups of some galleries have."""
    return sum(whole.rows for gallery in galleries for whole in gallery.wholes if whole is not None)


def _repeats(record: Evaluation, shown: int) -> str:
    """Of how many groups of fakes the largest are shown; empty where the file does not say."""
    it = record.repeated
    if it is None or not shown:
        return ""
    groups = f"{shown} of {'' if it.all_groups else 'at least '}{it.groups:,} groups are shown"
    if it.all_groups and it.groups == shown:
        groups = f"All {shown} groups are shown" if shown > 1 else "There is one group"
    whole = f"; {share(it.share, 0)} of the fakes nearly repeat another" if it.share else ""
    exact = record.metrics.get("duplicates")
    identical = None if exact is None else exact.details.get("groups")
    more = f" Among all fakes there are {identical:,} groups of identical ones." if isinstance(identical, int) else ""
    return f"{groups}, with {_held(record.of('repeated')[:shown]):,} fakes together{whole}.{more}"


def _keys(record: Evaluation) -> list[evaluation_maps.Key]:
    names, it = evaluation_inputs.generators(record, SHORT), record.uncovered
    return evaluation_maps.keys(record.pictures, *names, surplus=it is None or it.surplus)


def _shown_once(record: Evaluation) -> dict[str, Estimate]:
    """The metrics without those that stand with the copies of the training data."""
    copies = () if record.memorisation is None else record.memorisation[1]
    return {name: estimate for name, estimate in record.metrics.items() if name not in copies}


def _elsewhere(record: Evaluation) -> list[tuple[str, str]]:
    """Name and title of the metrics that stand with the copies of the training data."""
    copies = () if record.memorisation is None else record.memorisation[1]
    return [(name, evaluation_metrics.title_of(name, record.names)) for name in record.metrics if name in copies]


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
