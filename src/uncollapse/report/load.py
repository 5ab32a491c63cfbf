"""Directory -> `Record`: a comparison as it was written, or a single run summarised in the same shape.

Sits between the files and the page; a directory that is neither is refused with one sentence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from uncollapse.documents import COMPARE_AGAIN, COMPARISON, JUDGE_AGAIN, RESULT, read_document, read_spec
from uncollapse.errors import UserError
from uncollapse.experiments.record import Lane, cell_record, seconds, summarise
from uncollapse.files import read_lines
from uncollapse.report.lines import sound_lines
from uncollapse.report.records import Cell, Record, RunRecord


def load(directory: Path) -> Record:
    """Everything a report of this directory shows.

    Args:
        directory: A comparison directory (has `comparison.json`) or a run directory (has `spec.json`).

    Raises:
        UserError: The directory does not exist, is neither, or a file in it cannot be read.
    """
    if (directory / "comparison.json").is_file():
        return _comparison(directory)
    if (directory / "spec.json").is_file():
        return _single(directory)
    what = "holds neither comparison.json nor spec.json" if directory.is_dir() else "is not a directory"
    raise UserError(
        f"No report can be made of {str(directory)!r}: it {what}; give a directory that `uncollapse compare` or "
        "`uncollapse train` wrote."
    )


def read_run(directory: Path) -> RunRecord:
    """One run directory, finished or not."""
    result = directory / "result.json"
    spec = read_spec(directory / "spec.json")
    history, odd = sound_lines(read_lines(directory / "history.jsonl"), len(spec.get("seeds") or ()))
    return RunRecord(
        directory=directory,
        spec=spec,
        result=read_document(result, needs=RESULT, remedy=JUDGE_AGAIN) if result.exists() else None,
        history=history,
        odd=odd,
        seconds=clock if (clock := seconds(directory)) > 0 else None,
    )


def _comparison(directory: Path) -> Record:
    path = directory / "comparison.json"
    content = read_document(path, needs=COMPARISON, remedy=COMPARE_AGAIN)
    rows = content["cells"]
    if not isinstance(rows, list) or not all(isinstance(row, dict) and {"method", "task"} <= set(row) for row in rows):
        raise UserError(f"{path} is not a comparison with a method and a task in every cell; {COMPARE_AGAIN}.")
    return Record(
        directory=directory,
        kind="comparison",
        plan=content.get("plan") or {},
        cells=tuple(_cell(directory, row) for row in rows),
        differences=tuple(content.get("differences", ())),
        versions=content.get("versions") or {},
        command=str(content.get("command") or ""),
        weights=str(content.get("weights") or "averaged"),
        seconds=content.get("seconds"),
        unfinished=tuple(str(name) for name in content.get("unfinished") or ()),
        tuning=content.get("tuning") or {},
    )


def _cell(directory: Path, row: Mapping[str, Any]) -> Cell:
    # Only the last part of a name is used, so that no entry can point outside the comparison directory.
    folders = [directory / "runs" / Path(str(name)).name for name in row.get("runs", ())]
    return Cell(
        method=str(row["method"]),
        task=str(row["task"]),
        seeds=tuple(row.get("seeds", ())),
        runs=tuple(read_run(folder) for folder in folders if (folder / "spec.json").is_file()),
        diverged=tuple(row.get("diverged") or ()),
        unfinished=tuple(row.get("unfinished") or ()),
        failed=tuple(row.get("failed") or ()),
        measures=row.get("measures") or {},
        success=row.get("success_rate") or {},
        cost=row.get("cost") or {},
    )


def _single(directory: Path) -> Record:
    run = read_run(directory)
    method, task = _name(run.spec.get("method")), _name(run.spec.get("task"))
    cell = _snapshot_cell(method, task, run) if run.result is None else _result_cell(method, task, run)
    versions = (run.result or {}).get("versions") or run.spec.get("versions") or {}
    command = str(run.spec.get("command") or "")
    return Record(directory=directory, kind="run", plan={}, cells=(cell,), versions=versions, command=command)


def _name(value: Any) -> str:
    return str(value.get("name", "unnamed")) if isinstance(value, Mapping) else str(value)


def _result_cell(method: str, task: str, run: RunRecord) -> Cell:
    """A finished run summarised by the rules of a comparison."""
    row = cell_record(method, task, {run.directory.name: dict(run.result or {})})
    return Cell(
        method=method,
        task=task,
        seeds=tuple(row["seeds"]),
        runs=(run,),
        diverged=tuple(row["diverged"]),
        measures=row["measures"],
        success=row["success_rate"],
        cost=row["cost"],
    )


def _snapshot_cell(method: str, task: str, run: RunRecord) -> Cell:
    """An unfinished run by the measures of its newest snapshot, without a success rate."""
    cell = Cell(method=method, task=task, seeds=run.seeds, runs=(run,))
    if not run.snapshots or not cell.modes:
        return cell
    told: Mapping[str, list[float | None] | None] = run.snapshots[-1].get("measures") or {}
    found = {key: values for key, values in told.items() if values is not None}
    weights = [1 / cell.modes] * cell.modes
    # A seed that still trains has some number in every snapshot.
    gone = tuple(
        seed for place, seed in enumerate(run.seeds) if all(values[place] is None for values in found.values())
    )
    measures = {
        key: summarise(key, _so_far(run, key, values, gone), "averaged", weights)
        for key, values in found.items()
        if any(value is not None for value in values)
    }
    return replace(cell, measures=measures, diverged=gone if found else ())


def _so_far(run: RunRecord, key: str, values: list[float | None], gone: Sequence[int]) -> list[Lane]:
    return [
        Lane(seed=seed, diverged=seed in gone, measures={"averaged": {key: value}})
        for seed, value in zip(run.seeds, values, strict=True)
    ]
