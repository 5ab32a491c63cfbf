"""Run directories as the trainer writes them, made by hand: small, fast, and with whatever a test needs to be wrong."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

UPDATES = 1_000


def loss_line(
    update: int, critic: Sequence[float | None], generator: Sequence[float | None] | None = None
) -> dict[str, Any]:
    """A line of losses."""
    return {"update": update, "losses": {"critic": list(critic), "generator": list(generator or critic)}}


def snapshot_line(update: int, shares: Sequence[Sequence[float] | None]) -> dict[str, Any]:
    """A snapshot whose measures follow from the shares: a mode is solid above a fifth of its fair share."""
    solid = [None if row is None else float(sum(share >= 0.2 / len(row) for share in row)) for row in shares]
    measures = {
        "modes_solid": solid,
        "modes_hit": solid,
        "high_quality_share": [None if s is None else 0.5 for s in solid],
    }
    return {"update": update, "snapshot": True, "measures": measures, "shares": list(shares)}


def append(folder: Path, *lines: Mapping[str, Any], name: str = "history.jsonl") -> None:
    """Appends whole lines."""
    with (folder / name).open("a", encoding="utf-8") as stream:
        stream.writelines(json.dumps(line) + "\n" for line in lines)


def make_run(
    folder: Path,
    *,
    method: str = "vanilla",
    task: str = "ring-8",
    seeds: Sequence[int] = (0, 1),
    updates: int = UPDATES,
    lines: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """A run that has just begun."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = {
        "schema": 1,
        "hash": "0123456789ab",
        "method": {"name": method, "dynamics": {"critic_steps": 1}},
        "task": {"name": task},
        "seeds": list(seeds),
        "updates": updates,
        "command": f"uncollapse train {method} {task} --seeds {','.join(map(str, seeds))}",
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    append(folder, *lines)
    return folder


def trained(folder: Path, *, upto: int = UPDATES, every: int = 100, modes: int = 8, **options: Any) -> Path:
    """A run with losses and snapshots: seed 1 (if there is one) has lost mode 2 by update 500."""
    seeds = options.get("seeds", (0, 1))
    make_run(folder, **options)
    for update in range(0, upto + 1, every):
        if update:
            append(folder, loss_line(update, [1 + 0.1 * place + update / 10_000 for place in range(len(seeds))]))
        whole = [1 / modes] * modes
        less = [0.0 if mode == 2 else 1 / (modes - 1) for mode in range(modes)]
        append(
            folder,
            snapshot_line(update, [less if place == 1 and update >= 500 else whole for place in range(len(seeds))]),
        )
        write_samples(folder, update, cloud(len(seeds), update))
    append(folder, {"update": upto, "from": 0, "seconds": 10.0, "updates_per_second": 20.0}, name="timing.jsonl")
    return folder


def finish(
    folder: Path, *, diverged: Mapping[int, int] | None = None, modes: int = 8, status: str = "finished"
) -> None:
    """Writes the result of a run."""
    spec = json.loads((folder / "spec.json").read_text())
    lanes = [
        {
            "seed": seed,
            "diverged_at": (diverged or {}).get(seed),
            "measures": {
                kind: {"modes_solid": 7.0, "modes_hit": 8.0, "high_quality_share": 0.91}
                for kind in ("averaged", "live")
            },
        }
        for seed in spec["seeds"]
    ]
    names = [f"point {mode}" for mode in range(modes)]
    result = {
        "status": status,
        "updates": spec["updates"],
        "n_samples": 10_000,
        "modes": {"names": names, "weights": [1 / modes] * modes},
        "lanes": lanes,
        "warnings": [],
    }
    (folder / "result.json").write_text(json.dumps(result))


def cloud(lanes: int, update: int, count: int = 40) -> NDArray[np.float32]:
    """Points (lanes, count, 2) that tell lane and update apart."""
    draw = np.random.default_rng([lanes, update])
    return draw.standard_normal((lanes, count, 2)).astype(np.float32)


def write_samples(folder: Path, update: int, samples: NDArray[Any], name: str = "samples") -> Path:
    """One file of samples."""
    (folder / "samples").mkdir(exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: samples})
    path = folder / "samples" / f"step-{update:08d}.npz"
    path.write_bytes(buffer.getvalue())
    return path


def make_comparison(
    folder: Path, runs: Sequence[tuple[str, str]] = (("vanilla", "ring-8"), ("wgan-gp", "ring-8"))
) -> Path:
    """A comparison that has started: a lock with a line for each run, and no run yet."""
    (folder / "runs").mkdir(parents=True)
    lines = [
        {"directory": f"{method}-{task}", "method": method, "task": task, "seeds": [0, 1], "updates": UPDATES}
        for method, task in runs
    ]
    plan = {"name": "small", "description": "A small comparison.", "weights": "averaged"}
    (folder / "plan.lock.json").write_text(json.dumps({"schema": 1, "plan": plan, "plugins": [], "runs": lines}))
    return folder
