"""Where networks of the user's own come from: an object, a class or function that makes one, or one of a pair.

`own` holds two of these; what they give is tried by `fitting` and called through `adapters`.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from uncollapse.errors import UserError
from uncollapse.networks.adapters import frozen_as_buffers, initialised
from uncollapse.parts.scene import Sizes
from uncollapse.plugins import resolve
from uncollapse.source_code import failure
from uncollapse.text import clean

Network = nn.Module | Callable[..., nn.Module]
Role = Literal["generator", "critic"]
ROLES: tuple[Role, Role] = ("generator", "critic")
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where one network comes from.

    Attributes:
        given: A network, whose weights every seed starts from, or a class or function that makes one.
        role: ``"generator"`` or ``"critic"``.
        place: What sentences and specs call it.
        of_pair: Whether `given` makes a pair, of which this is one.
    """

    given: object
    role: Role
    place: str
    of_pair: bool = False

    @property
    def said(self) -> str:
        """How sentences call the network."""
        return f"Your {self.role} ({clean(self.place)})"

    def found(self, sizes: Sizes) -> nn.Module | None:
        """What the user gives at this moment, drawn from torch's global generator; None for nothing.

        Raises:
            UserError: It cannot be called, fails, or gives something else.
        """
        found = (
            pair_of(_called(self.given, sizes, self.said), self.place)[ROLES.index(self.role)]
            if self.of_pair
            else self.given
        )
        if found is None:
            return None
        made = found if isinstance(found, nn.Module) else _called(found, sizes, self.said)
        if not isinstance(made, nn.Module):
            raise UserError(f"{self.said} must be a torch module or give one when called, not a {type(made).__name__}.")
        if isinstance(made, torch.jit.ScriptModule):
            raise UserError(
                f"{self.said} is compiled by torch.jit, which hides its code and may change the last bits from call to"
                " call; give the module without script() and trace()."
            )
        return made

    def made(self, sizes: Sizes, inputs: tuple[Tensor, ...]) -> nn.Module:
        """A network of one run, drawn from torch's global generator; `inputs` are what it may be called with.

        Raises:
            UserError: As `found` and `ready`.
        """
        return self.ready(self.found(sizes), inputs)

    def ready(self, found: nn.Module | None, inputs: tuple[Tensor, ...]) -> nn.Module:
        """A copy of what was found, on the CPU, in training mode and with the shapes and weights of its lazy layers.

        Raises:
            UserError: Nothing was found, or it cannot be copied.
        """
        if found is None:
            raise UserError(f"{self.said} is None now; give the network that the run was trained with.")
        try:
            own = frozen_as_buffers(copy.deepcopy(found).to("cpu"))
            return initialised(own, inputs)
        except Exception as error:
            raise UserError(f"{self.said} cannot be copied and called: {failure(error)}.") from error


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What the user gave: a generator, a critic or both.

    Attributes:
        generator: None where the task's own networks provide it.
        critic: Likewise.
        reference: ``module:factory``; empty for objects of Python.
    """

    generator: Source | None
    critic: Source | None
    reference: str = ""

    @classmethod
    def of(cls, generator: Network | None, critic: Network | None) -> Pair | None:
        """The pair of two objects, None for none of the two.

        Raises:
            UserError: One of them is neither a network nor makes one.
        """
        if generator is None and critic is None:
            return None
        return cls(generator=source_of(generator, "generator"), critic=source_of(critic, "critic"))

    @classmethod
    def named(cls, reference: str) -> Pair:
        """The pair that ``module:factory`` names: a function that returns one, or a tuple of two.

        Raises:
            UserError: It cannot be imported, or is no pair.
        """
        found = resolve(reference, option="--networks", example="my_networks:pair")
        if isinstance(found, tuple | list):
            generator, critic = pair_of(found, reference)
            sources = (source_of(generator, "generator", reference), source_of(critic, "critic", reference))
            if sources == (None, None):
                raise UserError(f"--networks {reference} names no network; give a generator, a critic or both.")
            return cls(generator=sources[0], critic=sources[1], reference=reference)
        if isinstance(found, nn.Module) or (isinstance(found, type) and issubclass(found, nn.Module)):
            raise UserError(
                f"--networks {reference} is a single network; name a function that returns (generator, critic), or a"
                " tuple of the two, with None for the one that the task's own networks provide."
            )
        first, second = (Source(given=found, role=role, place=reference, of_pair=True) for role in ROLES)
        return cls(generator=first, critic=second, reference=reference)

    def source(self, role: Role) -> Source | None:
        """Where the network of a role comes from."""
        return self.generator if role == "generator" else self.critic


def source_of(given: object, role: Role, reference: str = "") -> Source | None:
    """The source of an object that the user gave, None for None."""
    if given is None:
        return None
    if not callable(given):
        raise UserError(
            f"{role} = {clean(repr(given))[:60]} is no network; give a torch module, or a class or function that makes"
            " one."
        )
    kind = type(given) if isinstance(given, nn.Module) else given
    name = str(getattr(kind, "__qualname__", type(given).__qualname__))
    module = str(getattr(kind, "__module__", "__main__"))
    return Source(given=given, role=role, place=reference or (name if module == "__main__" else f"{module}:{name}"))


def pair_of(made: object, place: str) -> tuple[object, object]:
    """What should be a pair (generator, critic), as one.

    Raises:
        UserError: It is something else.
    """
    if not isinstance(made, tuple | list) or len(made) != len(ROLES):
        found = f"{len(made)} things" if isinstance(made, tuple | list) else f"a {type(made).__name__}"
        raise UserError(
            f"{place} must give a pair (generator, critic), with None for one that the task's own networks provide;"
            f" it gives {found}."
        )
    return made[0], made[1]


def _called(factory: object, sizes: Sizes, said: str) -> object:
    """What a class or function makes, called with nothing, or with the sizes if it takes one argument.

    Raises:
        UserError: It asks for more, or fails.
    """
    assert callable(factory)
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # classes written in C say nothing of themselves
        parameters = {}.values()
    required = [item for item in parameters if item.default is item.empty and item.kind in POSITIONAL]
    keywords = [item for item in parameters if item.default is item.empty and item.kind is item.KEYWORD_ONLY]
    if len(required) > 1 or keywords:
        names = ", ".join(item.name for item in (*required, *keywords))
        raise UserError(
            f"{said} asks for {names}; give a function without arguments, or with one for the Sizes, that makes it."
        )
    try:
        made: object = factory(*[sizes] * len(required))
    except Exception as error:
        raise UserError(f"{said} cannot be made: {failure(error)}.") from error
    return made


@contextmanager
def drawing() -> Iterator[None]:
    """A block that may draw from torch's global generator, which is as it was afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        yield
