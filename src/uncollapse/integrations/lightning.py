"""Lightning: `CollapseCallback` watches the generator of a LightningModule while it trains. Needs [lightning].

It works under both names of the package, ``lightning.pytorch`` and ``pytorch_lightning``.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from uncollapse.errors import UserError
from uncollapse.monitor import CollapseMonitor, MonitorVerdict
from uncollapse.monitor.choices import ALPHA, EVERY, HEALTHY, MARGIN, PATIENCE, SAMPLES

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

PACKAGES = ("lightning.pytorch", "pytorch_lightning")
Sampler = Callable[[int], object]

# The classes made so far, by the written class and the packages whose Callback each is.
_MADE: dict[tuple[type[CollapseCallback], tuple[str, ...]], type[CollapseCallback]] = {}


class CollapseCallback:
    """A `CollapseMonitor` as a callback of a Trainer.

        callback = CollapseCallback(reference=real, sampler="sample", every=500)
        trainer = Trainer(callbacks=[callback])

    It counts training batches itself, because under manual optimisation the trainer's own count goes up with every
    optimiser's step. Of several processes the first one looks; the host trains as it would without, to the last bit.

    Attributes:
        step: Training batches so far.
        monitor: Once training begins, in the first process; `monitor.verdict` is the last look.
    """

    # The name under which Lightning keeps its state in a checkpoint.
    state_key = "CollapseCallback"

    def __new__(cls, *given: object, **named: object) -> CollapseCallback:
        """An object that is a Callback of every Lightning that is imported: each trainer asks for its own."""
        return object.__new__(_with_bases(cls))

    def __init__(
        self,
        reference: object,
        *,
        sampler: str | Sampler = "sample",
        every: int = EVERY,
        samples: int = SAMPLES,
        labels: object = None,
        features: str | Callable[..., object] = "auto",
        cells: int | None = None,
        alpha: float = ALPHA,
        margin: float = MARGIN,
        healthy: float = HEALTHY,
        patience: int = PATIENCE,
        on_alarm: str | Callable[[MonitorVerdict], object] = "log",
        seed: int = 0,
        prefix: str = "collapse/",
    ) -> None:
        """Reads nothing of the reference before training begins.

        Args:
            reference: Real data, or the `reference` of another monitor.
            sampler: A function of n that makes n fakes from fresh latents, or the name of such a method of the module.
            every: Training batches from look to look.
            samples: As for `CollapseMonitor`, and so are `labels` to `patience`, and `seed`.
            labels: One a row of the reference.
            features: Name of an extractor, "auto", or a function.
            cells: Number of clusters.
            alpha: Chance of any false alarm in the whole run.
            margin: By how much coverage may fall below its best.
            healthy: Coverage that counts as healthy.
            patience: Looks after which a generator that was not healthy once is reported.
            on_alarm: "log", "stop" (asks the trainer to stop, after this batch), or a function of the verdict.
            seed: Of all draws of the monitor.
            prefix: What the names of the logged numbers begin with.

        Raises:
            UserError: A sampler or an action that cannot be.
        """
        if not isinstance(sampler, str) and not callable(sampler):
            raise UserError(f"sampler must be a function of n or the name of a method of the module, not {sampler!r}.")
        if on_alarm not in ("log", "stop") and not callable(on_alarm):
            raise UserError(f'on_alarm must be "log", "stop" or a function of the verdict, not {on_alarm!r}.')
        self.step = 0
        self.monitor: CollapseMonitor | None = None
        self._reference, self._sampler, self._every, self._prefix = reference, sampler, every, prefix
        self._stops, self._wants_stop = on_alarm == "stop", False
        self._settings: dict[str, Any] = {
            "every": every, "samples": samples, "labels": labels, "features": features, "cells": cells, "alpha": alpha,
            "margin": margin, "healthy": healthy, "patience": patience, "seed": seed,
            "on_alarm": "log" if on_alarm == "stop" else on_alarm,
        }  # fmt: skip
        self._state: dict[str, Any] | None = None

    def __reduce__(self) -> tuple[object, ...]:
        """For processes that are started with a copy; the class of this object was made here and has no address."""
        return _empty, (_own(type(self)),), self.__dict__

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prepares the reference and finds the sampler, in the first process."""
        self._wants_stop = False
        if not trainer.is_global_zero:
            return
        sampler = self._sampler
        if isinstance(sampler, str):
            found = getattr(pl_module, sampler, None)
            if not callable(found):
                raise UserError(
                    f"{type(pl_module).__name__} has no method {sampler!r}; write one that takes n and gives n fakes, "
                    "or give CollapseCallback a function as sampler=."
                )
            sampler = found
        if trainer.world_size > 1:
            sampler = functools.partial(_alone, sampler, pl_module)
        state, settings = self._state, self._settings
        if self.monitor is not None:  # a second call of fit goes on
            state, self._reference = state or self.monitor.state_dict(), self.monitor.reference
            settings = settings | {"labels": None, "features": "auto", "cells": None}
        self.monitor = CollapseMonitor(reference=self._reference, sampler=sampler, modules=(pl_module,), **settings)
        if state is not None:
            self.monitor.load_state_dict(state)
            self._state = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Looks where one is due; all processes learn of a wish to stop."""
        step, self.step = self.step, self.step + 1
        if self.monitor is not None and trainer.is_global_zero:
            before = len(self.monitor.history)
            verdict = self.monitor.update(step=step)
            if len(self.monitor.history) > before:
                self._wants_stop |= self._stops and verdict.alarm
                self._log(trainer, pl_module, verdict, step)
        if self._stops and step % self._every == 0:
            trainer.should_stop |= trainer.strategy.reduce_boolean_decision(self._wants_stop, all=False)

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint: the count, and the state of the monitor."""
        monitor = self._state if self.monitor is None else self.monitor.state_dict()
        return {"step": self.step, "monitor": monitor}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """From a checkpoint; the monitor takes it up when training begins."""
        self.step, self._state = state_dict["step"], state_dict["monitor"]
        if self._state is not None and isinstance(self._state["json"], str):  # as older versions kept it
            self._state = {**self._state, "json": json.loads(self._state["json"])}

    def _log(self, trainer: Trainer, module: LightningModule, verdict: MonitorVerdict, step: int) -> None:
        """Into the module's loggers at this step, whatever their interval, and for callbacks that watch a number."""
        numbers = {f"{self._prefix}{name}": value for name, value in _numbers(verdict)}
        for logger in module.loggers:
            logger.log_metrics(numbers, step=step)
        module.log_dict(numbers, logger=False, on_step=True, on_epoch=False, rank_zero_only=True)


def _numbers(verdict: MonitorVerdict) -> Iterator[tuple[str, float]]:
    named = {"coverage": verdict.coverage, "low": verdict.low, "best": verdict.best, "e_value": verdict.e_value}
    named |= {f"evidence/{sign.name}": sign.value for sign in verdict.evidence}
    for name, value in named.items():
        if value is not None and math.isfinite(value):
            yield name, float(value)
    yield "alarm", float(verdict.alarm)


def _alone(sampler: Sampler, module: nn.Module, n: int) -> object:
    """Samples in one process of several, where a batch norm that waits for the others would wait for ever."""
    waiting = [part for part in module.modules() if isinstance(part, nn.SyncBatchNorm) and part.training]
    for part in waiting:
        part.eval()
    try:
        return sampler(n)
    finally:
        for part in waiting:
            part.train()


def _with_bases(cls: type[CollapseCallback]) -> type[CollapseCallback]:
    """The class, made a Callback of the packages that are imported; of an installed one where none is yet."""
    imported = tuple(name for name in PACKAGES if name in sys.modules)
    key = _own(cls), imported or (_installed(),)
    if key not in _MADE:
        bases = tuple(importlib.import_module(name).Callback for name in key[1])
        _MADE[key] = type(cls.__name__, (key[0], *bases), {"__doc__": cls.__doc__, "_own": key[0]})
    return _MADE[key]


def _empty(cls: type[CollapseCallback]) -> CollapseCallback:
    return cls.__new__(cls)


def _own(cls: type[CollapseCallback]) -> type[CollapseCallback]:
    """The class as it was written."""
    found: type[CollapseCallback] = cls.__dict__.get("_own", cls)
    return found


def _installed() -> str:
    for name in PACKAGES:
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            return name
    raise UserError("Lightning is not installed; install it with pip install 'uncollapse[lightning]'.")
