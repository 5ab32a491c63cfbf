"""What the verbs do between options and output: settings, checks, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

import uncollapse.run
from uncollapse.advice import advise, trimmed
from uncollapse.commands import parse_settings, plan_run, run_comparison, show_advice, train_run
from uncollapse.errors import UserError
from uncollapse.symptoms import SYMPTOMS


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-4", 2e-4),
        (".1", 0.1),
        ("5", 5),
        ("true", True),
        ("[0.5, 0.999]", [0.5, 0.999]),
        ("soft", "soft"),
        ("-1.", -1.0),
    ],
)
def test_a_value_is_what_it_looks_like(text: str, value: object) -> None:
    (found,) = parse_settings([f"a.b = {text}"]).values()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("setting", ["a.b", "=3", "a.b=", ""])
def test_a_setting_without_path_or_value_is_refused(setting: str) -> None:
    with pytest.raises(UserError, match="not of the form PATH=VALUE"):
        parse_settings([setting])


def test_a_setting_given_twice_is_refused() -> None:
    with pytest.raises(UserError, match=r"a\.b is given twice"):
        parse_settings(["a.b=1", "a.b=2"])


def test_a_run_is_planned_from_texts() -> None:
    settings = {"networks.width": 4, "penalties.0.weight": 0.1, "task.train_size": 100}
    spec = plan_run("wgan-gp", "blobs-8", "2,7", 40, 16, 2, settings, [])
    assert (spec.seeds, spec.updates, spec.batch, spec.threads) == ((2, 7), 40, 16, 2)
    assert (spec.networks.width, spec.task.train_size) == (4, 100)
    assert spec.method.settings()["penalties.0.weight"] == 0.1


@pytest.mark.parametrize(("updates", "batch", "threads"), [(0, 1, 1), (1, 0, 1), (1, 1, -1)])
def test_counts_below_one_are_refused(updates: int, batch: int, threads: int) -> None:
    with pytest.raises(UserError, match="give a whole number of at least 1"):
        plan_run("vanilla", "ring-8", "1", updates, batch, threads, {}, [])


def test_training_prints_a_line_a_seed_and_the_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = plan_run("vanilla", "blobs-4", "2", 10, 8, 1, {"networks.width": 4}, [])
    train_run(spec, tmp_path / "run", device="cpu", fresh=False, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["0", "1"]
    assert lines[-1] == str(tmp_path / "run")


def test_a_failed_run_is_exit_code_1_and_named_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tmp_path / "p.toml"
    plan.write_text(
        '[plan]\nname = "p"\nseeds = [4]\nupdates = 10\nbatch = 8\n'
        '[[cells]]\nmethods = ["lsgan"]\ntasks = ["blobs-4"]\n'
    )

    def fail(*args: object, **options: object) -> None:
        raise RuntimeError("a planted failure")

    monkeypatch.setattr(uncollapse.run, "execute", fail)
    with pytest.raises(typer.Exit) as exit_info:
        run_comparison(str(plan), out=tmp_path / "c", as_json=False, jobs=1)
    assert exit_info.value.exit_code == 1
    printed = capsys.readouterr()
    assert "lsgan on blobs-4, seed 4, failed: RuntimeError: a planted failure" in printed.err
    assert "report.html" not in printed.out


@pytest.mark.parametrize("symptom", SYMPTOMS)
def test_advice_is_printed_as_a_table_and_as_json(symptom: str, capsys: pytest.CaptureFixture[str]) -> None:
    advice = advise(symptom)
    show_advice(symptom, None, as_json=False)
    text = capsys.readouterr().out
    assert text.startswith(f"{advice.symptom.title}: {advice.symptom.rule}.\n{advice.sentence}")
    assert all(item.method in text for item in advice.suggestions)
    assert all(f"\n{letter}: {settings}\n" in text for settings, letter in trimmed(advice, 6).legend().items())
    assert ("--json` has their rows" in text) == (len(advice.suggestions) > 6)
    show_advice(symptom, None, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert [item["method"] for item in document["suggestions"]] == [item.method for item in advice.suggestions]
    assert document["not_measured"] == list(advice.unknown)
