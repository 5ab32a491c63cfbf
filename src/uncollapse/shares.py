"""An update in shares of its batch: which rows are whose, and how the results of the shares make that of the batch.

`loop.py` plays the shares of its process one after the other; `distributed.py` averages over processes. What no share
can know of, because it depends on the whole batch, is refused here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from uncollapse.errors import UserError
from uncollapse.game import Batch
from uncollapse.lanes import Result, Specification, drawn_networks, sizes_of
from uncollapse.method import Method
from uncollapse.parts.scene import Sizes
from uncollapse.trees import tree_map

MIXING_LAYERS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(frozen=True, kw_only=True)
class Shares:
    """The shares of every batch that one process plays.

    Attributes:
        count: Shares of a whole batch, of all processes together.
        own: Those of this process.
    """

    count: int = 1
    own: range = range(1)

    @classmethod
    def of_rank(cls, rank: int, ranks: int, accumulate: int) -> Shares:
        """The shares of one of several processes, each of which plays `accumulate` of them.

        >>> Shares.of_rank(1, 2, 3)
        Shares(count=6, own=range(3, 6))
        """
        return cls(count=ranks * accumulate, own=range(rank * accumulate, (rank + 1) * accumulate))

    def of(self, batch: Batch) -> Iterator[Batch]:
        """The parts of a batch that this process plays, one after the other; the lanes stay in front."""
        for share in self.own:
            yield batch if self.count == 1 else share_of(batch, share, self.count)


def share_of(batch: Batch, share: int, count: int) -> Batch:
    """One of `count` contiguous parts of a batch (lanes, rows, ...), with what was drawn for its rows."""
    noise = {
        # A view's numbers have a row for each real item, then one for each fake.
        name: _rows(value, share, count, kinds=2 if name.startswith("view.") else 1)
        for name, value in batch.noise.items()
    }
    samples = batch._replace(noise={})
    part: Batch = tree_map(lambda value: _rows(value, share, count), samples)
    return part._replace(noise=noise)


def _rows(value: Tensor, share: int, count: int, kinds: int = 1) -> Tensor:
    """(lanes, kinds * rows, ...) -> (lanes, kinds * rows / count, ...)."""
    lanes, rows, *item = value.shape
    parts = value.reshape(lanes, kinds, count, rows // (kinds * count), *item)
    return parts[:, :, share].flatten(1, 2)


def mean_of_shares(results: Iterable[Result]) -> Result:
    """The result of a batch from those of its equal shares.

    Values, gradients and loss states are means over samples, and so their means over equal shares. Buffers do not
    depend on samples (networks in which they do are refused), so that every share leaves the same.
    """
    supply = iter(results)
    (values, gradient, outcome), count = next(supply), 1
    loss = outcome.loss
    for more_values, more_gradient, more in supply:  # one at a time, because a gradient is as large as its player
        values, gradient, count = values + more_values, gradient + more_gradient, count + 1
        loss = {name: value + more.loss[name] for name, value in loss.items()}
    if count == 1:
        return values, gradient, outcome
    return (
        values / count,
        gradient / count,
        outcome._replace(loss={name: value / count for name, value in loss.items()}),
    )


@dataclass(frozen=True, kw_only=True)
class ShareRule:
    """One refusal of an update in several shares of its batch.

    Attributes:
        name: What is refused.
        broken: Whether a method, sizes and a number of shares break the rule.
        sentence: What to say.
    """

    name: str
    broken: Callable[[Method, Sizes, int], bool]
    sentence: Callable[[Method, Sizes, int], str]


def _whole(method: Method) -> str:
    """The first part that depends on the whole batch; empty if none does."""
    return next((type(part).__name__ for part in method.nested_parts() if part.batch_level), "")


def _rowless(method: Method, sizes: Sizes) -> str:
    """The first numbers that are drawn for a batch and not for its rows; empty if there are none."""
    for name, (_, shape) in method.noise(sizes).items():
        allowed = {2 * sizes.packs} if name.startswith("view.") else {sizes.packs, sizes.batch}
        if not shape or shape[0] not in allowed:
            return name
    return ""


def _divisor(method: Method, sizes: Sizes, shares: int) -> int:
    """What a run's batch, in samples or packs as its view counts, has to be a multiple of."""
    return shares * method.view.block * sizes.group // method.view.samples


SHARE_RULES: tuple[ShareRule, ...] = (
    ShareRule(
        name="terms of a whole batch",
        broken=lambda method, sizes, shares: bool(_whole(method)),
        sentence=lambda method, sizes, shares: (
            f"{_whole(method)} depends on the whole batch at once, so that {shares} shares of it would train another"
            " method; use accumulate 1 in one process, or a method without it."
        ),
    ),
    ShareRule(
        name="foreseen steps of a whole batch",
        broken=lambda method, sizes, shares: method.dynamics.unroll > 0,
        sentence=lambda method, sizes, shares: (
            f"dynamics.unroll = {method.dynamics.unroll} foresees critic steps on the whole batch, so that {shares}"
            " shares of it would train another method; use accumulate 1 in one process, or dynamics.unroll = 0."
        ),
    ),
    ShareRule(
        name="numbers of a whole batch",
        broken=lambda method, sizes, shares: bool(_rowless(method, sizes)),
        sentence=lambda method, sizes, shares: (
            f"{_rowless(method, sizes)} is drawn for the whole batch and not for each of its rows, so that {shares}"
            " shares of it cannot have their own; use accumulate 1 in one process."
        ),
    ),
    ShareRule(
        name="equal shares",
        broken=lambda method, sizes, shares: sizes.packs % (shares * method.view.block) != 0,
        sentence=lambda method, sizes, shares: (
            f"A batch of {sizes.batch // method.view.samples} cannot be split into {shares} equal shares of whole packs"
            f" and groups; choose a multiple of {_divisor(method, sizes, shares)}, or fewer shares."
        ),
    ),
)


def check_shares(method: Method, sizes: Sizes, shares: int) -> None:
    """Refuses a method whose update is not the mean of its updates on equal shares of the batch.

    Args:
        method: Any method.
        sizes: Of the task and the whole batch.
        shares: Of all processes together; 1 is always allowed.

    Raises:
        UserError: With the sentence of the first broken rule.
    """
    for rule in SHARE_RULES if shares > 1 else ():
        if rule.broken(method, sizes, shares):
            raise UserError(rule.sentence(method, sizes, shares))


def mixes(network: nn.Module) -> bool:
    """Whether samples of a batch see each other in a network: it says so itself, or has batch norm in it."""
    return bool(getattr(network, "mixes", False)) or any(
        isinstance(layer, MIXING_LAYERS) for layer in network.modules()
    )


def check_networks(generator: nn.Module, critic: nn.Module, shares: int) -> None:
    """Refuses networks that would see only their share of a batch where they should see all of it.

    Raises:
        UserError: One of them has batch norm, or says that it mixes samples.
    """
    for name, network in (("generator", generator), ("critic", critic)):
        if shares > 1 and mixes(network):
            raise UserError(
                f"In the {name} the samples of a batch see each other (batch norm), so that {shares} shares of a batch"
                " would train another one; choose --set networks.norm=none, or --set networks.family=residual."
            )


def check(spec: Specification, shares: int) -> None:
    """Refuses a run that cannot be trained in so many shares, before anything starts.

    Raises:
        UserError: What stands in the way, and what to choose instead.
    """
    sizes = sizes_of(spec)
    check_shares(spec.method, sizes, shares)
    if shares > 1:
        check_networks(*drawn_networks(spec.method, spec.networks, sizes, 0, torch.float32), shares)
