from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from uncollapse.evaluation.plain import plain


def test_numbers_of_numpy_become_numbers() -> None:
    found = plain({"a": np.int64(3), "b": np.float32(0.5), "c": np.array([[1, 2]]), "d": np.bool_(True), 5: (1, 2)})
    assert found == {"a": 3, "b": 0.5, "c": [[1, 2]], "d": True, "5": [1, 2]}
    assert type(found["d"]) is bool
    assert type(found["a"]) is int


def test_what_is_not_finite_is_missing() -> None:
    found = plain([math.nan, math.inf, -math.inf, np.float64("nan"), np.float32("inf"), 0.0, None])
    assert found == [None, None, None, None, None, 0.0, None]
    json.dumps(found, allow_nan=False)


def test_undecodable_names_can_be_written() -> None:
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    found = plain({name: [name, "ünïcode ☃", Path("a") / "b"]})
    assert found == {"caf\\udce9.png": ["caf\\udce9.png", "ünïcode ☃", "a/b"]}
    json.dumps(found, ensure_ascii=False).encode()


def test_the_value_itself_is_left_alone() -> None:
    value = {"a": [1.0, (2,)]}
    plain(value)["a"].append(3)
    assert value == {"a": [1.0, (2,)]}
