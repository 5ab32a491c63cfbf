"""Directory -> `Evaluation`: reads `evaluation.json` and `pictures.npz` as `uncollapse evaluate` wrote them.

Between the files and the page; a file that is no evaluation is refused with one sentence that names the place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uncollapse.errors import UserError
from uncollapse.metrics.estimate import Estimate
from uncollapse.parsing import read_json
from uncollapse.report import evaluation_exhibits_load as exhibits
from uncollapse.report.evaluation_pictures import read_pictures
from uncollapse.report.evaluation_record import (
    STATUSES,
    Classes,
    ClassVerdict,
    Evaluation,
    Evidence,
    Extractor,
    Loss,
    Side,
    Verdict,
    Versus,
)
from uncollapse.report.evaluation_values import LONGEST_NAME, LONGEST_SENTENCE, Damaged, Node, named, shortened
from uncollapse.text import clean

FILE = "evaluation.json"
DIRECTIONS = ("lower", "higher", "near")
MOST_SENTENCES = 40  # of any list that a reader should read wholly
AGAIN = "make it again with `uncollapse evaluate`"


def load_evaluation(directory: Path) -> Evaluation:
    """Everything the report of an evaluation directory shows.

    Args:
        directory: Holds `evaluation.json` and, where there is something to see, `pictures.npz`.

    Raises:
        UserError: `evaluation.json` is missing, damaged, or no evaluation of schema 1.
    """
    path = directory / FILE
    try:
        content = read_json(path, parse_constant=_not_a_number)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path} cannot be read as JSON ({reason}); {AGAIN}.") from error
    if not isinstance(content, dict) or content.get("schema") != 1 or content.get("kind") != "evaluation":
        raise UserError(f"{path} is not an evaluation of schema 1; {AGAIN}.")
    try:
        return _evaluation(directory, Node(content=content))
    except Damaged as error:
        raise UserError(f"{path} is damaged: {error}; {AGAIN}.") from error


def _not_a_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _evaluation(directory: Path, top: Node) -> Evaluation:
    judged = top.node("verdict")
    if judged is None:
        raise Damaged("verdict is missing")
    return Evaluation(
        directory=directory,
        verdict=_verdict(judged),
        metrics=_estimates(top, "metrics"),
        names=_texts(top, "names"),
        extractor=_extractor(top.node("extractor")),
        inputs={name: _side(node) for name, node in top.members("inputs").items()},
        notes=top.texts("notes", LONGEST_SENTENCE)[:MOST_SENTENCES],
        classes=_classes(top.node("classes")),
        clusters=tuple(map(exhibits.cluster, top.nodes("clusters"))),
        galleries=tuple(map(exhibits.gallery, top.nodes("galleries"))),
        dimensions=tuple(map(exhibits.dimension, top.nodes("dimensions"))),
        per_class=tuple(map(_class_verdict, top.nodes("per_class"))),
        versus=_versus(top.node("versus")),
        memorisation=_memorisation(top.node("memorisation")),
        next=top.texts("next", LONGEST_SENTENCE)[:MOST_SENTENCES],
        command=top.sentence("command"),
        versions=_texts(top, "versions"),
        seconds=_numbers(top, "seconds"),
        pictures=read_pictures(directory / "pictures.npz"),
        uncovered=exhibits.uncovered(top.node("uncovered")),
        repeated=exhibits.repeated(top.node("repeated")),
        dimension_test=exhibits.dimension_test(top.node("dimension_test")),
        same=tuple(map(exhibits.same, top.nodes("same"))),
    )


def _texts(node: Node, key: str) -> dict[str, str]:
    inner = node.node(key)
    return {} if inner is None else {named(name): inner.text(name) for name in inner.content}


def _numbers(node: Node, key: str) -> dict[str, float]:
    inner = node.node(key)
    found = {} if inner is None else {name: inner.number(name) for name in inner.content}
    return {named(name): value for name, value in found.items() if value is not None}


def _verdict(node: Node) -> Verdict:
    status = node.text("status")
    if status not in STATUSES:
        raise Damaged(f"{node.at('status')} should be one of {', '.join(STATUSES)} but is {status!r}")
    needed = node.node("needed")
    return Verdict(
        status=status,
        flags=node.texts("flags")[:MOST_SENTENCES],
        alpha=node.number("alpha"),
        level=node.number("level") or 0.95,
        sentence=node.sentence("sentence"),
        quality=node.sentence("quality"),
        evidence=tuple(map(_evidence, node.nodes("evidence")[:MOST_SENTENCES])),
        lost=tuple(map(_loss, node.nodes("lost"))),
        needed=None if needed is None else needed.count("n"),
        needed_sentence="" if needed is None else needed.sentence("sentence"),
        n_real=node.count("n_real"),
        n_fake=node.count("n_fake"),
    )


def _evidence(node: Node) -> Evidence:
    return Evidence(
        metric=node.text("metric"),
        value_real=node.number("value_real"),
        value_fake=node.number("value_fake"),
        effect=node.number("effect"),
        minimum_effect=node.number("minimum_effect"),
        p_adjusted=node.number("p_adjusted"),
        significant=node.yes("significant"),
        sentence=node.sentence("sentence"),
        power=node.number("power"),
        needed=node.count("needed"),
    )


def _loss(node: Node) -> Loss:
    return Loss(
        mode=node.text("mode"),
        kind=node.text("kind"),
        share_real=node.number("share_real"),
        share_fake=node.number("share_fake"),
        low=node.number("low"),
        high=node.number("high"),
    )


def _estimates(node: Node, key: str) -> dict[str, Estimate]:
    return {name: _estimate(inner, name) for name, inner in node.members(key).items()}


def _estimate(node: Node, name: str) -> Estimate:
    value, direction = node.number("value"), node.text("direction")
    if direction and direction not in DIRECTIONS:
        raise Damaged(f"{node.at('direction')} should be one of {', '.join(DIRECTIONS)} but is {direction!r}")
    details = node.node("details")
    return Estimate(
        metric=node.text("metric") or name,
        value=value,
        low=node.number("low"),
        high=node.number("high"),
        level=node.number("level"),
        n_real=node.count("n_real"),
        n_fake=node.count("n_fake"),
        estimand=node.sentence("estimand"),
        interval=node.sentence("interval"),
        direction=direction,
        conservative=node.yes("conservative"),
        reason=node.sentence("reason") or ("no reason was recorded" if value is None else None),
        details=_plain(details),
    )


def _plain(node: Node | None) -> Mapping[str, str | float | tuple[float, float]]:
    """The single numbers and texts among the details of an estimate, and the pairs of numbers."""
    found: dict[str, str | float | tuple[float, float]] = {}
    for name, value in ({} if node is None else node.content).items():
        if isinstance(value, str):
            found[named(name)] = shortened(clean(value), LONGEST_NAME)
        elif _is_number(value):
            found[named(name)] = value
        elif isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)):
            found[named(name)] = (value[0], value[1])
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _side(node: Node) -> Side:
    return Side(
        name=node.text("name"),
        form=node.text("form"),
        kind=node.text("kind"),
        labelled=node.yes("labelled"),
        rows=node.count("rows"),
        bad=tuple((bad.text("name"), bad.text("reason", 300)) for bad in node.nodes("bad")),
        bad_count=node.count("bad_count") or 0,
        policies=node.tally("policies"),
        sizes=node.tally("sizes"),
        channels=node.tally("channels"),
    )


def _extractor(node: Node | None) -> Extractor | None:
    if node is None:
        return None
    return Extractor(
        name=node.text("name"), digest=node.text("sha256"), why=node.sentence("why"), width=node.count("width")
    )


def _classes(node: Node | None) -> Classes | None:
    if node is None:
        return None
    names, real, fake = node.texts("names"), node.counts("real"), node.counts("fake")
    other = node.counts("other") if node.content.get("other") is not None else None
    lengths = {len(names), len(real), len(fake), len(names if other is None else other)}
    if len(lengths) != 1:
        raise Damaged(f"names, real, fake and other in {node.place} should be equally long lists")
    return Classes(source=node.text("source"), names=names, real=real, fake=fake, other=other)


def _class_verdict(node: Node) -> ClassVerdict:
    return ClassVerdict(
        label=node.text("label"),
        n_real=node.count("n_real"),
        n_fake=node.count("n_fake"),
        status=node.text("status"),
        sentence=node.sentence("sentence"),
        evidence=tuple(map(_evidence, node.nodes("evidence")[:MOST_SENTENCES])),
    )


def _versus(node: Node | None) -> Versus | None:
    if node is None:
        return None
    judged = node.node("verdict")
    if judged is None:
        raise Damaged(f"{node.at('verdict')} is missing")
    return Versus(
        name=node.text("name"),
        verdict=_verdict(judged),
        metrics=_estimates(node, "metrics"),
        differences=_estimates(node, "differences"),
    )


def _memorisation(node: Node | None) -> tuple[str, Mapping[str, Estimate]] | None:
    return None if node is None else (node.sentence("sentence"), _estimates(node, "metrics"))
