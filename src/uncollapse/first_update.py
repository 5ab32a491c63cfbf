"""A method with parts of the user's own, tried before it is trained; neither lanes nor draws move.

`spec.py` asks what it declares and builds, `loop.py` for its first update, so that a mistake in a user's own part is
said in one sentence, not in a traceback of the lift. Built-in methods are not tried.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.game import Batch, Clock, Game, State
from uncollapse.lanes import (
    Numbers,
    Objective,
    Specification,
    differentiated,
    drawn_networks,
    lane_seeds,
    shared_out,
    sizes_of,
    started,
)
from uncollapse.method import Method, own_names, own_parts
from uncollapse.networks.network import Networks
from uncollapse.parts.hooks import ONE_NUMBER, found, watched_method
from uncollapse.parts.scene import Sizes
from uncollapse.source_code import failure
from uncollapse.trees import tree_map

if TYPE_CHECKING:
    from uncollapse.loop import Trainer

# Parameters, state and batch of one lane or of all.
Lane = tuple[Tensor, State, Batch]

# Of lanes in a lift at least this many are tried; one alone would not show what cannot be lifted.
LANES = 2
REAL_SIDE = "a generator step is given the real side only where the class says `generator_sees_real = True`"
LIFT = (
    "with several seeds a part may not look at single values (.item(), float(), if) nor draw at random; ask for numbers"
    " by `noise` and read them from `scene.noise`"
)


def try_declarations(spec: Specification) -> None:
    """Refuses a method whose own parts do not say in numbers and names what is to be built and drawn for them.

    Raises:
        UserError: Names the hook, or the place where it fails.
    """
    if not own_names(spec.method):
        return
    with telling(spec.method, "cannot be set up"):
        sizes = sizes_of(spec, watched_method(spec.method))
        method = watched_method(spec.method, sizes)
        method.heads(sizes), method.noise(sizes), method.loss.init_state()
        _ = method.view.extra, method.view.block, method.population.members
        method.conditioning.generator_extra(sizes), method.conditioning.critic_extra(sizes)


def try_building(spec: Specification) -> None:
    """Refuses a method whose own parts fail when its networks and its lanes are made.

    Raises:
        UserError: Names the hook, or the place where it fails.
    """
    if not own_names(spec.method):
        return
    asked = spec.method, spec.networks, sizes_of(spec), min(LANES, len(spec.seeds))
    with telling(spec.method, "cannot be built"):
        try:
            _build(*asked)
        except TypeError as error:
            if "unhashable" not in str(error):
                raise
            _build.__wrapped__(*asked)


@functools.lru_cache(maxsize=16)  # plans hold the same cell many times
def _build(method: Method, networks: Networks, sizes: Sizes, lanes: int) -> None:
    """Builds networks and lanes, and lets go of them."""
    trial = watched_method(method, sizes)
    pair = drawn_networks(trial, networks, sizes, 0, torch.float32)
    started(Game.of(trial, *pair), [pair] * lanes, Numbers(torch.device("cpu"), torch.float32))


def telling(method: Method, what: str, words: str = "vmap", hint: str = LIFT) -> AbstractContextManager[None]:
    """A block in which what goes wrong in a method's own parts becomes one sentence; nothing changes without any."""
    names = own_names(method)
    who = f"{method.name} with {' and '.join(dict.fromkeys(names))}"
    return _told(f"{who} {what}", words, hint) if names else nullcontext()


def try_first_update(trainer: Trainer, clock: Clock) -> None:
    """Refuses a method with own parts whose first objectives fail or are not one number that can be differentiated.

    Args:
        trainer: Is about to train; stays as it is.
        clock: Where its lanes stand.

    Raises:
        UserError: Names the own parts and the role, and says what torch says of it.
    """
    if not (names := own_parts(trainer.method)):
        return
    who = f"{trainer.method.name} with {' and '.join(dict.fromkeys(names))}"
    game, state = _watched_game(trainer), trainer.lanes.state
    with telling(trainer.method, "fails in its schedule"):
        game.method.dynamics.critic_rate(clock.progress), game.method.dynamics.generator_rate(clock.progress)
    for role, objective, player, blocks in (
        ("critic", game.critic_objective, state.critic, trainer.critic_blocks),
        ("generator", game.generator_objective, state.generator, trainer.generator_blocks),
    ):
        lanes = player.parameters, state, next(iter(trainer.shares.of(blocks.batch(0))))
        without_real = "" if trainer.method.generator_sees_real or role == "critic" else REAL_SIDE
        with _told(f"The first {role} update of {who} fails", "'NoneType' object has no attribute", without_real):
            before = _streams(trainer.device)
            value = _alone(objective, lanes, clock)
            drew = not torch.equal(before, _streams(trainer.device))
        if drew:
            raise UserError(
                f"The first {role} update of {who} draws at random, so that no run could be repeated or continued;"
                " ask for numbers by `noise` and read them from `scene.noise`."
            )
        _check_value(value, f"The {role} loss of {who}")
        several = "" if trainer.in_turn else " with several seeds"
        parameters, states, batches = tree_map(lambda item: item[: 1 if trainer.in_turn else LANES], lanes)
        with _told(f"The first {role} update of {who} fails{several}", "vmap", LIFT):
            differentiated(objective, parameters, states, batches, clock, in_turn=trainer.in_turn)


def _watched_game(trainer: Trainer) -> Game:
    """The trainer's game with parts whose hooks are looked at, in networks that call the same parts."""
    spec, sizes = trainer.spec, trainer.sizes
    method = watched_method(trainer.method, sizes)
    pair = drawn_networks(method, shared_out(spec, sizes), sizes, lane_seeds(spec)[0], trainer.dtype)
    generator, critic = pair
    return replace(trainer.game, method=method, generator=generator, critic=critic)


@contextmanager
def _told(what: str, words: str, hint: str) -> Iterator[None]:
    """Turns what goes wrong within into one sentence, with a hint where torch's words hold some; draws are given back.

    Raises:
        UserError: Something went wrong.
    """
    try:
        with torch.random.fork_rng():
            yield
    except UserError:
        raise
    except Exception as error:
        said = failure(error)
        more = f" ({hint})" if hint and words in said else ""
        raise UserError(f"{what}: {said}{more}.") from error


def _streams(device: torch.device) -> Tensor:
    """Where torch's global random numbers stand, those of a GPU too."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return torch.cat(states)


def _alone(objective: Objective, lanes: Lane, clock: Clock) -> object:
    """The value of an objective in the first lane, without a lift."""
    parameters, state, batch = tree_map(lambda item: item[0], lanes)
    value, _ = objective(parameters.detach().requires_grad_(), state, batch, clock)
    return value


def _check_value(value: Any, what: str) -> None:
    """Refuses a value that is no scalar tensor which depends on the player."""
    if not isinstance(value, Tensor):
        raise UserError(f"{what} is {found(value)}; return {ONE_NUMBER}.")
    if value.shape != ():
        raise UserError(f"{what} has the shape {list(value.shape)}; return one number, such as its .mean().")
    if not value.requires_grad:
        raise UserError(f"{what} does not depend on the player that minimises it; leave out .detach() and no_grad.")
