"""One pass of a network of the user's own: whether it draws, and what it changes that a run could not keep.

`fitting.py` looks at what comes out of it.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from uncollapse.errors import UserError
from uncollapse.parts.scene import Judgement
from uncollapse.source_code import failure


def tried(network: nn.Module, inputs: tuple[Tensor, ...], said: str) -> object:
    """The output of one pass in training mode, after which the network is as it was.

    Raises:
        UserError: It fails, draws, or holds state where none is kept.
    """
    before = torch.get_rng_state()
    first, second = (copy.deepcopy(network) for _ in range(2))
    buffers = dict(first.named_buffers())
    shown = [tuple(value.clone() for value in inputs) for _ in range(2)]
    with torch.no_grad():
        try:
            output, again = first(*shown[0]), second(*shown[1])
        except Exception as error:
            shapes = " and ".join(str(list(item.shape)) for item in inputs)
            raise UserError(f"{said} fails on inputs {shapes}: {failure(error)}.") from error
    _check_in_place(first, network, shown[0], inputs, said)
    repeated = all(torch.allclose(one, other, equal_nan=True) for one, other in _pairs(output, again))
    if not torch.equal(before, torch.get_rng_state()) or not repeated:
        raise UserError(
            f"{said} draws inside, so a run could neither be resumed nor repeated; leave out dropout and noise, or feed"
            " noise through the latent."
        )
    for name, value in first.named_buffers():
        if value is not buffers.get(name):
            raise UserError(
                f"{said} assigns its buffer {name!r} anew in forward, which would be lost; change it in place, as"
                " copy_() and add_() do."
            )
    return output


def _check_in_place(
    after: nn.Module, before: nn.Module, shown: tuple[Tensor, ...], inputs: tuple[Tensor, ...], said: str
) -> None:
    """Refuses a pass that has changed its inputs or its parameters, which the rest of an update needs as they were."""
    if not all(_same(one, other) for one, other in zip(shown, inputs, strict=True)):
        raise UserError(
            f"{said} changes its input in place, and the rest of the update needs that as it was; write a new tensor,"
            " as x * 2 for x.mul_(2), and no inplace=True on the first layer."
        )
    for (name, one), other in zip(after.named_parameters(), before.parameters(), strict=True):
        if not _same(one, other):
            raise UserError(
                f"{said} changes its parameter {name!r} in forward, which only the optimiser may; keep what a pass"
                " changes in a buffer (self.register_buffer)."
            )


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal; a NaN equals a NaN."""
    return torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


def _pairs(one: object, other: object) -> list[tuple[Tensor, Tensor]]:
    """The tensors of two outputs side by side."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return [(one, other)]
    if isinstance(one, Judgement) and isinstance(other, Judgement):
        return [pair for name in vars(one) for pair in _pairs(getattr(one, name), getattr(other, name))]
    return []
