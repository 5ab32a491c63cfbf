"""Digests of a user's own classes: another for whatever changes what is computed, the same for words about it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from uncollapse.parts.losses import LeastSquares
from uncollapse.source_code import code_of, digest, written

NUMBERS = count()
TEXT = """
from dataclasses import dataclass
from uncollapse.parts.losses import LeastSquares

MARGIN = {margin}
UNUSED = {unused}

def squared(x):
    return x ** {power}

def pulled(x):
    '''{doc}'''
    return squared(x - MARGIN)

class Base(LeastSquares):
    slope = {slope}

@dataclass(frozen=True, kw_only=True)
class Mine(Base):
    '''{doc}'''
    weight: float = {weight}

    def generator(self, real, fake, scene):  # {doc}
        return {factor} * pulled(fake.score).mean()
"""


@pytest.fixture
def names() -> Iterator[list[str]]:
    made: list[str] = []
    yield made
    for name in made:
        sys.modules.pop(name, None)


def mine(folder: Path, names: list[str], **changes: object) -> type:
    values = {"margin": 1.0, "unused": 0, "power": 2, "doc": "Words.", "slope": 1, "weight": 1.0, "factor": 1}
    names.append(f"mine_{next(NUMBERS)}")
    path = folder / f"{names[-1]}.py"
    path.write_text(TEXT.format(**{**values, **changes}))
    spec = importlib.util.spec_from_file_location(names[-1], path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[names[-1]] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: type = module.Mine
    return found


@pytest.mark.parametrize("change", [{"margin": 2.0}, {"power": 3}, {"slope": 2}, {"weight": 0.5}, {"factor": 7}])
def test_what_is_computed_counts(tmp_path: Path, names: list[str], change: dict[str, object]) -> None:
    assert digest(mine(tmp_path, names, **change)) != digest(mine(tmp_path, names))


def test_words_unused_names_and_the_name_of_the_file_do_not_count(tmp_path: Path, names: list[str]) -> None:
    plain = digest(mine(tmp_path, names))
    assert digest(mine(tmp_path, names, doc="Other words.", unused=5)) == plain
    assert len(plain) == 12


def test_what_comes_from_here_or_from_a_prompt_has_no_code() -> None:
    assert written(LeastSquares) == []
    space: dict[str, type] = {}
    exec("class Prompt:\n    __module__ = 'nowhere'", space)
    assert written(space["Prompt"]) == [space["Prompt"]]
    assert code_of(space["Prompt"]) == ""
    assert digest(space["Prompt"])
