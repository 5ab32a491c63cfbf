"""How many threads torch computes with, for a while: the one place that changes the number and puts it back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Torch computes with `count` threads inside, and with as many as before afterwards, whatever happens."""
    import torch  # who only names threads need not wait for it

    before = torch.get_num_threads()
    if count == before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
