"""What a kind of run costs on this machine: seconds of an update, seconds beside the updates, and memory.

Each is measured once, from a few updates, and kept in the cache folder; `planner.py` and `estimate.py` ask. On the CPU
with one thread the processor's time is counted, so that what else the machine does at the moment is left out.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from uncollapse.files import write_json
from uncollapse.parsing import read_json
from uncollapse.threads import threads

if TYPE_CHECKING:
    import torch

    from uncollapse.loop import Trainer
    from uncollapse.run import RunSpec

WARM_ROUNDS, LEAST_ROUNDS = 2, 3
MEASURED_SECONDS = 0.3
FOLDER = "throughput"
# What a process loads until its first run is judged.
LOADED = "import uncollapse.run, scipy.spatial, scipy.stats, sklearn.linear_model"
# Bytes of a process that has loaded torch and trains nothing.
BARE_PROCESS = 450_000_000

Numbers = dict[str, float]


def update_cost(spec: RunSpec, device: str) -> Numbers:
    """What an update of a run's kind takes.

    Returns:
        ``seconds`` of one critic update with its share of the generator's, all seeds together, and ``memory``, the
        bytes that the run takes beside a bare process.
    """
    return _known(f"update {kind(spec)}", device, lambda chosen: _measured_update(spec, chosen))


def beside_cost(spec: RunSpec, device: str) -> Numbers:
    """What a run of a kind takes beside its updates; parts of the method that nobody judges make no difference.

    Returns:
        ``seconds`` of set-up, snapshots, samples, judgement and files, and of one ``look`` of its monitors, 0 without.
    """
    population, labelled = repr(spec.method.population), spec.method.labelled
    parts = (repr(spec.task.spec()), population, labelled, spec.networks, spec.batch, len(spec.seeds), spec.monitor)
    key = repr((*parts, spec.task.measure_size, spec.threads, spec.dtype))
    return _known(f"beside {key}", device, lambda chosen: _measured_beside(spec, chosen))


def start_seconds() -> float:
    """Seconds of processor until a new process has loaded all that trains."""
    return _known("start", "cpu", lambda _: _measured_start())["seconds"]


def kind(spec: RunSpec) -> str:
    """Runs that differ in their task's modes or in their seeds' numbers take the same time."""
    method = replace(spec.method, name="")
    shape = (spec.task.shape, spec.task.classes if method.labelled else 0)
    sizes = (spec.batch, len(spec.seeds), spec.threads, spec.dtype, spec.accumulate)
    return repr((method.spec(), shape, spec.networks, *sizes))


def expected_memory(spec: RunSpec) -> int:
    """Bytes that a run takes beside a bare process, as far as its weights and drawn batches tell.

    What its layers hold during an update is left out, which only a measurement knows.
    """
    from uncollapse.blocks import block_length
    from uncollapse.lanes import lane_seeds, sizes_of
    from uncollapse.room import checkpoint_bytes

    sizes = sizes_of(spec)
    drawn = block_length(sizes) * sizes.batch * (sizes.data + 2 * sizes.latent) * len(lane_seeds(spec))
    # Weights and moments are there before and after an update, and gradients between; blocks while they are stacked.
    return 3 * checkpoint_bytes(spec) + 2 * 4 * drawn


def _known(key: str, device: str, measure: Callable[[torch.device], Numbers]) -> Numbers:
    """What the cache holds, or a new measurement, which it holds from then on."""
    from uncollapse.data.cache import cache_folder
    from uncollapse.versions import choose_device, versions

    chosen = choose_device(device)
    told = json.dumps([key, _machine(chosen), versions()], sort_keys=True)
    path = cache_folder() / FOLDER / f"{hashlib.sha256(told.encode()).hexdigest()[:24]}.json"
    with contextlib.suppress(OSError, ValueError):  # a damaged entry is measured again
        found = read_json(path)
        if isinstance(found, dict) and found.get("key") == key and _sound(found.get("cost")):
            return dict(found["cost"])
    cost = measure(chosen)
    with contextlib.suppress(OSError):  # a cache that cannot be written is no error
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"key": key, "cost": cost})
    return cost


def _sound(cost: object) -> bool:
    """Whether these are costs: finite numbers, none below 0, and seconds among them."""
    return (
        isinstance(cost, dict)
        and "seconds" in cost
        and all(isinstance(value, int | float) and math.isfinite(value) and value >= 0 for value in cost.values())
    )


def _machine(device: torch.device) -> list[str]:
    """What decides how fast it is, as far as it can be told."""
    import torch

    if device.type == "cuda":
        return [platform.node(), torch.cuda.get_device_name(device)]
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return [platform.node(), model, torch.backends.cpu.get_cpu_capability()]


def _clock(spec: RunSpec, device: torch.device) -> Callable[[], float]:
    return time.process_time if device.type == "cpu" and spec.threads == 1 else time.perf_counter


def _measured_update(spec: RunSpec, device: torch.device) -> Numbers:
    import torch

    from uncollapse.loop import Trainer

    clock, steps = _clock(spec, device), spec.method.dynamics.critic_steps
    with threads(spec.threads):
        gc.collect()
        before = _taken(device)
        trainer = Trainer(spec, device=device)
        trainer.advance(WARM_ROUNDS * steps)
        trainer.losses()
        start, first = clock(), trainer.update
        while clock() - start < MEASURED_SECONDS or trainer.update - first < LEAST_ROUNDS * steps:
            trainer.advance(trainer.update + steps)
            trainer.losses()  # reading a number waits for the device
        seconds = (clock() - start) / (trainer.update - first)
        if trainer.update - first < trainer.critic_blocks.length:  # no block was drawn meanwhile, or one too few
            seconds += _drawing(trainer, clock)
    grown = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _taken(device) - before
    del trainer
    if device.type == "cuda":  # this process lives on, and the workers need the memory
        torch.cuda.empty_cache()
    return {"seconds": seconds, "memory": max(grown, expected_memory(spec))}


def _drawing(trainer: Trainer, clock: Callable[[], float]) -> float:
    """Seconds of an update's share of the blocks of draws that it is played from."""
    dynamics, start = trainer.method.dynamics, clock()
    trainer.critic_blocks.batch(2 * trainer.critic_blocks.length)
    middle = clock()
    trainer.generator_blocks.batch(2 * trainer.generator_blocks.length)
    share = dynamics.generator_steps / dynamics.critic_steps
    critic, generator = middle - start, (clock() - middle) * share
    return critic / trainer.critic_blocks.length + generator / trainer.generator_blocks.length


def _taken(device: torch.device) -> int:
    """Bytes that this process holds now; on CUDA the peak is counted from here."""
    import torch

    from uncollapse.experiments.engines.limits import resident

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return 0
    return resident(os.getpid())


def _measured_beside(spec: RunSpec, device: torch.device) -> Numbers:
    """A run of one round has two of the snapshots and all else; the others are timed by one more."""
    from uncollapse import snapshots
    from uncollapse.loop import Trainer
    from uncollapse.run import execute

    clock, steps = _clock(spec, device), spec.method.dynamics.critic_steps
    short = replace(spec, updates=steps, monitor=None)
    with tempfile.TemporaryDirectory(prefix="uncollapse-") as folder, threads(spec.threads):
        start = clock()
        execute(short, Path(folder) / "run", device=str(device))
        whole = clock() - start
        trainer = Trainer(short, device=device)
        trainer.advance(steps)
        start = clock()
        trainer.advance(2 * steps)
        trainer.losses()
        rounds = clock() - start
        start = clock()
        snapshots.snapshot(trainer, short)
        one = clock() - start
        look = 0.0
        if spec.monitor is not None:
            from uncollapse.monitoring import Monitors

            start = clock()
            monitors = Monitors(spec, Path(folder) / "run", trainer)
            whole += clock() - start
            start = clock()
            monitors.look()
            look = clock() - start
    return {"seconds": max(whole - rounds, 0.0) + (len(snapshots.SNAPSHOTS) - 2) * one, "look": look}


def _measured_start() -> Numbers:
    """What children of this process have used up says what one of them takes."""
    before = os.times()
    begun = time.perf_counter()
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    subprocess.run([sys.executable, "-c", LOADED], check=True, capture_output=True, env=environment)
    waited, after = time.perf_counter() - begun, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": used if used > 0 else waited}
