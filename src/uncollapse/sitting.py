"""One sitting of a run: the loop with its clock, from the newest checkpoint to the result or to a stop.

`run.py` decides whether a sitting is needed and owns the directory; this file decides when something is written there,
and `keeping.py` writes it.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from uncollapse.distributed import Team
from uncollapse.documents import read_spec
from uncollapse.keeping import Keeper
from uncollapse.loop import Trainer
from uncollapse.resuming import resume
from uncollapse.snapshots import SNAPSHOTS
from uncollapse.spec import RunSpec
from uncollapse.text import clean

if TYPE_CHECKING:
    from uncollapse.loggers import Logger

__all__ = ["Progress", "Sitting", "Stopped", "StoppedByAlarm", "resume"]

_log = logging.getLogger(__name__)

LOSS_LINES = 200
# Most rounds between looks at the clock and at a request to stop, and how long they should take.
SLICE, LOOK_SECONDS = 20, 0.5


class Stopped(Exception):
    """Raised after a checkpoint when a run was asked to stop."""


class StoppedByAlarm(Stopped):
    """Raised after a checkpoint when a seed collapsed and the monitor's choice is to stop; the message says which."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run stands, for whoever watches.

    Attributes:
        method: Name.
        task: Name.
        seeds: Its lanes.
        update: Critic updates done.
        updates: Critic updates wanted.
        updates_per_second: Updates of all lanes together in a second of this sitting.
        modes_solid: Of each lane at the last snapshot.
        modes: Modes of the task.
        diverged: Seeds that were frozen.
        degraded: Why the last checkpoint could not be saved; empty while they can.
        collapsed: Seeds that the monitor calls collapsed, as of its last look.
    """

    method: str
    task: str
    seeds: tuple[int, ...]
    update: int
    updates: int
    updates_per_second: float
    modes_solid: list[int] | None
    modes: int
    diverged: list[int]
    degraded: str = ""
    collapsed: tuple[int, ...] = ()


class Sitting:
    """One sitting of a run: the loop with its clock.

    Args:
        spec: The run.
        directory: Its directory, which nobody else writes.
        device: Where to train.
        progress: Called every few rounds.
        stop: Asked every few rounds.
        checkpoint_seconds: Time between checkpoints.
        team: The processes that train this run together, of which this one leads; None for this one alone.
        logger: Is given each line of the history.
    """

    def __init__(
        self,
        spec: RunSpec,
        directory: Path,
        device: torch.device,
        progress: Callable[[Progress], None] | None,
        stop: Callable[[], bool],
        checkpoint_seconds: float,
        team: Team | None = None,
        logger: Logger | None = None,
    ) -> None:
        """Builds the trainer and writes nothing yet."""
        self.spec, self.directory, self.device = spec, directory, device
        self.progress, self.stop, self.checkpoint_seconds = progress, stop, checkpoint_seconds
        self.trainer = Trainer(spec, device=device, team=team)
        self.monitors = None
        if spec.monitor is not None:
            from uncollapse.monitoring import Monitors  # most runs have none, and it reads real data

            self.monitors = Monitors(spec, directory, self.trainer)
        self.logger = logger
        self.keeper = Keeper(spec, directory, self.trainer, self.monitors, logger)
        self._recorded: set[int] = set()
        self._alarm = ""
        self._rounds = 1
        self._over = False

    def run(self) -> None:
        """From the newest checkpoint, or the start, to the result.

        Raises:
            Stopped: It was asked to stop, and a checkpoint holds what was trained.
            StoppedByAlarm: A monitor's alarm was to stop it; where that came at the last update, the result is there.
            CannotWrite: The disk is in the way; one sentence says what is safe.
        """
        if self.logger is not None:
            self.logger.start(read_spec(self.directory / "spec.json"), self.directory)
        result: dict[str, Any] = {}
        try:
            result = self._run()
        finally:
            if self.logger is not None:
                self.logger.finish(result)
        if self._alarm:  # it came at the last update
            raise StoppedByAlarm(self._alarm)

    def _run(self) -> dict[str, Any]:
        """Trains; returns the result."""
        self.keeper.take_up()
        self._done = -1 if self.keeper.saved is None else self.keeper.saved
        self._check_whether_over()
        self._first, self._started = self.trainer.update, time.monotonic()
        self._clock = self._started
        for point in self._points():
            while self.trainer.update < point:
                self._train(point)
                self._tell()
                if self.trainer.update < point:
                    self._look_up()
            self.stop()  # raises where the directory has come to be another's: nothing more is appended to its files
            self._write(point)
            # Only now does the history hold all that a checkpoint at this update claims.
            if point < self.spec.updates:
                self._look_up()
        return self._finish()

    def _points(self) -> list[int]:
        """Updates at which something is written or looked at, in order, after where this sitting starts."""
        whole = self.spec.method.dynamics.whole_rounds
        lines = {whole(k * self.spec.updates / LOSS_LINES) for k in range(1, LOSS_LINES + 1)}
        self._recorded = lines | self._snapshots()
        return [point for point in sorted(self._recorded | self._looks()) if point > self._done]

    def _looks(self) -> set[int]:
        """Updates at which the monitors look: the multiples of their interval, whatever the budget is."""
        if self.spec.monitor is None:
            return set()
        every = self.spec.monitor.every
        return {self.spec.method.dynamics.whole_rounds(update) for update in range(every, self.spec.updates + 1, every)}

    def _is_look(self, point: int) -> bool:
        """Whether a point is one of `_looks`: the last multiple of the interval fell into its round."""
        if self.spec.monitor is None:
            return False
        last = point - point % self.spec.monitor.every
        return last > 0 and point - last < self.spec.method.dynamics.critic_steps

    def _snapshots(self) -> set[int]:
        return {self.spec.method.dynamics.whole_rounds(share * self.spec.updates) for share in SNAPSHOTS}

    def _train(self, point: int) -> None:
        """Some rounds towards a point: few enough for a request to stop not to wait, more where rounds are short.

        How many are played at a time moves no number.
        """
        if self._over:
            _count(self.trainer, point)
            return
        before, begun = self.trainer.rounds, time.monotonic()
        step = self._rounds * self.spec.method.dynamics.critic_steps
        self.trainer.advance(min(point, self.trainer.update + step))
        seconds = (time.monotonic() - begun) / (self.trainer.rounds - before)
        self._rounds = min(SLICE, max(1, int(LOOK_SECONDS / max(seconds, 1e-9))))

    def _check_whether_over(self) -> None:
        """Once every lane is frozen nothing moves any more, so the rest of the budget is counted and not computed."""
        frozen = self.trainer.lanes.diverged_at
        self._over = bool((frozen >= 0).all())
        if self._over:
            last = int(frozen.max())
            self.keeper.warn(f"Every seed had diverged by update {last:,}; the rest of the budget was not trained.")

    def _look_up(self) -> None:
        """Saves when it is time, when the samples are the best so far, or when it has to stop."""
        asked = self.stop() or bool(self._alarm)
        due = time.monotonic() - self._clock > self.checkpoint_seconds
        if asked or due or self.keeper.improvement() is not None:
            self.keeper.save(self._clocks(), needed="checkpoint" if asked else "")
            self._clock = time.monotonic()
        if self._alarm:
            raise StoppedByAlarm(self._alarm)
        if asked:
            raise Stopped(str(self.directory))

    def _write(self, point: int) -> None:
        """The history lines of one update, what the monitors say first: they may put a seed back."""
        if self._is_look(point):
            self._look()
        if point > 0 and point in self._recorded:
            self.keeper.write_losses()
        if point in self._snapshots():
            self.keeper.write_snapshot()
        self._done = point
        if not self._over:
            self._check_whether_over()

    def _look(self) -> None:
        """Lets the monitors look, and tells what they say."""
        assert self.monitors is not None
        for row in self.monitors.look():
            self.keeper.record(row)
            alarm = row.get("alarm", {})
            if self.monitors.choice.on_alarm == "stop" and alarm.get("status") == "collapsed":
                which = f"seed {alarm['seed']} at update {self.trainer.update:,}"
                self._alarm = self._alarm or f"{which}: {alarm['sentence']}"
            if "rollback" in row:
                _log.warning("%s", clean(f"{self.directory}: {row['rollback']['sentence']}"))

    def _finish(self) -> dict[str, Any]:
        """The last checkpoint, the samples of the end and the result."""
        self.keeper.save(self._clocks(), needed="last checkpoint")
        if self.trainer.update > self._first and self.stop():  # to judge many samples may take longer than one may wait
            raise Stopped(str(self.directory))
        self.keeper.write_samples()
        return self.keeper.write_result()

    def _clocks(self) -> dict[str, Any]:
        seconds = time.monotonic() - self._started
        looking = {} if self.monitors is None else {"monitor_seconds": self.monitors.seconds}
        return {"from": self._first, "seconds": seconds, "updates_per_second": self._speed(), **looking}

    def _speed(self) -> float:
        """Updates of all lanes together in a second of this sitting."""
        done = (self.trainer.update - self._first) * len(self.spec.seeds)
        return done / max(time.monotonic() - self._started, 1e-9)

    def _tell(self) -> None:
        if self.progress is None:
            return
        spec = self.spec
        self.progress(
            Progress(
                method=spec.method.name,
                task=spec.task.name,
                seeds=spec.seeds,
                update=self.trainer.update,
                updates=spec.updates,
                updates_per_second=self._speed(),
                modes_solid=self.keeper.modes_solid,
                modes=len(spec.task.modes),
                diverged=list(self.trainer.diverged()) if self.device.type == "cpu" else [],
                degraded=self.keeper.degraded,
                collapsed=() if self.monitors is None else tuple(self.monitors.collapsed),
            )
        )


def _count(trainer: Trainer, until: int) -> None:
    """Counts whole rounds until at least `until` critic updates, as if they had been played with frozen lanes."""
    trainer.rounds = math.ceil(until / trainer.method.dynamics.critic_steps)
    lanes = trainer.lanes
    trainer.lanes = lanes._replace(
        critic_updates=torch.full_like(lanes.critic_updates, trainer.update),
        generator_updates=torch.full_like(lanes.generator_updates, trainer.generator_updates),
    )
