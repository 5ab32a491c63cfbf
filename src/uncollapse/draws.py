"""All randomness of a run, as input: every draw is a pure function of (seed, purpose, block).

Nothing else in the package draws during training, so that an interrupted run continues with the numbers it would have
had, a seed alone sees what it sees among others, and vmap can forbid hidden draws.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Draw:
    """One stream of random numbers.

    Attributes:
        generator: The torch generator that is advanced by each call.
        dtype: Floating type of `normal` and `uniform`.
    """

    generator: torch.Generator
    dtype: torch.dtype = torch.float32

    @property
    def device(self) -> torch.device:
        """Where the numbers are made."""
        return self.generator.device

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers of the given shape."""
        return torch.randn(shape, generator=self.generator, device=self.device, dtype=self.dtype)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1)."""
        return torch.rand(shape, generator=self.generator, device=self.device, dtype=self.dtype)

    def latent(self, law: str, *shape: int) -> Tensor:
        """Latents: standard normal, or uniform in [-1, 1) for the law ``"uniform"``."""
        return 2 * self.uniform(*shape) - 1 if law == "uniform" else self.normal(*shape)

    def integers(self, high: int, *shape: int) -> Tensor:
        """Uniform int64 numbers in [0, high)."""
        return torch.randint(high, shape, generator=self.generator, device=self.device)

    def permutation(self, n: int) -> Tensor:
        """A uniformly random order of 0 .. n-1, int64 (n,)."""
        return torch.randperm(n, generator=self.generator, device=self.device)

    def choice(self, weights: Tensor, n: int) -> Tensor:
        """n indices drawn with replacement, index k with probability weights[k]; int64 (n,)."""
        edges = weights.to(self.device, torch.float64).cumsum(0)
        at = torch.rand((n,), generator=self.generator, device=self.device, dtype=torch.float64) * edges[-1]
        return torch.searchsorted(edges, at, right=True).clamp_(max=len(weights) - 1)


def stream(
    seed: int, purpose: str, block: int = 0, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Draw:
    """The stream of one purpose of one seed: a pure function of its arguments.

    Two purposes, seeds or blocks have unrelated streams, because the generator's seed is a hash of all three. Torch's
    CPU generator keeps 32 bits of it, so that a given pair of streams coincides with probability 2^-32.

    Args:
        seed: The run's seed, any integer.
        purpose: What the numbers are for, for example ``"latent"``.
        block: Which stretch of the run, so that an update's numbers do not depend on where the run started.
        device: Where the numbers are made; CPU and CUDA streams differ.
        dtype: Floating type of the numbers.
    """
    digest = hashlib.blake2b(f"{seed}|{purpose}|{block}".encode(), digest_size=8).digest()
    number = int.from_bytes(digest, "little") >> 1
    return Draw(torch.Generator(device=device).manual_seed(number), dtype)
