"""Threads of torch: changed inside, as before afterwards."""

from __future__ import annotations

import pytest
import torch

from uncollapse.threads import threads


@pytest.mark.parametrize("count", [1, 3])
def test_the_number_is_put_back_whatever_happens(count: int) -> None:
    torch.set_num_threads(2)

    def inside() -> None:
        with threads(count):
            assert torch.get_num_threads() == count
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        inside()
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
