"""What a sitting keeps: history, samples, checkpoints and result, and what becomes of the run when the disk says no.

`sitting.py` decides when, `snapshots.py` what is in it, and `checkpoint.py` and `records.py` how it is written. A
checkpoint that cannot be saved degrades a run; without its history, samples or result it stops, with one sentence.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from uncollapse import checkpoint, snapshots
from uncollapse.checkpoint import Measure
from uncollapse.documents import read_spec
from uncollapse.files import read_lines, write_json
from uncollapse.loop import Trainer
from uncollapse.records import append, cut, settled_length, tidy
from uncollapse.resuming import resume
from uncollapse.room import CannotWrite, is_about_writing, why
from uncollapse.snapshots import placed
from uncollapse.spec import RunSpec
from uncollapse.text import clean, size
from uncollapse.trees import flatten
from uncollapse.versions import versions

if TYPE_CHECKING:
    from uncollapse.loggers import Logger
    from uncollapse.monitoring import Monitors

_log = logging.getLogger(__name__)


class Keeper:
    """The writing side of a sitting.

    Args:
        spec: The run.
        directory: Its directory, which nobody else writes.
        trainer: What is trained.
        monitors: Of its seeds; None where there are none.
        logger: Is given each line of the history, too.

    Attributes:
        modes_solid: Of each lane at the last snapshot of this sitting.
        degraded: Why the last checkpoint could not be saved; empty while they can.
        warnings: Sentences for the result.
        saved: The update of the newest checkpoint that is known to be intact.
        best: The update and the worth of the best one that is.
    """

    def __init__(
        self,
        spec: RunSpec,
        directory: Path,
        trainer: Trainer,
        monitors: Monitors | None = None,
        logger: Logger | None = None,
    ) -> None:
        """Reads nothing yet."""
        self.spec, self.directory, self.trainer = spec, directory, trainer
        self.monitors, self.logger = monitors, logger
        self.history, self.timing = directory / "history.jsonl", directory / "timing.jsonl"
        self.modes_solid: list[int] | None = None
        self.degraded = ""
        self.warnings: list[str] = []
        self.saved: int | None = None
        self.best: tuple[int, Measure] | None = None
        self._measured: tuple[int, Measure | None] = (-1, None)

    def take_up(self) -> None:
        """Puts the trainer where the newest checkpoint stood, and cuts what is later."""
        (self.directory / "result.json").unlink(missing_ok=True)
        tidy(self.directory)
        there = self.history.stat().st_size if self.history.exists() else 0
        found, skipped = resume(self.trainer, self.spec, self.directory, there)
        length = found.history_bytes if found else 0
        best, more = checkpoint.best(self.directory / "checkpoints", spec=self.spec.hash, history=length)
        if found is not None:
            self.saved = self.trainer.update
            more += self._changes()
            if self.monitors is not None:
                self.monitors.load(found.state, found.tensors)
        with self._needs("history"):
            cut(self.history, length)
        if best is not None and best.measure is not None:
            self.best = best.update, best.measure
        for sentence in dict.fromkeys([*skipped, *more]):
            self.warn(sentence)

    def _changes(self) -> list[str]:
        """What is not as it was when the run began, so that it continues with numbers that are equal in law only."""
        began = read_spec(self.directory / "spec.json")["versions"]
        sittings = read_lines(self.timing)
        if sittings:
            began = {**began, "device": sittings[0].get("device"), "ranks": sittings[0].get("ranks", 1)}
        now = {**versions(), "ranks": 1, **placed(self.trainer)}
        return [
            f"Started under {name} {began[name]}, continued under {now[name]}: equal in law only."
            for name in now
            if name in began and began[name] != now[name]
        ]

    def record(self, row: Mapping[str, Any]) -> None:
        """One line of the history, for the loggers too.

        Raises:
            CannotWrite: The history cannot be written.
        """
        with self._needs("history"):
            append(self.history, row)
        if self.logger is not None:
            self.logger.log(row)

    def write_losses(self) -> None:
        """The losses of this update as a line of the history."""
        state = self.trainer.loss_state()
        line = {"update": self.trainer.update, "losses": _finite(self.trainer.losses())}
        self.record(line | ({"state": _finite(state)} if state else {}))

    def write_snapshot(self) -> None:
        """Keeps samples of every lane and judges both of its generators, as a line of the history."""
        update = self.trainer.update
        samples = self.trainer.samples(snapshots.kept(self.spec, final=False))
        path = self.directory / "samples" / f"step-{update:08d}.npz"
        with self._needs("samples"):
            snapshots.write_samples(path, self.spec, samples=samples)
        found = snapshots.snapshot(self.trainer, self.spec)
        self.modes_solid = [int(value or 0) for value in found["measures"]["modes_solid"]]
        # A generator that was not trained is no best one.
        self._measured = update, snapshots.worth(found["measures"]) if update > 0 else None
        self.record({"update": update, "snapshot": True, **found})

    def improvement(self) -> Measure | None:
        """What the samples of this very update are worth, if those of no saved checkpoint are worth as much."""
        measure = self._measure()
        return measure if measure is not None and (self.best is None or measure > self.best[1]) else None

    def _measure(self) -> Measure | None:
        """What the samples of this very update are worth; None where none were judged."""
        at, measure = self._measured
        return measure if at == self.trainer.update else None

    def save(self, clocks: Mapping[str, Any], *, needed: str = "") -> None:
        """A checkpoint that covers the history as it is, and a line of clocks.

        Args:
            clocks: For the line of clocks.
            needed: What cannot be without the checkpoint; where nothing is, a failure is told and tried again later.

        Raises:
            CannotWrite: A needed checkpoint could not be saved.
        """
        update, tensors = self.trainer.update, flatten(self.trainer.lanes)
        if self.monitors is not None:
            tensors |= self.monitors.tensors()
        try:
            if self.saved != update:
                self._save(tensors)
            self.degraded = ""
        except Exception as error:
            if not is_about_writing(error):
                raise
            if needed:
                raise self._cannot_write(needed, error) from error
            self._degrade(error, sum(value.numel() * value.element_size() for value in tensors.values()))
        line = {"update": update, **clocks, **placed(self.trainer)}
        with contextlib.suppress(OSError):  # a run is worth more than its clocks
            append(self.timing, line | ({"warnings": self.warnings} if self.warnings else {}))

    def _save(self, tensors: dict[str, Tensor]) -> None:
        better, at = self.improvement(), self.trainer.update
        best = self.best if better is None else (at, better)
        checkpoint.save(
            self.directory / "checkpoints",
            tensors,
            spec=self.spec.hash,
            update=at,
            rounds=self.trainer.rounds,
            # The lines must be on the disk before a checkpoint builds on them.
            history_bytes=settled_length(self.history),
            measure=self._measure(),
            best=best[0] if best else None,
            state=None if self.monitors is None else self.monitors.state(),
        )
        self.saved, self.best = at, best

    def _degrade(self, error: Exception, needed: int) -> None:
        """Training goes on without this checkpoint; said once for as long as none can be saved."""
        kept = "no earlier one exists" if self.saved is None else f"the one of update {self.saved:,} is kept"
        sentence = (
            f"The checkpoint of update {self.trainer.update:,} could not be saved ({why(error, self.directory)},"
            f" {size(needed)} needed); {kept}, training goes on, and saving is tried again."
        )
        if not self.degraded:
            self.warn(sentence)
        self.degraded = sentence

    def write_samples(self) -> None:
        """Samples of the end, of both generators."""
        kept = snapshots.kept(self.spec, final=True)
        samples = {"samples": self.trainer.samples(kept), "live": self.trainer.samples(kept, averaged=False)}
        with self._needs("samples"):
            snapshots.write_samples(self.directory / "samples" / "final.npz", self.spec, **samples)

    def write_result(self) -> dict[str, Any]:
        """The result, which makes the run a finished one; returns it."""
        earlier = [text for line in read_lines(self.timing) for text in line.get("warnings", ())]
        content = snapshots.result(self.trainer, self.spec, list(dict.fromkeys([*earlier, *self.warnings])))
        if self.monitors is not None:
            for lane, facts in zip(content["lanes"], self.monitors.facts(), strict=True):
                lane["monitor"] = facts
        with self._needs("result"):
            write_json(self.directory / "result.json", content)
        return content

    def warn(self, sentence: str) -> None:
        """Keeps a sentence for the result, and says it where logging says things: on stderr, unless told otherwise."""
        self.warnings.append(clean(sentence))
        _log.warning("%s", clean(f"{self.directory}: {sentence}"))

    @contextlib.contextmanager
    def _needs(self, what: str) -> Iterator[None]:
        """Around the writing of what a run cannot be without."""
        try:
            yield
        except OSError as error:
            raise self._cannot_write(what, error) from error

    def _cannot_write(self, what: str, error: Exception) -> CannotWrite:
        safe = (
            "nothing had been saved yet, and the same command begins again"
            if self.saved is None
            else f"all up to update {self.saved:,} is safe, and the same command goes on from there"
        )
        return CannotWrite(
            f"The {what} of {self.directory} could not be written ({why(error, self.directory)}), so training stopped"
            f" at update {self.trainer.update:,}; {safe} once it can be written."
        )


def _finite(losses: Mapping[str, list[float | None]]) -> dict[str, list[float | None]]:
    """Losses that JSON can hold: None for what is not finite."""
    return {
        name: [value if value is not None and math.isfinite(value) else None for value in values]
        for name, values in losses.items()
    }
