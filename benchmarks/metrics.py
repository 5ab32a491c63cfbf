"""Seconds and memory of the metrics against what they replace, as ratios within one run.

Every side of a comparison runs in this one process with the same threads, in turn (A B C A B C ...); a ratio is the
median over the rounds of the ratios within a round. Peak memory is measured in a process of its own for each side,
as the kernel counts it (`VmHWM`), whole and without what was there before the call (interpreter, libraries, inputs).
`benchmarks/results/metrics.json` keeps every number.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import sklearn.metrics
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import uncollapse as uc

Array = NDArray[np.float32]
Side = Callable[[Array, Array], object]
NEIGHBOURS = ("precision", "recall", "density", "coverage")
WITH_KERNEL = (*NEIGHBOURS, "kernel_distance")
WIDE, NARROW = 2_048, 256
SUBSETS, SUBSET_ROWS = 100, 1_000
MEMORY_GB = 4.0


def features(n: int, d: int, seed: int, width: float = 1.0) -> Array:
    """Rows like those of a network: 64 causes, rectified, with noise; the same map for every seed (n, d)."""
    weights = np.random.default_rng(0).standard_normal((64, d), dtype=np.float32) / 8
    stream = np.random.default_rng(seed)
    causes = stream.standard_normal((n, 64), dtype=np.float32) * np.float32(width)
    return np.maximum(causes @ weights, 0) + np.float32(0.1) * stream.standard_normal((n, d), dtype=np.float32)


def sqrtm_route(real: Array, fake: Array) -> float:
    """The Fréchet distance as most packages compute it."""
    apart = real.mean(0, dtype=np.float64) - fake.mean(0, dtype=np.float64)
    covariances = [np.cov(rows, rowvar=False) for rows in (real, fake)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    return float(apart @ apart + np.trace(covariances[0] + covariances[1] - 2 * np.real(root)))


def peer_neighbours(real: Array, fake: Array) -> dict[str, float]:
    """The four neighbour metrics by the package `prdc`, or as it computes them where it is not installed."""
    try:
        import prdc
    except ImportError:
        return full_matrices(real, fake)
    with contextlib.redirect_stdout(None):
        return dict(prdc.compute_prdc(real_features=real, fake_features=fake, nearest_k=5))


def full_matrices(real: Array, fake: Array, k: int = 5) -> dict[str, float]:
    """Precision, recall, density and coverage from three full distance matrices."""
    within = [sklearn.metrics.pairwise_distances(rows, n_jobs=8) for rows in (real, fake)]
    radii = [np.partition(distances, k, axis=1)[:, k] for distances in within]
    across = sklearn.metrics.pairwise_distances(real, fake, n_jobs=8)
    inside = across < radii[0][:, None]
    return {
        "precision": float(inside.any(0).mean()),
        "recall": float((across < radii[1]).any(1).mean()),
        "density": float(inside.sum(0).mean() / k),
        "coverage": float((across.min(1) < radii[0]).mean()),
    }


def together(metrics: tuple[str, ...] | None, level: float | None) -> Side:
    """The named feature metrics, or all, in one walk."""
    return lambda real, fake: uc.metrics.feature_metrics(real=real, fake=fake, metrics=metrics, level=level)


SIDES: Mapping[str, Side] = {
    "cov + sqrtm": sqrtm_route,
    "Fréchet": lambda real, fake: uc.metrics.frechet_distance(real=real, fake=fake, level=None),
    "Fréchet with interval": lambda real, fake: uc.metrics.frechet_distance(real=real, fake=fake),
    "prdc": peer_neighbours,
    "neighbours": together(NEIGHBOURS, None),
    "neighbours with intervals": together(NEIGHBOURS, 0.95),
    "neighbours and kernel": together(WITH_KERNEL, None),
    "neighbours and kernel with intervals": together(WITH_KERNEL, 0.95),
    "all feature metrics with intervals": together(None, 0.95),
}


PEERS = ("cov + sqrtm", "prdc")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One row of the table: seconds of `other` over seconds of `ours`.

    Attributes:
        ours: A name of `SIDES`.
        other: What it is compared with.
        width: Features a row.
        target: What the ratio must reach; None where it is only told.
    """

    ours: str
    other: str
    width: int
    target: float | None = None


COMPARISONS = (
    Comparison(ours="Fréchet", other="cov + sqrtm", width=WIDE, target=8),
    Comparison(ours="Fréchet with interval", other="cov + sqrtm", width=WIDE),
    Comparison(ours="neighbours", other="prdc", width=NARROW, target=5),
    Comparison(ours="neighbours with intervals", other="prdc", width=NARROW),
    Comparison(ours="neighbours", other="prdc", width=WIDE, target=2.5),
    Comparison(ours="neighbours with intervals", other="prdc", width=WIDE),
    Comparison(ours="neighbours and kernel", other="neighbours", width=NARROW, target=1 / 1.2),
    Comparison(ours="neighbours and kernel", other="neighbours", width=WIDE, target=1 / 1.2),
    Comparison(
        ours="neighbours and kernel with intervals", other="neighbours with intervals", width=WIDE, target=1 / 1.2
    ),
    Comparison(ours="all feature metrics with intervals", other="cov + sqrtm", width=WIDE, target=1),
)


def limit(threads: int, *, ours: bool) -> None:
    """Sets the threads of all libraries; torch is loaded only where ours runs, for the memory of the others' sake."""
    threadpool_limits(threads)
    if ours:
        import torch

        torch.set_num_threads(threads)


CLOCKS: Mapping[str, Callable[[], float]] = {"wall": time.perf_counter, "processor": time.process_time}


def seconds(side: str, real: Array, fake: Array, clock: Callable[[], float]) -> float:
    """Seconds of one side."""
    start = clock()
    SIDES[side](real, fake)
    return clock() - start


def measure_speed(options: argparse.Namespace, widths: Mapping[int, int]) -> list[dict[str, Any]]:
    """All comparisons, the sides of one width interleaved."""
    rows, rounds, only, clock = options.rows, options.rounds, options.only, CLOCKS[options.clock]
    results = []
    for width, actual in widths.items():
        cases = [case for case in COMPARISONS if case.width == width and only in f"{case.ours} / {case.other}"]
        names = list(dict.fromkeys(name for case in cases for name in (case.other, case.ours)))
        real, fake = features(rows, actual, 1), features(rows, actual, 2, 0.9)
        small = real[:500], fake[:500]
        for name in names:
            seconds(name, *small, clock)
        times: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(rounds):
            for name in names:
                times[name].append(seconds(name, real, fake, clock))
                print(f"round {turn + 1}, {actual} features, {name}: {times[name][-1]:.2f} s", file=sys.stderr)
        for case in cases:
            ratios = [a / b for a, b in zip(times[case.other], times[case.ours], strict=True)]
            ratio = statistics.median(ratios)
            results.append(
                asdict(case)
                | {"rows": rows, "features": actual, "ratios": ratios, "ratio": ratio}
                | {"seconds_ours": times[case.ours], "seconds_other": times[case.other]}
                | {"reached": None if case.target is None else ratio >= case.target}
            )
    return results


def status(name: str) -> float:
    """A line of this process's memory in bytes, for example VmHWM."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def memory_here(side: str, folder: Path, threads: int) -> None:
    """Runs one side in this process, and prints bytes before the call and at its peak as JSON."""
    limit(threads, ours=side not in PEERS)
    real, fake = (np.load(folder / f"{name}.npy") for name in ("real", "fake"))
    SIDES[side](real[:100], fake[:100])
    before = status("VmRSS")
    SIDES[side](real, fake)
    print(json.dumps({"before": before, "peak": status("VmHWM")}))


def memory(side: str, rows: int, width: int, threads: int) -> dict[str, Any]:
    """Memory of one side in a process of its own, in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        for seed, name in ((1, "real"), (2, "fake")):
            np.save(Path(folder) / f"{name}.npy", features(rows, width, seed, 1 if seed == 1 else 0.9))
        command = [sys.executable, __file__, "--memory-of", side, "--folder", folder, "--threads", str(threads)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    print(f"memory, {rows} x {width}, {side}: {found['peak'] / 1e9:.2f} GB", file=sys.stderr)
    return {"side": side, "rows": rows, "features": width, **found, "added": found["peak"] - found["before"]}


def measure_memory(options: argparse.Namespace, widths: Mapping[int, int]) -> list[dict[str, Any]]:
    """The neighbour metrics against prdc, and alone with many rows; one row of the result each."""
    results = []
    for width in widths.values():
        ours, other = (
            memory(side, options.rows, width, options.threads) for side in ("neighbours with intervals", "prdc")
        )
        shares = {name: ours[name] / other[name] for name in ("peak", "added")}
        results.append({"what": "share of prdc", "ours": ours, "other": other, **shares, "target": 0.25})
        results[-1]["reached"] = shares["peak"] <= 0.25
    for width in widths.values() if options.long else (widths[NARROW],):
        ours = memory("neighbours with intervals", options.many, width, options.threads)
        results.append({"what": "many rows", "ours": ours, "peak": ours["peak"] / 1e9, "target": MEMORY_GB})
        results[-1]["reached"] = ours["peak"] <= MEMORY_GB * 1e9
    return results


def kernel_errors(rows: int, width: int) -> dict[str, Any]:
    """Standard error of the kernel distance from all pairs, and of the classic 100 subsets of 1,000 rows.

    The subsets are drawn and evaluated by NumPy. Given the data their mean scatters around the number of all pairs, so
    its variance is that number's variance plus the variance of one subset's value / 100.
    """
    real, fake = features(rows, width, 1), features(rows, width, 2, 0.9)
    whole = uc.metrics.kernel_distance(real=real, fake=fake)
    size, stream = min(SUBSET_ROWS, rows // 2), np.random.default_rng(0)
    values = []
    for _ in range(SUBSETS):
        x, y = (side[stream.choice(rows, size, replace=False)].astype(np.float64) for side in (real, fake))
        xx, yy, xy = ((a @ b.T / width + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
        alike = sum(k.sum() - np.trace(k) for k in (xx, yy)) / (size * (size - 1))
        values.append(alike - 2 * xy.mean())
    error = float(whole.details["standard_error"])
    classic = float(np.sqrt(error**2 + np.var(values, ddof=1) / SUBSETS))
    return {
        "rows": rows,
        "features": width,
        "all_pairs": float(whole),
        "standard_error": error,
        "subsets": float(np.mean(values)),
        "standard_error_of_subsets": classic,
        "reached": error < classic,
    }


def print_tables(document: Mapping[str, Any]) -> None:
    """The results as Markdown."""
    words = {True: "yes", False: "NO", None: "-"}
    print("| ours | seconds | the other | seconds | size | ratio | target | reached |")
    print("|---|---|---|---|---|---|---|---|")
    for row in document["rows"]:
        taken = [f"{statistics.median(row[f'seconds_{side}']):.2f}" for side in ("ours", "other")]
        target = "-" if row["target"] is None else f"{row['target']:.2f}"
        size = f"{row['rows']:,} x {row['features']:,}"
        cells = (row["ours"], taken[0], row["other"], taken[1], size, f"{row['ratio']:.2f}", target)
        print(f"| {' | '.join(cells)} | {words[row['reached']]} |")
    print("\n| peak memory | size | whole process | added by the call | target | reached |\n|---|---|---|---|---|---|")
    for row in document["memory"]:
        ours = row["ours"]
        parts = [f"{ours[name] / 1e9:.2f} GB" for name in ("peak", "added")]
        if "other" in row:
            parts = [f"{part} = {row[name]:.0%} of prdc" for part, name in zip(parts, ("peak", "added"), strict=True)]
        target = "25% of prdc, whole" if "other" in row else f"{MEMORY_GB:.0f} GB, whole"
        size = f"{ours['rows']:,} x {ours['features']:,}"
        print(f"| {ours['side']} | {size} | {parts[0]} | {parts[1]} | {target} | {words[row['reached']]} |")
    for row in document["kernel_errors"]:
        errors = (
            f"{row['standard_error']:.3g} from all pairs, {row['standard_error_of_subsets']:.3g} from {SUBSETS} subsets"
        )
        print(f"\nKernel distance, {row['rows']:,} x {row['features']:,}: standard error {errors}.")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each side (at least 5 for a result)")
    parser.add_argument("--rows", type=int, default=10_000, help="rows a side")
    parser.add_argument("--many", type=int, default=50_000, help="rows a side of the memory of many rows")
    parser.add_argument("--wide", type=int, default=WIDE, help="features where the targets say 2,048 (smaller: smoke)")
    parser.add_argument("--narrow", type=int, default=NARROW, help="features where the targets say 256")
    parser.add_argument("--long", action="store_true", help="memory of many rows also with the wide features")
    parser.add_argument("--only", default="", help="only comparisons whose 'ours / other' contains this; no memory")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--clock", choices=tuple(CLOCKS), default="wall", help="processor seconds where the machine is shared"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "metrics.json")
    parser.add_argument("--memory-of", choices=tuple(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        return memory_here(options.memory_of, options.folder, options.threads)
    from speed import record  # here, because it loads torch

    limit(options.threads, ours=True)
    widths = {NARROW: options.narrow, WIDE: options.wide}
    document = record(measure_speed(options, widths), options.threads)
    document["clock"] = options.clock
    document["versions"] |= {module.__name__: module.__version__ for module in (np, scipy, sklearn)}
    document["prdc"] = "the package" if importlib.util.find_spec("prdc") else "written out, not installed"
    quick = bool(options.only or options.no_memory)
    document["memory"] = [] if quick else measure_memory(options, widths)
    document["kernel_errors"] = [] if options.only else [kernel_errors(options.rows, options.narrow)]
    print_tables(document)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
