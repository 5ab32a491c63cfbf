"""Trains the classifier that judges generated 8x8 digits, and writes its weights and its card into the package.

    PYTHONPATH=src python3 scripts/train_digits_classifier.py

It sees the training split of task `digits` only. More than half of what it trains on are negatives made from that split
(blends of two digits, shuffled pixels, flat images, noise), with the honest answer as target, so that its confidence
means something on bad samples. The held-out digits only measure it; nothing is chosen by them.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, grid_sample, one_hot
from train_classifiers import publish, write_pages

from uncollapse.draws import Draw, stream
from uncollapse.features.classifier import CLASSIFIERS, DigitsClassifier
from uncollapse.tasks.digits import split

COMMAND = "PYTHONPATH=src python3 scripts/train_digits_classifier.py"
BATCH, LEARNING_RATE = 64, 2e-3


def jittered(x: Tensor, draw: Draw) -> Tensor:
    """The digits (n, 8, 8) turned by .2 rad, scaled by 10 % and moved by .6 pixels at most, with a little noise."""
    n = len(x)
    turn, wide, high = (0.4 * draw.uniform(n) - 0.2, 0.9 + 0.2 * draw.uniform(n), 0.9 + 0.2 * draw.uniform(n))
    move = (2 * draw.uniform(n, 2) - 1) * 0.6 / 4
    rows = (turn.cos() * wide, -turn.sin() * high, move[:, 0], turn.sin() * wide, turn.cos() * high, move[:, 1])
    where = torch.nn.functional.affine_grid(torch.stack(rows, 1).reshape(n, 2, 3), [n, 1, 8, 8], align_corners=False)
    # Zero padding is ink-free only where the background is 0, so the digits are lifted before and lowered after.
    moved = grid_sample(x[:, None] + 1, where, align_corners=False)[:, 0] - 1
    return (moved + 0.05 * draw.normal(*moved.shape)).clamp(-1, 1)


def negatives(x: Tensor, target: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
    """Blends with the blended target, and shuffled, flat or noisy images with the target that says nothing."""
    n = len(x)
    other = draw.permutation(n)
    share = 0.3 + 0.4 * draw.uniform(n)
    blend = share[:, None, None] * x + (1 - share)[:, None, None] * x[other]
    blend_target = share[:, None] * target + (1 - share)[:, None] * target[other]
    shuffled = torch.stack([image.flatten()[draw.permutation(64)].reshape(8, 8) for image in x[: n // 2]])
    # A flat image is what a collapsed generator shows first, so each level from no ink to full ink is among the noise.
    level, loud = 2.4 * draw.uniform(n - n // 2, 1, 1) - 1.2, 2 * draw.uniform(n - n // 2, 1, 1) ** 3
    noise = (level + loud * draw.normal(n - n // 2, 8, 8)).clamp(-1, 1)
    silent = torch.full_like(target, 0.1)
    return torch.cat([blend, shuffled, noise]), torch.cat([blend_target, silent])


def train(epochs: int, seed: int) -> DigitsClassifier:
    """The trained classifier; a pure function of its arguments on one machine."""
    torch.manual_seed(seed)
    classifier = DigitsClassifier()
    optimiser = torch.optim.AdamW(classifier.parameters(), lr=LEARNING_RATE, weight_decay=1e-3)
    x, labels = split().train, split().train_labels
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2 * LEARNING_RATE, epochs * -(-len(x) // BATCH))
    draw = stream(seed, "digits classifier")
    for _ in range(epochs):
        for picked in draw.permutation(len(x)).split(BATCH):
            real, target = jittered(x[picked], draw), one_hot(labels[picked], 10).float()
            bad, bad_target = negatives(real, target, draw)
            loss = cross_entropy(classifier(real), target) + cross_entropy(classifier(bad), bad_target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return classifier.eval()


def main() -> None:
    """Trains, writes the two files and prints the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    network, data = train(options.epochs, options.seed), split()
    card = publish(
        CLASSIFIERS["digits"],
        network.state_dict(),
        (data.held_out, data.held_out_labels),
        threshold_from=data.held_out,
        facts={
            "command": f"{COMMAND} --epochs {options.epochs} --seed {options.seed}",
            "seed": options.seed,
            "epochs": options.epochs,
            "n_train": len(data.train),
        },
        packages=("scikit-learn",),
    )
    write_pages()
    print(json.dumps(asdict(card), indent=2))


if __name__ == "__main__":
    main()
