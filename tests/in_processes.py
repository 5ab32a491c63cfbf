"""What `tests/test_distributed.py` runs in each of several processes: ``python in_processes.py FOLDER``.

Every process writes what it saw to ``rank-N.json`` and its numbers to ``rank-N.safetensors``; the last act of rank 1 is
to end without a word.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tests.rank_processes import threads

from uncollapse.distributed import RanksFailed, Team, joined
from uncollapse.errors import UserError
from uncollapse.loop import Trainer
from uncollapse.networks.mlp import MLP
from uncollapse.ranks import Ranks, ranks_of_environment
from uncollapse.spec import RunSpec, make_spec
from uncollapse.trees import flatten, tree_map

# Name -> method and shares that each process makes of its share.
TRAINED = {
    "wgan-gp": ("wgan-gp", 1), "r3gan": ("r3gan", 1), "pacgan-2": ("pacgan-2", 1), "sngan": ("sngan", 1),
    "cwgan-gp": ("cwgan-gp", 1), "mad-gan-4": ("mad-gan-4", 1), "ensemble-4": ("ensemble-4", 1),
    "wgan-gp in shares": ("wgan-gp", 3),
}  # fmt: skip
UPDATES = 10


class Halted(Exception):
    """Stands for a run that was asked to stop."""


def specification(method: str, accumulate: int = 1, seeds: tuple[int, ...] = (3, 7)) -> RunSpec:
    return make_spec(
        method,
        "blobs-4",
        seeds=seeds,
        updates=100,
        batch=24,
        networks=MLP(width=8, depth=2, bounded=True),
        dtype="float64",
        accumulate=accumulate,
    )


def play(
    team: Team, spec: RunSpec, *, before_the_last: Callable[[Trainer], None] = lambda trainer: None, asked: bool = False
) -> Trainer:
    """Two stretches of a run in all processes; something may happen before the second."""
    trainer = Trainer(spec, team=team)
    if team.rank == 0:
        with team.leading(Halted):
            trainer.advance(UPDATES // 2)
            before_the_last(trainer)
            trainer.advance(UPDATES)
            if team.asked:
                raise Halted
    else:
        play_on, stretches = trainer.play, []

        def counting(until: int) -> None:
            stretches.append(until)
            if len(stretches) == 2:
                before_the_last(trainer)
            play_on(until)

        trainer.play = counting  # type: ignore[method-assign]
        if not team.follow(lambda: trainer, lambda: asked):
            raise Halted
    return trainer


def continued(team: Team, spec: RunSpec) -> Trainer:
    """A run of which only rank 0 knows the beginning, as after a checkpoint."""
    trainer = Trainer(spec, team=team)
    if team.rank == 0:
        earlier = Trainer(spec)
        earlier.advance(UPDATES // 2)
        trainer.lanes, trainer.rounds = earlier.lanes, earlier.rounds
        with team.leading(Halted):
            trainer.advance(UPDATES)
    else:
        team.follow(lambda: trainer, lambda: False)
    return trainer


def said(action: Callable[[], object]) -> str:
    """The kind of what an action raises, and its sentence."""
    try:
        action()
    except (UserError, RanksFailed, Halted) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def drifted(trainer: Trainer) -> None:
    """The last bit of one weight of rank 1 changes."""
    if trainer.team is not None and trainer.team.rank == 1:
        weights = trainer.lanes.state.critic.parameters
        weights[0, 0] = torch.nextafter(weights[0, 0], torch.tensor(9.0, dtype=weights.dtype))


def put_back(trainer: Trainer) -> None:
    """Rank 0 alone puts the second seed back to its beginning."""
    if trainer.team is None or trainer.team.rank == 0:
        lanes = trainer.lanes
        state, average = lanes.state, lanes.average.clone()
        beginning = Trainer(trainer.spec).lanes
        average[1] = beginning.average[1]
        mixed = tree_map(lambda now, then: torch.cat([now[:1], then[1:]]), state, beginning.state)
        trainer.put_back(lanes._replace(state=mixed, average=average))


def together(folder: Path, ranks: Ranks) -> dict[str, Any]:
    """What this process saw as long as there were others; rank 1 does not come back."""
    seen: dict[str, Any] = {}
    tensors: dict[str, torch.Tensor] = {}
    with joined(ranks, torch.device("cpu")) as team:

        def anew() -> Team:
            return Team(ranks, team.orders)

        for name, (method, accumulate) in TRAINED.items():
            lanes = play(anew(), specification(method, accumulate)).lanes
            tensors |= {f"{name}/{path}": value for path, value in flatten(lanes).items()}
        lanes = continued(anew(), specification("wgan-gp")).lanes
        tensors |= {f"continued/{path}": value for path, value in flatten(lanes).items()}
        lanes = play(anew(), specification("wgan-gp"), before_the_last=put_back).lanes
        tensors |= {f"put back/{path}": value for path, value in flatten(lanes).items()}
        seen["same number"] = said(lambda: anew().agree(5, "They differ."))
        seen["other numbers"] = said(lambda: anew().agree(5 + ranks.rank, "They differ."))
        seen["asked"] = said(lambda: play(anew(), specification("vanilla"), asked=ranks.rank == 1))
        seen["drifted"] = said(lambda: play(anew(), specification("vanilla"), before_the_last=drifted))
        if ranks.rank == 1:  # who has failed on its own hears no more orders, and this process goes on
            seen["order after the drift"] = anew()._told()[0].name
        other = specification("vanilla", seeds=(3, 7 + ranks.rank))
        seen["other data"] = said(lambda: play(anew(), other))
        save_file(
            {name: value.contiguous() for name, value in tensors.items()}, folder / f"rank-{ranks.rank}.safetensors"
        )
        (folder / f"rank-{ranks.rank}.json").write_text(json.dumps(seen))
        if ranks.rank == 1:
            os._exit(9)
        seen["gone"] = said(lambda: play(anew(), specification("vanilla")))
        seen["threads with the others"] = threads()
    return seen


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    ranks = ranks_of_environment()
    seen = together(folder, ranks)
    gc.collect()  # teams that stand for further runs keep their own hold of the group
    seen["threads alone"] = threads()
    (folder / f"rank-{ranks.rank}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
