"""Trains the shipped classifiers of MNIST and Fashion-MNIST, and writes weights, cards and model-card pages.

    UNCOLLAPSE_DATA=/folder/of/data PYTHONPATH=src python3 scripts/train_classifiers.py mnist
    UNCOLLAPSE_DATA=/folder/of/data PYTHONPATH=src python3 scripts/train_classifiers.py fashion-mnist

The first 55,000 images of the training split train, its last 5,000 choose and give the confidence threshold, and the
test split only measures, once, with the float16 weights that are shipped. A quarter of each batch are negatives made
from the batch (blends, shuffled blocks and pixels, flat images, noise, inverted images), with the honest answer as
target, so that the confidence means something on bad samples. `train_digits_classifier` publishes with the same code.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib.metadata
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample, one_hot
from torch.nn.utils.fusion import fuse_conv_bn_eval

from uncollapse.draws import Draw, stream
from uncollapse.features.classifier import CLASSIFIERS, Card, GreyClassifier, Row, load_card, load_classifier
from uncollapse.metrics.intervals import wilson

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS, PAGES = ROOT / "src" / "uncollapse" / "features" / "weights", ROOT / "docs" / "model-cards"
BATCH, PEAK_RATE, DECAY, QUANTILE, VALIDATION = 128, 4e-3, 1e-2, 0.05, 5_000
# Largest turn in radians, scaling, and shift in pixels.
JITTER = {"mnist": (0.2, 0.1, 2.0), "fashion-mnist": (0.08, 0.08, 1.5)}
MIRROR = {"mnist": False, "fashion-mnist": True}


def read_idx(path: Path) -> Tensor:
    """The unsigned bytes of a gzipped IDX file."""
    content = gzip.decompress(path.read_bytes())
    axes = content[3]
    shape = [int.from_bytes(content[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(axes)]
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape).copy())


def read_split(name: str, split: str) -> tuple[Tensor, Tensor]:
    """Images (n, 28, 28) in [-1, 1] and labels (n,) of "train" or "t10k"."""
    folder = Path(os.environ["UNCOLLAPSE_DATA"]) / name
    images, labels = (read_idx(folder / f"{split}-{what}-ubyte.gz") for what in ("images-idx3", "labels-idx1"))
    return images.float() / 127.5 - 1, labels.long()


def jittered(x: Tensor, draw: Draw, name: str) -> Tensor:
    """The images turned, scaled and moved a little, half of the clothes mirrored."""
    n, side = len(x), x.shape[-1]
    most_turn, most_scale, most_move = JITTER[name]

    def within(most: float, *shape: int) -> Tensor:
        return (2 * draw.uniform(*shape) - 1) * most

    turn, wide, high = within(most_turn, n), 1 + within(most_scale, n), 1 + within(most_scale, n)
    mirror = torch.where(draw.uniform(n) < 0.5, -1.0, 1.0) if MIRROR[name] else torch.ones(n)
    move = within(most_move * 2 / side, n, 2)
    rows = (
        *(turn.cos() * wide * mirror, -turn.sin() * high, move[:, 0]),
        *(turn.sin() * wide * mirror, turn.cos() * high, move[:, 1]),
    )
    where = affine_grid(torch.stack(rows, 1).reshape(n, 2, 3), [n, 1, side, side], align_corners=False)
    # Zero padding is ink-free only where the background is 0, so the images are lifted before and lowered after.
    return grid_sample(x[:, None] + 1, where, align_corners=False)[:, 0] - 1


def negatives(x: Tensor, target: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
    """A quarter as many: blends with the blended target, and ruined images with the target that says nothing."""
    n, side = len(x) // 20, x.shape[-1]
    picked = draw.permutation(len(x))[: 6 * n].split(n)
    share = 0.3 + 0.4 * draw.uniform(n)
    blend = share[:, None, None] * x[picked[0]] + (1 - share)[:, None, None] * x[picked[1]]
    blend_target = share[:, None] * target[picked[0]] + (1 - share)[:, None] * target[picked[1]]
    pixels = x[picked[2]].flatten(1)[:, draw.permutation(side * side)].reshape(n, side, side)
    blocks = x[picked[3]].reshape(n, 4, side // 4, 4, side // 4).transpose(2, 3).reshape(n, 16, side // 4, side // 4)
    blocks = blocks[:, draw.permutation(16)].reshape(n, 4, 4, side // 4, side // 4).transpose(2, 3)
    # A flat image is what a collapsed generator shows first, so each level from no ink to full ink is among the noise.
    level, loud = 2.4 * draw.uniform(n, 1, 1) - 1.2, 2 * draw.uniform(n, 1, 1) ** 3
    noise = (level + loud * draw.normal(n, side, side)).clamp(-1, 1)
    ruined = torch.cat([pixels, blocks.reshape(n, side, side), noise, -x[picked[4]]])
    silent = torch.full((len(ruined), target.shape[1]), 1 / target.shape[1])
    return torch.cat([blend, ruined]), torch.cat([blend_target, silent])


class Trained(GreyClassifier):
    """The network as it is trained: a batch norm behind each convolution, dropout before the hidden layer."""

    def __init__(self) -> None:
        """Puts a batch norm behind each convolution of the shipped network."""
        super().__init__()
        layers: list[nn.Module] = []
        for layer in self.convolutions:
            layers += [layer, nn.BatchNorm2d(layer.out_channels)] if isinstance(layer, nn.Conv2d) else [layer]
        self.convolutions = nn.Sequential(*layers)
        self.hidden = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), *list(self.hidden)[1:])

    def folded(self) -> GreyClassifier:
        """The same function as the shipped network computes it."""
        self.eval()
        shipped = GreyClassifier()
        layers = list(self.convolutions)
        plain = [
            fuse_conv_bn_eval(layer, layers[at + 1]) if isinstance(layer, nn.Conv2d) else layer
            for at, layer in enumerate(layers)
            if not isinstance(layer, nn.BatchNorm2d)
        ]
        shipped.convolutions = nn.Sequential(*plain)
        shipped.hidden[1].load_state_dict(self.hidden[2].state_dict())
        shipped.output.load_state_dict(self.output.state_dict())
        return shipped.eval()


def train(name: str, epochs: int, seed: int) -> GreyClassifier:
    """The trained classifier; a pure function of its arguments on one machine."""
    torch.manual_seed(seed)
    network = Trained().to(memory_format=torch.channels_last)  # three times as fast on a CPU, with bfloat16
    optimiser = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=DECAY)
    images, labels = read_split(name, "train")
    x, y, held, held_labels = images[:-VALIDATION], labels[:-VALIDATION], images[-VALIDATION:], labels[-VALIDATION:]
    steps = len(x) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, epochs * steps)
    draw = stream(seed, f"{name} classifier")
    for epoch in range(epochs):
        network.train()
        for picked in draw.permutation(len(x))[: steps * BATCH].split(BATCH):
            real, target = jittered(x[picked], draw, name), one_hot(y[picked], 10).float()
            bad, bad_target = negatives(real, target, draw)
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(torch.cat([real, bad]))
            loss = cross_entropy(logits.float(), torch.cat([target, bad_target]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        network.eval()
        right = (network.probabilities(held).argmax(1) == held_labels).double().mean()
        print(f"epoch {epoch + 1}: validation accuracy {right:.4f}, last loss {loss.item():.4f}", flush=True)
    return network.folded()


def publish(
    row: Row,
    state: Mapping[str, Tensor],
    held_out: tuple[Tensor, Tensor],
    *,
    threshold_from: Tensor,
    facts: Mapping[str, object],
    packages: Sequence[str] = (),
) -> Card:
    """Writes weights and card; every number of the card is measured after loading what was written.

    Args:
        row: Which classifier.
        state: Its weights, in the type in which they are shipped.
        held_out: Images and labels that only measure.
        threshold_from: Images that give the confidence threshold.
        facts: What the card says of the training.
        packages: Whose versions matter beside torch and safetensors.
    """
    WEIGHTS.mkdir(exist_ok=True)
    content = save({key: value.contiguous() for key, value in state.items()})
    (WEIGHTS / f"{row.file}.safetensors").write_bytes(content)
    load_classifier.cache_clear()
    classifier = load_classifier(row.name)
    images, labels = held_out
    confidence, found = classifier.probabilities(images).max(1)
    threshold = round(float(torch.quantile(classifier.probabilities(threshold_from).max(1).values, QUANTILE)), 6)
    right, n = int((found == labels).sum()), len(labels)
    low, high = wilson(right, n)
    recall = {
        label: round(float((found == at)[labels == at].double().mean()), 4) for at, label in enumerate(row.classes)
    }
    card = Card(
        accuracy=round(right / n, 6),
        accuracy_low=round(low, 6),
        accuracy_high=round(high, 6),
        n_held_out=n,
        confidence_threshold=threshold,
        parameters=sum(value.numel() for value in classifier.parameters()),
        sha256=hashlib.sha256(content).hexdigest(),
        versions={package: importlib.metadata.version(package) for package in ("torch", *packages, "safetensors")},
        recall=recall,
        recognised=round(float((confidence >= threshold).double().mean()), 4),
        **facts,  # type: ignore[arg-type]
    )
    (WEIGHTS / f"{row.file}.json").write_text(json.dumps(asdict(card), indent=2, ensure_ascii=False) + "\n")
    load_card.cache_clear()
    return card


def page(row: Row) -> str:
    """The model card for people, from the row and its measured card."""
    card, file = load_card(row.name), WEIGHTS / f"{row.file}.safetensors"
    chosen = "the validation images" if card.n_validation else "the held-out images"
    spent = "" if card.seconds is None else f", {card.seconds / 60:.0f} minutes on two shared cores"
    lines = [
        f"# `classifier:{row.name}`",
        "",
        "<!-- made by scripts/train_classifiers.py from the card beside the weights -->",
        "",
        f"Classifies {row.subject}; its hidden layer of {row.network().width} numbers serves as features.",
        "",
        "| | |",
        "| --- | --- |",
        f"| Data | {row.data} Licence of the data: {row.licence}. |",
        f"| Split | {row.split} |",
        f"| Accuracy | {100 * card.accuracy:.2f} % of {card.n_held_out:,} held-out images (95 % Wilson interval "
        f"{100 * card.accuracy_low:.2f} % to {100 * card.accuracy_high:.2f} %) |",
        f"| Confidence threshold | {card.confidence_threshold:.4f}, the 5 % quantile of the confidence on {chosen}; "
        f"{100 * card.recognised:.1f} % of the held-out images reach it |",
        f"| Network | {card.parameters:,} parameters, {file.stat().st_size:,} bytes, sha256 `{card.sha256}` |",
        f"| Training | `{card.command}`: {card.n_train:,} images, {card.epochs} epochs{spent} |",
        f"| Versions | {', '.join(f'{name} {version}' for name, version in card.versions.items())} |",
        "| Licence of the weights | Apache-2.0, as the project |",
        "",
        "## Recall of each class",
        "",
        "| Class | Share of its held-out images classified correctly |",
        "| --- | ---: |",
        *(f"| {label} | {100 * share:.1f} % |" for label, share in card.recall.items()),
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in row.limits),
    ]
    return "\n".join(lines) + "\n"


def write_pages() -> None:
    """Writes docs/model-cards/NAME.md of every shipped classifier."""
    PAGES.mkdir(exist_ok=True)
    for row in CLASSIFIERS.values():
        (PAGES / f"{row.name}.md").write_text(page(row))


def main() -> None:
    """Trains one of the two, writes its files and prints the card; `pages` only writes the pages again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=("mnist", "fashion-mnist", "pages"))
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.name == "pages":
        write_pages()
        return
    torch.set_num_threads(1)  # two threads add in another order, which leads elsewhere
    start = time.monotonic()
    network = train(options.name, options.epochs, options.seed)
    facts = {
        "command": f"PYTHONPATH=src python3 scripts/train_classifiers.py {options.name} "
        f"--epochs {options.epochs} --seed {options.seed}",
        "seed": options.seed,
        "epochs": options.epochs,
        "n_train": 60_000 - VALIDATION,
        "n_validation": VALIDATION,
        "seconds": round(time.monotonic() - start, 1),
    }
    state = {key: value.half() for key, value in network.state_dict().items()}
    validation = read_split(options.name, "train")[0][-VALIDATION:]
    row = CLASSIFIERS[options.name]
    card = publish(row, state, read_split(options.name, "t10k"), threshold_from=validation, facts=facts)
    write_pages()
    print(json.dumps(asdict(card), indent=2))


if __name__ == "__main__":
    main()
