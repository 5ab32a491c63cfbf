"""What the functions of `functional` refuse, in one sentence each, before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from uncollapse.errors import UserError
from uncollapse.nn import MinibatchDiscrimination

Critic = Callable[[Tensor], Tensor]


def told(given: object) -> str:
    """What was given, for messages."""
    if not isinstance(given, Tensor):
        return f"of type {type(given).__name__}"
    return f"{kind(given)} of shape {tuple(given.shape)}"


def kind(given: Tensor) -> str:
    """The type of its numbers, for messages."""
    return str(given.dtype).removeprefix("torch.")


def check_floats(samples: Tensor, name: str) -> None:
    """Refuses samples that have no slopes, and none at all, whose mean is no number.

    Raises:
        UserError: No tensor of floats with one row a sample, or no row.
    """
    if not isinstance(samples, Tensor) or not samples.is_floating_point():
        raise UserError(f"{name} must be floats as the critic is trained on, not {told(samples)}; scale them first.")
    if samples.ndim == 0 or not len(samples):
        raise UserError(f"{name} must hold one row a sample, (batch, ...), not {told(samples)}; give at least one.")


def check_rows(rows: Tensor, name: str) -> None:
    """Refuses maps, of which single rows of pixels would be compared, and what is no rows of floats.

    Raises:
        UserError: No tensor (N, d) of floats, or no row.
    """
    if not isinstance(rows, Tensor) or rows.ndim != 2:
        raise UserError(f"{name} must be rows (N, d), not {told(rows)}; of maps give {name}.flatten(1).")
    if not rows.is_floating_point() or not len(rows):
        raise UserError(f"{name} must be at least one row (N, d) of floats, not {told(rows)}.")


def check_widths(real: Tensor, fake: Tensor) -> None:
    """Refuses features that do not lie in one space.

    Raises:
        UserError: As `check_rows`, or they differ in width or device.
    """
    check_rows(real, "real")
    check_rows(fake, "fake")
    if real.shape[1] != fake.shape[1]:
        raise UserError(
            f"real has {real.shape[1]} features a row and fake has {fake.shape[1]}; both must come from one critic."
        )
    _check_device(real, fake, "real", "fake")


def check_pairs(first: Tensor, second: Tensor, one: str = "real", other: str = "fake") -> None:
    """Refuses what cannot be paired row by row, which broadcasting would hide.

    Raises:
        UserError: They differ in shape or device.
    """
    if first.shape != second.shape:
        raise UserError(
            f"{one} {tuple(first.shape)} and {other} {tuple(second.shape)} must have one shape to be paired."
        )
    _check_device(first, second, one, other)


def check_types(real: Tensor, fake: Tensor) -> None:
    """Refuses samples between which there are no points of one type: the critic would see a type that neither has.

    Raises:
        UserError: Their floats differ.
    """
    if real.dtype != fake.dtype:
        raise UserError(
            f"real is {kind(real)} and fake is {kind(fake)}; give both as the critic takes them, for example "
            "real=real.to(fake.dtype)."
        )


def _check_device(first: Tensor, second: Tensor, one: str, other: str) -> None:
    if first.device != second.device:
        raise UserError(f"{one} is on {first.device} and {other} on {second.device}; move one of them.")


def check_weight(weight: float | Tensor, name: str = "weight") -> None:
    """Refuses a weight that is no number, or would reward what it should punish; a tensor is taken as it is.

    Raises:
        UserError: It is one of these.
    """
    if isinstance(weight, Tensor):  # looking at it would make a GPU wait
        return
    fits = isinstance(weight, Real) and not isinstance(weight, bool) and 0 <= weight < math.inf
    if not fits:
        raise UserError(f"{name} must be a number of 0 or more, for example 1.0, not {weight!r}.")


def check_switch(given: object, name: str) -> None:
    """Refuses what is no bool, because a text such as "no" would count as true.

    Raises:
        UserError: It is none.
    """
    if not isinstance(given, bool | np.bool_):
        raise UserError(f"{name} must be True or False, not {given!r}.")


def check_generator(generator: object, like: Tensor) -> None:
    """Refuses what torch cannot draw from where the samples are.

    Raises:
        UserError: It is no `torch.Generator`, or one of another kind of device.
    """
    if generator is None or (isinstance(generator, torch.Generator) and generator.device.type == like.device.type):
        return
    given = f"one on {generator.device}" if isinstance(generator, torch.Generator) else repr(generator)
    raise UserError(
        f"generator must be a torch.Generator where the samples are, as torch.Generator('{like.device}'), not {given}."
    )


def check_critic(critic: Critic) -> None:
    """Refuses what is no function, and a network that judges a sample by the others too: it has no slope of one sample.

    A deviation over small groups (`nn.MinibatchStddev`) is allowed, as in its paper.

    Raises:
        UserError: It is one of these.
    """
    if not callable(critic) or isinstance(critic, type):
        given = f"the class {critic.__name__}" if isinstance(critic, type) else repr(critic)
        raise UserError(f"critic must be a network or a function of samples that gives their scores, not {given}.")
    for name, module in critic.named_modules() if isinstance(critic, nn.Module) else ():
        norm = isinstance(module, _BatchNorm) and (module.training or not module.track_running_stats)
        if norm or isinstance(module, MinibatchDiscrimination):
            raise UserError(
                f"critic holds {type(module).__name__} at {name!r}, which judges a sample by the others of its batch, "
                "so the slope of one sample is not defined; use layer, group or instance norm in its place."
            )


def check_taken(critic: Critic, samples: Tensor, error: RuntimeError) -> None:
    """Says why a network failed where its numbers are of another type than the samples; otherwise nothing.

    Args:
        critic: What failed.
        samples: What it was given.
        error: With what it failed.

    Raises:
        UserError: It has no parameter of the samples' type.
    """
    types = [kind(one) for one in critic.parameters()] if isinstance(critic, nn.Module) else []
    if types and kind(samples) not in types:
        raise UserError(
            f"critic has parameters of {types[0]} and was given samples of {kind(samples)}; give it samples.to("
            f"torch.{types[0]})."
        ) from error


def check_scores(score: object, samples: Tensor) -> None:
    """Refuses what is not one score a sample, and scores that carry no graph back to the samples.

    Raises:
        UserError: It is one of these.
    """
    if not isinstance(score, Tensor) or score.numel() != len(samples):
        raise UserError(
            f"critic must give one score a sample, ({len(samples)},) or ({len(samples)}, 1), not {told(score)}; take "
            "no mean over samples, and over the patches of a sample their mean."
        )
    if not score.requires_grad:
        raise no_slope()


def no_slope() -> UserError:
    """The error for scores that nothing leads back from to the samples."""
    return UserError(
        "critic gives scores that do not depend on its samples, so they have no slope; compute them without detach() "
        "and torch.no_grad(), and from the samples it is given."
    )
