"""What the report reads: a comparison or run directory as frozen records, tolerant of what is unfinished or missing.

Everything on the page comes from these records; nothing here trains, measures samples or trusts a path in a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from uncollapse.data.npz_files import NpzFile
from uncollapse.errors import UserError
from uncollapse.monitoring_rows import MonitorRow
from uncollapse.report.alarms import told

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run directory: one list of seeds trained together.

    Attributes:
        directory: The run directory.
        spec: The content of `spec.json`.
        result: The content of `result.json`, None while the run is unfinished.
        history: The lines of `history.jsonl` in order.
        odd: How many other lines it has, which are of no form that is known.
        seconds: Training time in seconds, None when no clock was recorded.
    """

    directory: Path
    spec: Mapping[str, Any]
    result: Mapping[str, Any] | None
    history: tuple[Mapping[str, Any], ...]
    seconds: float | None
    odd: int = 0

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the lanes, in order."""
        return tuple(int(seed) for seed in self.spec.get("seeds", ()))

    @property
    def update(self) -> int:
        """The last recorded critic update."""
        return max((int(line["update"]) for line in self.history if "update" in line), default=0)

    @cached_property
    def monitored(self) -> tuple[MonitorRow, ...]:
        """What the monitors of the seeds said and did during the run, by update."""
        return told(self.history, (self.result or {}).get("lanes") or ())

    def losses(self, lane: int, player: str) -> tuple[Array, Array]:
        """Updates (T,) and losses (T,) of one lane's "critic" or "generator"; NaN where it had diverged."""
        lines = [line for line in self.history if player in (line.get("losses") or {})]
        values = [line["losses"][player][lane] for line in lines]
        return np.array([line["update"] for line in lines], float), _floats(values)

    @property
    def snapshots(self) -> tuple[Mapping[str, Any], ...]:
        """The history lines that carry measures of the samples of that moment."""
        return tuple(line for line in self.history if line.get("snapshot"))

    def sample_files(self) -> dict[int, Path]:
        """The snapshots' sample files by critic update, in order."""
        found = sorted((self.directory / "samples").glob("step-*.npz"))
        return {int(path.stem.removeprefix("step-")): path for path in found if path.stem[5:].isdigit()}

    def arrays(self, path: Path) -> dict[str, Array]:
        """The arrays of one sample file; empty when the file is missing or damaged."""
        try:
            file = NpzFile(path, path.name)
            return {name: file.read(name) for name in file.names}
        except UserError:
            return {}

    @cached_property
    def damaged(self) -> tuple[str, ...]:
        """Names of the sample files that are there but cannot be read; all are read through once, and none is kept."""
        final = self.directory / "samples" / "final.npz"
        files = [*self.sample_files().values(), *([final] if final.exists() else [])]
        return tuple(path.name for path in files if not _holds_samples(path))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know of this run: the sentences of `result.json`, and pictures that are left out."""
        told = [str(line) for line in (self.result or {}).get("warnings") or ()]
        if self.odd:
            lines = "1 line of history.jsonl has" if self.odd == 1 else f"{self.odd:,} lines of history.jsonl have"
            told.append(f"{lines} another form than this version writes; left out.")
        return (*told, *(f"samples/{name} is damaged, so its picture is left out." for name in self.damaged))

    def snapshot_field(self, name: str, weights: str) -> str:
        """The field of the snapshots for these weights: "measures_live" where every snapshot has it, else "measures".

        Args:
            name: "measures" or "shares".
            weights: "averaged" or "live".
        """
        live = f"{name}_live"
        return live if weights == "live" and self.snapshots and all(live in s for s in self.snapshots) else name

    @cached_property
    def final(self) -> dict[str, Array]:
        """The arrays of `samples/final.npz` (`samples`, `labels`, `live`), or of the newest snapshot before that."""
        path = self.directory / "samples" / "final.npz"
        files = self.sample_files()
        return self.arrays(path if path.exists() or not files else files[max(files)])


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One seed of one run.

    Attributes:
        run: The run it was trained in.
        index: Its position among the run's seeds.
    """

    run: RunRecord
    index: int

    @property
    def seed(self) -> int:
        """The seed that drew everything of this lane."""
        return self.run.seeds[self.index]

    @property
    def outcome(self) -> Mapping[str, Any]:
        """This seed's entry of `result.json` ("lanes"), empty while unfinished."""
        for row in (self.run.result or {}).get("lanes", ()):
            if row.get("seed") == self.seed:
                return row  # type: ignore[no-any-return]
        return {}

    @property
    def diverged_at(self) -> int | None:
        """The update from which the losses were not finite, None when they always were."""
        return self.outcome.get("diverged_at")

    def measured(self, key: str, weights: str = "averaged") -> tuple[Array, Array]:
        """Updates (T,) and the values (T,) of one measure over the run; NaN where there is none.

        Snapshots of old runs judge the averaged weights only; then these are given whatever is asked for.
        """
        name = self.run.snapshot_field("measures", weights)
        lines = [line for line in self.run.snapshots if key in (line.get(name) or {})]
        values = [(line[name][key] or {self.index: None})[self.index] for line in lines]
        return np.array([line["update"] for line in lines], float), _floats(values)

    def shares(self, weights: str = "averaged") -> tuple[Array, Array]:
        """Updates (T,) and the shares of the modes (T, K); rows are NaN where the lane had diverged."""
        name = self.run.snapshot_field("shares", weights)
        lines = [line for line in self.run.snapshots if line.get(name)]
        rows = [line[name][self.index] for line in lines]
        width = max((len(row) for row in rows if row), default=0)
        table = np.array([_floats(row or [None] * width) for row in rows]).reshape(len(rows), width)
        return np.array([line["update"] for line in lines], float), table


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One method on one task, all its seeds merged.

    Attributes:
        method: Name of the method.
        task: Name of the task.
        seeds: Every seed that was asked for.
        runs: The run directories that could be read.
        diverged: Seeds whose losses became non-finite.
        unfinished: Seeds without a result, as the comparison says.
        failed: Entries {"run", "seeds", "error"} of runs that did not finish.
        measures: By key {"mean", "low", "high", "level", "per_seed", "method"}.
        success: {"value", "low", "high", "successes", "n"}, empty when unknown.
        cost: {"critic_updates", ...}, empty when unknown.
    """

    method: str
    task: str
    seeds: tuple[int, ...]
    runs: tuple[RunRecord, ...]
    diverged: tuple[int, ...] = ()
    unfinished: tuple[int, ...] = ()
    failed: tuple[Mapping[str, Any], ...] = ()
    measures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    success: Mapping[str, Any] = field(default_factory=dict)
    cost: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """Every seed of every run, in order."""
        return tuple(Lane(run=run, index=i) for run in self.runs for i in range(len(run.seeds)))

    @property
    def monitored(self) -> tuple[MonitorRow, ...]:
        """What the monitors of its seeds said and did, by update."""
        return tuple(sorted((row for run in self.runs for row in run.monitored), key=lambda row: row.update))

    @property
    def modes(self) -> int | None:
        """Number of true modes K of the task, None when neither a run nor the bounds of their count say it."""
        for run in self.runs:
            stated = (run.result or {}).get("modes") or run.spec.get("modes")
            if isinstance(stated, Mapping) and stated.get("names"):
                return len(stated["names"])
            widths = [len(row) for line in run.snapshots for row in (line.get("shares") or ()) if row]
            if widths:
                return max(widths)
        # Compact records keep comparison.json alone.
        bounds = self.measures.get("modes_solid", {}).get("bounds")
        return round(bounds[1]) if bounds else None

    @property
    def finished(self) -> bool:
        """Whether every readable run has its result; where none can be read, whether the comparison misses no seed."""
        if not self.runs:
            return bool(self.measures or self.diverged) and not self.unfinished
        return all(run.result is not None for run in self.runs)

    @property
    def shown(self) -> bool:
        """Whether samples of a run are there."""
        return any("samples" in run.final for run in self.runs)

    @property
    def conditional(self) -> bool:
        """Whether samples are drawn for a label."""
        return any("labels" in run.final for run in self.runs)


@dataclass(frozen=True, kw_only=True)
class Record:
    """Everything one report shows.

    Attributes:
        directory: The directory that was read and where the page is written.
        kind: "comparison" or "run".
        plan: The plan, empty for a single run.
        cells: One entry per method and task, in the plan's order.
        differences: Paired differences against the baseline.
        versions: Names and versions of the software.
        command: The command that made the directory.
        weights: Which weights the measures describe, "averaged" or "live".
        seconds: Training time of the whole comparison, None when unknown.
        unfinished: Names of the run directories of a comparison that have no result yet.
        tuning: What `comparison.json` says of its tuning, empty without.
    """

    directory: Path
    kind: str
    plan: Mapping[str, Any]
    cells: tuple[Cell, ...]
    differences: tuple[Mapping[str, Any], ...] = ()
    versions: Mapping[str, Any]
    command: str
    weights: str = "averaged"
    seconds: float | None = None
    unfinished: tuple[str, ...] = ()
    tuning: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks in order of appearance."""
        return tuple(dict.fromkeys(cell.task for cell in self.cells))

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods in order of appearance."""
        return tuple(dict.fromkeys(cell.method for cell in self.cells))

    @property
    def headline(self) -> str:
        """The measure that the answer speaks about."""
        return str(self.plan.get("headline") or self.plan.get("compare", {}).get("headline") or "modes_solid")

    @property
    def baseline(self) -> str:
        """The method that the others are compared with, empty for a single run."""
        named = self.plan.get("baseline") or self.plan.get("compare", {}).get("baseline") or ""
        return str(named or next((row["baseline"] for row in self.differences), ""))

    def of(self, task: str) -> tuple[Cell, ...]:
        """The cells of one task in order."""
        return tuple(cell for cell in self.cells if cell.task == task)


def _holds_samples(path: Path) -> bool:
    """Whether a file can be read to its end and has samples in it."""
    try:
        file = NpzFile(path, path.name)
        file.verify()
    except UserError:
        return False
    return "samples" in file.names


def _floats(values: list[Any]) -> Array:
    """Numbers with NaN for null."""
    return np.array([np.nan if value is None else float(value) for value in values], float)
