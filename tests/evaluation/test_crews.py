"""Several processes read one evaluation: the numbers, rows and pictures of one process, one that speaks, no hang."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.evaluation.in_ranks import METRICS, OPTIONS
from tests.evaluation.making import digits, pngs
from tests.rank_processes import linux, processes

from uncollapse.evaluation import evaluate
from uncollapse.evaluation.crews import LONGEST_ROUND

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 300  # seconds for what takes twenty on an idle machine


def fill(folder: Path) -> Path:
    """Real digits and fakes without a 3, in class folders, with an image that cannot be read in the second part."""
    images, labels = digits()
    order = np.argsort(labels[:300], kind="stable")
    for name, chosen in (("real", order), ("fake", 300 + np.flatnonzero(labels[300:600] != 3))):
        pngs(folder / name, images[chosen], [f"{labels[i]}/{i:04d}.png" for i in chosen])
    (folder / "real" / "6" / "0000-broken.png").write_bytes(b"no image")
    return folder


def same(one: Any, other: Any, path: str = "") -> None:
    """Two documents, numbers to 1e-6; clocks and the names of places are outside."""
    if path in ("/seconds", "/inputs/real/name", "/inputs/fake/name"):
        return
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key, value in one.items():
            same(value, other[key], f"{path}/{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), path
        for number, (value, twin) in enumerate(zip(one, other, strict=True)):
            same(value, twin, f"{path}/{number}")
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-6, abs=1e-9), path
    else:
        assert one == other, path


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, str]]]:
    folder = fill(tmp_path_factory.mktemp("ranks"))
    with processes(2, str(Path(__file__).with_name("in_ranks.py")), str(folder), cwd=folder) as started:
        outputs = [process.communicate(timeout=LONGEST) for process in started]
        codes = [process.returncode for process in started]
    assert codes == [0, 9], outputs
    return folder, [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(2)]


def saved(folder: Path, name: str) -> dict[str, Any]:
    return dict(json.loads((folder / name / "evaluation.json").read_text()))


@pytest.mark.parametrize(("name", "features"), [("together", "auto"), ("pca", "pca")])
@pytest.mark.long
def test_two_processes_give_the_document_and_the_pictures_of_one(
    seen: tuple[Path, list[dict[str, str]]], name: str, features: str
) -> None:
    folder, said = seen
    assert [one[name] for one in said] == ["", "Helped"]
    document = saved(folder, name)
    options = {**OPTIONS, "metrics": list(document["metrics"])}
    alone = evaluate(str(folder / "real"), str(folder / "fake"), features=features, **options)
    assert document["inputs"]["real"]["bad_count"] == 1
    same(json.loads(json.dumps(alone.document)), document)
    with np.load(folder / name / "pictures.npz", allow_pickle=False) as pictures:
        np.testing.assert_array_equal(pictures["thumbs"], alone.pictures["thumbs"])


@pytest.mark.long
def test_rows_that_were_kept_are_used_again(seen: tuple[Path, list[dict[str, str]]]) -> None:
    folder, said = seen
    assert [one["again"] for one in said] == ["", "Helped"]
    assert len(list((folder / "cache").rglob("*.safetensors"))) == 2
    assert set(saved(folder, "again")["metrics"]) == set(METRICS)
    same(saved(folder, "together"), saved(folder, "again"))


@pytest.mark.long
def test_what_one_process_cannot_do_all_hear_and_one_explains(seen: tuple[Path, list[dict[str, str]]]) -> None:
    first, second = seen[1]
    assert "1 of 301 rows cannot be read, more than the allowed share of 0: 0000-broken.png" in first["too many"]
    assert second["too many"] == "RanksFailed: Rank 0 failed; its own message says why."
    assert first["rank 1 cannot read"] == "UserError: This machine has lost its files."
    assert second["rank 1 cannot read"] == "RanksFailed: Rank 0 failed; its own message says why."
    assert first["other files"].startswith("UserError: The processes of this evaluation do not see the same files")
    assert second["other files"].startswith("RanksFailed: The processes of this evaluation do not see the same")


@pytest.mark.long
def test_a_process_that_is_gone_ends_the_others_with_a_sentence(seen: tuple[Path, list[dict[str, str]]]) -> None:
    assert LONGEST_ROUND.total_seconds() == 1800
    assert seen[1][0]["gone"] == (
        "RanksFailed: Another process of this evaluation is gone, or was silent for 30 minutes; its own message says "
        "why. Nothing was written; start again."
    )


@pytest.mark.long
@linux
def test_no_thread_outlives_the_crew(seen: tuple[Path, list[dict[str, Any]]]) -> None:
    """One that did could abort the process when Python ends, whatever it had said and written."""
    assert "pt_gloo_runloop" in seen[1][0]["threads with the others"]
    assert seen[1][0]["threads alone"] == []


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("command"))


ARGUMENTS = ("-m", "uncollapse", "evaluate", "real", "fake", "--metrics", "coverage", "--no-cache", "--out", "out")


@pytest.mark.long
def test_under_torchrun_rank_0_alone_prints_and_writes(command: Path) -> None:
    with processes(2, *ARGUMENTS, cwd=command) as started:
        outputs = [process.communicate(timeout=LONGEST) for process in started]
        assert [process.returncode for process in started] == [0, 0], outputs
    assert outputs[0][0].startswith("COLLAPSED\n")
    assert outputs[0][0].rstrip().endswith("out/report.html")
    assert outputs[1] == ("", "")
    written = sorted(path.name for path in (command / "out").iterdir() if path.name != ".lock")
    assert written == ["evaluation.json", "pictures.npz", "report.html"]
    assert sorted(path.name for path in command.iterdir()) == ["fake", "out", "real"]
