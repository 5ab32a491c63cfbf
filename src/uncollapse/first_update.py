"""The first update of a method with parts of the user's own, tried before it is trained; neither lanes nor draws move.

`loop.py` asks for it, so that a mistake in a user's own loss is said in one sentence, not in a traceback of the lift.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.game import Batch, Clock, State
from uncollapse.lanes import Objective, differentiated
from uncollapse.method import own_parts
from uncollapse.text import described, reason
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
    game, state = trainer.game, trainer.lanes.state
    for role, objective, player, blocks in (
        ("critic", game.critic_objective, state.critic, trainer.critic_blocks),
        ("generator", game.generator_objective, state.generator, trainer.generator_blocks),
    ):
        lanes = player.parameters, state, next(iter(trainer.shares.of(blocks.batch(0))))
        without_real = "" if trainer.method.generator_sees_real or role == "critic" else REAL_SIDE
        with _told(f"The first {role} update of {who} fails", "'NoneType' object has no attribute", without_real):
            value = _alone(objective, lanes, clock)
        _check_value(value, f"The {role} loss of {who}")
        if not trainer.in_turn:
            parameters, states, batches = tree_map(lambda item: item[:LANES], lanes)
            with _told(f"The first {role} update of {who} fails with several seeds", "vmap", LIFT):
                differentiated(objective, parameters, states, batches, clock, in_turn=False)


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
        said = reason(error)
        more = f" ({hint})" if hint and words in said else ""
        raise UserError(f"{what}: {said}{more}.") from error


def _alone(objective: Objective, lanes: Lane, clock: Clock) -> object:
    """The value of an objective in the first lane, without a lift."""
    parameters, state, batch = tree_map(lambda item: item[0], lanes)
    value, _ = objective(parameters.detach().requires_grad_(), state, batch, clock)
    return value


def _check_value(value: Any, what: str) -> None:
    """Refuses a value that is no scalar tensor which depends on the player."""
    if not isinstance(value, Tensor):
        raise UserError(f"{what} is {described(value)}; return one number as a tensor, such as a mean over the batch.")
    if value.shape != ():
        raise UserError(f"{what} has the shape {list(value.shape)}; return one number, such as its .mean().")
    if not value.requires_grad:
        raise UserError(f"{what} does not depend on the player that minimises it; leave out .detach() and no_grad.")
