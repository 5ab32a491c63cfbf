"""Which seeds of a cell are trained together: as many as pay and fit, and in so many runs that no worker waits.

Asked once, by the first start of a comparison; `packing.py` freezes the answer. Where seeds move as one stack, whole
blocks of 32 stay together: the CPU computes 32 numbers at a time and rounds what is left over otherwise, so that the
bits of a seed depend on the size of its stack, but not on its number of whole blocks, and no table depends on the
packing. Seeds that take turns are cut wherever it helps.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heapreplace
from pathlib import Path
from typing import TYPE_CHECKING

from uncollapse.experiments import throughput
from uncollapse.experiments.packing import BLOCK, LOCK, Groups, Key, PlannedRun, blocks, chunks, frozen_groups, key_of

if TYPE_CHECKING:
    from uncollapse.run import RunSpec

# Stacks that are measured, where a cell has so many seeds.
STACKS = (32, 64, 256)
# A packing is kept when its time is within this factor of the best that any could reach.
SLACK = 1.1
# Critic updates, over all seeds, that a run which was cut must still have: fewer are not worth a set-up of their own.
LEAST_UPDATES = 1_000
# Share of the memory that is free now which runs may take.
MEMORY_SHARE = 0.8


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the runs will be trained.

    Attributes:
        jobs: Runs at a time.
        device: Device of the runs.
        measure: Whether it is this machine, so that a measurement here says something.
    """

    jobs: int
    device: str
    measure: bool


def settled(
    directory: Path,
    runs: Sequence[PlannedRun],
    place: Place,
    *,
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda sentence: None,
) -> Groups:
    """The packing that a comparison's lock froze, whatever would be chosen today; a new one where there is no lock.

    Args:
        directory: The comparison's.
        runs: As for `choose`.
        place: Likewise.
        stop: Likewise.
        say: Likewise.

    Raises:
        UserError: The lock cannot be read.
    """
    if (directory / LOCK).exists():
        return frozen_groups(directory)
    return choose(runs, place, stop=stop, say=say)


def choose(
    runs: Sequence[PlannedRun],
    place: Place,
    *,
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda sentence: None,
) -> Groups:
    """The seeds of each run of each cell.

    Args:
        runs: All runs of the plan, in any packing; only what they are of is read.
        place: Where they will be trained.
        stop: Once it is true nothing more is measured.
        say: Told before something is measured, because that takes a second or two for each kind of run.
    """
    cells = _cells(runs)
    stacked = {key: spec for key, spec in cells.items() if as_one_stack(spec)}
    in_turn = {key: spec for key, spec in cells.items() if key not in stacked}
    room = memory_of_a_run(place)
    found = {**_stacks(stacked, place, room, stop, say), **_turns(in_turn, place)}
    return {key: _within(found[key], spec, room) for key, spec in cells.items()}


def longest_first(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """The runs in the order in which they are best begun, as far as is known without training any.

    Engines sort jobs by updates and seeds only and keep this order among equals, where the method's cost decides.
    """
    return sorted(runs, key=lambda run: -_relative(run.spec) * len(run.spec.seeds))


def makespan(seconds: Iterable[float], jobs: int) -> float:
    """The time until all are done when the longest comes first and a free slot takes the next; 0 for nothing.

    >>> makespan([3.0, 2.0, 2.0], 2)
    4.0
    """
    slots = [0.0] * max(jobs, 1)
    for length in sorted(seconds, reverse=True):
        heapreplace(slots, slots[0] + length)
    return max(slots)


def memory_of_a_run(place: Place) -> float:
    """Bytes that one run may take beside a bare process; no limit where it cannot be told."""
    if not place.measure:
        return float("inf")
    import torch

    from uncollapse.versions import choose_device

    device = choose_device(place.device)
    if device.type == "cuda":
        # Two runs at a time on one device share it; on several devices each has its own.
        sharing = -(-place.jobs // max(1, torch.cuda.device_count()))
        return MEMORY_SHARE * torch.cuda.mem_get_info(device)[0] / sharing
    free = free_memory()
    room = float("inf") if free is None else MEMORY_SHARE * free / place.jobs - throughput.BARE_PROCESS
    # Where not even the bare processes fit, no packing helps.
    return room if room > 0 else float("inf")


def free_memory() -> int | None:
    """Bytes that programs may still take; None where the system does not tell (it does on Linux)."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
        return int(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, IndexError):
        return None


def _cells(runs: Sequence[PlannedRun]) -> dict[Key, RunSpec]:
    """Each cell as one run with all of its seeds, in the plan's order of them."""
    first: dict[Key, PlannedRun] = {}
    for run in runs:
        first.setdefault(key_of(run.cell), run)
    return {key: replace(run.spec, seeds=run.cell.seeds) for key, run in first.items()}


def as_one_stack(spec: RunSpec) -> bool:
    """Whether the seeds of a run move together; otherwise they take turns, and nothing is gained by many."""
    return spec.networks.lifts and spec.dtype != "bfloat16"


def _stacks(
    cells: Mapping[Key, RunSpec],
    place: Place,
    room: float,
    stop: Callable[[], bool],
    say: Callable[[str], None],
) -> Groups:
    """Stacks of whole blocks: as large as pays, but not so large that workers wait."""
    wide = {key: spec for key, spec in cells.items() if len(spec.seeds) >= 2 * BLOCK and _may_vary(spec, place)}
    if wide:
        say(f"Measuring how many seeds to train together in {len(wide)} cells; once on this machine.")
    seconds: dict[Key, dict[int, float]] = {}
    for key, spec in wide.items():
        if stop():
            break
        if known := _measured(spec, place, room):
            seconds[key] = known
    times = {most: _time(cells, seconds, most, place.jobs) for most in STACKS}
    most = max(most for most, taken in times.items() if taken <= SLACK * min(times.values()))
    chosen = {key: _best(known, most) for key, known in seconds.items()}
    return {key: tuple(blocks(spec.seeds, chosen.get(key, BLOCK))) for key, spec in cells.items()}


def _measured(spec: RunSpec, place: Place, room: float) -> dict[int, float]:
    """Seconds of an update by the size of the stack, of those that fit; none where a run cannot even be begun."""
    found: dict[int, float] = {}
    for stack in STACKS:
        lanes = replace(spec, seeds=tuple(range(stack)))
        if stack > len(spec.seeds) or (found and throughput.expected_memory(lanes) > room):
            break
        try:
            cost = throughput.update_cost(lanes, place.device)
        except Exception:  # too large for a GPU, or data that lack: the run itself will fail and say why, as a row
            break
        if found and cost["memory"] > room:
            break
        found[stack] = cost["seconds"]
    return found


def _time(cells: Mapping[Key, RunSpec], seconds: Mapping[Key, dict[int, float]], most: int, jobs: int) -> float:
    """The time of all cells that were measured, with no stack larger than `most`; one of fewer seeds counts in part."""
    lengths = []
    for key, known in seconds.items():
        stack = _best(known, most)
        for group in blocks(cells[key].seeds, stack):
            lengths.append(known[stack] * cells[key].updates * len(group) / stack)
    return makespan(lengths, jobs)


def _may_vary(spec: RunSpec, place: Place) -> bool:
    """Whether stacks of several sizes give the same bits: with more threads a stack is cut where they please."""
    return place.measure and spec.threads == 1


def _best(seconds: Mapping[int, float], most: int) -> int:
    """The largest stack, up to `most`, whose time a seed is within a tenth of the least."""
    each = {stack: one / stack for stack, one in seconds.items() if stack <= most}
    return max(stack for stack, one in each.items() if one <= SLACK * min(each.values()))


def _turns(cells: Mapping[Key, RunSpec], place: Place) -> Groups:
    """Seeds that take turns, cut until the longest run no longer keeps the others' workers waiting.

    The time of a run is taken to grow with its updates, its batch and its method's measured cost, which is known
    without training anything.
    """
    each = {key: _relative(spec) for key, spec in cells.items()}
    whole = {key: each[key] * len(spec.seeds) for key, spec in cells.items()}
    pieces = {key: -(-len(spec.seeds) // BLOCK) for key, spec in cells.items()}
    most = {
        key: max(pieces[key], min(len(spec.seeds), spec.updates * len(spec.seeds) // LEAST_UPDATES))
        for key, spec in cells.items()
    }
    bound = max([sum(whole.values()) / place.jobs, *each.values()], default=0.0)
    longest = max((whole[key] / pieces[key] for key in cells), default=0.0)
    while cells and longest > bound / 2 and pieces != most:
        if makespan(_lengths(cells, each, pieces), place.jobs) <= SLACK * bound:
            break
        longest /= 1.25
        for key in cells:
            pieces[key] = min(most[key], max(pieces[key], -int(-whole[key] // longest)))
    return {key: tuple(chunks(spec.seeds, -(-len(spec.seeds) // pieces[key]))) for key, spec in cells.items()}


def _lengths(cells: Mapping[Key, RunSpec], each: Mapping[Key, float], pieces: Mapping[Key, int]) -> list[float]:
    return [
        each[key] * len(group)
        for key, spec in cells.items()
        for group in chunks(spec.seeds, -(-len(spec.seeds) // pieces[key]))
    ]


def _relative(spec: RunSpec) -> float:
    """What one seed of a run takes, in a unit of its own."""
    from uncollapse.methods import COSTS

    return spec.updates * spec.batch * COSTS.get(spec.method.name, 1.0)


def _within(groups: tuple[tuple[int, ...], ...], spec: RunSpec, room: float) -> tuple[tuple[int, ...], ...]:
    """The groups, cut further where a run would not fit the memory; one seed a run is the end of it."""
    most = max(len(group) for group in groups)
    while most > 1 and throughput.expected_memory(replace(spec, seeds=tuple(range(most)))) > room:
        most = most // 2 if most <= BLOCK or not as_one_stack(spec) else max(BLOCK, most // 2 // BLOCK * BLOCK)
    return tuple(part for group in groups for part in (chunks(group, most) if len(group) > most else [group]))
