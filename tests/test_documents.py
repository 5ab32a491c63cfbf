"""Documents that are damaged, of another schema or hollow are one sentence in whatever opens their directory."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import uncollapse as uc
from uncollapse.doctor import examine_run
from uncollapse.documents import RESULT, SPEC, read_document
from uncollapse.errors import UserError
from uncollapse.report.load import load as load_report
from uncollapse.run import load, read_result, train
from uncollapse.sampling import write_samples

SETTINGS = {"networks.width": 4, "task.measure_size": 1000}
ANOTHER = (
    r" has schema 2, and this version of uncollapse reads schema 1; use the version that wrote it, restore it, or "
)
OURS = r" lacks '{}', so uncollapse did not write it or it was edited; restore it, or "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"is not valid JSON \(.*\); go on\.$"),
        ("[" * 200_000, r"is nested more than 100 levels deep; go on\.$"),
        ('{"a":' * 101 + "1" + "}" * 101, r"is nested more than 100 levels deep; go on\.$"),
        ("[]", r"should hold a JSON object but holds a list; go on\.$"),
        ('{"schema": 2, "a": 1}', r"has schema 2, .* reads schema 1; use the version that wrote it, go on\.$"),
        ('{"schema": true, "a": {"b": 1}}', r"has schema True, .* reads schema 1"),
        ("{}", r"lacks 'a\.b', so uncollapse did not write it or it was edited; go on\.$"),
        ('{"a": 3}', r"lacks 'a\.b'"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"^{path} {message}"):
        read_document(path, needs=("a.b",), remedy="go on")


@pytest.mark.parametrize("text", ['{"schema": 1, "a": {"b": null}}', '{"a": {"b": 1}, "more": 2}'])
def test_what_has_all_that_is_needed_is_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    assert read_document(path, needs=("a.b",), remedy="go on") == json.loads(text)


def test_what_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{}")
    assert read_document(path, remedy="go on", most=2) == {}
    os.truncate(path, 256_000_001)
    message = rf"^{path} has 256\.0 MB, more than the 256\.0 MB that are read; go on\.$"
    with pytest.raises(UserError, match=message):
        read_document(path, remedy="go on")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x\.json cannot be read \(No such file or directory\); go on\."):
        read_document(tmp_path / "x.json", remedy="go on")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    train("vanilla", "ring-8", seeds=[0], updates=2, batch=8, settings=SETTINGS, out=folder, device="cpu")
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def again(run: Path, updates: int = 2) -> uc.Run:
    return train("vanilla", "ring-8", seeds=[0], updates=updates, batch=8, settings=SETTINGS, out=run, device="cpu")


OPENERS: dict[str, Callable[[Path], Any]] = {
    "load": load,
    "report": load_report,
    "sample": lambda run: write_samples(run, 3, run.parent / "s.npz"),
    "train": again,
    "more": lambda run: again(run, 4),
}


def changed(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize("opener", OPENERS)
def test_a_spec_of_another_version_or_of_none_is_refused_by_all(run: Path, opener: str) -> None:
    path = run / "spec.json"
    if opener == "train":  # what is finished needs no spec but its hash
        (run / "result.json").unlink()
    changed(path, schema=2)
    with pytest.raises(UserError, match=f"^{path}{ANOTHER}"):
        OPENERS[opener](run)
    path.write_text("{}")
    with pytest.raises(UserError, match=f"^{path}{OURS.format(SPEC[0])}"):
        OPENERS[opener](run)
    assert path.read_text() == "{}"


@pytest.mark.parametrize("opener", ["load", "report", "sample", "more"])
@pytest.mark.parametrize("seeds", [7, "0", [0, "1"], [True], {"0": 1}, None])
def test_a_spec_whose_seeds_are_no_list_of_whole_numbers_is_refused_by_all(run: Path, opener: str, seeds: Any) -> None:
    path = run / "spec.json"
    changed(path, seeds=seeds)
    with pytest.raises(UserError, match=f"^{path} has no list of whole numbers under 'seeds', so it was edited; "):
        OPENERS[opener](run)


@pytest.mark.parametrize("opener", ["report", "sample", "train", "more"])
def test_a_result_of_another_version_is_refused_by_all_and_kept(run: Path, opener: str) -> None:
    path = run / "result.json"
    changed(path, schema=2)
    before = path.read_text()
    with pytest.raises(UserError, match=f"^{path}{ANOTHER}"):
        OPENERS[opener](run)
    assert path.read_text() == before


def test_a_hollow_result_is_no_result_and_is_made_again(run: Path) -> None:
    whole = read_result(run)
    assert whole is not None
    for content in ({}, {"status": "finished"}, {"status": "finished", "hash": whole["hash"], "modes": {}}):
        (run / "result.json").write_text(json.dumps(content))
        assert read_result(run) is None
        with pytest.raises(UserError, match=r"result\.json lacks '(hash|updates)', so"):
            load_report(run)
    assert again(run).result["lanes"] == whole["lanes"]


def test_documents_that_are_whole_are_opened(run: Path) -> None:
    for opener in OPENERS.values():
        assert opener(run) is not None


@pytest.mark.parametrize(("name", "needs"), [("spec", SPEC), ("result", RESULT)])
def test_the_doctor_says_the_same(run: Path, name: str, needs: tuple[str, ...]) -> None:
    path = run / f"{name}.json"
    assert {check.name: check.status for check in examine_run(run)}[name] == "ok"
    changed(path, schema=2)
    (bad,) = [check for check in examine_run(run) if check.status == "bad"]
    assert (bad.name, bad.detail.partition(";")[0]) == (
        name,
        f"{path} has schema 2, and this version of uncollapse reads schema 1",
    )
    path.write_text("{}")
    (bad,) = [check for check in examine_run(run) if check.status == "bad"]
    assert bad.detail.startswith(f"{path} lacks '{needs[0]}'")


def test_a_comparison_of_another_version_says_so(tmp_path: Path) -> None:
    path = tmp_path / "comparison.json"
    path.write_text('{"schema": 2, "cells": []}')
    with pytest.raises(UserError, match=f"^{path}{ANOTHER}make it again with `uncollapse compare`"):
        load_report(tmp_path)
    for text, message in (("{}", "lacks 'cells'"), ('{"cells": [3]}', "is not a comparison with a method and a task")):
        path.write_text(text)
        with pytest.raises(UserError, match=f"^{path} {message}"):
            load_report(tmp_path)
