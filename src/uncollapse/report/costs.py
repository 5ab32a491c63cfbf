"""What each cell of a comparison cost, and what each of its runs needs to be repeated, as rows."""

from __future__ import annotations

from dataclasses import dataclass

from uncollapse.report.amounts import Amount, whole
from uncollapse.report.records import Cell, Record
from uncollapse.text import seed_text


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one cell cost; updates, samples and parameters are those of one seed, the time that of all.

    Attributes:
        method: Its method.
        task: Its task.
        amounts: One entry for each of `COSTS`.
        device: Where it was trained.
    """

    method: str
    task: str
    amounts: tuple[Amount, ...]
    device: str


COSTS = {
    "seeds": "Seeds",
    "critic_updates": "Critic updates, a seed",
    "generator_updates": "Generator updates, a seed",
    "real_samples": "Real samples read, a seed",
    "generator_parameters": "Generator parameters",
    "critic_parameters": "Critic parameters",
    "seconds": "Time, all seeds",
}


def costs(record: Record) -> list[Cost]:
    """What each cell cost."""
    return [_cost(cell) for cell in record.cells]


def _cost(cell: Cell) -> Cost:
    cost = cell.cost
    parameters = cost.get("parameters") or {}
    seconds = [run.seconds for run in cell.runs if run.seconds is not None]
    counts = (
        len(cell.seeds),
        *(cost.get(key) for key in ("critic_updates", "generator_updates", "real_samples")),
        *(parameters.get(player) for player in ("generator", "critic")),
    )
    spent = sum(seconds) if seconds else cost.get("seconds")
    clock = Amount(value=spent, kind="seconds") if spent else Amount(said="not recorded")
    amounts = (*(whole(count) for count in counts), clock)
    return Cost(method=cell.method, task=cell.task, amounts=amounts, device=str(cost.get("device") or ""))


RUNS = ("Run", "Seeds", "Updates", "Batch", "Threads", "Numbers", "Spec hash")


def runs(record: Record) -> list[tuple[str, str, Amount, Amount, Amount, str, str]]:
    """What each run needs to be repeated, one entry for each of `RUNS`."""
    return [
        (
            f"{cell.method} on {cell.task}",
            seed_text(run.seeds, noun=""),
            whole(run.spec.get("updates")),
            whole(run.spec.get("batch")),
            whole(run.spec.get("threads")),
            str(run.spec.get("dtype", "")),
            str(run.spec.get("hash", "")),
        )
        for cell in record.cells
        for run in cell.runs
    ]
