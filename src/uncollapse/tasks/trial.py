"""A user's own task, tried on a few samples before it trains: which member gives what, and what is expected of it.

`spec.py` looks at what a task declares, `run.py` tries it; the project's own tasks are not tried, and no stream moves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.source_code import failure, written
from uncollapse.tasks.identity import is_own
from uncollapse.tasks.task import Modes, Task
from uncollapse.text import described

# No usual size of a batch, so that a source which always gives its own is seen.
TRIED = 11
# How far the shares of the modes may be from 1 together: what float32 loses over thousands of them.
ROUNDING = 1e-5


def check_declared(task: Task) -> None:
    """Refuses a user's own task whose shape, classes or fields no run can be made of; computes nothing.

    Raises:
        UserError: Names the member.
    """
    if not is_own(task):
        return
    wanted = "a tuple of whole numbers from 1, such as (2,) or (1, 28, 28)"
    shape = _called(task, "shape", lambda: task.shape, wanted)
    if not isinstance(shape, tuple) or not shape or not all(_whole(side, 1) for side in shape):
        raise _wrong(task, "shape", repr(shape), wanted)
    wanted = "the number of labels, 0 where the data carry none"
    classes = _called(task, "classes", lambda: task.classes, wanted)
    if not _whole(classes, 0):
        raise _wrong(task, "classes", repr(classes), wanted)
    task.spec()


def try_task(
    task: Task,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    labelled: bool = False,
) -> None:
    """Refuses a user's own task one of whose members gives what training or judging cannot use.

    Args:
        task: Is about to be learnt.
        seed: One of the run's.
        device: Where it is to train.
        dtype: What it trains in.
        labelled: Whether the method asks for labels.

    Raises:
        UserError: Names the member, what it gave and what is expected.
    """
    if not is_own(task):
        return
    from uncollapse.data.generated import seeded  # puts the global streams back, from which a task may draw

    with seeded(0, 0):
        _try_modes(task)
        _try_source(task, seed, torch.device(device), dtype)
        for member in ("held_out", "sample"):
            x, _ = _batch(task, member, partial(getattr(task, member), TRIED, stream(0, "trial", dtype=dtype)))
        x = x.cpu().to(dtype)
        _try_assign(task, x)
        labels = _labels(task, TRIED) if labelled else None
        _try_further(task, x, labels, dtype)
        if _is_theirs(task, "to_original"):
            _try_original(task, x)


def _try_modes(task: Task) -> None:
    wanted = "a Modes(names=..., weights=...)"
    modes = _called(task, "modes", lambda: task.modes, wanted)
    if not isinstance(modes, Modes):
        raise _wrong(task, "modes", described(modes), wanted)
    names, weights = modes.names, modes.weights
    if not isinstance(names, tuple | list) or not names or not all(isinstance(name, str) for name in names):
        raise _wrong(task, "modes.names", repr(names)[:100], "a tuple or a list with a text of each mode")
    right = isinstance(weights, Tensor) and weights.is_floating_point() and weights.shape == (len(names),)
    if not right or weights.device.type != "cpu":
        wanted = f"a float64 tensor of shape ({len(names)},) on the CPU, a share of each name"
        raise _wrong(task, "modes.weights", described(weights), wanted)
    total = float(weights.double().sum())
    if not bool((weights > 0).all()) or not math.isclose(total, 1, abs_tol=ROUNDING):
        got = f"shares that sum to {total:g}, the least of them {float(weights.min()):g}"
        raise _wrong(task, "modes.weights", got, "shares above 0 that sum to 1, as weights / weights.sum()")


def _try_source(task: Task, seed: int, device: torch.device, dtype: torch.dtype) -> None:
    wanted = "a function (n, draw) -> (samples, labels or None)"
    source = _called(task, "source", lambda: task.source(seed, device=device, dtype=dtype), wanted)
    if not callable(source):
        raise _wrong(task, "source", described(source), wanted)
    member = "source(...)(n, draw)"
    one, other = (
        _batch(task, member, lambda: source(TRIED, stream(seed, "trial", device=device, dtype=dtype))) for _ in range(2)
    )
    x, labels = one
    for value in (item for item in one if item is not None):
        if value.device.type != device.type:
            raise _wrong(task, member, described(value), f"tensors on {device}, the device that it is asked for")
    if x.dtype != dtype:
        raise _wrong(task, member, described(x), f"samples of {dtype}, the dtype that it is asked for")
    same = torch.allclose(x, other[0]) and (labels is None or torch.equal(labels, other[1]))
    if not same:
        got = "other samples when it was asked again with the same draw"
        raise _wrong(task, member, got, "the same ones, or no run could be continued; take all chance from `draw`")


def _batch(task: Task, member: str, draw: Callable[[], Any]) -> tuple[Tensor, Any]:
    """Samples and labels that a member draws, once both are what they should be."""
    form = (TRIED, *task.shape)
    wanted = f"the pair (samples, labels), samples a floating tensor of shape {form}, labels None where there are none"
    drawn = _called(task, member, draw, wanted)
    if not isinstance(drawn, tuple | list) or len(drawn) != 2:
        raise _wrong(task, member, described(drawn), wanted)
    x, labels = drawn
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.shape != form:
        raise _wrong(task, member, f"samples that are {described(x)}", f"a floating tensor of shape {form}")
    if not bool(x.isfinite().all()):
        raise _wrong(task, member, "samples with NaN or infinity", "finite numbers")
    if task.classes or labels is not None:
        _check_labels(task, member, labels, TRIED)
    return x, labels


def _check_labels(task: Task, member: str, labels: Any, n: int) -> None:
    classes = task.classes
    wanted = f"int64 of shape ({n},) from 0 to {classes - 1}" if classes else "None, because `classes` is 0"
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.shape != (n,) or not classes:
        raise _wrong(task, member, f"labels that are {described(labels)}", wanted)
    if not bool(((labels >= 0) & (labels < classes)).all()):
        raise _wrong(task, member, f"labels from {int(labels.min())} to {int(labels.max())}", wanted)


def _labels(task: Task, n: int) -> Tensor:
    """What a conditional generator is asked for."""
    labels: Tensor = _called(
        task, "balanced_labels", lambda: task.balanced_labels(n), f"{n} labels below {task.classes}"
    )
    _check_labels(task, "balanced_labels", labels, n)
    return labels


def _try_assign(task: Task, x: Tensor) -> None:
    """Asks for the modes of real samples, and of the same with one that is not finite, as of a seed that diverges."""
    last = len(task.modes) - 1
    wanted = (
        f"the pair of int64 modes ({TRIED},) from -1 to {last} and bool quality ({TRIED},) on the CPU, -1 and False of"
        " a sample that is not finite"
    )
    broken = x.clone()
    broken[0] = math.nan
    for some, what in ((x, "assign"), (broken, "assign (asked about a sample of NaN)")):
        found = _called(task, what, partial(task.assign, some), wanted)
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise _wrong(task, what, described(found), wanted)
        for value, name, kind in zip(found, ("modes", "quality"), (torch.int64, torch.bool), strict=True):
            right = isinstance(value, Tensor) and value.dtype == kind and value.shape == (TRIED,)
            if not right or value.device.type != "cpu":
                raise _wrong(task, what, f"{name} of another kind, {described(value)}", wanted)
        mode, good = found
        if not bool(((mode >= -1) & (mode <= last)).all()):
            raise _wrong(task, what, f"modes from {int(mode.min())} to {int(mode.max())}", wanted)
    if int(mode[0]) != -1 or bool(good[0]):
        got = f"mode {int(mode[0])} and {bool(good[0])} of it"
        raise _wrong(task, what, got, "-1 and False where x.flatten(1).isfinite().all(1) does not hold")


def _try_original(task: Task, x: Tensor) -> None:
    wanted = f"a tensor of {TRIED} samples, one of each"
    found = _called(task, "to_original", lambda: task.to_original(x), wanted)
    if not isinstance(found, Tensor) or found.ndim < 2 or len(found) != TRIED:
        raise _wrong(task, "to_original", described(found), wanted)


def _try_further(task: Task, x: Tensor, labels: Tensor | None, dtype: torch.dtype) -> None:
    """What is wrong of a few samples counts only if it is of as many as a result measures: some measures need many."""
    if not _is_theirs(task, "further_measures"):
        return
    try:
        _check_further(task, x, labels)
    except UserError:
        size = task.measure_size
        many = task.sample(size, stream(0, "trial", dtype=dtype))[0].cpu().to(dtype)
        _check_further(task, many, None if labels is None else _labels(task, size))


def _check_further(task: Task, x: Tensor, labels: Tensor | None) -> None:
    member = "further_measures"
    wanted = "a dict of names to finite numbers or None, {} for nothing"
    found = _called(task, member, lambda: task.further_measures(x, labels), wanted)
    if not isinstance(found, Mapping):
        raise _wrong(task, member, described(found), wanted)
    for name, value in found.items():
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not isinstance(name, str) or not (value is None or number):
            shown = repr(value) if isinstance(value, int | float) else described(value)
            raise _wrong(task, member, f"{name!r}: {shown}", wanted)


def _is_theirs(task: Task, member: str) -> bool:
    """Whether a member that may be left out is written by the user."""
    return any(member in vars(kind) for kind in written(type(task)))


def _called(task: Task, member: str, function: Callable[[], Any], wanted: str) -> Any:
    """What a member gives; what it raises is told in one sentence."""
    try:
        return function()
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{member} of task {task.name!r} fails on a trial: {failure(error)}; it must give {wanted}."
        ) from error


def _wrong(task: Task, member: str, got: str, wanted: str) -> UserError:
    return UserError(f"{member} of task {task.name!r} gives {got}; it must give {wanted}.")


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
