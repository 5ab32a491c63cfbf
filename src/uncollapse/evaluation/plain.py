"""Any value of an evaluation as strict JSON: no NaN, no numbers of NumPy, no half characters of undecodable names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def plain(value: object) -> Any:
    r"""The value with everything in it as JSON knows it.

    A number that is not finite becomes None, as a missing one. A file's name that is no valid text holds half
    characters, which no file in UTF-8 can keep; each is written as its number.

    >>> plain({"a": (1, float("nan")), "b": chr(0xDCFF) + ".png"})
    {'a': [1, None], 'b': '\\udcff.png'}
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    return plain(str(value))
