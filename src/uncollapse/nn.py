"""Critic layers that see more than one sample at a time, as plain modules for anyone's own network.

`parts/views.py` builds the methods' critics from the same code.

>>> import torch
>>> from torch import nn
>>> from uncollapse.nn import MinibatchStddev
>>> critic = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), MinibatchStddev(size=4), nn.Linear(9, 1))
>>> critic(torch.randn(16, 2)).shape
torch.Size([16, 1])
"""

from __future__ import annotations

from numbers import Integral

import torch
from torch import Tensor, nn

from uncollapse.errors import UserError

# Keeps the derivative of a standard deviation finite where all samples of a group agree.
VARIANCE_FLOOR = 1e-8
# Longer than any distance, so that a sample is never close to itself.
FAR = 1e6
# exp(-40) = 4e-18 is lost beside a bias in float64 too, and much farther exp takes a processor 40 times as long.
HORIZON = 40.0
# Closer samples count as this far apart when scales are set, so that equal ones leave the scales finite.
NEAREST = 1e-6
PACK = "holds no sample; choose a pack size of 1 or more"


def packed(samples: Tensor, size: int) -> Tensor:
    """(batch, channels, ...) -> (batch / size, size * channels, ...), neighbours together.

    Raises:
        UserError: The batch is no multiple of the size.
    """
    _check_size(size, 1, PACK)
    if len(samples) % size:
        raise UserError(f"A batch of {len(samples)} is no multiple of the pack size {size}.")
    # (batch, channels, ...) -> (batch / size, size, channels, ...) -> (batch / size, size * channels, ...)
    return samples.reshape(-1, size, *samples.shape[1:]).flatten(1, 2)


def batch_deviation(features: Tensor, size: int) -> Tensor:
    """(batch, channels, ...) -> (batch, 1, ...): the mean standard deviation within groups of `size` neighbours."""
    groups = features.reshape(-1, size, *features.shape[1:])
    # Written out, because its derivatives are cheaper than those of `var` when lifted over seeds.
    centred = groups - groups.mean(1, keepdim=True)
    spread = (centred.square().mean(1) + VARIANCE_FLOOR).sqrt()
    # (groups, channels, ...) -> (groups,) -> (batch, 1, ...)
    means = spread.flatten(1).mean(1).repeat_interleave(size)
    return means.reshape(-1, *([1] * (features.ndim - 1))).expand(-1, 1, *features.shape[2:])


class MinibatchStddev(nn.Module):
    """Joins to every sample the mean standard deviation of the features within its group.

    Args:
        size: Samples in a group; the batch must be a multiple of it. Real and fake samples must not share a group.

    Reference: Karras et al. 2018, arXiv:1710.10196.
    """

    def __init__(self, size: int = 4) -> None:
        """Holds no parameters."""
        super().__init__()
        _check_size(size, 2, "has no deviation; choose groups of 2 or more")
        self.size = size

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, ...) -> (batch, channels + 1, ...)."""
        if len(features) % self.size:
            raise UserError(f"A batch of {len(features)} is no multiple of the group size {self.size}.")
        return torch.cat([features, batch_deviation(features, self.size)], 1)


class MinibatchDiscrimination(nn.Module):
    """Joins to every sample how close it is to the others of its batch, in learned directions.

    ``M_i = f(x_i) T`` (kernels x size), ``o_b(x_i) = sum_{j != i} exp(-||M_ib - M_jb||_1) + bias_b``. T has unit
    columns with a learned scale each; `initialise` sets scales and biases from a first batch, without which distances
    are far too long and the layer is dead from the start. Real and fake batches go through it one after the other.

    Args:
        features: Numbers a sample comes with.
        kernels: B, numbers added.
        size: C, numbers compared by a kernel.

    Reference: Salimans et al. 2016, arXiv:1606.03498, and the authors' code.
    """

    def __init__(self, features: int, kernels: int = 100, size: int = 5) -> None:
        """Small normal directions, scale 1, bias -1."""
        super().__init__()
        for name, count in {"features": features, "kernels": kernels, "size": size}.items():
            _check_size(count, 1, "is no number of them; choose a whole number of 1 or more", name)
        self.weight = nn.Parameter(torch.randn(features, kernels, size) * 0.05)
        self.log_scale = nn.Parameter(torch.zeros(kernels, size))
        self.bias = nn.Parameter(torch.full((kernels,), -1.0))

    def distances(self, features: Tensor) -> Tensor:
        """(batch, features) -> (batch, batch, kernels), L1, a sample infinitely far from itself."""
        columns = self.weight * (self.log_scale.exp() / self.weight.square().sum(0).sqrt())
        count = len(features)
        projected = (features @ columns.flatten(1)).reshape(count, *columns.shape[1:])
        # One number of the kernels at a time: all at once would hold `size` times as much.
        apart = FAR * torch.eye(count, dtype=features.dtype, device=features.device).unsqueeze(-1)
        for column in projected.unbind(-1):
            # A sum with the negative, whose derivative need not negate a table of all pairs.
            apart = apart + (column.unsqueeze(0) + (-column).unsqueeze(1)).abs()
        return apart

    def forward(self, features: Tensor) -> Tensor:
        """(batch, features) -> (batch, features + kernels)."""
        return torch.cat([features, self.closeness(features) + self.bias], -1)

    def closeness(self, features: Tensor) -> Tensor:
        """(batch, features) -> (batch, kernels): the sums of exp(-distance) without a bias."""
        return torch.exp(-self.distances(features).clamp(max=HORIZON)).sum(1)

    @torch.no_grad()
    def initialise(self, features: Tensor) -> None:
        """Sets scales and biases so that closeness is neither 0 nor all on this batch (batch, features)."""
        nearest = self.distances(features).amin(1).mean(0) / 2
        self.log_scale.sub_(nearest.clamp(min=NEAREST).log().unsqueeze(-1))
        self.bias.copy_(-self.closeness(features).mean(0))


class Packed(nn.Module):
    """A critic that judges `size` samples of one kind at once.

    Args:
        critic: Takes (batch / size, size * channels, ...).
        size: Samples in a pack; a batch must be a multiple of it, in random order, all real or all fake.

    Reference: Lin et al. 2018, arXiv:1712.04086.
    """

    def __init__(self, critic: nn.Module, size: int = 2) -> None:
        """Keeps the critic."""
        super().__init__()
        _check_size(size, 1, PACK)
        if not callable(critic):
            raise UserError(f"critic must be a network that takes packs, not {critic!r}.")
        self.critic, self.size = critic, size

    def forward(self, samples: Tensor) -> Tensor:
        """(batch, channels, ...) -> what the critic says of (batch / size) packs."""
        judged: Tensor = self.critic(packed(samples, self.size))
        return judged


def _check_size(size: int, least: int, why: str, name: str = "size") -> None:
    """Refuses what is no whole number, or too small, with what that would mean and what to do."""
    if isinstance(size, bool) or not isinstance(size, Integral) or size < least:
        raise UserError(f"{name} = {size!r} {why}.")
