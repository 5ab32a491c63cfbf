"""Images a second from folders and zips against bare loops over the same files, and peak memory by number of files.

The bare loops do nothing but list, `numpy.asarray(Image.open(...))` and drop: in threads that share the files evenly
without any queue, and through `ThreadPoolExecutor.map` as most people would write it. The emoji are transparent and
ours composites them on white, so there is a third loop, whose threads do that too. All take turns, each round in
another order, and the median of the ratios within a round is given, so that a busy machine slows both. Ours also checks
sizes, looks for labels, counts, and keeps the order.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from uncollapse.data.encoded import cores
from uncollapse.data.fetch import dataset
from uncollapse.data.opening import open_source

RATE_TARGET = 0.9
MEMORY_TARGET = 1.1  # peak at ten times as many files, as a multiple
CHUNK = 500


def write_sets(root: Path, count: int) -> dict[str, Path]:
    """MNIST and emoji as folders of so many PNGs and as zips of these, stored as StyleGAN stores them."""
    made = {}
    digits = root / "digits"
    digits.mkdir()
    for number, image in enumerate(dataset("mnist", "test")[0][:count]):
        Image.fromarray(image).save(digits / f"{number:05d}.png")
    emoji = root / "emoji"
    emoji.mkdir()
    with zipfile.ZipFile(Path(os.environ["UNCOLLAPSE_DATA"]) / "emoji" / "emoji-64.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")]
        for number in range(count):
            (emoji / f"{number:05d}.png").write_bytes(archive.read(names[number % len(names)]))
    for folder in (digits, emoji):
        packed = root / f"{folder.name}.zip"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for file in sorted(folder.iterdir()):
                archive.write(file, file.name)
        made |= {f"{folder.name}, folder": folder, f"{folder.name}, zip": packed}
    return made


def listed(path: Path) -> tuple[Sequence[str], Callable[[str], Image.Image]]:
    """The names in a folder or zip, and what opens one."""
    if path.is_dir():
        folder = str(path)
        return sorted(os.listdir(folder)), lambda name: Image.open(f"{folder}/{name}")  # noqa: PTH208
    archive = zipfile.ZipFile(path)
    return sorted(archive.namelist()), lambda name: Image.open(archive.open(name))


def composited(image: Image.Image) -> np.ndarray:
    """The pixels on white, as ours are."""
    if image.mode in ("RGB", "L"):
        return np.asarray(image)
    paper = Image.new("RGB", image.size, (255, 255, 255))
    image = image.convert("RGBA")
    paper.paste(image, mask=image)
    return np.asarray(paper)


def in_threads(path: Path, workers: int, convert: Callable[[Image.Image], np.ndarray]) -> int:
    """Threads that share the files evenly; returns the number of images."""
    names, opened = listed(path)
    done = [0] * workers

    def work(part: int) -> None:
        for name in names[part::workers]:
            done[part] += convert(opened(name)).nbytes > 0

    threads = [threading.Thread(target=work, args=(part,)) for part in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done)


def in_map(path: Path, workers: int) -> int:
    """`ThreadPoolExecutor.map`; returns the number of images."""
    names, opened = listed(path)
    with ThreadPoolExecutor(workers) as pool:
        return sum(image.nbytes > 0 for image in pool.map(lambda name: np.asarray(opened(name)), names))


def ours(path: Path, workers: int) -> int:
    """The source; returns the number of images."""
    del workers  # it takes one a core by itself
    return sum(len(chunk) for chunk in open_source(path, side="benchmark").chunks(CHUNK))


LOOPS: dict[str, Callable[[Path, int], int]] = {
    "ours": ours,
    "threads": lambda path, workers: in_threads(path, workers, np.asarray),
    "map": in_map,
    "composited": lambda path, workers: in_threads(path, workers, composited),
}


def rates(path: Path, count: int, rounds: int, workers: int) -> dict[str, float]:
    """Median images a second of each loop; ours as multiples of the others, medians and quartiles over the rounds."""
    order = random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in LOOPS}
    for turn in range(rounds + 1):  # the first fills the caches
        for name in order.sample(list(LOOPS), len(LOOPS)):
            start = time.perf_counter()
            if LOOPS[name](path, workers) != count:
                raise SystemExit(f"{name} did not read {count} images of {path}")
            if turn:
                seconds[name].append(time.perf_counter() - start)
    found = {f"{name}_per_second": round(count / statistics.median(taken)) for name, taken in seconds.items()}
    for name in ("threads", "map", "composited"):
        ratios = [theirs / mine for mine, theirs in zip(seconds["ours"], seconds[name], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        found |= {f"to_{name}": middle, f"to_{name}_low": low, f"to_{name}_high": high}
    return found


def peak_megabytes(path: Path, n: int) -> float:
    """Peak memory of a process of its own that reads so many files, which are all there are.

    Linux hands the peak of the parent down in `ru_maxrss`, so it is asked for the peak of this program alone.
    """
    code = (
        "import sys; from uncollapse.data.opening import open_source\n"
        "source = open_source(sys.argv[1], side='benchmark')\n"
        f"assert sum(len(chunk) for chunk in source.chunks({CHUNK})) == int(sys.argv[2])\n"
        "try: lines = open('/proc/self/status').read().splitlines()\n"
        "except OSError: import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        "else: print(next(line.split()[1] for line in lines if line.startswith('VmHWM')))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path), str(n)], check=True, capture_output=True, text=True)
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024) / 1e6


def memory(sets: dict[str, Path], root: Path, count: int, times: int) -> dict[str, dict[str, float]]:
    """Peak megabytes at a tenth of the files and at all of them: medians over processes that take turns."""
    found = {}
    for name, path in sets.items():
        few = root / f"few-{path.name}"
        if path.is_dir():
            few.mkdir()
            for file in sorted(path.iterdir())[: count // 10]:
                os.link(file, few / file.name)
        else:
            with zipfile.ZipFile(path) as source, zipfile.ZipFile(few, "w", zipfile.ZIP_STORED) as target:
                for member in source.namelist()[: count // 10]:
                    target.writestr(member, source.read(member))
        pairs = [(peak_megabytes(few, count // 10), peak_megabytes(path, count)) for _ in range(times)]
        small, large = (statistics.median(column) for column in zip(*pairs, strict=True))
        found[name] = {"megabytes_few": small, "megabytes_all": large, "multiple": large / small}
    return found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="images of each set")
    parser.add_argument("--rounds", type=int, default=9, help="how often each loop is timed")
    parser.add_argument("--times", type=int, default=3, help="how often memory is measured")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "reading.json")
    options = parser.parse_args()
    workers = cores()
    with tempfile.TemporaryDirectory() as folder:
        sets = write_sets(Path(folder), options.count)
        speed = {name: rates(path, options.count, options.rounds, workers) for name, path in sets.items()}
        peaks = memory(sets, Path(folder), options.count, options.times)
    for name in sets:
        taken, peak = speed[name], peaks[name]
        multiples = ", ".join(
            f"{taken[f'to_{loop}']:.2f} [{taken[f'to_{loop}_low']:.2f}, {taken[f'to_{loop}_high']:.2f}] of {loop}"
            for loop in ("threads", "map", "composited")
        )
        print(f"{name}: {taken['ours_per_second']:,} images/s: {multiples} (target {RATE_TARGET} of a bare loop)")
        print(
            f"  peak {peak['megabytes_few']:.1f} MB at {options.count // 10:,} files, {peak['megabytes_all']:.1f} MB "
            f"at {options.count:,}: {peak['multiple']:.2f} times (target < {MEMORY_TARGET})"
        )
    result = {
        "schema": 1,
        "command": " ".join(["python", *sys.argv]),
        "python": platform.python_version(),
        "pillow": PIL.__version__,
        "machine": {"cores": os.cpu_count(), "workers": workers, "platform": platform.platform()},
        "count": options.count,
        "speed": speed,
        "memory": peaks,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
