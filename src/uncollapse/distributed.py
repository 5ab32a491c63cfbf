"""One run in several processes, as ``torchrun`` starts them: each plays its shares of every batch, all take one step.

Every rank draws the same batches, because draws are functions of (seed, update). Rank 0 leads: it alone writes, and it
says when to go on, to stop and to end; the others follow its orders. Between `loop.py`, which asks for means, and
`run.py`, which knows of directories.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.lanes import Result
from uncollapse.ranks import Ranks
from uncollapse.shares import check
from uncollapse.trees import tree_leaves

if TYPE_CHECKING:
    from uncollapse.loop import Trainer
    from uncollapse.spec import RunSpec

# Longer than rank 0 takes to judge samples while the others wait for its next order.
LONGEST_WAIT = timedelta(hours=12)
# Whole numbers below it have a negative in an int64, so that one exchange finds largest and smallest.
LARGEST = 2**62


class RanksFailed(ConnectionError):
    """A run in several processes cannot go on, because of another process than the one that says so."""


class Order(IntEnum):
    """What rank 0 tells the others to do next."""

    BEGIN, ADVANCE, END, STOP, FAIL = range(5)


class Team:
    """The processes that train one run, seen from inside one of them; made by `joined`.

    Args:
        ranks: The place of this process.
        orders: The group of processes for orders and agreements, always on the CPU.

    Attributes:
        asked: Whether some process was asked to stop, as of the last stretch.
    """

    def __init__(self, ranks: Ranks, orders: Any) -> None:
        """Says nothing yet."""
        self.rank, self.size, self.orders = ranks.rank, ranks.size, orders
        self.asked, self._begun, self._playing = False, False, False

    def agree(self, number: int, sentence: str) -> None:
        """Fails in every process unless all give the same number; rank 0 has the sentence.

        Raises:
            UserError: In rank 0.
            RanksFailed: In the others.
        """
        if not self._same(torch.tensor([number % LARGEST])):
            raise UserError(sentence) if self.rank == 0 else RanksFailed(sentence)

    def mean(self, result: Result) -> Result:
        """Values, gradients and loss states averaged over the processes, in one exchange.

        Buffers are the same in all, because they do not depend on samples.
        """
        import torch.distributed as dist

        values, gradient, outcome = result
        parts = [values, gradient, *outcome.loss.values()]
        flat = torch.cat([part.reshape(-1) for part in parts])
        _exchange(lambda: dist.all_reduce(flat))
        pieces = torch.split(flat / self.size, [part.numel() for part in parts])
        values, gradient, *states = [piece.reshape(part.shape) for piece, part in zip(pieces, parts, strict=True)]
        return values, gradient, outcome._replace(loss=dict(zip(outcome.loss, states, strict=True)))

    def advance(self, trainer: Trainer, until: int) -> None:
        """Rank 0 leads all through the rounds up to `until` critic updates.

        Raises:
            RanksFailed: Another process is gone, or no longer holds the same numbers.
            UserError: The processes see different data.
        """
        if not self._begun:
            self._tell(Order.BEGIN)
            self._begin(trainer)
        self._playing = True
        self._tell(Order.ADVANCE, until)
        trainer.play(until)
        self._playing = False
        self._meet(trainer, asked=False)  # what rank 0 itself was asked it knows

    def begin_again(self) -> None:
        """Before the next stretch all take once more what rank 0 holds, because it has put something else there."""
        self._begun = False

    def follow(self, trainer_of: Callable[[], Trainer], stop: Callable[[], bool]) -> bool:
        """Follows rank 0 until it ends; returns whether the run is finished, and not only stopped.

        Args:
            trainer_of: Makes a trainer of the run, once there is something to train.
            stop: Asked after every stretch.

        Raises:
            RanksFailed: Rank 0 or another process failed.
        """
        while True:
            order, until = self._told()
            if order == Order.BEGIN:
                trainer = trainer_of()
                self._begin(trainer)
            elif order == Order.ADVANCE:
                trainer.play(until)
                self._meet(trainer, asked=stop())
            elif order == Order.FAIL:
                raise RanksFailed("Rank 0 failed; its own message says why.")
            else:
                return order == Order.END

    @contextlib.contextmanager
    def leading(self, stopped: type[Exception]) -> Iterator[None]:
        """Rank 0 at work: however that ends, the others are told.

        Args:
            stopped: What is raised when the run stops as it should.
        """
        ending = Order.FAIL
        try:
            yield
            ending = Order.END
        except stopped:
            ending = Order.STOP
            raise
        finally:
            # Within a stretch nobody listens for orders; that rank 0 is gone ends the others.
            if not self._playing:
                with contextlib.suppress(RanksFailed):  # whoever is gone needs no order
                    self._tell(ending)

    def _tell(self, order: Order, until: int = 0) -> None:
        self._share(torch.tensor([order, until]), self.orders)

    def _told(self) -> tuple[Order, int]:
        message = torch.zeros(2, dtype=torch.int64)
        self._share(message, self.orders)
        order, until = message.tolist()
        return Order(order), until

    def _begin(self, trainer: Trainer) -> None:
        """Every process takes what rank 0 holds, and is about to see the same batches."""
        rounds = torch.tensor([trainer.rounds])
        self._share(rounds, self.orders)
        for value in tree_leaves(trainer.lanes):
            self._share(value)
        trainer.rounds, self._begun = int(rounds), True
        batches = [
            trainer.critic_blocks.batch(trainer.update),
            trainer.generator_blocks.batch(trainer.generator_updates),
        ]
        marks = fingerprint([leaf for batch in batches for leaf in tree_leaves(batch)])
        self.agree(
            int(marks.sum()),
            "The processes do not see the same data; give every machine the same files, versions and kind of device.",
        )

    def _meet(self, trainer: Trainer, *, asked: bool) -> None:
        """After a stretch: all hear whether one was asked to stop, and that nobody's numbers have drifted."""
        high, low = self._extremes(torch.cat([torch.tensor([int(asked)]), fingerprint(tree_leaves(trainer.lanes))]))
        self.asked = bool(high[0])
        if not torch.equal(high[1:], low[1:]):
            raise RanksFailed(
                "The processes no longer hold the same weights: their machines compute differently, or one is faulty."
                " What is saved is intact, and the same command continues from it on other machines."
            )

    def _same(self, numbers: Tensor) -> bool:
        high, low = self._extremes(numbers)
        return torch.equal(high, low)

    def _extremes(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Largest and smallest of each whole number over all processes."""
        import torch.distributed as dist

        both = torch.cat([numbers, -numbers])
        _exchange(lambda: dist.all_reduce(both, op=dist.ReduceOp.MAX, group=self.orders))
        high, low = both.chunk(2)
        return high, -low

    def _share(self, value: Tensor, group: Any = None) -> None:
        """Overwrites a tensor with that of rank 0."""
        import torch.distributed as dist

        _exchange(lambda: dist.broadcast(value, src=0, group=group))


def fingerprint(tensors: Sequence[Tensor]) -> Tensor:
    """(tensors,) int64 on the CPU: the sum of each one's bits as whole numbers, so that one changed number is seen."""
    kinds = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    sums = [value.contiguous().view(kinds[value.element_size()]).sum(dtype=torch.int64) for value in tensors]
    return (torch.stack(sums) % LARGEST).cpu()


@contextlib.contextmanager
def joined(ranks: Ranks, device: torch.device) -> Iterator[Team]:
    """The team of this process, from when all have met until one leaves.

    Args:
        ranks: The place of this process.
        device: Where it trains.

    Raises:
        RanksFailed: The processes do not find each other.
        UserError: This torch cannot train in several processes, or this process belongs to a group already.
    """
    import torch.distributed as dist

    outside = sys.exception()
    if not dist.is_available():
        raise UserError("This build of torch cannot train in several processes; train in one, without torchrun.")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # Its functions keep the group of all processes as a default, for good, unless they are defined before there is one.
    importlib.import_module("torch.distributed.nn.functional")
    if dist.is_initialized():
        raise UserError(
            "This process already belongs to a group of torch.distributed; use uncollapse in processes of their own, or"
            " end the group first (torch.distributed.destroy_process_group)."
        )
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        team = Team(ranks, dist.new_group(backend="gloo", timeout=LONGEST_WAIT))
    except (RuntimeError, ValueError) as error:
        _forget_locals(error, outside)
        if dist.is_initialized():
            dist.destroy_process_group()
        raise RanksFailed(f"The processes of this run do not find each other ({error}).") from error
    # A group's threads end with the last reference to it; one that still lives when Python ends may abort the process.
    try:
        yield team
    except BaseException as error:
        _forget_locals(error, outside)
        raise
    finally:
        team.orders = None
        dist.destroy_process_group()


def train_together(
    spec: RunSpec,
    ranks: Ranks,
    device: torch.device,
    *,
    lead: Callable[[Team], None],
    stop: Callable[[], bool],
    stopped: type[Exception],
) -> None:
    """Trains a run in all processes: rank 0 does what `lead` does, the others follow it.

    Args:
        spec: The run, the same in every process.
        ranks: The place of this process.
        device: Where it trains.
        lead: What rank 0 does with its team.
        stop: Asked after every stretch.
        stopped: What `lead` raises when the run stops as it should; the others then raise it, too.

    Raises:
        UserError: The run cannot be trained in so many shares, or the processes were given different ones.
        RanksFailed: Another process is gone, or failed.
    """
    from uncollapse.loop import Trainer

    with joined(ranks, device) as team:
        team.agree(
            int(spec.hash, 16),
            "The processes were given different runs; under torchrun all train one, from one and the same command.",
        )
        if ranks.leads:
            with team.leading(stopped):
                check(spec, ranks.size * spec.accumulate)
                lead(team)
        elif not team.follow(lambda: Trainer(spec, device=device, team=team), stop):
            raise stopped("rank 0 was asked to stop")


def _exchange(call: Callable[[], object]) -> None:
    """An exchange with the other processes; if one is gone, one sentence says what to do."""
    try:
        call()
    except RuntimeError as error:
        raise RanksFailed(
            "Another process of this run is gone; its own message says why. What is saved is intact, and the same"
            " command continues from it."
        ) from error


def _forget_locals(error: BaseException, outside: BaseException | None) -> None:
    """Empties the frames that an error and all that led to it came through, but for what was there `outside` before."""
    left: list[BaseException | None] = [error]
    seen = {id(None), id(outside)}
    while left:
        one = left.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            traceback.clear_frames(one.__traceback__)
            left += [one.__cause__, one.__context__]
