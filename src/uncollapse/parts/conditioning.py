"""Conditioning: what joins the latent in the generator and the sample in the critic.

Contract first, then the parts. Labels are one-hot rows; the fakes of a critic step reuse the labels of the real batch,
so that penalties, relativistic pairs and packs always compare like with like.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from uncollapse.errors import UserError
from uncollapse.parts.scene import Part, Sizes


class LabelTable(nn.Module):
    """An embedding read with one-hot rows, because a matrix product lifts over seeds and differentiates twice.

    Args:
        classes: Number of labels.
        width: Size of the embedding.
    """

    def __init__(self, classes: int, width: int) -> None:
        """Standard normal entries, as in `torch.nn.Embedding`."""
        super().__init__()
        self.classes = classes
        self.weight = nn.Parameter(torch.randn(classes, width))

    def forward(self, labels: Tensor) -> Tensor:
        """(batch, group * classes) one-hot -> (batch, group * width)."""
        return (labels.reshape(*labels.shape[:-1], -1, self.classes) @ self.weight).flatten(-2)


class Conditioning(Part):
    """Contract: what the label (or a code) adds to the generator's input and to the critic's judgement.

    Attributes:
        labelled: Whether it reads labels.
        encodes: Whether it needs an encoder from samples to latents, trained with the generator.
        scores: Whether it adds to the critic's score.
    """

    labelled: ClassVar[bool] = False
    encodes: ClassVar[bool] = False
    scores: ClassVar[bool] = False

    def generator_module(self, sizes: Sizes) -> nn.Module | None:
        """Parameters in the generator."""
        return None

    def generator_extra(self, sizes: Sizes) -> int:
        """Numbers joined to the latent."""
        return 0

    def generator_join(self, module: nn.Module | None, latent: Tensor, labels: Tensor | None) -> Tensor:
        """(batch, latent) -> (batch, latent + generator_extra)."""
        return latent

    def context(self, labels: Tensor | None, code: Callable[[], Tensor]) -> Tensor | None:
        """(batch, k): what the critic is told of each sample; `code()` is its latent, made or encoded."""
        return None

    def critic_module(self, sizes: Sizes) -> nn.Module | None:
        """Parameters in the critic."""
        return None

    def critic_extra(self, sizes: Sizes) -> int:
        """Numbers joined to the critic's input, for a pack."""
        return 0

    def critic_join(self, module: nn.Module | None, inputs: Tensor, context: Tensor | None) -> Tensor:
        """(packs, group * data) -> (packs, group * data + critic_extra)."""
        return inputs

    def score_module(self, sizes: Sizes, width: int) -> nn.Module | None:
        """Parameters of the score, for `width` features."""
        return None

    def score(self, module: nn.Module | None, score: Tensor, features: Tensor, context: Tensor | None) -> Tensor:
        """(packs,) -> (packs,): the score with what the context adds to it."""
        return score


@dataclass(frozen=True, kw_only=True)
class Unconditional(Conditioning):
    """No label anywhere."""


@dataclass(frozen=True, kw_only=True)
class _Embedded(Conditioning):
    """The generator's half of every labelled conditioning: an embedding of the label beside the latent."""

    labelled: ClassVar[bool] = True
    width: int = 0

    def __post_init__(self) -> None:
        """Refuses a negative width."""
        if self.width < 0:
            name = type(self).__name__
            raise UserError(f"{name}(width={self.width}) is negative; choose 0 (as many as classes) or more.")

    def _width(self, sizes: Sizes) -> int:
        return self.width or sizes.classes

    def generator_module(self, sizes: Sizes) -> nn.Module:
        """The generator's own embedding."""
        return LabelTable(sizes.classes, self._width(sizes))

    def generator_extra(self, sizes: Sizes) -> int:
        """The embedding's width."""
        return self._width(sizes)

    def generator_join(self, module: nn.Module | None, latent: Tensor, labels: Tensor | None) -> Tensor:
        """Latent and embedded label side by side."""
        return latent if module is None else torch.cat([latent, module(labels)], -1)


@dataclass(frozen=True, kw_only=True)
class Concat(_Embedded):
    """Conditional GAN: an embedding of the label is concatenated to the latent and to the sample.

    Attributes:
        width: Size of the embedding; 0 means as many numbers as there are classes.

    Reference: Mirza and Osindero 2014, arXiv:1411.1784.
    """

    def context(self, labels: Tensor | None, code: Callable[[], Tensor]) -> Tensor | None:
        """The label."""
        return labels

    def critic_module(self, sizes: Sizes) -> nn.Module:
        """The critic's own embedding."""
        return LabelTable(sizes.classes, self._width(sizes))

    def critic_extra(self, sizes: Sizes) -> int:
        """One embedding for each member of a pack."""
        return sizes.group * self._width(sizes)

    def critic_join(self, module: nn.Module | None, inputs: Tensor, context: Tensor | None) -> Tensor:
        """Sample and embedded label side by side."""
        return inputs if module is None else torch.cat([inputs, module(context)], -1)


@dataclass(frozen=True, kw_only=True)
class JointPairs(Conditioning):
    """VEEGAN: the critic judges pairs of a sample and its latent, made (z, G(z)) or encoded (F(x), x).

    Reference: Srivastava et al. 2017, arXiv:1705.07761.
    """

    encodes: ClassVar[bool] = True

    def context(self, labels: Tensor | None, code: Callable[[], Tensor]) -> Tensor:
        """The latent."""
        return code()

    def critic_extra(self, sizes: Sizes) -> int:
        """One latent for each member of a pack."""
        return sizes.group * sizes.latent

    def critic_join(self, module: nn.Module | None, inputs: Tensor, context: Tensor | None) -> Tensor:
        """Sample and latent side by side."""
        return inputs if context is None else torch.cat([inputs, context], -1)


@dataclass(frozen=True, kw_only=True)
class AuxiliaryClassifier(_Embedded):
    """AC-GAN: only the generator is told the label; the critic has to find it (`LabelClassifier`, `ClassLogits`).

    Attributes:
        width: Size of the embedding; 0 means as many numbers as there are classes.

    Reference: Odena et al. 2017, arXiv:1610.09585.
    """


@dataclass(frozen=True, kw_only=True)
class Projection(_Embedded):
    """Projection critic: ``D(x, y) = v_y . f(x) + psi(f(x))`` with the critic's features f.

    Attributes:
        width: Size of the generator's embedding; 0 means as many numbers as there are classes.

    Reference: Miyato and Koyama 2018, arXiv:1802.05637.
    """

    scores: ClassVar[bool] = True

    def context(self, labels: Tensor | None, code: Callable[[], Tensor]) -> Tensor | None:
        """The label."""
        return labels

    def score_module(self, sizes: Sizes, width: int) -> nn.Module:
        """One vector v a class and member of a pack."""
        return nn.Linear(sizes.group * sizes.classes, width, bias=False)

    def score(self, module: nn.Module | None, score: Tensor, features: Tensor, context: Tensor | None) -> Tensor:
        """The score with the projection of the features on the label's vector."""
        return score if module is None else score + (module(context) * features).sum(-1)


PARTS: tuple[type[Conditioning], ...] = (Unconditional, Concat, JointPairs, AuxiliaryClassifier, Projection)
