from __future__ import annotations

import doctest
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.evaluation.making import cloud, digits, pngs, ring

from uncollapse.cli import main
from uncollapse.errors import UserError
from uncollapse.evaluation import verb
from uncollapse.evaluation.verb import Told, check_directory, command_line

IMAGES, LABELS = digits()
QUICK = ("--metrics", "coverage", "--no-cache")


def uncollapse(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command's exit code and output, in this process, which has loaded torch already."""
    words = [str(argument) for argument in arguments]
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["uncollapse", "evaluate", *words])
        if cwd is not None:
            patch.chdir(cwd)
        with pytest.raises(SystemExit) as exit_info:
            main()
    return subprocess.CompletedProcess(words, int(exit_info.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def sides(folder: Path) -> dict[str, Path]:
    """Rows with and without a lost mode, and others that do not fit them."""
    rows = {
        "real": ring(300, 0)[0], "good": ring(300, 1)[0], "bad": ring(300, 2, modes=range(6))[0],
        "wide": cloud(300, 3, 5), "few": cloud(5, 4, 2), "nan": np.where(ring(30, 5)[0] > 0.9, np.nan, 0.0),
    }  # fmt: skip
    for name, array in rows.items():
        np.save(folder / f"{name}.npy", array)
    return {name: folder / f"{name}.npy" for name in rows}


def test_the_exit_code_is_three_only_where_a_collapse_is_to_fail(sides: dict[str, Path], tmp_path: Path) -> None:
    bad = uncollapse(sides["real"], sides["bad"], *QUICK, "--out", tmp_path / "a", "--fail-on-collapse")
    assert bad.returncode == 3
    assert bad.stdout.startswith("COLLAPSED\n")
    assert "--fail-on-collapse was asked for, so the exit code is 3." in bad.stderr
    assert (tmp_path / "a" / "report.html").exists()
    assert uncollapse(sides["real"], sides["bad"], *QUICK, "--out", tmp_path / "b").returncode == 0
    good = uncollapse(sides["real"], sides["good"], *QUICK, "--out", tmp_path / "c", "--fail-on-collapse")
    assert good.returncode == 0
    assert good.stdout.splitlines()[-1] == str(tmp_path / "c" / "report.html")
    assert good.stderr == ""


def test_json_is_one_strict_document_on_stdout(sides: dict[str, Path], tmp_path: Path) -> None:
    done = uncollapse(sides["real"], sides["bad"], *QUICK, "--json", "--out", tmp_path / "out")
    document = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert document["verdict"]["status"] == "collapsed"
    assert document["directory"] == str(tmp_path / "out")
    assert Path(document["report"]).is_file()
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert {key: value for key, value in document.items() if key not in ("directory", "report")} == written
    assert written["command"].startswith(f"uncollapse evaluate {sides['real']} {sides['bad']} --metrics coverage")


def test_the_command_in_the_report_gives_the_same_again(sides: dict[str, Path], tmp_path: Path) -> None:
    options = (*QUICK, "--seed", "3", "--max-bad", "0", "--versus", sides["good"], "--n", "80", "--alpha", "0.05")
    uncollapse(sides["real"], sides["bad"], *options, "--out", tmp_path / "one")
    one = json.loads((tmp_path / "one" / "evaluation.json").read_text())
    words = one["command"].split()
    assert words[:2] == ["uncollapse", "evaluate"]
    uncollapse(*words[2:], "--out", tmp_path / "two")
    two = json.loads((tmp_path / "two" / "evaluation.json").read_text())
    assert one | {"seconds": None} == two | {"seconds": None}


def test_by_itself_the_result_goes_below_runs_under_a_name_of_its_own(sides: dict[str, Path], tmp_path: Path) -> None:
    done = [
        uncollapse(sides["real"], sides[name], *QUICK, "--n", "40", *more, cwd=tmp_path)
        for name, more in (("good", ()), ("good", ()), ("bad", ()), ("good", ("--seed", "1")))
    ]
    places = [item.stdout.splitlines()[-1] for item in done]
    assert re.fullmatch(r"runs/evaluation-[0-9a-f]{12}/report\.html", places[0])
    assert places[0] == places[1]
    assert len(set(places)) == 3
    assert len(list((tmp_path / "runs").iterdir())) == 3


def image(place: Path, *, broken: int = 0) -> Path:
    pngs(place, list(IMAGES[:40]))
    for number in range(broken):
        (place / f"{number:03d}.png").write_bytes(b"no image")
    return place


def test_every_mistake_is_one_line_on_stderr_and_exit_code_2(sides: dict[str, Path], tmp_path: Path) -> None:
    pictures, broken = image(tmp_path / "pictures"), image(tmp_path / "broken", broken=5)
    (tmp_path / "file.txt").write_text("")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "spec.json").write_text("{}")
    real = sides["real"]
    cases: list[tuple[list[object], str]] = [
        ([real, pictures], f"real ({real}) holds features and fake ({pictures}) holds images; give the same kind"),
        (
            [real, sides["wide"]],
            "The sides have different numbers of features a row (real 2, fake 5); use one extractor",
        ),
        ([real, sides["few"]], "The fake side has 5 readable rows, but a verdict needs at least 20; give more."),
        ([real, sides["nan"]], f"fake ({sides['nan']}) has nan in row "),
        ([real, tmp_path / "nothing"], f"fake ({tmp_path / 'nothing'}) does not exist; give a folder of images, .zip"),
        ([real, "a\0b"], "fake (ab) cannot be opened: "),
        ([real, "x" * 5_000], "fake (xxx"),
        ([real, sides["good"], "--metrics", "fid"], "There is no metric 'fid'; it is called 'frechet_distance' here"),
        ([real, sides["good"], "--metrics", " ,"], "--metrics ' ,' names no metric; give names with commas between"),
        ([real, sides["good"], "--metrics", ""], "--metrics '' names no metric; give names with commas between them"),
        ([real, sides["good"], "--max-bad", "1.5"], "max_bad (--max-bad) must lie between 0 and 1, not 1.5."),
        ([real, sides["good"], "--metrics", "covrage"], "There is no metric 'covrage'; did you mean 'coverage'"),
        (
            [real, sides["good"], "--metrics", "authenticity"],
            "authenticity compares fakes with the training data; give",
        ),
        ([real, sides["good"], "--per-class"], "--per-class needs labels on both sides, and the real side has none;"),
        (
            [pictures, pictures, "--weights", "w.pth"],
            "--weights are for inception; say --features inception with them.",
        ),
        ([real, sides["good"], "--features", "pca"], f"{real} holds features already, which pca does not take; leave"),
        ([real, sides["good"], "--out", tmp_path / "file.txt"], f"--out {tmp_path / 'file.txt'} is a file; choose a"),
        ([real, sides["good"], "--out", tmp_path / "run"], f"--out {tmp_path / 'run'} holds a run or a comparison;"),
        ([pictures, broken], f"fake ({broken}): 4 of 40 rows or more cannot be read, more than the allowed"),
        ([real, sides["good"], "--n", "400"], f"real ({real}) has 300 rows, fewer than the 400 asked for."),
        ([real, sides["good"], "--alpha", "0.9"], "alpha must be from 0.001 to 0.5, for example 0.03, not 0.9."),
    ]
    for arguments, sentence in cases:
        done = uncollapse(*arguments, "--no-cache", cwd=tmp_path)
        assert done.returncode == 2, arguments
        assert done.stderr.startswith(f"uncollapse: {sentence}"), done.stderr
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""
    assert not (tmp_path / "runs").exists()


def test_wrong_usage_is_exit_code_2_too(sides: dict[str, Path]) -> None:
    for arguments in ([], [sides["real"]], [sides["real"], sides["good"], "--no-such-option"]):
        done = uncollapse(*arguments)
        assert done.returncode == 2
        assert "Usage: uncollapse evaluate" in done.stderr
    assert "--fail-on-collapse" in uncollapse("--help").stdout


def test_the_row_that_is_not_finite_is_named(sides: dict[str, Path], tmp_path: Path) -> None:
    done = uncollapse(sides["real"], sides["nan"], cwd=tmp_path)
    first, column = np.argwhere(np.isnan(np.load(sides["nan"])))[0]
    assert done.stderr == (
        f"uncollapse: fake ({sides['nan']}) has nan in row {first}, column {column} (counted from 0) where finite "
        "numbers are needed; drop or fill such rows.\n"
    )


def test_the_same_path_on_both_sides_is_noted(sides: dict[str, Path], tmp_path: Path) -> None:
    done = uncollapse(sides["real"], sides["real"], *QUICK, "--out", tmp_path / "out")
    assert done.returncode == 0
    assert "Both sides are the same data, so nothing can be missing;" in done.stdout
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["notes"] == [
        "Both sides are the same data, so nothing can be missing; the verdict says nothing about a generator."
    ]


def test_labels_of_folders_reach_per_class_table_and_page(tmp_path: Path) -> None:
    for name, first in (("real", 0), ("fake", 400)):
        rows = [row for row in range(first, first + 400) if LABELS[row] < 3]
        names = [f"digit {LABELS[row]}/{row}.png" for row in rows]
        pngs(tmp_path / name, [IMAGES[row] for row in rows], names)
    done = uncollapse(tmp_path / "real", tmp_path / "fake", "--per-class", *QUICK, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    for digit in range(3):
        assert f"digit {digit}" in done.stdout
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("digit 2") >= 2


def test_hostile_names_are_inert_on_the_terminal(tmp_path: Path) -> None:
    place = tmp_path / "[red]real\x1b]0;x\x07"
    pngs(place, list(IMAGES[:40]), [f"[link]\x1b[31m{number % 2}/{number}.png" for number in range(40)])
    (place / "[link]\x1b[31m0" / "broken\x1b[2J.png").write_bytes(b"no image")
    done = uncollapse(place, place, *QUICK, "--features", "pixels", "--max-bad", "0.1", "--per-class", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not set("\x1b\x07") & set(done.stdout + done.stderr)
    assert "[link][31m0" in done.stdout
    done = uncollapse(place, place, "--features", "pixels", cwd=tmp_path)
    assert done.returncode == 2
    assert "broken[2J.png" in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.long
def test_an_interruption_leaves_no_directory_and_its_own_exit_code(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\n\ndef sample(n):\n    pathlib.Path('ready').touch()\n    time.sleep(60)\n"
    )
    np.save(tmp_path / "real.npy", cloud(40, 0))
    command = [sys.executable, "-m", "uncollapse", "evaluate", "real.npy", "slow:sample", "--out", "out"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        start = time.monotonic()
        while not (tmp_path / "ready").exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() - start < 120
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGINT
    assert "Traceback" not in err
    assert out == ""
    assert {path.name for path in tmp_path.iterdir()} == {"slow.py", "real.npy", "ready", "__pycache__"} - (
        set() if (tmp_path / "__pycache__").exists() else {"__pycache__"}
    )


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_without_a_terminal_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(verb.time, "monotonic", lambda: clock[0])
    stream = io.StringIO()
    told = Told(stream)
    for done in range(0, 1_001, 100):
        told("fake: a\x1b[31m", done, 1_000)
        clock[0] += 2
    told("metrics", 0, 0)
    told.end()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "fake: a[31m: 300 of 1,000 rows, about 14 s left"
    assert len(lines) == 3


def test_progress_on_a_terminal_is_one_line_that_is_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(verb.time, "monotonic", lambda: clock[0])
    stream = Terminal()
    told = Told(stream)
    for done in (0, 256, 512):
        clock[0] += 1
        told("real: data", done, None)
    told("metrics", 0, 0)
    told.end()
    assert stream.getvalue().split("\r")[1:5] == [
        "real: data: 0 rows", "real: data: 256 rows", "real: data: 512 rows", "metrics ...         ",
    ]  # fmt: skip
    assert stream.getvalue().endswith("\r")
    assert "\n" not in stream.getvalue()


def test_the_command_line_as_in_its_example() -> None:
    assert doctest.testmod(verb).failed == 0
    given: dict[str, Any] = {"train": "t.zip", "weights": Path("w.pth"), "max_bad": 0.0, "plugins": ("m:a", "m:b")}
    assert command_line("r", "f", None, given) == (
        "uncollapse evaluate r f --train t.zip --weights w.pth --max-bad 0.0 --plugin m:a --plugin m:b"
    )


def test_a_place_that_must_not_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    data = image(tmp_path / "data")
    (tmp_path / "link").symlink_to(data)
    check_directory(tmp_path / "new" / "deep", (str(data), None))
    check_directory(tmp_path, (str(data), None))
    for place, told in (
        (tmp_path / "file", f"--out {tmp_path / 'file'} is a file; choose a folder."),
        (tmp_path / "file" / "below", f"--out {tmp_path / 'file' / 'below'} lies in a file; choose a folder."),
        (tmp_path / "link", f"--out {tmp_path / 'link'} is one of the sides that are judged; choose another folder."),
    ):
        with pytest.raises(UserError) as error:
            check_directory(place, (str(data), None))
        assert str(error.value) == told
    other = image(tmp_path / "other")
    with pytest.raises(UserError) as error:
        check_directory(other, (str(data), None))
    assert re.fullmatch(
        rf"--out {other} holds images \(\d+\.png\), among which nothing is written; choose another folder\.",
        str(error.value),
    )
    (other / "evaluation.json").write_text("{}")  # it was written there before
    check_directory(other, (str(data), None))
    for name in ("plan.lock.json", "comparison.json"):
        (tmp_path / name).write_text("{}")
        with pytest.raises(UserError, match="holds a run or a comparison; choose another folder"):
            check_directory(tmp_path, ())
        (tmp_path / name).unlink()
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    with pytest.raises(UserError, match="cannot be written: no permission for"):
        check_directory(tmp_path / "new", ())


def test_images_in_a_zip_beside_their_folder_from_the_command_line(tmp_path: Path) -> None:
    import zipfile

    place = image(tmp_path / "real")
    with zipfile.ZipFile(tmp_path / "fake.zip", "w") as archive:
        for number, picture in enumerate(IMAGES[40:80]):
            stream = io.BytesIO()
            Image.fromarray(picture).save(stream, "PNG")
            archive.writestr(f"{number}.png", stream.getvalue())
    done = uncollapse(place, tmp_path / "fake.zip", *QUICK, "--json", "--out", tmp_path / "out")
    assert json.loads(done.stdout)["extractor"]["name"] == "classifier:digits"


@pytest.mark.parametrize(
    ("words", "environment", "sentence"),
    [
        (("--engine", "rai"), {}, "did you mean 'ray'"),
        (("--jobs", "2"), {}, "--jobs is for --engine ray"),
        (("--engine", "ray", "--jobs", "0"), {}, "--jobs 0 is not possible"),
        (
            ("--engine", "ray"),
            {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost"},
            "--engine ray and torchrun are two ways to the same",
        ),
    ],
)
def test_engines_that_cannot_be_are_refused_before_anything_is_read(
    sides: dict[str, Path], words: tuple[str, ...], environment: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        done = uncollapse(sides["real"], sides["bad"], *QUICK, "--out", tmp_path / "x", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert not (tmp_path / "x").exists()
