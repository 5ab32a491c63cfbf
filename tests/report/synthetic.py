"""A small comparison directory in the documented format, made without training anything.

The numbers of the measures are set by hand, so that a test can say which sentence must appear on the page; the samples
are drawn so that the pictures show what the numbers say (vanilla loses modes of the ring, one wgan-gp seed diverges).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

SEEDS = (1000, 1001, 1002, 1003)
UPDATES = 4000
STEPS = tuple(range(0, UPDATES + 1, 400))
TUTORIAL_CENTRES = np.array([(0, 0), (5, 5), (5, -5), (-5, 5), (-5, -5), (0, 5), (5, 0), (-5, 0), (0, -5)], float)
VERSIONS = {"uncollapse": "0.1.0", "torch": "2.13.0", "numpy": "2.4.0", "python": "3.11.7"}


def centres(task: str) -> tuple[np.ndarray, float]:
    """The true centres (K, 2) and the standard deviation of a 2-D task, by the definitions of the tasks."""
    family, _, count = task.rpartition("-")
    if family == "ring":
        angles = 2 * np.pi * np.arange(int(count)) / int(count)
        return np.stack([np.cos(angles), np.sin(angles)], 1), 0.01
    side = np.arange(-20, 21) * 5.0
    grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    near = np.lexsort((np.arctan2(grid[:, 1], grid[:, 0]) % (2 * np.pi), np.round(np.hypot(*grid.T), 9)))
    points = TUTORIAL_CENTRES[: int(count)] if int(count) <= 9 else grid[near[: int(count)]]
    scale = 0.9 / (np.abs(points).max() + 1.5)
    return points * scale, 0.5 * scale


def write_json(path: Path, value: object) -> None:
    """One JSON file, its folder made when needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def measure(values: Sequence[float | None], low: float, high: float) -> dict[str, Any]:
    """One entry of `measures`: the mean of the per-seed values with an interval set by hand."""
    known = [value for value in values if value is not None]
    return {
        "mean": float(np.mean(known)), "low": low, "high": high, "level": 0.95, "per_seed": list(values), "method": "t",
    }  # fmt: skip


def ring_samples(rng: np.random.Generator, task: str, kept: Sequence[int], n: int, blur: float) -> np.ndarray:
    """n points (n, 2) on the kept modes only, blurred by a multiple of the true deviation."""
    where, sigma = centres(task)
    return where[rng.choice(list(kept), n)] + rng.normal(size=(n, 2)) * sigma * blur


def digit_samples(rng: np.random.Generator, labels: np.ndarray, noise: float) -> np.ndarray:
    """Noisy copies of real digits of the given classes, (n, 8, 8) in [-1, 1]."""
    data = load_digits()
    pools = [data.images[data.target == k] for k in range(10)]
    images = np.stack([pools[k][rng.integers(len(pools[k]))] for k in labels]) / 8 - 1
    return np.clip(images + rng.normal(size=images.shape) * noise, -1, 1)


class Lane:
    """What one synthetic seed produces: samples of any size at any progress, and its shares of the modes."""

    def __init__(self, task: str, kept: Sequence[int], *, conditional: bool, seed: int) -> None:
        self.task, self.kept, self.conditional = task, list(kept), conditional
        self.rng = np.random.default_rng(seed)
        self.modes = 10 if task == "digits" else int(task.rpartition("-")[2])

    def kept_at(self, progress: float) -> list[int]:
        """The modes still alive: all of them early, the kept ones from half time on."""
        lost = [k for k in range(self.modes) if k not in self.kept]
        return sorted(self.kept + lost[: round(len(lost) * max(0.0, 1 - 2 * progress))])

    def samples(self, n: int, progress: float = 1.0) -> tuple[np.ndarray, np.ndarray | None]:
        """n samples (and labels where conditional) at a stage of training in [0, 1]."""
        alive = self.kept_at(progress)
        if self.task != "digits":
            start = self.rng.normal(size=(n, 2)) * 0.3
            late = ring_samples(self.rng, self.task, alive, n, 1.0 + 4 * (1 - progress))
            return (start if progress == 0 else late).astype(np.float32), None
        labels = np.sort(np.arange(n) % 10) if self.conditional else self.rng.choice(alive, n)
        noise = 0.25 + 1.5 * (1 - progress)
        return digit_samples(self.rng, labels, noise).astype(np.float32), labels if self.conditional else None

    def shares(self, progress: float) -> list[float]:
        """Share of each mode (sums to one)."""
        alive = self.kept_at(progress)
        weights = np.zeros(self.modes)
        weights[alive] = 1 + 0.3 * self.rng.random(len(alive))
        return [round(float(share), 4) for share in weights / weights.sum()]


def write_run(
    directory: Path,
    method: str,
    task: str,
    kept: Sequence[Sequence[int] | None],
    *,
    hash_: str,
    conditional: bool = False,
    until: int = UPDATES,
    seeds: Sequence[int] = SEEDS,
) -> Path:
    """One run directory; `kept[i] is None` is a diverged lane; `until` < UPDATES leaves the run unfinished."""
    run = directory / f"{method.replace('/', '_')}-{task}-{hash_}"
    lanes = [
        Lane(task, modes if modes is not None else range(2), conditional=conditional, seed=i)
        for i, modes in enumerate(kept)
    ]
    write_json(
        run / "spec.json",
        {
            "schema": 1, "hash": hash_, "method": {"name": method}, "task": {"name": task},
            "networks": {"width": 128, "depth": 3, "latent": 2}, "seeds": list(seeds), "updates": UPDATES, "batch": 256,
            "threads": 1, "dtype": "float32", "versions": VERSIONS, "command": f"uncollapse train {method} {task}",
        },
    )  # fmt: skip
    _write_history(run, lanes, kept, until)
    _write_samples(run, lanes, kept, until, conditional)
    if until == UPDATES:
        _write_result(run, lanes, kept, method, task, hash_, seeds)
    return run


def _write_history(run: Path, lanes: list[Lane], kept: Sequence[Sequence[int] | None], until: int) -> None:
    rng = np.random.default_rng(5)
    lines: list[dict[str, Any]] = []
    for update in range(0, until + 1, 20):
        gone = [modes is None and update > UPDATES // 2 for modes in kept]
        losses = {
            "critic": [None if g else float(1.3 - update / 8000 + rng.normal() * 0.08) for g in gone],
            "generator": [None if g else float(0.8 + update / 2000 + rng.normal() * 0.15) for g in gone],
        }
        lines.append({"update": update, "losses": losses})
        if update in STEPS:
            progress = update / UPDATES
            alive = [0 if update == 0 else len(lane.kept_at(progress)) for lane in lanes]
            masked = [None if g else value for g, value in zip(gone, alive, strict=True)]
            quality = [None if g else round(0.9 * progress, 3) for g in gone]
            shares = [None if g else lane.shares(progress) for g, lane in zip(gone, lanes, strict=True)]
            measures = {"modes_solid": masked, "modes_hit": masked, "high_quality_share": quality}
            lines.append({"update": update, "snapshot": True, "measures": measures, "shares": shares})
    (run / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    clock = [{"update": u, "seconds": u / 200, "updates_per_second": 800.0} for u in range(0, until + 1, 400)]
    (run / "timing.jsonl").write_text("".join(json.dumps(line) + "\n" for line in clock))


def _write_samples(
    run: Path, lanes: list[Lane], kept: Sequence[Sequence[int] | None], until: int, conditional: bool
) -> None:
    (run / "samples").mkdir(parents=True, exist_ok=True)
    digits = lanes[0].task == "digits"

    def drawn(n: int, progress: float) -> dict[str, np.ndarray]:
        pairs = [lane.samples(n, progress) for lane in lanes]
        samples = np.stack([pair[0] for pair in pairs])
        if progress > 0.5:
            samples[[i for i, modes in enumerate(kept) if modes is None]] = np.nan
        return {"samples": samples} | ({"labels": np.stack([pair[1] for pair in pairs])} if conditional else {})

    for update in STEPS:
        if update <= until:
            np.savez(run / "samples" / f"step-{update:08d}.npz", **drawn(200 if digits else 500, update / UPDATES))
    if until == UPDATES:
        final = drawn(1000 if digits else 2500, 1.0)
        np.savez(run / "samples" / "final.npz", live=final["samples"], **final)


def _write_result(
    run: Path,
    lanes: list[Lane],
    kept: Sequence[Sequence[int] | None],
    method: str,
    task: str,
    hash_: str,
    seeds: Sequence[int],
) -> None:
    rows = []
    for lane, modes, seed in zip(lanes, kept, seeds, strict=True):
        count = None if modes is None else len(modes)
        values = {"modes_solid": count, "modes_hit": count, "high_quality_share": None if count is None else 0.9}
        counts = [0] * lane.modes if modes is None else [round(1000 * share) for share in lane.shares(1.0)]
        both = {"all": counts, "high_quality": counts}
        rows.append(
            {
                "seed": seed, "diverged_at": 2020 if modes is None else None,
                "measures": {"averaged": values, "live": values}, "counts": {"averaged": both, "live": both},
            }
        )  # fmt: skip
    k = lanes[0].modes
    write_json(
        run / "result.json",
        {
            "schema": 1, "status": "finished", "hash": hash_, "method": method, "task": task, "seeds": list(seeds),
            "updates": UPDATES, "n_samples": 10000, "lanes": rows, "versions": VERSIONS, "warnings": [],
            "modes": {"names": [str(i) for i in range(k)], "weights": [1 / k] * k}, "cost": cost(method),
        },
    )  # fmt: skip


def cost(method: str) -> dict[str, Any]:
    """The cost entry of one run."""
    return {
        "critic_updates": UPDATES, "generator_updates": UPDATES if method == "vanilla" else UPDATES // 5,
        "real_samples": UPDATES * 256, "parameters": {"generator": 33666, "critic": 33537}, "device": "cpu",
    }  # fmt: skip


def cell(
    method: str,
    task: str,
    run: Path,
    solid: Sequence[float | None],
    interval: tuple[float, float],
    gone: Sequence[int] = (),
    **more: Any,
) -> dict[str, Any]:
    """One cell of comparison.json; `more` adds measures as (values, low, high)."""
    modes = 10 if task == "digits" else int(task.rpartition("-")[2])
    successes = sum(value == modes for value in solid)
    measures = {"modes_solid": measure(solid, *interval), "modes_solid_live": measure(solid, *interval)}
    measures |= {key: measure(values, low, high) for key, (values, low, high) in more.items()}
    return {
        "method": method, "task": task, "seeds": list(SEEDS), "runs": [run.name],
        "diverged": list(gone), "failed": [],
        "measures": measures, "cost": cost(method),
        "success_rate": {
            "value": successes / len(SEEDS), "low": 0.01, "high": 0.6, "successes": successes, "n": len(SEEDS),
        },
    }  # fmt: skip


def difference(task: str, method: str, value: float, low: float, high: float, p: float | None) -> dict[str, Any]:
    """One paired difference of the solid modes against vanilla (or wgan-gp on digits)."""
    return {
        "task": task, "method": method, "baseline": "wgan-gp" if task == "digits" else "vanilla",
        "measure": "modes_solid", "difference": value, "low": low, "high": high, "p": p, "p_adjusted": p,
        "test": "paired sign-flip test, exact", "n": 4, "sentence": "", "smallest_p": 0.125,
    }  # fmt: skip


def write_comparison(directory: Path, *, hostile: str = "wgan", small: bool = False) -> Path:
    """The whole directory: ring-8, blobs-4 and blobs-16 with claims, and digits.

    Args:
        directory: Where to write; made when needed.
        hostile: Name of the third method of ring-8, for a test of escaping.
        small: Only ring-8, which is quick to draw.
    """
    runs = directory / "runs"
    every = list(range(8))
    lost = [[0, 1, 2], [0, 2, 4, 6], [0, 1, 2, 3, 4], [1, 3, 5, 7, 0]]
    cells = [
        cell("vanilla", "ring-8",
             write_run(runs, "vanilla", "ring-8", lost, hash_="a1"),
             [3, 4, 5, 5], (2.7, 5.8), high_quality_share=([0.9, 0.88, 0.93, 0.91], 0.87, 0.94),
             kl_high_quality=([0.98, 0.7, 0.5, 0.5], 0.31, 1.03), core_sigma_ratio=([0.5, 0.6, 0.4, 0.5], 0.37, 0.63),
             tutorial_coverage=([0.5, 0.5, 0.625, 0.75], 0.4, 0.79)),
        cell("wgan-gp", "ring-8", write_run(runs, "wgan-gp", "ring-8", [every, every, None, every[:7]], hash_="b2"),
             [8, 8, 0, 7], (0.2, 8.0), high_quality_share=([0.8, 0.81, 0.0, 0.85], 0.0, 1.0),
             kl_high_quality=([0.05, 0.04, None, 0.2], 0.0, 0.32), core_sigma_ratio=([1.4, 1.3, None, 1.5], 1.1, 1.6),
             tutorial_coverage=([1.0, 1.0, 0.0, 1.0], 0.0, 1.0), gone=[1002]),
        cell(hostile, "ring-8", write_run(runs, hostile, "ring-8", [every[:4]] * 4, hash_="c3"),
             [4, 4, 4, 4], (3.1, 4.9), tutorial_coverage=([0.5] * 4, 0.4, 0.6)),
    ]  # fmt: skip
    if not small:
        cells += _blobs(runs) + _digits(runs)
    claims = {
        "source": "the tutorial's table", "measure": "tutorial_coverage",
        "values": {"vanilla": {"blobs-4": 0.75, "blobs-16": 0.3}, "wgan-gp": {"blobs-4": 1.0, "blobs-16": 0.3}},
    }  # fmt: skip
    plan = {
        "name": "synthetic", "seeds": {"first": 1000, "count": 4}, "updates": UPDATES, "claims": claims,
        "compare": {"baseline": "vanilla", "headline": "modes_solid"},
    }  # fmt: skip
    differences = [
        difference("ring-8", "wgan-gp", 1.5, -5.0, 7.5, 0.75), difference("ring-8", hostile, -0.25, -1.8, 1.3, 0.64),
        difference("blobs-4", "wgan-gp", -3.0, -3.4, -2.6, 0.001),
        difference("digits", "cwgan-gp", 1.0, -0.3, 2.3, 0.09),
    ]  # fmt: skip
    write_json(
        directory / "comparison.json",
        {
            "schema": 1, "plan": plan, "weights": "averaged", "cells": cells, "differences": differences,
            "versions": VERSIONS, "command": "uncollapse compare synthetic --out here", "seconds": 81.5,
        },
    )  # fmt: skip
    return directory


def _blobs(runs: Path) -> list[dict[str, Any]]:
    """Two sizes of one family: vanilla keeps every mode, wgan-gp a quarter."""
    cells = []
    for k in (4, 16):
        task, half = f"blobs-{k}", k // 4
        full = write_run(runs, "vanilla", task, [range(k)] * 4, hash_=f"d{k}")
        few = write_run(runs, "wgan-gp", task, [range(half)] * 4, hash_=f"e{k}")
        cells.append(cell("vanilla", task, full, [k] * 4, (0.9 * k, k), tutorial_coverage=([1.0] * 4, 0.88, 1.0)))
        cells.append(cell("wgan-gp", task, few, [half] * 4, (0.8 * half, 1.3 * half),
                          tutorial_coverage=([0.25] * 4, 0.18, 0.36)))  # fmt: skip
    return cells


def _digits(runs: Path) -> list[dict[str, Any]]:
    """Real digits with noise: an unconditional method that loses classes and a conditional one that does not."""
    ten = list(range(10))
    plain = write_run(runs, "wgan-gp", "digits", [ten[:8], ten[1:], ten, ten[:9]], hash_="f5")
    labelled = write_run(runs, "cwgan-gp", "digits", [ten] * 4, hash_="a6", conditional=True)
    first = (cell("wgan-gp", "digits", plain, [8, 9, 10, 9], (7.7, 10.0),
                      class_entropy=([2.9, 3.1, 3.3, 3.1], 2.85, 3.32),
                      frechet_distance=([21.0, 25.0, 22.0, 24.0], 20.1, 25.9), recall=([0.5, 0.6, 0.5, 0.6], 0.4, 0.7),
                      within_class_diversity=([0.7, 0.8, 0.7, 0.8], 0.66, 0.84)))  # fmt: skip
    second = (cell("cwgan-gp", "digits", labelled, [10] * 4, (9.2, 10.0),
                      class_entropy=([3.31, 3.32, 3.31, 3.32], 3.3, 3.32),
                      frechet_distance=([11.0, 12.0, 11.0, 12.0], 10.6, 12.4), recall=([0.6, 0.6, 0.5, 0.7], 0.4, 0.8),
                      within_class_diversity=([0.4, 0.3, 0.4, 0.3], 0.26, 0.44),
                      label_agreement=([0.97, 0.98, 0.97, 0.98], 0.96, 0.99)))  # fmt: skip
    return [first, second]
