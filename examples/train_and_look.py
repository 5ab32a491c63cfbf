"""Train a few seeds and look at them: ``python examples/train_and_look.py [FILE.png]``."""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt

import uncollapse as uc
from uncollapse.draws import stream

SEEDS = (0, 1, 2)


def main(path: str = "seeds.png") -> None:
    """One panel a seed: real points below, generated points above, the solid modes in the title."""
    task = uc.tasks.find("ring-8")
    run = uc.train("vanilla", task, seeds=SEEDS, updates=500, batch=128)
    real, _ = task.held_out(1_000, stream(0, "example"))
    figure, panels = plt.subplots(1, len(SEEDS), figsize=(9, 3), sharex=True, sharey=True, layout="constrained")
    for panel, seed, lane in zip(panels, SEEDS, run.metrics, strict=True):
        fake = run.samples(1_000, seed=seed)
        panel.scatter(*real.T, s=4, c="0.7", label="real")
        panel.scatter(*fake.T, s=4, c="tab:blue", alpha=0.5, label="generated")
        panel.set_title(f"seed {seed}: {lane['measures']['averaged']['modes_solid']} of {len(task.modes)} solid modes")
    panels[0].legend()
    figure.savefig(path, dpi=120)
    print(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
