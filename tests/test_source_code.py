"""Digests of a user's own classes: another for whatever changes what is computed, the same for words about it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
import torch

from uncollapse.parts.losses import LeastSquares
from uncollapse.source_code import code_of, digest, function_code, place, written

NUMBERS = count()
TEXT = """
from dataclasses import dataclass
from uncollapse.parts.losses import LeastSquares

MARGIN = {margin}
UNUSED = {unused}
WEIGHTS: tuple[float, ...] = ({first}, 2.0)
CALLS = 0
double = lambda x: {slope} * x
half = lambda x: {factor} * x

def squared(x):
    return x ** {power}

def pulled(x):
    '''{doc}'''
    return squared(x - MARGIN)

class Base(LeastSquares):
    slope = double(half(WEIGHTS[0]))

@dataclass(frozen=True, kw_only=True)
class Mine(Base):
    '''{doc}'''
    weight: float = {weight}

    def generator(self, real, fake, scene):  # {doc}
        global CALLS
        CALLS += 1
        return pulled(fake.score).mean()
"""


@pytest.fixture
def names() -> Iterator[list[str]]:
    made: list[str] = []
    yield made
    for name in made:
        sys.modules.pop(name, None)


def mine(folder: Path, names: list[str], **changes: object) -> type:
    values = {
        "margin": 1.0,
        "unused": 0,
        "power": 2,
        "doc": "Words.",
        "slope": 1,
        "weight": 1.0,
        "factor": 1,
        "first": 1.0,
    }
    return loaded(folder, names, TEXT.format(**{**values, **changes}))


def loaded(folder: Path, names: list[str], text: str) -> type:
    """The class Mine of a module with this text."""
    names.append(f"mine_{next(NUMBERS)}")
    path = folder / f"{names[-1]}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(names[-1], path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[names[-1]] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: type = module.Mine
    return found


@pytest.mark.parametrize(
    "change", [{"margin": 2.0}, {"power": 3}, {"slope": 2}, {"weight": 0.5}, {"factor": 7}, {"first": 7.0}]
)
def test_what_is_computed_counts(tmp_path: Path, names: list[str], change: dict[str, object]) -> None:
    assert digest(mine(tmp_path, names, **change)) != digest(mine(tmp_path, names))


def test_words_unused_names_and_the_name_of_the_file_do_not_count(tmp_path: Path, names: list[str]) -> None:
    plain = digest(mine(tmp_path, names))
    assert digest(mine(tmp_path, names, doc="Other words.", unused=5)) == plain
    assert len(plain) == 12


def test_values_that_move_while_it_runs_and_later_edits_of_the_file_do_not_count(
    tmp_path: Path, names: list[str]
) -> None:
    kind = mine(tmp_path, names)
    before = digest(kind)
    sys.modules[names[-1]].CALLS = 5  # type: ignore[attr-defined]
    (tmp_path / f"{names[-1]}.py").write_text("class Mine: pass")
    assert digest(kind) == before
    assert digest(mine(tmp_path, names)) == before


def test_a_base_of_the_same_name_in_another_module_counts(tmp_path: Path, names: list[str]) -> None:
    found = set()
    for factor in (1, 7):
        mine(tmp_path, names, factor=factor)
        text = f"from abc import ABC\nimport {names[-1]} as base\nclass Mine(base.Mine, ABC): pass"
        found.add(digest(loaded(tmp_path, names, text)))
    assert len(found) == 2


def test_the_digest_is_the_same_in_every_process(tmp_path: Path) -> None:
    values = {"margin": 1.0, "unused": 0, "power": 2, "doc": "Words.", "slope": 1, "weight": 1.0, "factor": 1}
    (tmp_path / "own.py").write_text(TEXT.format(**values, first=1.0))
    script = "import own; from uncollapse.source_code import digest; print(digest(own.Mine))"
    found = {
        subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len(found) == 1


def test_the_digest_is_the_same_under_every_version_of_python(tmp_path: Path, names: list[str]) -> None:
    """The same code had this one under 3.11.7, 3.12.1 and 3.13.0, which write and split its f-strings differently."""
    text = """class Mine:
    def critic(self, real, fake=None, *, w=u'x'):
        if real.ndim != 1:
            raise ValueError(f"real is {real.shape}, not {'a row' if fake is None else fake.shape}")
        return f"a{{b}}c{real!r:>{2}}{{" f'{w=}' 'd', b"x", 1e400, -1, [*w], {**w}
"""
    assert digest(loaded(tmp_path, names, text)) == "6a0865e0dede"
    assert digest(loaded(tmp_path, names, text.replace("a{{b", "a{{x"))) != "6a0865e0dede"
    assert digest(loaded(tmp_path, names, text.replace("u'x'", '"x"'))) == "6a0865e0dede"


def test_a_lambda_in_a_part_of_a_statement_has_code(tmp_path: Path, names: list[str]) -> None:
    found = set()
    for slope in (1, 2):
        loaded(tmp_path, names, f"class Mine: pass\nALL = dict(\n    a=lambda x: {slope} * x)\n")
        found.add(function_code(sys.modules[names[-1]].ALL["a"]))
    assert len(found) == 2


def test_what_comes_from_here_or_from_a_prompt_has_no_code() -> None:
    assert written(LeastSquares) == []
    space: dict[str, type] = {}
    exec("class Prompt:\n    __module__ = 'nowhere'", space)
    assert written(space["Prompt"]) == [space["Prompt"]]
    assert code_of(space["Prompt"]) == ""
    assert digest(space["Prompt"]) == ""


def test_an_exception_is_placed_at_the_users_line() -> None:
    def raised(call: Callable[[], object]) -> BaseException:
        try:
            call()
        except Exception as error:
            return error
        raise AssertionError

    line = raised.__code__.co_firstlineno + 2
    assert place(raised(lambda: torch.zeros(2) @ torch.zeros(3))) == f"test_source_code.py, line {line + 6}"
    assert place(ValueError("never raised")) == ""
