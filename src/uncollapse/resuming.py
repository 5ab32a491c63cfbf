"""A trainer put where a checkpoint of its run stood: to go on training, or to sample from it.

Between `checkpoint.py`, which knows files, and `keeping.py` and `run.py`, which need a trainer.
"""

from __future__ import annotations

from pathlib import Path

import torch

from uncollapse import checkpoint
from uncollapse.errors import UserError
from uncollapse.loop import Trainer
from uncollapse.spec import RunSpec
from uncollapse.trees import restored


def resume(
    trainer: Trainer, spec: RunSpec, directory: Path, history: int | None = None, *, best: bool = False
) -> tuple[checkpoint.Checkpoint | None, list[str]]:
    """Puts a trainer where the newest intact checkpoint of its run stood that needs no more history than there is.

    Args:
        trainer: A trainer of `spec`.
        spec: The run.
        directory: Its directory.
        history: Bytes of its history; None: do not look.
        best: Not the newest one, but the one whose samples were worth most.

    Returns:
        The checkpoint, None if there is none, and a sentence for each one before it that was skipped.

    Raises:
        UserError: The checkpoint does not fit, because another version of the code wrote it.
    """
    choose = checkpoint.best if best else checkpoint.newest
    found, skipped = choose(directory / "checkpoints", spec=spec.hash, history=history)
    if found is not None:
        try:
            trainer.lanes = restored(trainer.lanes, found.tensors)
        except (KeyError, ValueError) as error:
            raise UserError(
                f"The checkpoint in {directory} does not fit this version ({error}); train again with --fresh."
            ) from error
        trainer.rounds = found.rounds
    return found, skipped


def trained(spec: RunSpec, directory: Path, device: torch.device, *, best: bool = False) -> Trainer:
    """A trainer with the weights of a run's newest checkpoint, or of its best one.

    Raises:
        UserError: There is no such checkpoint, or the best one is damaged.
    """
    trainer = Trainer(spec, device=device)
    found, skipped = resume(trainer, spec, directory, best=best)
    if best and (skipped or found is None):
        reason = skipped[0].rstrip(".") if skipped else "none was saved at a snapshot of a living seed"
        raise UserError(f"{directory} holds no best checkpoint: {reason}; choose averaged (ema) or live weights.")
    if found is None:
        raise UserError(f"{directory} holds no intact checkpoint to sample from; train it again with --fresh.")
    return trainer
