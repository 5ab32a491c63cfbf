"""The `Networks` type: the settings from which a pair of generator and critic is built for a method and a task.

`mlp`, `dcgan` and `residual` hold the families; `networks/__init__.py` lists them. A pair of the user's own is `own`.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn

from uncollapse.errors import UserError
from uncollapse.parts.scene import Law, Sizes

if TYPE_CHECKING:
    from uncollapse.method import Method


@dataclass(frozen=True, kw_only=True)
class Networks(ABC):
    """The settings of a pair of networks.

    A generator is called with (latent, labels, index) and gives samples (batch, *shape); a critic is called with
    (packs, context) and gives a `Judgement`. Labels and index are one-hot rows, or None where the method has none.
    A critic whose samples see each other within a pass (batch norm) says so by an attribute ``mixes = True``, so that
    real and fake are judged in passes of their own.

    Attributes:
        latent: Dimension of the latent.
        width: What the number of parameters grows with; an ensemble solves for it.
    """

    family: ClassVar[str]
    # Whether the seeds of a run move as one stack under vmap. Convolutions take turns, because a stack of them is a
    # grouped convolution, which is slower (benchmarks/lanes.py).
    lifts: ClassVar[bool] = False

    latent: int = 2
    width: int = 128

    @property
    def latent_law(self) -> Law:
        """What latents are drawn from: standard normal, or uniform in [-1, 1)."""
        return "normal"

    @abstractmethod
    def generator(self, method: Method, sizes: Sizes) -> nn.Module:
        """The generator of one run, drawn from torch's global generator."""

    @abstractmethod
    def critic(self, method: Method, sizes: Sizes) -> nn.Module:
        """The critic of one run, drawn from torch's global generator."""

    def check(self, method: Method, sizes: Sizes) -> None:  # noqa: B027
        """Refuses a method or sizes that these networks cannot be built for.

        Raises:
            UserError: What does not fit, and what to choose instead.
        """

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON; `networks_from_json` reads them back."""
        return {"family": self.family, **dataclasses.asdict(self)}

    def settings(self) -> dict[str, Any]:
        """Every setting that ``--set networks.NAME=VALUE`` can replace, without the family."""
        return dataclasses.asdict(self)


def whole_number(value: object, name: str, least: int) -> None:
    """Refuses a setting that is not a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UserError(f"networks.{name} = {value} is not a whole number of {least} or more.")


def true_or_false(value: object, name: str) -> None:
    """Refuses a setting that is neither true nor false."""
    if not isinstance(value, bool):
        raise UserError(f"networks.{name} = {value!r} is neither true nor false.")
