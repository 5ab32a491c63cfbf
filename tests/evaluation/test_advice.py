from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from typer.testing import CliRunner

from uncollapse.cli import app
from uncollapse.evaluation.advice import CURES, next_steps
from uncollapse.verdict.verdict import Evidence, Status, Verdict


def verdict(status: Status, *metrics: str, **more: Any) -> Verdict:
    evidence = tuple(
        Evidence(
            metric=name, value_real=1.0, value_fake=0.5, effect=0.5, minimum_effect=0.1, p_value=0.001,
            p_adjusted=0.005, significant=True, power=0.9, needed=None, sentence="It is less.",
        )
        for name in metrics
    )  # fmt: skip
    return Verdict(status=status, alpha=0.03, sentence="So it is.", evidence=evidence, n_real=9, n_fake=9, **more)


def steps(judged: Verdict, *, extractor: str = "classifier:mnist", labelled: bool = False, trained: bool = True) -> Any:
    return next_steps(judged, extractor=extractor, labelled=labelled, trained=trained)


def test_nothing_is_advised_where_nothing_is_wrong_and_nothing_was_left_out() -> None:
    assert steps(verdict("healthy")) == []


@pytest.mark.parametrize("metric", CURES)
def test_each_loss_points_to_a_cure_whose_command_exists(metric: str) -> None:
    (step,) = steps(verdict("collapsed", metric))
    assert step == f"What was found says that {CURES[metric]}."
    for command in re.findall(r"`uncollapse ([^`]*)`", step):
        assert CliRunner().invoke(app, shlex.split(command)).exit_code == 0


def test_a_question_without_a_cure_and_one_that_found_nothing_are_passed_over() -> None:
    assert steps(verdict("suspect", "a new question")) == []


def test_each_situation_has_its_sentence_and_the_loss_comes_first() -> None:
    judged = verdict("collapsed", "repeats", flags=("memorised",), quality="They differ.")
    found = steps(judged, extractor="pca[16]", labelled=True, trained=False)
    begin = [
        "What was found",
        "Fakes are copies",
        "These features see",
        "Both sides are labelled",
        "With `--train PATH`",
    ]
    assert [step.startswith(text) for step, text in zip(found, begin, strict=True)] == [True] * 5


def test_too_few_rows_ask_for_more_and_another_look_for_the_same_treatment() -> None:
    found = steps(verdict("inconclusive", needed=1_234, quality="They differ."))
    assert found[0] == "Give about 1,234 samples a side: with fewer, a loss that matters can hide."
    assert found[1].startswith("Before blaming the generator, make both sides go through the same resizing")
    assert len(found) == 2
