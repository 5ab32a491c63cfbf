"""What `test_crews.py` runs in each of two processes: ``python in_ranks.py FOLDER``.

FOLDER holds the folders of images "real" and "fake". Every process writes what it saw to ``rank-N.json``, rank 0 also
its evaluation to the folder ``together``; the last act of rank 1 is to end without a word.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tests.rank_processes import threads

from uncollapse.distributed import RanksFailed
from uncollapse.errors import UserError
from uncollapse.evaluation import crews, maps
from uncollapse.evaluation.crews import Helped, RanksCrew, crew_of
from uncollapse.evaluation.evaluate import evaluate
from uncollapse.features import shards
from uncollapse.features.extraction import read_shard
from uncollapse.ranks import Ranks, ranks_of_environment

METRICS = ["frechet_distance", "recall", "coverage", "kernel_distance", "c2st", "class_kl"]
OPTIONS: dict[str, Any] = {"metrics": METRICS, "cache": False, "max_bad": 0.1}


def small() -> None:
    """Small maps, as everywhere in these tests, and small parts; one thread, as torchrun gives."""
    maps.MOST, maps.AFTER = 40, 50
    shards.LEAST_ROWS = 64
    torch.set_num_threads(1)


def said(action: Callable[[], object]) -> str:
    """The kind of what an action raises, and its sentence."""
    try:
        action()
    except (UserError, RanksFailed, Helped) as error:
        return f"{type(error).__name__}: {error}".removesuffix(": ")
    return ""


def together(folder: Path, ranks: Ranks) -> dict[str, Any]:
    """What this process saw as long as there were others; rank 1 does not come back."""
    real, fake = folder / "real", folder / "fake"
    seen: dict[str, Any] = {}
    with crew_of(ranks) as crew:

        def judged(out: str | None = None, **options: Any) -> None:
            found = evaluate(real, fake, crew=crew, **{**OPTIONS, **options})
            if out is not None:
                found.save(folder / out)

        seen["together"] = said(lambda: judged("together", cache=True))
        seen["pca"] = said(lambda: judged("pca", features="pca", metrics=["coverage"]))
        seen["again"] = said(lambda: judged("again", cache=True))
        seen["too many"] = said(lambda: judged(max_bad=0.0))
        seen["other files"] = said(lambda: crew.same("photos", 12 + ranks.rank))
        if ranks.rank == 1:
            crews.read_shard = failing
        seen["rank 1 cannot read"] = said(lambda: judged())
        crews.read_shard = read_shard
        (folder / f"rank-{ranks.rank}.json").write_text(json.dumps(seen))
        if ranks.rank == 1:
            os._exit(9)
        seen["gone"] = said(lambda: gone(crew, folder))
        seen["threads with the others"] = threads()
    return seen


def main(folder: Path) -> None:
    small()
    os.environ["UNCOLLAPSE_CACHE"] = str(folder / "cache")
    seen = together(folder, ranks_of_environment())
    seen["threads alone"] = threads()
    (folder / "rank-0.json").write_text(json.dumps(seen))


def failing(*given: object) -> Any:
    raise UserError("This machine has lost its files.")


def gone(crew: RanksCrew, folder: Path) -> None:
    evaluate(folder / "real", folder / "fake", crew=crew, **OPTIONS)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
