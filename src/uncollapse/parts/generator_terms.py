"""Generator terms: scalars added to what the generator minimises, read from the scene of one run.

Contract first, then the parts in the order of publication; formulas on plain tensors stand beside the part that uses
them, and `uncollapse.functional` gives them to anyone's own loop.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from uncollapse.errors import UserError
from uncollapse.parts.penalties import check_weight, generator_error, misnamed
from uncollapse.parts.scene import Part, Scene, Sizes, given, require_real


class GeneratorTerm(Part):
    """Contract: one scalar from the scene of a generator step.

    Attributes:
        generator_sees_real: Whether it looks at the real batch.
        reads_code: Whether it needs an auto-encoding critic.
        trains_encoder: Whether it needs, and trains, the encoder that a conditioning brings.
    """

    generator_sees_real: ClassVar[bool] = False
    reads_code: ClassVar[bool] = False
    trains_encoder: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, scene: Scene) -> Tensor:
        """The weighted term; scalar."""


def pulling_away(codes: Tensor) -> Tensor:
    """``1 / (N (N - 1)) sum_{i != j} cos(S_i, S_j)^2`` of codes (N, d); scalar in [0, 1]."""
    unit = normalize(codes, dim=-1)
    count = len(codes)
    # The diagonal of the squared cosines holds N ones (the norm of each unit code to the fourth power).
    squares = (unit @ unit.mT).square()
    return (squares.sum() - unit.square().sum(-1).square().sum()) / (count * (count - 1))


@dataclass(frozen=True, kw_only=True)
class PullingAway(GeneratorTerm):
    """EBGAN-PT: the codes of the fakes in a batch are pulled towards orthogonality.

    ``weight / (N (N - 1)) sum_{i != j} cos(S_i, S_j)^2`` over the critic's codes S of the fakes.

    Attributes:
        weight: 0.1 in the paper.

    Reference: Zhao et al. 2017, arXiv:1609.03126.
    """

    reads_code: ClassVar[bool] = True
    batch_level: ClassVar[bool] = True
    weight: float = 0.1

    def __post_init__(self) -> None:
        """Refuses a weight that would pull codes together."""
        check_weight(self, self.weight)

    def __call__(self, scene: Scene) -> Tensor:
        """The weighted term; scalar."""
        return self.weight * pulling_away(given(scene.fake_judgement.code, "codes"))


@dataclass(frozen=True, kw_only=True)
class ClassLogits(GeneratorTerm):
    """The generator's half of AC-GAN: its samples should be classified as what was asked for.

    ``weight * E -log C(y | G(z, y))``.

    Attributes:
        weight: Weight of the cross-entropy.

    Reference: Odena et al. 2017, arXiv:1610.09585.
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuses a weight that would reward wrong classes."""
        check_weight(self, self.weight)

    def heads(self, sizes: Sizes) -> dict[str, int]:
        """One logit a class."""
        return {"class_logits": sizes.classes}

    def __call__(self, scene: Scene) -> Tensor:
        """The weighted cross-entropy; scalar."""
        logits = given(scene.fake_judgement.class_logits, "class logits")
        return self.weight * misnamed(logits, given(scene.labels, "labels"))


@dataclass(frozen=True, kw_only=True)
class Reconstruction(GeneratorTerm):
    """VEEGAN's reconstruction of the latent: ``weight * E ||z - F(G(z))||^2 / d`` with the encoder F.

    Attributes:
        weight: Weight of the squared error.

    Reference: Srivastava et al. 2017, arXiv:1705.07761.
    """

    trains_encoder: ClassVar[bool] = True
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuses a weight that would reward forgetting."""
        check_weight(self, self.weight)

    def __call__(self, scene: Scene) -> Tensor:
        """The weighted mean squared error over the d numbers of a latent; scalar."""
        if scene.encode is None:
            raise RuntimeError("a part reads an encoder, which this method does not provide")
        return self.weight * (scene.latent - scene.encode(scene.fake_samples)).square().mean()


@dataclass(frozen=True, kw_only=True)
class Identity(GeneratorTerm):
    """The generators' half of MGAN: each should be told apart from the others.

    ``weight * E -log C(i | G_i(z))``.

    Attributes:
        weight: beta, 0.01 in the paper's image experiments.

    Reference: Hoang et al. 2018, arXiv:1708.02556.
    """

    weight: float = 0.01

    def __post_init__(self) -> None:
        """Refuses a weight that would make the generators alike."""
        check_weight(self, self.weight)

    def heads(self, sizes: Sizes) -> dict[str, int]:
        """One logit a generator."""
        return {"generator_logits": sizes.generators}

    def __call__(self, scene: Scene) -> Tensor:
        """The weighted cross-entropy; scalar."""
        return self.weight * generator_error(scene.fake_judgement, scene)


def mode_seeking(first: Tensor, second: Tensor, first_latent: Tensor, second_latent: Tensor) -> Tensor:
    """``1 / (mean |G(z1) - G(z2)| / mean |z1 - z2| + 1e-5)`` of paired rows; scalar."""
    ratio = (first - second).abs().mean() / (first_latent - second_latent).abs().mean()
    return 1 / (ratio + 1e-5)


@dataclass(frozen=True, kw_only=True)
class ModeSeeking(GeneratorTerm):
    """MSGAN: samples of different latents should differ as their latents do.

    ``weight / (mean |G(z1) - G(z2)| / mean |z1 - z2| + 1e-5)``; a pair shares its label (and its generator).

    Attributes:
        weight: lambda, 1 in the paper.

    Reference: Mao et al. 2019, arXiv:1903.05628.
    """

    batch_level: ClassVar[bool] = True  # a ratio of two means
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuses a weight that would make samples alike."""
        check_weight(self, self.weight)

    def __call__(self, scene: Scene) -> Tensor:
        """The weighted term; scalar."""
        latent = scene.latent.roll(1, 0)
        # Without labels the neighbour's sample is already there, and is trained as a fake itself.
        alike = scene.labels is None and scene.generator_index is None
        second = scene.fake_samples.roll(1, 0) if alike else scene.generate(latent)
        return self.weight * mode_seeking(scene.fake_samples, second, scene.latent, latent)


def spectrum(matrix: Tensor, gap: float) -> tuple[Tensor, Tensor]:
    """Eigenvalues (d,) rising and eigenvectors (d, d) of a symmetric matrix, with derivatives that stay finite.

    First-order perturbation of a fixed decomposition: exact where eigenvalues are further apart than `gap`; the
    rotation between closer ones is left out, because there the eigenvectors themselves are arbitrary.
    """
    # A lane that is no longer finite must not stop the decomposition of the others; `inner` keeps its nan.
    finite = torch.where(matrix.isfinite(), matrix, torch.zeros_like(matrix)).detach()
    values, vectors = _decomposed(finite)
    inner = vectors.mT @ matrix @ vectors
    apart = values.unsqueeze(0) - values.unsqueeze(1)
    usable = apart.abs() > gap
    inverse = torch.where(usable, 1 / torch.where(usable, apart, torch.ones_like(apart)), torch.zeros_like(apart))
    # inner is the diagonal of the eigenvalues, so that only its derivative enters the vectors.
    turned = vectors + vectors @ (inverse * (inner - torch.diag_embed(values)))
    return inner.diagonal(), turned


def _decomposed(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of a symmetric matrix.

    In double precision and with zeros set apart, because LAPACK gives up on many equal eigenvalues in single precision.
    """
    ladder = torch.linspace(0, 1e-10, len(matrix), dtype=torch.float64, device=matrix.device)
    values, vectors = torch.linalg.eigh(matrix.double() + torch.diag_embed(ladder))
    return values.to(matrix.dtype), vectors.to(matrix.dtype)


def distinct(values: Tensor, gap: float) -> Tensor:
    """(d,) bool: which of the rising eigenvalues are further than `gap` from both neighbours."""
    steps = values.diff() > gap
    end = torch.ones_like(values[:1], dtype=torch.bool)
    return torch.cat([end, steps]) & torch.cat([steps, end])


@dataclass(frozen=True, kw_only=True)
class DeterminantalPointProcess(GeneratorTerm):
    """GDPP: the fakes' features should vary along the same directions, and as much, as the data's.

    With ``C = F^T F`` (d x d) of unit feature rows F, eigenvalues l and eigenvectors v, largest first:
    ``weight * (magnitude * mean (l_fake - l_real)^2 + sum_k w_k (1 - |cos(v_real_k, v_fake_k)|))`` over the `top`
    directions, with ``w`` the real eigenvalues scaled to [0, 1]; directions whose eigenvalue has a close neighbour,
    real or fake, are arbitrary within the plane of both and are not compared.

    Attributes:
        weight: Weight of the whole term.
        magnitude: Weight of the eigenvalues, 1e-4 in the authors' code.
        top: Directions compared.
        gap: Eigenvalues closer than this are not told apart.

    Reference: Elfeki et al. 2019, arXiv:1812.00802.
    """

    eager: ClassVar[bool] = True
    generator_sees_real: ClassVar[bool] = True
    batch_level: ClassVar[bool] = True
    weight: float = 1.0
    magnitude: float = 1e-4
    top: int = 8
    gap: float = 1e-3

    def __post_init__(self) -> None:
        """Refuses weights that would punish likeness, and comparing nothing."""
        check_weight(self, self.weight)
        if self.top < 1:
            raise UserError(f"DeterminantalPointProcess(top={self.top}) compares nothing; choose 1 or more.")
        if self.magnitude < 0 or self.gap < 0:
            raise UserError(
                f"DeterminantalPointProcess(magnitude={self.magnitude}, gap={self.gap}) is not possible;"
                " both are 0 or more."
            )

    def __call__(self, scene: Scene) -> Tensor:
        """The weighted term; scalar."""
        return self.of(require_real(scene.real_judgement).features, scene.fake_judgement.features)

    def of(self, real: Tensor, fake: Tensor) -> Tensor:
        """The weighted term of real and fake features (N, d); scalar."""
        real, fake = normalize(real, dim=-1), normalize(fake, dim=-1)
        real_values, real_vectors = spectrum(real.mT @ real, self.gap)
        fake_values, fake_vectors = spectrum(fake.mT @ fake, self.gap)
        magnitude = (real_values - fake_values).square().mean()
        top = min(self.top, len(real_values))
        low, high = real_values.min(), real_values.max()
        apart = distinct(real_values, self.gap) & distinct(fake_values, self.gap)
        weights = (apart * (real_values - low) / (high - low + 1e-12))[-top:]
        # An eigenvector's sign is arbitrary.
        cosine = cosine_similarity(real_vectors[:, -top:], fake_vectors[:, -top:], dim=0).abs()
        structure = (weights * (1 - cosine)).sum()
        return self.weight * (self.magnitude * magnitude + structure)


# Eigenvalues of unit features below this count as none: their square root would have an unbounded derivative.
ROOT_FLOOR = 1e-6
# Shorter rows are not stretched to unit length, because a batch of equal samples has rows of length 0.
LENGTH_FLOOR = 1e-3


def bures_distance(real: Tensor, fake: Tensor) -> Tensor:
    """``tr A + tr B - 2 tr (A^1/2 B A^1/2)^1/2`` of features (N, d), with ``A = F^T F``; a scalar.

    The rows of F are the features less their mean over the batch, scaled to unit length, so that ``tr A = N``. It is 0
    or more up to rounding: equal features, more of them than rows, may give a little less.
    """
    rows = (normalize(features - features.mean(0), dim=-1, eps=LENGTH_FLOOR) for features in (real, fake))
    first, second = (unit.mT @ unit for unit in rows)
    values, vectors = spectrum(first, 1e-6)
    root = (vectors * _root(values)) @ vectors.mT
    cross, _ = spectrum(root @ second @ root, 1e-6)
    distance: Tensor = first.trace() + second.trace() - 2 * _root(cross).sum()
    return distance


def _root(values: Tensor) -> Tensor:
    """Square roots of eigenvalues whose derivative stays finite at zero."""
    positive = values.clamp(min=0)
    root: Tensor = positive / (positive + ROOT_FLOOR).sqrt()
    return root


@dataclass(frozen=True, kw_only=True)
class BuresMetric(GeneratorTerm):
    """BuresGAN: the Bures distance between the covariances of real and fake critic features.

    ``weight * (tr A + tr B - 2 tr (A^1/2 B A^1/2)^1/2)`` with ``A = F^T F`` of the real and B of the fake features,
    centred and then scaled to unit rows.

    Attributes:
        weight: lambda, 1 in the paper.

    Reference: De Meulemeester et al. 2020, arXiv:2006.09096.
    """

    eager: ClassVar[bool] = True
    generator_sees_real: ClassVar[bool] = True
    batch_level: ClassVar[bool] = True
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuses a weight that would reward difference."""
        check_weight(self, self.weight)

    def __call__(self, scene: Scene) -> Tensor:
        """The weighted distance; scalar."""
        real = require_real(scene.real_judgement).features
        return self.weight * bures_distance(real, scene.fake_judgement.features)


PARTS: tuple[type[GeneratorTerm], ...] = (
    PullingAway,
    ClassLogits,
    Reconstruction,
    Identity,
    ModeSeeking,
    DeterminantalPointProcess,
    BuresMetric,
)
