"""The command line from outside: help, lists, a run from training to samples, wrong inputs, exit codes, signals."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

import uncollapse.commands as uncollapse_commands
from uncollapse.cli import app, main
from uncollapse.experiments.plan import builtin_plan
from uncollapse.metrics.metric import NAMES

VERBS = ("demo", "train", "compare", "sample", "report", "methods", "tasks", "metrics", "doctor", "watch")
SMALL = ("--updates", "20", "--batch", "8", "--set", "networks.width=4", "--set", "networks.depth=1")


def uncollapse(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command's exit code and output, in this process, which has loaded torch already."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["uncollapse", *arguments])
        if cwd is not None:
            patch.chdir(cwd)
        with pytest.raises(SystemExit) as exit_info:
            main()
    code = exit_info.value.code
    return subprocess.CompletedProcess(arguments, int(code or 0), out.getvalue(), err.getvalue())


def contents(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file."""
    with np.load(path) as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small conditional run on real digits, seeds 3 and 5."""
    out = tmp_path_factory.mktemp("cli") / "run"
    done = uncollapse("train", "cgan", "digits", "--seeds", "3,5", *SMALL, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(out)
    return out


def test_importing_the_command_line_imports_nothing_heavy() -> None:
    code = "import sys, uncollapse.cli; print([m for m in ('torch', 'numpy', 'sklearn', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_lists_the_verbs_and_each_has_an_example() -> None:
    runner = CliRunner()
    page = runner.invoke(app, ["--help"]).output
    assert [verb for verb in VERBS if f"  {verb} " not in page] == []
    for verb in VERBS:
        result = runner.invoke(app, [verb, "--help"])
        assert result.exit_code == 0
        assert f"Example: uncollapse {verb}" in result.output


def test_methods_and_tasks_as_tables_and_as_json() -> None:
    runner = CliRunner()
    assert "Gulrajani" in runner.invoke(app, ["methods"]).output
    cards = json.loads(runner.invoke(app, ["methods", "--json"]).output)
    assert {"vanilla", "cgan", "wgan", "wgan-gp", "cwgan-gp", "lsgan"} <= {card["name"] for card in cards}
    card = json.loads(runner.invoke(app, ["methods", "wgan-gp", "--json"]).output)
    assert card["settings"]["penalties.0.weight"] == 10.0
    assert "1704.00028" in runner.invoke(app, ["methods", "wgan-gp"]).output
    families = json.loads(runner.invoke(app, ["tasks", "--json"]).output)
    assert [family["name"] for family in families][:2] == ["ring-8", "grid-25"]
    task = json.loads(runner.invoke(app, ["tasks", "blobs-16", "--json"]).output)
    assert (len(task["modes"]), task["shape"], task["classes"]) == (16, [2], 16)
    assert "blobs-K" in runner.invoke(app, ["tasks"]).output


def test_metrics_as_a_list_and_one_in_full() -> None:
    runner = CliRunner()
    text = runner.invoke(app, ["metrics"]).output
    assert text.index("Distances between distributions") < text.index("frechet_distance") < text.index("path_length")
    cards = json.loads(runner.invoke(app, ["metrics", "--json"]).output)
    assert [card["name"] for card in cards] == list(NAMES)
    card = json.loads(runner.invoke(app, ["metrics", "recall", "--json"]).output)
    assert (card["direction"], card["low"], card["high"]) == ("higher", 0.0, 1.0)
    assert "https://arxiv.org/abs/1904.06991" in runner.invoke(app, ["metrics", "recall"]).output


def test_the_metrics_are_listed_without_torch() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from uncollapse.cli import app\n"
        "assert CliRunner().invoke(app, ['metrics']).exit_code == 0\n"
        "assert CliRunner().invoke(app, ['metrics', 'recall']).exit_code == 0\n"
        "print([m for m in ('torch', 'numpy', 'scipy', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_training_again_returns_at_once_and_json_is_the_result(run: Path) -> None:
    before = (run / "result.json").stat().st_mtime_ns
    done = uncollapse("train", "cgan", "digits", "--seeds", "3,5", *SMALL, "--out", str(run), "--json")
    assert done.returncode == 0
    result = json.loads(done.stdout)
    assert [lane["seed"] for lane in result["lanes"]] == [3, 5]
    assert result["directory"] == str(run)
    assert (run / "result.json").stat().st_mtime_ns == before


def test_samples_are_the_same_whatever_the_file(run: Path, tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz", "grid.png", "folder"):
        done = uncollapse("sample", str(run), "--n", "20", "--out", str(tmp_path / name), "--seed", "5")
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == str(tmp_path / name)
    first, second = contents(tmp_path / "a.npz"), contents(tmp_path / "b.npz")
    assert first["samples"].shape == (20, 8, 8)
    np.testing.assert_array_equal(first["samples"], second["samples"])
    assert sorted(set(first["labels"].tolist())) == list(range(10))
    assert len(list((tmp_path / "folder").glob("*.png"))) == 20


def test_one_class_other_weights_and_another_draw(run: Path, tmp_path: Path) -> None:
    variants = {"plain": [], "class": ["--class", "3"], "live": ["--weights", "live"], "draw": ["--draw", "1"]}
    arrays = {}
    for name, extra in variants.items():
        out = tmp_path / f"{name}.npz"
        done = uncollapse("sample", str(run), "--n", "10", "--out", str(out), *extra, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["seed"] == 3
        arrays[name] = contents(out)
    assert arrays["class"]["labels"].tolist() == [3] * 10
    for name in ("class", "live", "draw"):
        assert not np.array_equal(arrays[name]["samples"], arrays["plain"]["samples"])


def test_the_report_of_a_run(run: Path) -> None:
    done = uncollapse("report", str(run))
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "vanila", "ring-8"], "There is no method 'vanila'; did you mean 'vanilla'"),
        (["train", "vanilla", "ring8"], "There is no task 'ring8'; did you mean 'ring-8'"),
        (["train", "vanilla", "ring-8", "--set", "dynamics.lr=1"], "dynamics.lr"),
        (["train", "vanilla", "ring-8", "--set", "dynamics.lr_critic"], "not of the form PATH=VALUE"),
        (["train", "vanilla", "ring-8", "--set", "dynamics.lr_critic=fast"], "dynamics.lr_critic = 'fast'"),
        (["train", "vanilla", "ring-8", "--seeds", "3-1"], "--seeds '3-1' is not understood"),
        (["train", "vanilla", "ring-8", "--updates", "0"], "--updates 0 is not possible"),
        (["train", "vanilla", "ring-8", "--device", "tpu"], "'tpu'"),
        (["train", "cgan", "array:nowhere.npz"], "nowhere.npz"),
        (["compare", "smok"], "did you mean 'smoke'"),
        (["compare", "smoke", "--engine", "rya"], "no engine 'rya'"),
        (["compare", "smoke", "--time-limit", "0"], "leaves no time"),
        (["sample", "nowhere", "--n", "3", "--out", "x.npz"], "nowhere is not a run"),
        (["report", "nowhere"], "nowhere"),
        (["doctor", "nowhere"], "There is no directory nowhere"),
        (["methods", "wgan-pg"], "did you mean 'wgan-gp'"),
        (["methods", "--for", "missing-mode"], "did you mean 'missing-modes'"),
        (["metrics", "recal"], "There is no metric 'recal'; did you mean 'recall'"),
        (["methods", "wgan-gp", "--for", "divergence"], "give the name or --for, not both"),
    ],
)
def test_a_mistake_is_one_line_with_exit_code_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = uncollapse(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("uncollapse: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert message in done.stderr
    assert not (tmp_path / "runs").exists()


def test_the_command_in_a_process_of_its_own(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "uncollapse", "compare", "smok"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("uncollapse: There is no plan file or built-in plan 'smok'; did you mean 'smoke'")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:1] . DefaultCPUAllocator: can't allocate memory: 7 bytes"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("something else"), False),
    ],
)
def test_too_little_memory_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, told: bool
) -> None:
    def fails(**more: object) -> None:
        raise error

    monkeypatch.setattr("uncollapse.cli.app", fails)
    with pytest.raises(SystemExit if told else RuntimeError):
        main()
    assert ("There is too little memory for this" in capsys.readouterr().err) is told


def test_closed_and_narrow_streams_end_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("uncollapse.cli.app", lambda **more: print("Fréchet", flush=True))
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(sys, "stdout", narrow)
    main()
    assert narrow.buffer.getvalue() == b"Fr?chet\n"  # type: ignore[attr-defined]
    print("to nobody", file=sys.stderr)
    monkeypatch.setattr(sys, "stdout", None)
    main()
    for stream in (sys.stdout, sys.stderr, narrow):
        stream.close()


def test_an_unknown_option_is_a_usage_error(tmp_path: Path) -> None:
    done = uncollapse("train", "vanilla", "ring-8", "--sedes", "3", cwd=tmp_path)
    assert done.returncode == 2
    assert "--seeds" in done.stderr


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--out", "x.gif"], "'.gif'; use .npz"),
        (["--out", "x.csv"], "are images"),
        (["--out", "x.npz", "--seed", "4"], "seed"),
        (["--out", "x.npz", "--class", "11"], "classes are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9."),
        (["--out", "x.npz", "--weights", "eam"], "did you mean 'ema'"),
        (["--out", ".", "--draw", "0"], "not an empty folder"),
    ],
)
def test_samples_that_cannot_be_written_are_refused(run: Path, tmp_path: Path, extra: list[str], message: str) -> None:
    (tmp_path / "something").touch()
    done = uncollapse("sample", str(run), "--n", "3", *extra, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr


def test_control_characters_of_a_name_do_not_reach_the_terminal(tmp_path: Path) -> None:
    done = uncollapse("compare", "evil\x1b[31m.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.slow
def test_a_signal_stops_with_a_checkpoint_and_the_same_command_continues(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    arguments = ["train", "vanilla", "ring-8", "--updates", "1000000", "--batch", "8", "--out", "run"]
    command = [sys.executable, "-m", "uncollapse", *arguments]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        history = tmp_path / "run" / "history.jsonl"
        while not history.exists() and process.poll() is None:
            time.sleep(0.1)
        os.kill(process.pid, number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert out == ""
    assert f"Stopped by signal {int(number)} with a checkpoint in run; the same command continues." in err
    assert any((tmp_path / "run" / "checkpoints").glob("step-*/MANIFEST.json"))


def test_a_directory_that_is_no_directory_is_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = uncollapse("train", "vanilla", "ring-8", *SMALL, "--out", "file", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "uncollapse: file is a file, and a run is a directory; choose another --out.\n"


def test_a_comparison_from_the_command_line_with_its_estimate(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(
        '[plan]\nname = "p"\nseeds = [4]\nupdates = 20\nbatch = 8\n'
        '[[cells]]\nmethods = ["vanilla"]\ntasks = ["blobs-4"]\nset = { networks.width = 4 }\n'
    )
    dry = uncollapse("compare", "p.toml", "--dry-run", "--json", cwd=tmp_path)
    assert dry.returncode == 0, dry.stderr
    estimate = json.loads(dry.stdout)
    assert estimate["estimate"] is True
    assert [(run["method"], run["seeds"]) for run in estimate["runs"]] == [("vanilla", [4])]
    assert not (tmp_path / "runs").exists()
    done = uncollapse("compare", "p.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "runs/p/report.html"
    assert "finished vanilla on blobs-4, seed 4" in done.stderr
    as_json = uncollapse("compare", "p.toml", "--json", cwd=tmp_path)
    assert json.loads(as_json.stdout)["cells"][0]["seeds"] == [4]
    assert json.loads(as_json.stdout)["report"] == "runs/p/report.html"
    again = uncollapse("report", "runs/p", "--json", cwd=tmp_path)
    assert json.loads(again.stdout) == {"directory": "runs/p", "report": "runs/p/report.html"}


def test_the_doctor_of_this_machine_and_of_a_run(run: Path) -> None:
    done = uncollapse("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    assert done.returncode == 0, checks
    assert checks["self-test"]["status"] == "ok"
    assert checks["torch"]["status"] == "ok"
    assert uncollapse("doctor", str(run)).returncode == 0


@pytest.mark.slow
def test_a_run_with_a_plugin_is_examined_and_reported_with_it(tmp_path: Path) -> None:
    (tmp_path / "plugged.py").write_text(
        "from dataclasses import dataclass\n"
        "from uncollapse import VANILLA, NonSaturating\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Plugged(NonSaturating):\n"
        "    name = 'plugged-loss'\n"
        "PLUGGED = VANILLA.but(name='plugged', loss=Plugged())\n"
    )
    plugin = ("--plugin", "plugged:PLUGGED")
    done = uncollapse("train", "plugged", "blobs-4", *SMALL, *plugin, "--seeds", "1", "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for verb in ("doctor", "report"):
        command = [sys.executable, "-m", "uncollapse", verb, "run", *plugin]
        assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    without = [sys.executable, "-m", "uncollapse", "doctor", "run"]
    assert subprocess.run(without, cwd=tmp_path, capture_output=True, check=False).returncode == 1


def test_eight_seeds_are_trained_unless_told_otherwise(tmp_path: Path) -> None:
    done = uncollapse("train", "vanilla", "blobs-4", *SMALL, "--out", "run", "--json", cwd=tmp_path)
    assert [lane["seed"] for lane in json.loads(done.stdout)["lanes"]] == list(range(8))


def test_the_demo_is_the_built_in_plan_even_beside_a_file_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demo").write_text("a diary")
    given: list[object] = []
    monkeypatch.setattr(uncollapse_commands, "run_comparison", lambda plan, **options: given.append((plan, options)))
    assert uncollapse("demo", "--json", cwd=tmp_path).returncode == 0
    assert given == [(builtin_plan("demo"), {"out": None, "as_json": True})]


NETS = """
from torch import nn

def pair(sizes):
    generator = nn.Sequential(nn.Linear(sizes.latent, 6), nn.ReLU(), nn.Linear(6, sizes.data))
    return generator, nn.Sequential(nn.Flatten(), nn.Linear(sizes.data, 6), nn.ReLU(), nn.Linear(6, 1))
"""


def test_networks_of_ones_own_are_named_on_the_command_line_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uncollapse.networks.own._PERMITTED", [])
    (tmp_path / "nets_of_cli.py").write_text(NETS)
    own = ("--networks", "nets_of_cli:pair")
    train = ("train", "wgan-gp", "blobs-4", "--seeds", "3,5", "--updates", "10", "--batch", "8", "--out", "run", *own)
    done = uncollapse(*train, "--set", "networks.latent=3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "run" / "spec.json").read_text())
    assert (written["networks"]["latent"], written["networks"]["reference"]) == (3, "nets_of_cli:pair")
    assert written["command"].endswith("--networks nets_of_cli:pair --set networks.latent=3")
    assert uncollapse("report", "run", cwd=tmp_path).returncode == 0
    for verb in (
        ("sample", "run", "--n", "5", "--out", "x.npz"),
        ("doctor", "run"),
        ("evaluate", "run", "run", "--n", "60", "--metrics", "coverage", "--out", "evaluation"),
    ):
        refused = uncollapse(*verb, cwd=tmp_path)
        assert refused.returncode == (1 if verb[0] == "doctor" else 2)
        said = " ".join((refused.stdout + refused.stderr).split())
        assert "repeat the command with `--networks nets_of_cli:pair`" in said
        assert "Traceback" not in said
        done = uncollapse(*verb, *own, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        monkeypatch.setattr("uncollapse.networks.own._PERMITTED", [])
    assert contents(tmp_path / "x.npz")["samples"].shape == (5, 2)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nets_of_cli", "--networks 'nets_of_cli' is not of the form module:attr, such as my_networks:pair."),
        ("no_nets_of_mine:pair", "--networks no_nets_of_mine:pair: no module 'no_nets_of_mine' in the current folder"),
        ("json:loads", "Your generator (json:loads) cannot be made: TypeError: the JSON object must be str, bytes"),
    ],
)
def test_a_reference_that_leads_to_no_networks_is_one_line(reference: str, message: str, tmp_path: Path) -> None:
    done = uncollapse("train", "vanilla", "blobs-4", "--networks", reference, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
