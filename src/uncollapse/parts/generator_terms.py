"""Generator terms: scalars added to what the generator minimises, read from the scene of one run.

The contract stands here; the published terms (pulling-away, mode-seeking, ...) are leaves of it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from uncollapse.parts.scene import Part, Scene


class GeneratorTerm(Part):
    """Contract: one scalar from the scene of a generator step.

    Attributes:
        generator_sees_real: Whether it looks at the real batch.
    """

    generator_sees_real: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, scene: Scene) -> Tensor:
        """The weighted term; scalar."""


PARTS: tuple[type[GeneratorTerm], ...] = ()
