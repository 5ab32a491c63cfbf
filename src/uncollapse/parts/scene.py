"""What parts are given and what they give back: `Judgement`, `Scene`, `Sizes` and the base class `Part`.

Every axis of a method (loss, penalties, ...) is written against these four types and nothing else. A part returns a
value and never takes a step; it draws nothing itself: what it needs drawn it names in `noise`.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Self

from torch import Tensor

from uncollapse.parts.kinds import check_settings

Law = Literal["uniform", "normal"]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a critic says of a batch of samples (or packs of samples).

    Attributes:
        score: (batch,); **higher = more real**, for every method (an auto-encoding critic's score is minus its error).
        features: (batch, width), the last hidden layer.
        class_logits: (batch, classes), of critics that also classify.
        generator_logits: (batch, generators [+ 1]), of critics that also tell which generator made a sample.
        second_score: (batch,), of methods with two critics.
        code: (batch, code), the bottleneck of an auto-encoding critic.
    """

    score: Tensor
    features: Tensor
    class_logits: Tensor | None = None
    generator_logits: Tensor | None = None
    second_score: Tensor | None = None
    code: Tensor | None = None

    def split(self, first: int) -> tuple[Judgement, Judgement]:
        """The judgement of the first `first` rows and that of the rest, after one concatenated pass."""
        given = {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}
        head = {name: value[:first] for name, value in given.items()}
        tail = {name: value[first:] for name, value in given.items()}
        return Judgement(**head), Judgement(**tail)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The numbers that networks and parts are built from.

    Attributes:
        shape: Shape of one sample, for example ``(2,)`` or ``(8, 8)``.
        latent: Dimension of the latent.
        classes: Number of labels, 0 for unlabelled data.
        batch: Samples in a batch.
        group: Samples the critic reads at once (1 unless the view packs).
        generators: Generators in the population.
        latent_law: Standard normal latents, or uniform ones in [-1, 1).
    """

    shape: tuple[int, ...]
    latent: int
    classes: int = 0
    batch: int = 1
    group: int = 1
    generators: int = 1
    latent_law: Law = "normal"

    @property
    def data(self) -> int:
        """Numbers in one sample."""
        total = 1
        for side in self.shape:
            total *= side
        return total

    @property
    def packed_shape(self) -> tuple[int, ...]:
        """Shape of one item that the critic judges."""
        return (self.group * self.shape[0], *self.shape[1:])

    @property
    def packs(self) -> int:
        """Items the critic judges in a batch: samples, or packs of `group` samples."""
        return self.batch // self.group


@dataclass(frozen=True, kw_only=True)
class Scene:
    """All that a part may look at in one update of one run; there is no seed axis in sight.

    Attributes:
        real: (packs, ...), the real batch as the critic sees it.
        fake: (packs, ...), the generated batch as the critic sees it.
        real_samples: (batch, *shape), before packing; None in a generator step that does not look at real data.
        fake_samples: (batch, *shape), before packing.
        latent: (batch, latent), what `fake_samples` were made from.
        labels: (batch, classes) one-hot, or None. The fakes of a critic step carry the labels of the real batch.
        generator_index: (batch, generators) one-hot: who made which fake; None with one generator.
        noise: Drawn numbers by name, as the parts asked for them in `noise`.
        progress: Scalar in [0, 1]: the share of the budget that is spent.
        real_judgement: The critic's judgement of `real`; None where `real_samples` is None.
        fake_judgement: The critic's judgement of `fake`.
        critic: Judges any (packs, ...) inputs in the context (labels) of this batch.
        slope: (packs, ...) inputs -> gradient of the summed score at them, same shape, differentiable again.
        generate: latent (batch, latent) -> samples with this batch's labels, for terms that compare two draws.
        encode: samples -> latent, where the conditioning brings an encoder; None otherwise.
    """

    real: Tensor | None
    fake: Tensor
    real_samples: Tensor | None
    fake_samples: Tensor
    latent: Tensor
    labels: Tensor | None
    generator_index: Tensor | None
    noise: Mapping[str, Tensor]
    progress: Tensor
    real_judgement: Judgement | None
    fake_judgement: Judgement
    critic: Callable[[Tensor], Judgement]
    slope: Callable[[Tensor], Tensor]
    generate: Callable[[Tensor], Tensor]
    encode: Callable[[Tensor], Tensor] | None


class Part(ABC):  # noqa: B024 (its contracts have the abstract methods)
    """Base of every part: a frozen dataclass of plain numbers that can say what it needs.

    A part is either a contract (one abstract class an axis) or a leaf; leaves are never subclassed.

    Attributes:
        eager: Whether it waits for the device (an eigen-decomposition, say), so that no CUDA graph can hold it.
        follows_budget: Whether it reads the share of the budget that is spent, so that another number of updates is
            another run and not a continuation.
        lanes: Seeds that a CPU should train at once, because more would not fit its cache; None for any number.
        batch_level: Whether it depends on a batch otherwise than by means over its items (it compares or ranks them,
            say), so that no update can be made from shares of a batch.
    """

    eager: ClassVar[bool] = False
    follows_budget: ClassVar[bool] = False
    lanes: ClassVar[int | None] = None
    batch_level: ClassVar[bool] = False

    def __new__(cls, /, *values: Any, **settings: Any) -> Self:
        """Refuses settings of another kind than they are annotated with, before they meet a tensor."""
        check_settings(cls, values, settings)
        return super().__new__(cls)

    def heads(self, sizes: Sizes) -> dict[str, int]:
        """Extra heads this part reads from the critic: name of the `Judgement` field -> width."""
        return {}

    def noise(self, sizes: Sizes) -> dict[str, tuple[Law, tuple[int, ...]]]:
        """Numbers a loss, view, penalty or term needs drawn for an update: name -> (law, shape).

        A view's numbers have two rows an item, the real ones first; the others read theirs from `Scene.noise`.
        """
        return {}


def given(value: Tensor | None, what: str) -> Tensor:
    """A field of a scene or judgement that a part declared it reads."""
    if value is None:
        raise RuntimeError(f"a part reads {what}, which this method does not provide")
    return value


def require_real(judgement: Judgement | None) -> Judgement:
    """The real judgement of a part that declared that it looks at real data."""
    if judgement is None:
        raise RuntimeError("a part reads the real batch in the generator step without declaring generator_sees_real")
    return judgement
