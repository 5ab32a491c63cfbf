from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.report.synthetic_evaluation import METRICS, digit_images, write_evaluation

from uncollapse.errors import UserError
from uncollapse.report.evaluation_load import load_evaluation
from uncollapse.report.evaluation_record import Evaluation


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    real, fake = digit_images(n_real=300, n_fake=300)
    return write_evaluation(tmp_path_factory.mktemp("load"), real, fake, versus=True, train=True, per_class=True)


@pytest.fixture(scope="module")
def content(written: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((written / "evaluation.json").read_text())
    return found


@pytest.fixture(scope="module")
def record(written: Path) -> Evaluation:
    return load_evaluation(written)


def test_everything_in_the_file_is_in_the_record(record: Evaluation, content: dict[str, Any]) -> None:
    assert record.verdict.status == "collapsed"
    assert [loss.mode for loss in record.verdict.lost] == [row["mode"] for row in content["verdict"]["lost"]]
    assert {name: estimate.value for name, estimate in record.metrics.items()} == {k: v[0] for k, v in METRICS.items()}
    assert record.metrics["birthday"].high is None
    assert record.metrics["birthday"].reason == "no pair of fakes was alike often enough for an upper end"
    assert (record.inputs["real"].rows, record.inputs["fake"].rows) == (300, 300)
    assert sorted(record.inputs) == ["fake", "other", "real", "train"]
    assert record.classes is not None
    assert sum(record.classes.real) == 300
    assert len(record.clusters) == len(content["clusters"]) == 10
    assert sum(len(gallery.rows) for gallery in record.galleries) == sum(
        len(gallery["tiles"]) for gallery in content["galleries"]
    )
    assert record.versus is not None
    assert record.versus.verdict.status == "healthy"
    assert set(record.versus.differences) == set(METRICS)
    assert record.memorisation is not None
    assert record.memorisation[1]["authenticity"].value == 0.612
    assert record.seconds == {"reading": 1.2, "features": 8.4, "metrics": 4.1}
    assert record.pictures.thumbs is not None


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "verdict.status",
            "ok",
            "verdict.status should be one of healthy, suspect, collapsed, inconclusive but is 'ok'",
        ),
        ("verdict.lost", {}, "verdict.lost should be a list"),
        ("verdict.evidence", [{"effect": "large"}], r"verdict.evidence\[0\].effect should be a finite number"),
        ("metrics", {"recall": 0.5}, "metrics.recall should be an object but is '0.5'"),
        ("metrics", {"recall": {"value": 0.5, "direction": "up"}}, "metrics.recall.direction should be one of lower"),
        ("classes", {"names": ["a"], "real": [1], "fake": []}, "in classes should be equally long lists"),
        ("galleries", [{"tiles": [[1]]}], r"galleries\[0\].tiles\[0\]\[0\] should be an object"),
        ("galleries", [{"tiles": [[{"thumb": -1}]]}], r"tiles\[0\]\[0\].thumb should be a whole number"),
        ("versus", {"name": "x"}, "versus.verdict is missing"),
        ("inputs", [], "inputs should be an object"),
        ("next", "train longer", "next should be a list"),
    ],
)
def test_a_damaged_value_is_named_in_one_sentence(
    tmp_path: Path, content: dict[str, Any], path: str, value: Any, message: str
) -> None:
    changed = json.loads(json.dumps(content))
    *parents, last = path.split(".")
    inner = changed
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    (tmp_path / "evaluation.json").write_text(json.dumps(changed))
    with pytest.raises(UserError, match=message) as caught:
        load_evaluation(tmp_path)
    assert str(caught.value).endswith("; make it again with `uncollapse evaluate`.")


@pytest.mark.parametrize(
    "key",
    [
        "metrics", "names", "extractor", "inputs", "notes", "classes", "clusters", "galleries", "dimensions",
        "per_class", "versus", "memorisation", "next", "command", "versions", "seconds", "uncovered", "repeated",
        "dimension_test", "same",
    ],
)  # fmt: skip
@pytest.mark.parametrize("null", [True, False])
def test_everything_but_the_verdict_may_be_missing(
    tmp_path: Path, content: dict[str, Any], key: str, null: bool
) -> None:
    rest = {name: value for name, value in content.items() if name != key} | ({key: None} if null else {})
    (tmp_path / "evaluation.json").write_text(json.dumps(rest))
    assert not getattr(load_evaluation(tmp_path), key)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file or directory"):
        load_evaluation(tmp_path)


def test_nesting_without_end_is_told(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text("[" * 200_000)
    with pytest.raises(UserError, match=r"cannot be read as JSON \(is nested more than 100 levels deep\)"):
        load_evaluation(tmp_path)


def test_what_is_too_large_is_told(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").touch()
    os.truncate(tmp_path / "evaluation.json", 256_000_001)
    with pytest.raises(UserError, match=r"cannot be read as JSON \(has 256\.0 MB, more than the 256\.0 MB that are"):
        load_evaluation(tmp_path)


def test_an_estimate_without_a_value_keeps_its_reason(tmp_path: Path, content: dict[str, Any]) -> None:
    gone = {
        "value": None,
        "reason": None,
        "details": {"p": 0.5, "list": [1], "flag": True, "word": "x", "ends": [0.5, 1], "two": ["a", "b"]},
    }
    (tmp_path / "evaluation.json").write_text(json.dumps(content | {"metrics": {"recall": gone}}))
    found = load_evaluation(tmp_path).metrics["recall"]
    assert (found.value, found.reason) == (None, "no reason was recorded")
    assert found.details == {"p": 0.5, "word": "x", "ends": (0.5, 1)}
