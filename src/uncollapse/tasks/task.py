"""What to learn: the `Task` type, its true modes, and the rules every task shares.

`mixtures`, `digits` and `arrays` hold the tasks; training draws from `source`, measures judge with `assign`.
A task knows its data and its modes and nothing about methods or training.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uncollapse.draws import Draw, stream
from uncollapse.errors import UserError, unknown
from uncollapse.networks.mlp import MLP
from uncollapse.networks.network import Networks
from uncollapse.tasks.identity import is_own, own_code, own_fields, own_identity
from uncollapse.text import reason

# Samples a seed that a snapshot judges: of small vectors (up to so many numbers), and of images.
PLANAR, JUDGED, JUDGED_IMAGES = 16, 2_500, 1_000

Batch = tuple[Tensor, Tensor | None]
Source = Callable[[int, Draw], Batch]


@dataclass(frozen=True, kw_only=True, eq=False)
class Modes:
    """The true modes of a task.

    Attributes:
        names: One name a mode, for example ``"(0, 5)"`` or ``"digit 3"``.
        weights: The share of the data in each mode, float64 (K,), summing to 1.
    """

    names: tuple[str, ...]
    weights: Tensor

    def __len__(self) -> int:
        """K, the number of modes."""
        return len(self.names)


@dataclass(frozen=True, kw_only=True, eq=False)
class Task(ABC):
    """What a generator is asked to learn; two tasks are equal when their specs are.

    Attributes:
        name: What `find` accepts, for example ``"ring-8"``.
        train_size: Number of training rows. None means a fresh infinite stream (synthetic tasks) or the whole training
            split (real data).
        networks: Networks that suit the task unless a run says otherwise.
        updates: The task's own budget, in critic updates.
        batch: Real samples per critic update.
        measure_size: Generated samples (N) that the mode measures look at.
        summary: One sentence.
    """

    options: ClassVar[tuple[str, ...]] = ("train_size",)

    name: str
    train_size: int | None = None
    networks: Networks = MLP()  # noqa: RUF009  (frozen, so sharing one is safe)
    updates: int = 20_000
    batch: int = 256
    measure_size: int = 10_000
    summary: str = ""

    def __post_init__(self) -> None:
        """Refuses sizes that are not whole numbers of at least 1."""
        own_code(self)  # which reads a file of the user's once, now, and not after somebody has edited it
        size, judged = self.train_size, self.measure_size
        if isinstance(judged, bool) or not isinstance(judged, int) or judged < 1:
            raise UserError(f"measure_size must be a whole number of at least 1, not {judged!r}.")
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
            raise UserError(
                f"train_size must be a whole number of at least 1, not {size!r}; leave it out for "
                f"{'the whole training split' if self.available else 'a fresh sample in every batch'}."
            )
        if size is not None and self.available is not None and size > self.available:
            raise UserError(
                f"train_size={size} is more than the {self.available} training rows of task {self.name!r}; "
                f"choose at most {self.available}."
            )

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample, for example (2,) or (8, 8)."""

    @property
    @abstractmethod
    def classes(self) -> int:
        """Number of labels; 0 when the data carry none."""

    @property
    def label_values(self) -> NDArray[Any]:
        """What the data call their labels, (classes,): label k of a batch stands for entry k."""
        return np.arange(self.classes)

    @property
    @abstractmethod
    def modes(self) -> Modes:
        """The true modes."""

    @property
    def real_quality(self) -> float:
        """Share of real samples that are of high quality, 0 .. 1; 1 where a task does not know it."""
        return 1.0

    @property
    def available(self) -> int | None:
        """Rows of the training split; None when the data never end."""
        return None

    @property
    def slug(self) -> str:
        """The name as part of a file name: letters, digits, dots and hyphens only."""
        return re.sub(r"[^A-Za-z0-9.]+", "-", self.name).strip("-.") or "task"

    @abstractmethod
    def sample(self, n: int, draw: Draw) -> Batch:
        """n samples (n, *shape) of the data the generator may learn from, and their labels (n,) int64 or None."""

    @abstractmethod
    def held_out(self, n: int, draw: Draw) -> Batch:
        """Like `sample`, from data that are never trained on (fresh for synthetic tasks)."""

    @abstractmethod
    def assign(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mode of each sample and whether it is of high quality.

        Args:
            x: Samples (n, *shape), or flattened (n, prod(shape)).

        Returns:
            int64 (n,) in [0, K), with -1 for a sample that is not finite, and bool (n,) (False for such a sample).
        """

    @abstractmethod
    def source(self, seed: int, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Source:
        """What training draws from: a function (n, draw) -> (real (n, *shape), labels (n,) or None).

        With `train_size` the rows are fixed first, from ``stream(seed, "train set")`` on the CPU, so that every device
        trains on the same set; batches then pick rows with replacement.
        """

    @property
    def snapshot_size(self) -> int:
        """Generated samples of each seed that a snapshot within a run judges; its result judges `measure_size`."""
        return min(self.measure_size, JUDGED if math.prod(self.shape) <= PLANAR else JUDGED_IMAGES)

    def further_measures(self, x: Tensor, labels: Tensor | None) -> dict[str, float | None]:
        """What this task measures of a result beside the mode measures that all tasks share.

        Args:
            x: Generated samples (n, *shape) on the CPU, n = `measure_size`.
            labels: int64 (n,), what a conditional generator was asked for; None for an unconditional one.

        Returns:
            Numbers by the names in `metrics.further.FURTHER`, None where one does not apply.
        """
        return {}

    def to_original(self, x: Tensor) -> Tensor:
        """Generated samples (n, *shape) in the units and the layout of the data; most tasks learn them as they are."""
        return x

    def balanced_labels(self, n: int) -> Tensor:
        """n labels in class order whose counts are proportional to the modes' weights, by largest remainder.

        Returns:
            int64 (n,).

        Raises:
            UserError: The data carry no labels.
        """
        if not self.classes:
            raise UserError(f"Task {self.name!r} has no labels; choose an unconditional method or give labels.")
        exact = self.modes.weights.double() * n
        counts = exact.floor().long()
        remainder_first = torch.argsort(exact - counts, descending=True, stable=True)
        counts[remainder_first[: n - int(counts.sum())]] += 1
        return torch.repeat_interleave(torch.arange(len(counts)), counts)

    def but(self, **changes: Any) -> Self:
        """The same task with other options.

        Raises:
            UserError: An option that this task does not have, naming the nearest one, or one that its class does not
                take.
        """
        for option in changes:
            if option not in self.options:
                raise unknown("task option", option, self.options)
        return self.with_fields(**changes)

    def with_fields(self, **changes: Any) -> Self:
        """The same task with other values in its fields, whether they are options or not.

        Raises:
            UserError: It is a user's own whose class does not take them.
        """
        if not changes:
            return self
        names, own = ", ".join(changes), is_own(self)
        advice = f"declare what {type(self).__name__} holds as dataclass fields, in place of an __init__ of its own."
        try:
            made = dataclasses.replace(self, **changes)
        except UserError:
            raise
        except (TypeError, ValueError) as error:
            if not own:
                raise
            raise UserError(
                f"Task {self.name!r} cannot be made again with {names} changed ({reason(error)}); {advice}"
            ) from error
        for name, value in changes.items():
            old = getattr(self, name)
            if own and getattr(made, name) is old and not (value is old or (type(value) is type(old) and value == old)):
                raise UserError(f"Task {self.name!r} does not take up {name}={value!r}; {advice}")
        return made

    def spec(self) -> dict[str, Any]:
        """JSON of the task: its name and the options that differ from the default; `from_spec` reads it.

        Of a user's own task also its class, and the fields of its own that differ; an option of theirs is among them.
        """
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        own = own_fields(self)
        kept = [key for key in self.options if key in defaults and key not in own]
        changed = {key: getattr(self, key) for key in kept if getattr(self, key) != defaults[key]}
        return {"name": self.name, **changed, **self._own_identity}

    @cached_property
    def _own_identity(self) -> dict[str, Any]:
        """Kept, because what a field holds may be large."""
        return own_identity(self)

    def __eq__(self, other: object) -> bool:
        """Equal when the specs are."""
        return isinstance(other, Task) and self.spec() == other.spec()

    def __hash__(self) -> int:
        """Agrees with equality."""
        return hash(json.dumps(self.spec(), sort_keys=True))


def rows(x: Tensor, labels: Tensor | None, *, device: torch.device | str, dtype: torch.dtype) -> Source:
    """A source that picks rows of a finite set with replacement.

    Args:
        x: The set (n, *shape).
        labels: int64 (n,) or None.
        device: Where batches are wanted.
        dtype: Floating type of batches.
    """
    x = x.to(device, dtype)
    labels = None if labels is None else labels.to(device)

    def draw_rows(n: int, draw: Draw) -> Batch:
        picked = draw.integers(len(x), n).to(x.device)
        return x[picked], None if labels is None else labels[picked]

    return draw_rows


def training_rows(seed: int, available: int, train_size: int | None) -> Tensor:
    """Indices of the training rows that one seed sees: all of them, or `train_size` drawn without replacement."""
    if train_size is None:
        return torch.arange(available)
    return stream(seed, "train set").permutation(available)[:train_size]
