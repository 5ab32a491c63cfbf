"""One generator is its body followed by its last layer."""

from __future__ import annotations

import torch
from torch import nn

from uncollapse.parts.population import OneGenerator


def test_one_generator_is_body_and_last_layer() -> None:
    body, last = nn.Linear(3, 5), nn.Linear(5, 2)
    module = OneGenerator().assemble(lambda: body, lambda: last)
    x = torch.randn(4, 3)
    torch.testing.assert_close(module(x, None), last(body(x)))
    assert OneGenerator().count == 1
    assert sum(value.numel() for value in module.parameters()) == 3 * 5 + 5 + 5 * 2 + 2
