"""Networks as a user would write them, for the tests of `own` and what stands behind it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from uncollapse.parts.scene import Judgement, Sizes

WIDTH = 8


def layers(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, outputs))


class Maker(nn.Module):
    """A generator that is told nothing."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.net = layers(sizes.latent, sizes.data)

    def forward(self, latent: Tensor) -> Tensor:
        return self.net(latent)  # type: ignore[no-any-return]


class Scorer(nn.Module):
    """A critic that returns a score only, (packs, 1)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.net = layers(sizes.group * sizes.data, 1)

    def forward(self, samples: Tensor) -> Tensor:
        return self.net(samples.flatten(1))  # type: ignore[no-any-return]


class LabelledMaker(nn.Module):
    """A generator that is told int64 labels."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.table, self.net = nn.Embedding(sizes.classes, 3), layers(sizes.latent + 3, sizes.data)

    def forward(self, latent: Tensor, labels: Tensor) -> Tensor:
        assert labels.dtype is torch.int64
        return self.net(torch.cat([latent, self.table(labels)], 1))  # type: ignore[no-any-return]


class LabelledScorer(nn.Module):
    """A critic that is told int64 labels, (packs,) or (packs, group)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.classes, self.net = sizes.classes, layers(sizes.group * (sizes.data + sizes.classes), 1)

    def forward(self, samples: Tensor, labels: Tensor) -> Tensor:
        assert labels.dtype is torch.int64
        told = one_hot(labels, self.classes).to(samples.dtype).flatten(1)
        return self.net(torch.cat([samples.flatten(1), told], 1)).squeeze(-1)  # type: ignore[no-any-return]


class Describer(nn.Module):
    """A critic that returns its features, too."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(sizes.group * sizes.data, WIDTH), nn.ReLU())
        self.score = nn.Linear(WIDTH, 1)

    def forward(self, samples: Tensor, told: Tensor | None = None) -> Judgement:
        features = self.body(samples.flatten(1))
        return Judgement(score=self.score(features), features=features)


class Autoencoder(nn.Module):
    """A critic whose score is minus the mean absolute error of its reconstruction."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.encoder, self.decoder = layers(sizes.group * sizes.data, 4), layers(4, sizes.group * sizes.data)

    def forward(self, samples: Tensor) -> Judgement:
        flat = samples.flatten(1)
        code = self.encoder(flat)
        return Judgement(score=-(self.decoder(code) - flat).abs().mean(1), features=code, code=code)


class Reversible(Maker):
    """A generator with a way back."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        self.back = layers(sizes.data, sizes.latent)

    def encode(self, samples: Tensor) -> Tensor:
        return self.back(samples.flatten(1))  # type: ignore[no-any-return]


class CodeScorer(nn.Module):
    """A critic of pairs of a sample and its code."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.net = layers(sizes.data + sizes.latent, 1)

    def forward(self, samples: Tensor, code: Tensor) -> Tensor:
        return self.net(torch.cat([samples.flatten(1), code], 1))  # type: ignore[no-any-return]


class Normed(nn.Module):
    """A critic with batch norm."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Flatten(), nn.Linear(sizes.data, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1)
        )

    def forward(self, samples: Tensor) -> Tensor:
        return self.net(samples)  # type: ignore[no-any-return]
