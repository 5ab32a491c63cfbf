"""Values of fields: whatever a run can be known by again is told, equal for equal values and apart for others."""

from __future__ import annotations

import datetime
import enum
import functools
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import uncollapse
from uncollapse.errors import UserError
from uncollapse.tasks.values import plain

FACTOR = 3


def scaled(x: Any) -> Any:
    return x * FACTOR


def shifted(x: Any, by: float = 1.0) -> Any:
    return x + by


class Kind(enum.Enum):
    ROUND = 1
    SQUARE = 2


class Reach:
    """An object of one's own that is called."""

    def __init__(self, reach: float) -> None:
        self.reach = reach

    def __call__(self, x: Any) -> Any:
        return x * self.reach

    def inner(self, x: Any) -> Any:
        return x / self.reach


class Ring:
    """It holds itself."""

    def __init__(self) -> None:
        self.me = self


def times(factor: float) -> Callable[[Any], Any]:
    return lambda x: x * factor


# Made anew at each call.
MAKERS: dict[str, Callable[[], Any]] = {
    "function": lambda: scaled,
    "another": lambda: shifted,
    "closure": lambda: times(2),
    "closure of another": lambda: times(3),
    "partial": lambda: functools.partial(shifted, by=2),
    "partial of another": lambda: functools.partial(shifted, by=3),
    "object": lambda: Reach(1),
    "object of another": lambda: Reach(2),
    "bound": lambda: Reach(1).inner,
    "bound of another": lambda: Reach(2).inner,
    "built-in": lambda: math.sqrt,
    "of torch": lambda: torch.tanh,
    "of numpy": lambda: np.sin,
    "kept list": lambda: [1].append,
    "kept list of another": lambda: [2].append,
    "class": lambda: Reach,
    "member": lambda: Kind.ROUND,
    "member of another": lambda: Kind.SQUARE,
    "bytes": lambda: b"ab",
    "set": lambda: {"b", "a", "c"},
    "range": lambda: range(3),
    "slice": lambda: slice(1, 3),
    "date": lambda: datetime.date(2020, 1, 2),
    "date of numpy": lambda: np.datetime64("2021-01-01"),
    "complex": lambda: np.complex64(2j),
    "long": lambda: np.longdouble(1.5),
    "law": lambda: torch.distributions.Normal(0.0, 1.0),
    "law of another": lambda: torch.distributions.Normal(0.0, 2.0),
    "generator": lambda: np.random.default_rng(1),
    "generator of another": lambda: np.random.default_rng(2),
    "bfloat16": lambda: torch.ones(2, dtype=torch.bfloat16),
    "sparse": lambda: torch.eye(2).to_sparse(),
    "objects": lambda: np.array(["a", "b"], dtype=object),
    "type": lambda: torch.float64,
    "ring": Ring,
}


def told(value: Any) -> str:
    return json.dumps(plain(value, "Field 'f'"), allow_nan=False)


def test_equal_values_are_told_alike_and_others_apart() -> None:
    once = {name: told(make()) for name, make in MAKERS.items()}
    assert once == {name: told(make()) for name, make in MAKERS.items()}
    assert len(set(once.values())) == len(once)


def test_two_functions_of_one_line_are_told_apart() -> None:
    one, other = (lambda x: x + 1), (lambda x: x + 2)
    assert told(one) != told(other)


def test_what_a_function_names_of_its_module_counts(tmp_path: Path) -> None:
    def of(text: str, name: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        sys.path.insert(0, str(tmp_path))
        try:
            return told(__import__(name).f)
        finally:
            sys.path.remove(str(tmp_path))

    code = "A = 1\ndef f(x):\n    return x * A  # words\n"
    first = of(code, "held_a")
    assert of(code.replace("words", "others"), "held_b") == first
    assert of(code.replace("A = 1", "A = 2"), "held_c") != first


def test_the_same_is_told_in_every_process() -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_values as t;"
        "print({name: t.told(make()) for name, make in t.MAKERS.items()})"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script, str(Path(__file__).parent)],
            env={"PYTHONPATH": str(Path(uncollapse.__file__).parents[1]), "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert found == {f"{ {name: told(make()) for name, make in MAKERS.items()} }\n"}


def test_what_never_ends_is_refused() -> None:
    class Endless:
        def __reduce_ex__(self, protocol: Any) -> Any:
            return Endless, (Endless(),)

    with pytest.raises(UserError, match="Field 'f' holds a Endless, by which no run is known again"):
        plain(Endless(), "Field 'f'")
