"""Generators whose modes are known at every update, for `monitor.py`: drifting ones, and real trainings of our own.

A drifting generator makes fresh real samples of modes in shares that it knows, with a noise that shrinks and fluctuates
as the quality of a trained one does. It is healthy, or it loses modes at an update that it knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uncollapse.draws import stream
from uncollapse.loop import Trainer
from uncollapse.run import make_spec
from uncollapse.tasks import find
from uncollapse.tasks.digits import split

Array = NDArray[np.float64]

# Updates of a run, from look to look, and in which half of the modes fade.
UPDATES, EVERY, FADING = 20_000, 500, 200
TRAINED_UPDATES = 8_000
# Part of its share from which on a true mode is alive, as for the measure `modes_solid`.
ALIVE = 0.2
REFERENCES, REFERENCE_ROWS = 20, 600
JUDGED = 4_000


@dataclass(frozen=True, kw_only=True)
class Data:
    """Real samples with their modes.

    Attributes:
        weights: Share of each mode (K,).
        reference: Seed -> rows for the monitor.
        fresh: Modes (n,), seed of the reference, draws -> samples of these modes that are not in that reference.
        sigma: Noise of a generator that has learned all it will.
    """

    weights: Array
    reference: Callable[[int], Tensor]
    fresh: Callable[[NDArray[np.int64], int, np.random.Generator], Tensor]
    sigma: float


def blobs() -> Data:
    """Eight blobs in the plane."""
    task = find("blobs-8")
    centres, sigma = torch.tensor(task.centres), task.sigma

    def fresh(modes: NDArray[np.int64], seed: int, draws: np.random.Generator) -> Tensor:
        return centres[modes] + sigma * torch.from_numpy(draws.standard_normal((len(modes), 2))).float()

    return Data(
        weights=task.modes.weights.numpy(), fresh=fresh, sigma=0.3 * sigma,
        reference=lambda seed: task.held_out(REFERENCE_ROWS, stream(seed, "monitor reference"))[0],
    )  # fmt: skip


def digits() -> Data:
    """Handwritten digits; a reference is 600 of them, and a generator draws from the other 1,197."""
    data = split()
    images = torch.cat([data.train, data.held_out])
    labels = torch.cat([data.train_labels, data.held_out_labels]).numpy()

    @cache
    def order(seed: int) -> NDArray[np.int64]:
        return np.random.default_rng([1, seed]).permutation(len(images))

    def fresh(modes: NDArray[np.int64], seed: int, draws: np.random.Generator) -> Tensor:
        rest = order(seed)[REFERENCE_ROWS:]
        members = [rest[labels[rest] == mode] for mode in range(10)]
        return images[[members[mode][draws.integers(len(members[mode]))] for mode in modes]]

    shares = np.bincount(labels, minlength=10) / len(labels)
    return Data(
        weights=shares, fresh=fresh, sigma=0.1, reference=lambda seed: images[order(seed)[:REFERENCE_ROWS]]
    )  # fmt: skip


@cache
def data_of(name: str) -> Data:
    """The data of a task."""
    return {"blobs-8": blobs, "digits": digits}[name]()


class Source(Protocol):
    """A generator at one update after the other.

    Attributes:
        weights: Share of the data in each true mode.
        planted: Update at which modes begin to fade; None for never.
    """

    weights: Array
    planted: int | None

    def at(self, update: int) -> Array:
        """Goes to an update; the true share of each mode there, (K,)."""

    def sample(self, n: int) -> Tensor:
        """n fresh samples."""


class Drifting:
    """A simulated training.

    The logarithms of the modes' shares wander (autoregressive, correlation .8 from look to look, standard deviation .2,
    .35 or .5), all modes but two first appear within 3,000 updates, the noise falls from five times its end within
    about 5,000 updates and fluctuates by a third.
    """

    def __init__(self, name: str, run: int, *, lost: int) -> None:
        """Draws the whole course of a run.

        Args:
            name: Of the data.
            run: Number of the run, the seed of everything.
            lost: Modes that fade from `planted` on; 0 for a healthy run.
        """
        self._draws = np.random.default_rng([7, run, lost, len(name)])
        self._data, self._reference = data_of(name), run % REFERENCES
        self.weights = self._data.weights
        k, grid = len(self.weights), UPDATES // EVERY + 2
        self._spread = (0.2, 0.35, 0.5)[run % 3]
        self._logs, self._noise = self._wander(grid, k), self._wander(grid, 1)[:, 0]
        self._born = np.where(np.arange(k) < 2, 0, self._draws.integers(0, 3_000, k))[self._draws.permutation(k)]
        self._fading = self._draws.permutation(k)[:lost]
        self.planted = int(self._draws.integers(6_000, UPDATES - 1_000)) if lost else None
        self.at(0)

    def _wander(self, steps: int, width: int) -> Array:
        rows = [self._draws.standard_normal(width)]
        for _ in range(steps - 1):
            rows.append(0.8 * rows[-1] + 0.6 * self._draws.standard_normal(width))
        return np.stack(rows)

    def at(self, update: int) -> Array:
        """Goes to an update."""
        place, part = divmod(update / EVERY, 1)
        here, there = self._logs[int(place)], self._logs[int(place) + 1]
        shares = self.weights * np.exp(self._spread * ((1 - part) * here + part * there))
        shares = shares * (self._born <= update)
        if self.planted is not None:
            shares[self._fading] *= np.clip(1 - (update - self.planted) / FADING, 0, 1)
        self._shares = shares / shares.sum()
        self._sigma = self._data.sigma * (1 + 4 * np.exp(-update / 2_000)) * np.exp(0.3 * self._noise[int(place)])
        return self._shares

    def sample(self, n: int) -> Tensor:
        """n fresh samples: real ones of these modes, with noise."""
        modes = self._draws.choice(len(self.weights), n, p=self._shares)
        x = self._data.fresh(modes, self._reference, self._draws)
        return x + self._sigma * torch.from_numpy(self._draws.standard_normal(x.shape)).float()


class Trained:
    """A seed of a real training, perhaps with a filter behind it that rejects half of the modes from an update on.

    True modes are those that the task assigns, of `JUDGED` samples at every look.
    """

    def __init__(self, trainer: Trainer, lane: int, seed: int, *, lost: int) -> None:
        """A view of one lane; the trainer is moved on by `courses`."""
        self._trainer, self._lane, self._task = trainer, lane, trainer.spec.task
        self.weights = self._task.modes.weights.numpy()
        draws = np.random.default_rng([11, seed, lost])
        self._fading = draws.permutation(len(self.weights))[:lost]
        self.planted = int(draws.integers(3_000, TRAINED_UPDATES - 1_000)) if lost else None
        self._number = 0

    def at(self, update: int) -> Array:
        """The shares of the modes now."""
        part = 0.0 if self.planted is None else float(np.clip((update - self.planted) / FADING, 0, 1))
        self._gone = self._fading[: round(part * len(self._fading))]
        mode, _ = self._task.assign(self.sample(JUDGED))
        return np.bincount(mode[mode >= 0].numpy(), minlength=len(self.weights)) / len(mode)

    def sample(self, n: int) -> Tensor:
        """n fresh samples of the live generator, without the modes that are gone."""
        kept: list[Tensor] = []
        for _ in range(20):
            self._number += 1
            x = self._trainer.lane_samples(self._lane, n, averaged=False, draw=1_000 + self._number)
            mode, _ = self._task.assign(x)
            kept.append(x[~np.isin(mode.numpy(), self._gone)])
            if sum(map(len, kept)) >= n:
                break
        return torch.cat(kept)[:n]


def courses(name: str, seeds: list[int]) -> Iterator[tuple[int, Callable[[int, int], Trained]]]:
    """Trains r3gan on a task, and stops at every look; gives the update and what makes a view of a lane.

    Args:
        name: Of the task.
        seeds: Trained together.
    """
    trainer = Trainer(make_spec("r3gan", name, seeds=seeds, updates=TRAINED_UPDATES))
    for update in range(EVERY, TRAINED_UPDATES + 1, EVERY):
        trainer.advance(update)
        yield update, lambda lane, lost: Trained(trainer, lane, seeds[lane], lost=lost)


def healthy(shares: list[Array], weights: Array, margin: float) -> bool:
    """Whether the data in true modes that are alive never fell by more than the margin below its best."""
    alive = [float(weights[now >= ALIVE * weights].sum()) for now in shares]
    best = np.maximum.accumulate(alive)
    return bool((best - np.array(alive) <= margin + 1e-9).all())
