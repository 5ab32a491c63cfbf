"""When looks are due, and which fakes they get."""

from __future__ import annotations

import pytest
import torch

from uncollapse.errors import UserError
from uncollapse.monitor.window import Window


def looks(window: Window, steps: range) -> list[int]:
    """The steps at which looks were due and had."""
    found = []
    for step in steps:
        if window.step(step):
            found.append(step)
            window.done()
    return found


def test_looks_are_at_multiples_or_the_first_step_after_one() -> None:
    assert looks(Window(every=100, samples=50), range(350)) == [0, 100, 200, 300]
    assert looks(Window(every=100, samples=50), range(7, 400, 30)) == [7, 127, 217, 307]


def test_the_same_step_twice_is_one_look() -> None:
    window = Window(every=10, samples=50)
    assert window.step(0)
    window.done()
    assert not window.step(0)


def test_steps_that_fall_are_refused() -> None:
    window = Window(every=10, samples=50)
    window.step(900)
    with pytest.raises(UserError, match=r"step fell from 900 to 0; count steps over the whole run"):
        window.step(0)


def test_only_the_batches_before_a_look_are_kept() -> None:
    window = Window(every=100, samples=50)
    window.step(0)
    window.done()
    wanted = []
    for step in range(1, 101):
        due = window.step(step)
        if due or window.wants(16):
            wanted.append(step)
            window.keep(torch.full((16, 1), float(step)))
    # Four batches of 16 hold 50 fakes.
    assert wanted == [97, 98, 99, 100]
    taken = window.take()
    assert taken.flatten().tolist() == [97.0] * 2 + [98.0] * 16 + [99.0] * 16 + [100.0] * 16
    assert window.gathered == 0


def test_a_large_batch_is_kept_at_the_look_alone() -> None:
    window = Window(every=100, samples=50)
    window.step(0)
    window.done()
    assert [step for step in range(1, 101) if window.step(step) or window.wants(1_000)] == [100]


def test_steps_may_be_wide() -> None:
    window = Window(every=1_000, samples=64)
    window.step(0)
    window.done()
    # Two batches of 32 are wanted, and calls are 250 steps apart.
    assert [step for step in range(250, 1_001, 250) if window.step(step) or window.wants(32)] == [750, 1_000]


def test_what_is_kept_is_a_copy() -> None:
    window, batch = Window(every=10, samples=4), torch.ones(2, 1)
    window.keep(batch)
    batch.zero_()
    assert window.take().sum() == 2


def test_it_goes_on_from_a_checkpoint() -> None:
    one, other = Window(every=10, samples=8), Window(every=10, samples=8)
    one.step(9)
    one.keep(torch.ones(4, 1))
    other.restore(due=one.due, last=one.last, kept=one.peek())
    for window in (one, other):
        window.keep(torch.zeros(4, 1))
    assert torch.equal(one.take(), other.take())
    assert (other.due, other.last) == (0, 9)
    assert other.peek() is None
