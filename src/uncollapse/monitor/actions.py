"""What happens on an alarm: a line in the log, a stop, a function of the user, or back to the last good look."""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.monitor.verdict import MonitorVerdict

LOG = logging.getLogger("uncollapse.monitor")
ACTIONS = ("log", "stop", "rollback")

OnAlarm = str | Callable[[MonitorVerdict], object]
# Save and restore; `Reaction.keep` and `Reaction.act` say when they are called.
Checkpoint = tuple[Callable[[], object], Callable[[], object]]


class CollapseStop(RuntimeError):
    """Raised on an alarm under ``on_alarm="stop"``.

    Attributes:
        verdict: The look that raised it.
    """

    def __init__(self, verdict: MonitorVerdict) -> None:
        super().__init__(str(verdict))
        self.verdict = verdict


class Stateful(Protocol):
    """A network, an optimiser, a schedule: what has a state_dict."""

    def state_dict(self) -> Any:
        """Its state."""

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Back to a state."""


def several(given: object, name: str) -> tuple[Any, ...]:
    """What has a state, one or several.

    Raises:
        UserError: One of it has none.
    """
    parts = (given,) if hasattr(given, "state_dict") or not isinstance(given, Iterable) else tuple(given)
    for part in parts:
        if isinstance(part, type) or not hasattr(part, "state_dict"):
            raise UserError(f"{name} must have a state_dict each, as (generator, critic), but {part!r} has none.")
    return parts


class Reaction:
    """What the user wants on an alarm."""

    def __init__(
        self, on_alarm: OnAlarm, checkpoint: Checkpoint | None, parts: Sequence[Stateful], name: str = ""
    ) -> None:
        """Refuses what cannot be done before anything runs.

        Args:
            on_alarm: One of `ACTIONS`, or a function of the verdict.
            checkpoint: The user's own (save, restore), called under "rollback" alone, without arguments and for what
                they do: what they return is not looked at, what they raise reaches whoever called `update`. With them,
                parts are neither kept nor restored.
            parts: Networks and optimisers whose states are kept instead.
            name: What lines of the log begin with.

        Raises:
            UserError: An unknown action, "rollback" without anything to roll back, or a checkpoint that is no pair of
                such functions.
        """
        if on_alarm not in ACTIONS if isinstance(on_alarm, str) else not takes(on_alarm, 1):
            raise UserError(
                f"on_alarm must be {', '.join(map(repr, ACTIONS))} or a function of the verdict, not {on_alarm!r}."
            )
        if on_alarm == "rollback" and checkpoint is None and not parts:
            raise UserError(
                "on_alarm='rollback' has nothing to roll back; give modules=(generator, critic) and optimisers=(...), "
                "or checkpoint=(save, restore)."
            )
        if checkpoint is not None and not _is_pair(checkpoint):
            raise UserError("checkpoint must be a pair of functions without arguments, (save, restore).")
        self.on_alarm, self._checkpoint, self._parts = on_alarm, checkpoint, tuple(parts)
        self._name = f"{name}, " if name else ""
        self._kept: list[Any] | None = None
        self.kept_step: int | None = None

    def keep(self, step: int) -> None:
        """Keeps the present state, at a look that proves health; only where it could be wanted."""
        if self.on_alarm != "rollback":
            return
        if self._checkpoint is not None:
            self._checkpoint[0]()
        else:
            self._kept = [_on_cpu(part.state_dict()) for part in self._parts]
        self.kept_step = step

    def act(self, verdict: MonitorVerdict) -> None:
        """Does what was asked for; the log is written whatever that is.

        Raises:
            CollapseStop: Under "stop".
        """
        self.warn(verdict)
        if callable(self.on_alarm):
            self.on_alarm(verdict)
        elif self.on_alarm == "stop":
            raise CollapseStop(verdict)
        elif self.on_alarm == "rollback":
            self._roll_back()

    def warn(self, verdict: MonitorVerdict) -> None:
        """Writes a look into the log."""
        LOG.warning("%sstep %s: %s", self._name, verdict.step, verdict)

    def _roll_back(self) -> None:
        if self.kept_step is None:
            LOG.warning("nothing to roll back to: no look since this monitor was made or loaded has proven health")
            return
        if self._checkpoint is not None:
            self._checkpoint[1]()
        else:
            for part, state in zip(self._parts, self._kept or (), strict=True):
                # An optimiser keeps the tensors it is given, so that the copy must be one of its own.
                part.load_state_dict(copy.deepcopy(state))
        LOG.warning("rolled back to step %s, the last look that proved health", self.kept_step)


def _is_pair(given: object) -> bool:
    """Whether something is two functions that can be called without arguments, as far as they tell."""
    return isinstance(given, tuple | list) and len(given) == 2 and all(takes(one, 0) for one in given)


def takes(function: object, count: int) -> bool:
    """Whether something can be called with so many arguments, as far as it tells."""
    if not callable(function):
        return False
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # a built-in that does not tell its arguments
        return True
    return True


def _on_cpu(state: Any) -> Any:
    """A copy of nested states with all tensors on the CPU."""
    if isinstance(state, Tensor):
        with torch.no_grad():
            return state.detach().to("cpu", copy=True)
    if isinstance(state, Mapping):
        return {key: _on_cpu(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_on_cpu(value) for value in state)
    return copy.deepcopy(state)
