from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from uncollapse.metrics.estimate import Estimate


def make(**changes: object) -> Estimate:
    fields = {
        "metric": "coverage", "value": 0.5, "low": 0.4, "high": 0.6, "level": 0.95, "n_real": 1000, "n_fake": 20,
        "estimand": "e", "interval": "i", "direction": "higher",
    }  # fmt: skip
    return Estimate(**(fields | changes))


def test_it_says_the_number_its_interval_and_both_sizes() -> None:
    assert str(make()) == "coverage 0.5 [0.4, 0.6] (95 %, n = 1,000 + 20)"
    assert str(make(low=None)) == "coverage 0.5 [..., 0.6] (95 %, n = 1,000 + 20)"
    assert str(make(level=None, n_real=None)) == "coverage 0.5 (n = 20)"
    assert str(make(value=None, low=None, high=None, reason="no rows")) == "coverage: none, no rows"


def test_it_is_a_number_and_json_without_nan() -> None:
    assert float(make()) == 0.5
    assert math.isnan(float(make(value=None, reason="no rows")))
    told = json.loads(json.dumps(make(details={"p": 0.1}).to_json(), allow_nan=False))
    assert told["value"] == 0.5
    assert told["details"] == {"p": 0.1}


def test_a_missing_end_is_no_limit() -> None:
    assert make().holds(0.4)
    assert make().holds(0.6)
    assert not make().holds(0.61)
    assert not make().holds(0.39)
    assert make(high=None).holds(1e9)
    assert make(low=None).holds(-1e9)


@pytest.mark.parametrize("field", ["value", "low", "high"])
def test_it_never_holds_nan_or_infinity(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} is"):
        make(**{field: math.nan})
    with pytest.raises(ValueError, match=f"{field} is inf"):
        make(**{field: math.inf})


def test_no_value_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        make(value=None, low=None, high=None)


def test_options_that_are_numpys_or_torchs_numbers_are_json() -> None:
    details = {
        "k": np.int64(5),
        "sigma": torch.tensor(1.5),
        "shares": np.array([0.25, 0.75]),
        "worst": [{"z": np.float32(2)}],
    }
    told = json.loads(json.dumps(make(level=np.float64(0.9), details=details).to_json()))
    assert told["level"] == 0.9
    assert told["details"] == {"k": 5, "sigma": 1.5, "shares": [0.25, 0.75], "worst": [{"z": 2.0}]}
