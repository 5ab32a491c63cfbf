"""The monitors of a run in our own trainer: one a seed, looking at fixed updates, their state kept in checkpoints.

`sitting.py` says when they look and `keeping.py` writes what they say; the judgement itself is `monitor/`. Nothing that
is trained depends on them, unless a rollback was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.game import State
from uncollapse.lanes import Lanes
from uncollapse.loop import Trainer
from uncollapse.monitor.choices import MonitorChoice
from uncollapse.monitor.monitor import CollapseMonitor
from uncollapse.monitor.truth import look_size, task_reference
from uncollapse.monitor.verdict import MonitorVerdict
from uncollapse.spec import RunSpec
from uncollapse.text import clean
from uncollapse.trees import flatten, restored, tree_map

# Latents and labels of looks are drawn for this purpose and from no other stream.
PURPOSE = "monitor"
HEALTHY = "healthy"


class Own(NamedTuple):
    """What of `Lanes` belongs to each seed and is put back; every tensor (lanes, ...)."""

    state: State
    average: Tensor
    average_buffers: dict[str, Tensor]


@dataclass(kw_only=True, eq=False)
class Watched:
    """One seed.

    Attributes:
        seed: Which.
        monitor: Its own.
        healthy_at: Update of the newest look that proved health; None where there is none, or no rollback is wanted.
        rolled_back: Update of its rollback, and the update that it went back to.
    """

    seed: int
    monitor: CollapseMonitor
    healthy_at: int | None = None
    rolled_back: tuple[int, int] | None = None

    def facts(self) -> dict[str, Any]:
        """What the result says of it."""
        verdict, history = self.monitor.verdict, self.monitor.history
        back = self.rolled_back
        return {
            "status": verdict.status,
            "looks": verdict.look,
            "alarms": verdict.alarms,
            "first_alarm": next((row["step"] for row in history if row["alarm"]), None),
            "coverage": verdict.coverage if verdict.look else None,
            "low": verdict.low if verdict.look else None,
            "best": verdict.best,
            "rolled_back": None if back is None else {"update": back[0], "to": back[1]},
        }


class Monitors:
    """The monitors of a run.

    Args:
        spec: The run, with a monitor.
        directory: Its directory, for what is told.
        trainer: What is trained.
    """

    def __init__(self, spec: RunSpec, directory: Path, trainer: Trainer) -> None:
        """Prepares the real data once, for all seeds."""
        assert spec.monitor is not None
        self.spec, self.trainer, self.choice = spec, trainer, spec.monitor
        self.samples = self.choice.samples or look_size(spec.task)
        reference = task_reference(spec.task, samples=self.samples)
        self.seeds = [
            Watched(seed=seed, monitor=_monitor(self.choice, reference, self.samples, seed, directory))
            for seed in spec.seeds
        ]
        self._healthy: Own | None = None

    def look(self) -> list[dict[str, Any]]:
        """Looks at every seed that lives, and does what was asked for on an alarm.

        Returns:
            Rows of the history: alarms and rollbacks.
        """
        diverged, rows = self.trainer.diverged(), []
        for place, watched in enumerate(self.seeds):
            if watched.seed in diverged:
                continue
            before = watched.monitor.status
            verdict = watched.monitor.update(step=self.trainer.update, fake=self._fresh(place))
            if verdict.alarm or verdict.status == "never-healthy" != before:
                rows.append(self._alarm(watched.seed, verdict))
            if self.choice.on_alarm == "rollback":
                if watched.monitor.sound:
                    self._keep(place)
                elif verdict.alarm and watched.rolled_back is None and watched.healthy_at is not None:
                    rows.append(self._roll_back(place, watched.healthy_at))
        return rows

    def _fresh(self, place: int) -> Tensor:
        """Fakes of one seed that no other look and no other purpose sees."""
        spec, n, update = self.spec, self.samples, self.trainer.update
        labels = None
        if spec.method.labelled:  # drawn, not balanced, because the test takes fakes to be independent
            labels = stream(spec.seeds[place], f"{PURPOSE} labels", update).choice(spec.task.modes.weights, n)
        averaged = self.choice.weights == "averaged"
        fakes = self.trainer.lane_samples(place, n, averaged=averaged, labels=labels, draw=update, purpose=PURPOSE)
        return fakes.cpu().float()

    def _alarm(self, seed: int, verdict: MonitorVerdict) -> dict[str, Any]:
        told = {"status": verdict.status, "seed": seed, "sentence": clean(verdict.sentence)}
        return {"update": self.trainer.update, "alarm": told}

    def _keep(self, place: int) -> None:
        """Keeps what a seed is now."""
        now, rows = _own(self.trainer.lanes), self._rows(place)
        if self._healthy is None:
            self._healthy = tree_map(torch.clone, now)
        else:
            tree_map(lambda kept, value: kept[rows].copy_(value[rows]), self._healthy, now)
        self.seeds[place].healthy_at = self.trainer.update

    def _roll_back(self, place: int, to: int) -> dict[str, Any]:
        """Puts a seed back; its draws, its counts of updates and the budget go on."""
        lanes, rows, update = self.trainer.lanes, self._rows(place), self.trainer.update

        def mixed(now: Tensor, kept: Tensor) -> Tensor:
            value = now.clone()
            value[rows] = kept[rows]
            return value

        back: Own = tree_map(mixed, _own(lanes), self._healthy)
        self.trainer.put_back(lanes._replace(**back._asdict()))
        self.seeds[place].rolled_back = update, to
        seed = self.seeds[place].seed
        sentence = f"Seed {seed} was put back to what it was at update {to:,}, the last look that proved health."
        return {"update": update, "rollback": {"seed": seed, "to": to, "sentence": sentence}}

    def _rows(self, place: int) -> slice:
        members = self.trainer.members
        return slice(place * members, (place + 1) * members)

    @property
    def collapsed(self) -> list[int]:
        """Seeds that are collapsed, as of their last look."""
        return [watched.seed for watched in self.seeds if watched.monitor.status == "collapsed"]

    @property
    def seconds(self) -> float:
        """What looks have taken in this sitting."""
        return sum(watched.monitor.cost.seconds for watched in self.seeds)

    def facts(self) -> list[dict[str, Any]]:
        """What the result says of each seed."""
        return [watched.facts() for watched in self.seeds]

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON values without clocks; the weights to go back to are in `tensors`."""
        return {"seeds": [_state(watched) for watched in self.seeds]}

    def tensors(self) -> dict[str, Tensor]:
        """What seeds may be put back to, by dotted path; empty where that is not wanted."""
        return {} if self._healthy is None else flatten(self._healthy, HEALTHY)

    def load(self, state: Mapping[str, Any] | None, tensors: Mapping[str, Tensor]) -> None:
        """Goes on from a checkpoint.

        Raises:
            UserError: It does not fit, because another version of the code or other data wrote it.
        """
        try:
            for watched, kept in zip(self.seeds, (state or {})["seeds"], strict=True):
                watched.monitor.load_state_dict({"json": kept["monitor"], "arrays": {}})
                back = kept["rolled_back"]
                watched.healthy_at, watched.rolled_back = kept["healthy_at"], None if back is None else tuple(back)
            if any(watched.healthy_at is not None for watched in self.seeds):
                # A copy, because what is loaded may lie in the memory of the lanes.
                self._healthy = tree_map(torch.clone, restored(_own(self.trainer.lanes), tensors, HEALTHY))
        except (KeyError, ValueError, TypeError, UserError) as error:
            raise UserError(
                f"The monitor in the newest checkpoint does not fit this version ({error}); train again with --fresh."
            ) from error


def _monitor(choice: MonitorChoice, reference: object, samples: int, seed: int, directory: Path) -> CollapseMonitor:
    return CollapseMonitor(
        reference, every=choice.every, samples=samples, alpha=choice.alpha, margin=choice.margin,
        healthy=choice.healthy, patience=choice.patience, seed=seed, name=clean(f"{directory}: seed {seed}"),
    )  # fmt: skip


def _state(watched: Watched) -> dict[str, Any]:
    kept = watched.monitor.state_dict()["json"]
    clockless = {**kept, "cost": {"seconds": 0.0, "looks": kept["cost"]["looks"], "wall": 0.0}}
    return {"monitor": clockless, "healthy_at": watched.healthy_at, "rolled_back": watched.rolled_back}


def _own(lanes: Lanes) -> Own:
    return Own(lanes.state, lanes.average, lanes.average_buffers)
