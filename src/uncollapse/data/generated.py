"""Samples of a generator as a source: a function `f(n)`, a run directory of ours, or `module:factory`.

A function draws under a seed of its own, whatever it uses; the program's random streams are left as they were.
"""

from __future__ import annotations

import contextlib
import inspect
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from uncollapse.data.arrays import ArrayRows
from uncollapse.data.frames import as_frame, open_frame
from uncollapse.data.items import Row, as_array, pictures_of
from uncollapse.data.labels import label_texts
from uncollapse.data.limits import Fixed, reason, short
from uncollapse.data.objects import ObjectRows, failed
from uncollapse.errors import UserError
from uncollapse.plugins import REFERENCE, resolve

if TYPE_CHECKING:
    from uncollapse.run import Run
    from uncollapse.tasks import Task

DRAW = 500  # samples that a function is asked for at a time; the result does not depend on how they are read
FEW = 50  # samples that two draws may share by chance, where they are few numbers of few values
DEFAULT_SAMPLES = 10_000
RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))  # black and white of images, by their values


def drawn_rows(
    draw: Callable[[int], Any],
    *,
    name: str,
    form: str,
    place: str,
    n: int | None,
    seed: int,
    labels: Sequence[str] | None,
    label_column: str | None = None,
) -> ObjectRows:
    """A source of what a function draws.

    Args:
        draw: ``f(n)`` gives n samples as an array, a tensor, a DataFrame, a list of images or what holds one as
            `images`, or a pair of these and their n labels.
        name: A description.
        form: What it is, in words.
        place: How messages call it.
        n: Samples; None for 10,000.
        seed: Another one gives other samples, if the function uses random, NumPy or torch.
        labels: One a sample, instead of its own.
        label_column: Of a DataFrame, which column holds the labels.

    Raises:
        UserError: It fails, or gives anything else.
    """
    count = DEFAULT_SAMPLES if n is None else n
    draws = _Draws(draw, place, label_column, own_labels=labels is None)
    found = ObjectRows(
        draws.rows(count, seed), name=name, form=form, place=place, count=count, max_bad=Fixed(0), labels=labels
    )
    if draws.titles is not None:  # of the first draw, which is there by now
        found.heads, found.form = draws.heads, f"{form} of tables"
        found.notes.policies.update(draws.policies)
    return found


@dataclass
class _Draws:
    """What a function draws, row by row.

    Attributes:
        titles: Of the columns of DataFrames; None before the first draw and of anything else.
        heads: The titles of features by which tables are compared, as of a CSV file.
        policies: What was decided about the columns.
    """

    draw: Callable[[int], Any]
    place: str
    label_column: str | None
    own_labels: bool
    titles: tuple[object, ...] | None = None
    heads: tuple[str, ...] | None = None
    policies: Counter[str] = field(default_factory=Counter)

    def rows(self, count: int, seed: int) -> Iterator[Row]:
        """Rows in their order.

        Raises:
            UserError: The function fails, gives anything but one row a sample, or other columns than before.
        """
        before: NDArray[Any] | None = None
        for number, start in enumerate(range(0, count, DRAW)):
            asked = min(DRAW, count - start)
            try:
                with seeded(seed, number):
                    found = self.draw(asked)
            except (Exception, SystemExit) as error:  # an exit in the user's code would pass for a result of ours
                raise failed(self.place, f"drawing {asked} samples", error) from error
            samples, labels = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
            array, tensor, labels = self._array(samples, labels, first=not number)
            if array.ndim < 2 or len(array) != asked:
                raise UserError(
                    f"{self.place} gives an array of shape {array.shape} when asked for {asked} samples; it must give "
                    "one row a sample, (n, d) or (n, h, w[, c])."
                )
            if before is not None and _repeats(before, array):
                raise UserError(
                    f"{self.place} gives the same samples again when it is called again (for {DRAW} at a time), as if"
                    " it had a fixed seed or cut an array; draw new ones in every call, or give the array itself."
                )
            before = array
            texts = [None] * asked if labels is None else label_texts(labels, asked, self.place)
            yield from (Row(value=row, label=text, tensor=tensor) for row, text in zip(array, texts, strict=True))

    def _array(self, samples: object, labels: object, *, first: bool) -> tuple[NDArray[Any], bool, object]:
        """Samples as an array, whether they were a tensor, and their labels."""
        samples = pictures_of(samples)
        if isinstance(samples, Mapping):
            raise UserError(
                f"{self.place} gives a {type(samples).__name__} of {short(', '.join(map(str, samples)))}; it must give "
                "an array or a tensor, (n, d) or (n, h, w[, c]), or a pair of these and n labels."
            )
        frame = as_frame(samples)
        titles = None if frame is None else frame.titles
        if not first and titles != self.titles:
            raise UserError(f"{self.place} draws other columns than before; draw the same ones in the same order.")
        self.titles = titles
        if frame is None:
            return *as_array(samples, self.place), labels
        found = open_frame(frame, self.place, self.label_column, labels=self.own_labels and labels is None)
        self.heads, self.policies = found.heads, found.policies
        return found.rows, False, found.labels if labels is None else labels


def _repeats(before: NDArray[Any], now: NDArray[Any]) -> bool:
    """Whether two draws are the same samples, and not one sample repeated, as a collapsed generator makes it."""
    count = min(len(before), len(now))
    if count < FEW:
        return False
    same = before.shape[1:] == now.shape[1:] and np.array_equal(before[:count], now[:count])
    return same and bool((now[:count] != now[:1]).any())


@contextlib.contextmanager
def seeded(seed: int, number: int) -> Iterator[None]:
    """Runs a block under a seed made of two numbers, without gradients, and puts all random streams back afterwards."""
    import torch

    state = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    before = random.getstate(), np.random.get_state()  # noqa: NPY002 - the legacy stream is what a function may use
    with torch.random.fork_rng(), torch.no_grad():
        random.seed(state)
        np.random.seed(state)  # noqa: NPY002
        torch.manual_seed(state)
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002


def is_run(folder: Path) -> bool:
    """Whether a folder is a run of ours."""
    return (folder / "spec.json").is_file()


def is_run_object(given: object) -> TypeGuard[Run]:
    """Whether something is a run that was trained or loaded, without loading what trains runs."""
    module = sys.modules.get("uncollapse.run")
    return module is not None and isinstance(given, module.Run)


def run_rows(
    given: Path | Run, *, name: str, place: str, n: int | None, seed: int, plugins: Sequence[object]
) -> ArrayRows:
    """Samples of a run: of the averaged generator of the first seed that did not diverge, in the user's units.

    Args:
        given: The run, or its directory.
        name: What the user wrote.
        place: How messages call it.
        n: Samples; None for 10,000.
        seed: Which independent draw, from 0, as `uncollapse sample --draw`.
        plugins: What the run's specification needs.

    Raises:
        UserError: No intact run, or one whose samples are neither feature rows nor images.
    """
    from uncollapse.run import load

    count = DEFAULT_SAMPLES if n is None else n
    try:
        run = load(given, plugins=plugins) if isinstance(given, Path) else given
        alive = _first_alive(run)
        task = run.spec.task
        labels = task.balanced_labels(count) if run.spec.method.labelled else None
        samples = run.samples(count, seed=alive, labels=labels, draw=seed)
        texts = None if labels is None else label_texts(task.label_values[labels.numpy()], count, place)
        rows = _as_given(task, samples)
    except UserError as error:
        raise UserError(short(error)) from error
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{place} is no intact run ({reason(error)}); run `uncollapse doctor` on it.") from error
    return ArrayRows(rows, name=name, form="run of uncollapse", place=place, labels=texts)


def _first_alive(run: Run) -> int:
    lanes = run.metrics if run.status == "finished" else []
    alive = [lane["seed"] for lane in lanes if lane["diverged_at"] is None]
    if lanes and not alive:
        raise UserError(f"All seeds of {run.directory} diverged; there is no generator to draw from.")
    return int((alive or list(run.spec.seeds))[0])


def _as_given(task: Task, samples: Any) -> NDArray[Any]:
    """Samples in the data's units as the task's data are: images as bytes, everything else as numbers."""
    from uncollapse.sampling import pixels
    from uncollapse.tasks import Arrays

    images, drawn = len(task.shape) in (2, 3), np.asarray(samples)
    if not images:
        return drawn
    if not isinstance(task, Arrays):
        return pixels(drawn)
    values = np.asarray(task.x)
    low, high = float(values.min()), float(values.max())
    # The same reading as of a file: a generator without bounds is cut at black and white.
    limits = next((pair for pair in RANGES if pair[0] <= low and high <= pair[1]), None)
    return drawn if limits is None else pixels(drawn, limits)


def from_reference(reference: str, place: str) -> object:
    """What `module:factory` gives: the object of that name, called if it can be called without arguments.

    A function with one argument is taken as `f(n)` itself.

    Args:
        reference: What the user wrote as the data; never a text from a file.
        place: How messages call it.

    Raises:
        UserError: There is no such module or name, or it fails.
    """
    try:
        found = resolve(reference)
    except UserError as error:
        raise UserError(f"{place}: {str(error).removeprefix(f'--plugin {reference}: ')}") from error
    if not callable(found) or _wants_a_number(found):
        return found
    try:
        made: object = found()
    except (Exception, SystemExit) as error:
        raise failed(place, "calling it without arguments", error) from error
    if isinstance(made, str):
        raise UserError(f"{place} gives a text; return samples, a function f(n), a data set or a Path.")
    return made


def is_reference(text: str) -> bool:
    """Whether a text has the form module:factory."""
    return REFERENCE.fullmatch(text) is not None


def _wants_a_number(found: Callable[..., object]) -> bool:
    """Whether a function must be given exactly one argument."""
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return False
    empty = inspect.Parameter.empty
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [item.kind in by_place for item in parameters if item.default is empty and item.kind not in (2, 4)] == [True]
