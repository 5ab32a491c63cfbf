"""Where the numbers of a run go besides its own files: what a logger is, and why none of them can stop training.

The sitting calls a `Guarded` group at every line of `history.jsonl`, which it writes anyway. The loggers with a name
live in `integrations`; any object with the three methods is one.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from uncollapse.errors import UserError, unknown
from uncollapse.text import clean

_log = logging.getLogger(__name__)

# Groups of a line of the history under the names they are shown by; what is not here keeps its own.
SHOWN = {"measures": "averaged", "measures_live": "live"}


class Logger(Protocol):
    """What is told of a run, in this order: once `start`, `log` for each line, once `finish`.

    It may raise: it is then told once and not called again, and training goes on.
    """

    def start(self, spec: Mapping[str, object], directory: Path) -> None:
        """A run begins or goes on.

        Args:
            spec: The content of its `spec.json`.
            directory: Its directory.
        """

    def log(self, row: Mapping[str, object]) -> None:
        """A line of its `history.jsonl`, as it was written there. A continued run may repeat updates."""

    def finish(self, result: Mapping[str, object]) -> None:
        """It is over.

        Args:
            result: The content of its `result.json`; {} where it stopped before the end.
        """


class Guarded:
    """Several loggers as one that never raises.

    An error of a logger becomes one warning, and that logger is left out from then on. `KeyboardInterrupt` and
    `SystemExit` pass, because they are not the logger's. What a logger does to the numbers it is given, or to torch's
    gradient mode, threads and default type, does not reach the training.
    """

    def __init__(self, loggers: Sequence[Logger]) -> None:
        """Calls none yet."""
        self._loggers = list(loggers)

    def __len__(self) -> int:
        """Loggers that still work."""
        return len(self._loggers)

    def start(self, spec: Mapping[str, object], directory: Path) -> None:
        """As `Logger.start`."""
        self._tell(lambda logger: logger.start(copy.deepcopy(spec), directory))

    def log(self, row: Mapping[str, object]) -> None:
        """As `Logger.log`; each gets a copy of its own, because training goes on with the numbers of the line."""
        self._tell(lambda logger: logger.log(copy.deepcopy(row)))

    def finish(self, result: Mapping[str, object]) -> None:
        """As `Logger.finish`."""
        self._tell(lambda logger: logger.finish(copy.deepcopy(result)))

    def _tell(self, call: Callable[[Logger], None]) -> None:
        """Calls every logger, and leaves torch as it was, whatever they do to it."""
        for logger in tuple(self._loggers):
            before = torch.is_grad_enabled(), torch.get_num_threads(), torch.get_default_dtype()
            try:
                call(logger)
            except Exception as error:
                self._drop(logger, error)
            finally:
                now = torch.is_grad_enabled(), torch.get_num_threads(), torch.get_default_dtype()
                if now != before:
                    torch.set_grad_enabled(before[0])
                    torch.set_num_threads(before[1])
                    torch.set_default_dtype(before[2])

    def _drop(self, logger: Logger, error: Exception) -> None:
        self._loggers = [other for other in self._loggers if other is not logger]
        why = " ".join(clean(str(error).replace("\n", " ")).split())[:300]
        name = type(logger).__name__
        _log.warning("%s failed and is not used any more, training goes on (%s: %s)", name, type(error).__name__, why)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a logger with a name is.

    Attributes:
        module: The module that holds it.
        attribute: Its class.
        package: What it needs.
    """

    module: str
    attribute: str
    package: str


PLACES = {
    "tensorboard": Place(
        module="uncollapse.integrations.tensorboard", attribute="TensorBoardLogger", package="tensorboard"
    ),
    "wandb": Place(module="uncollapse.integrations.wandb", attribute="WandbLogger", package="wandb"),
}


def find_loggers(names: Sequence[str]) -> tuple[Logger, ...]:
    """The loggers of these names, each once, in this order.

    Raises:
        UserError: There is no logger of a name, or its package is not installed.
    """
    if isinstance(names, str):
        names = [names]
    return tuple(_find(name) for name in dict.fromkeys(names))


def _find(name: str) -> Logger:
    place = PLACES.get(name)
    if place is None:
        raise unknown("logger", clean(name), PLACES)
    if importlib.util.find_spec(place.package) is None:
        raise UserError(f"The logger {name} needs {place.package}; install it with pip install 'uncollapse[{name}]'.")
    found: Logger = getattr(importlib.import_module(place.module), place.attribute)()
    return found


@dataclass(frozen=True, kw_only=True)
class Scalar:
    """One number of a line for each seed.

    Attributes:
        name: As ``losses/critic`` or ``averaged/modes_solid``.
        values: One a seed, in the order of the run's seeds; None where a seed has none.
    """

    name: str
    values: tuple[float | None, ...]

    @property
    def mean(self) -> float | None:
        """Over the seeds that have one; a diverged seed has none in a line of the history."""
        known = [value for value in self.values if value is not None]
        return sum(known) / len(known) if known else None


def scalars(row: Mapping[str, object], seeds: int) -> Iterator[Scalar]:
    """The numbers of a line of the history: every list that has one number, or null, a seed.

    Args:
        row: The line.
        seeds: How many seeds the run has.
    """
    for group, content in row.items():
        if isinstance(content, Mapping):
            for name, values in content.items():
                if isinstance(values, list) and len(values) == seeds and all(map(_is_number, values)):
                    shown = tuple(None if value is None else float(value) for value in values)
                    yield Scalar(name=f"{SHOWN.get(group, group)}/{name}", values=shown)


def final_scalars(result: Mapping[str, object]) -> Iterator[Scalar]:
    """The measures of a result, of averaged and live weights, one number or None a seed."""
    from uncollapse.metrics.modes import diverged_value

    lanes = result.get("lanes")
    if not isinstance(lanes, list):
        return
    for weights in ("averaged", "live"):
        tables = [lane["measures"].get(weights, {}) for lane in lanes]
        for name in dict.fromkeys(name for table in tables for name in table):
            # As in a comparison: a diverged seed covers nothing, and where zero would be praise it is left out.
            values = [
                table.get(name) if lane.get("diverged_at") is None else diverged_value(name)
                for lane, table in zip(lanes, tables, strict=True)
            ]
            if all(map(_is_number, values)):
                shown = tuple(None if value is None else float(value) for value in values)
                yield Scalar(name=f"final/{weights}/{name}", values=shown)


def update(row: Mapping[str, object]) -> int:
    """The critic update of a line."""
    found = row.get("update")
    return found if isinstance(found, int) else 0


def seeds_of(spec: Mapping[str, object]) -> tuple[int, ...]:
    """The seeds of a spec, in the order of its lanes."""
    found = spec.get("seeds")
    return tuple(found) if isinstance(found, list | tuple) else ()


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
