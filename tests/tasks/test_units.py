"""Units of somebody's data: brought back by hand, kept as plain numbers, and refused where they do not fit."""

from __future__ import annotations

import json

import pytest
import torch

from uncollapse.errors import UserError
from uncollapse.tasks.units import Units

UNITS = Units(centre=torch.tensor([[1.0, 2.0], [3.0, 4.0]]), spread=torch.tensor([[10.0, 1.0], [1.0, 0.5]]))


def test_samples_are_brought_back_by_hand() -> None:
    ones = torch.ones(1, 2, 2, dtype=torch.float64)
    assert UNITS.restore(ones).tolist() == [[[11, 3], [4, 4.5]]]
    assert UNITS.restore(ones.flatten(1)).tolist() == UNITS.restore(ones).tolist()
    last = Units(centre=UNITS.centre, spread=UNITS.spread, channels_last=True)
    assert last.restore(ones).tolist() == [[[11, 4], [3, 4.5]]]


@pytest.mark.parametrize("channels_last", [False, True])
def test_they_are_kept_as_plain_numbers(channels_last: bool) -> None:
    units = Units(centre=UNITS.centre, spread=UNITS.spread, channels_last=channels_last)
    again = Units.from_json(json.loads(json.dumps(units.to_json())), (2, 2))
    x = torch.randn(5, 2, 2)
    assert torch.equal(again.restore(x), units.restore(x))


@pytest.mark.parametrize(
    "told", [{"centre": [0.0], "spread": [1.0] * 4}, {"centre": [float("nan")] * 4, "spread": [1.0] * 4}]
)
def test_units_of_other_samples_are_refused(told: dict[str, list[float]]) -> None:
    with pytest.raises(UserError, match=r"The units do not fit samples of shape \(2, 2\)"):
        Units.from_json(told, (2, 2))
