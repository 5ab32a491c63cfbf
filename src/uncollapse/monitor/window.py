"""When the monitor looks, and which fakes of the loop it looks at.

A loop hands over a batch at every step; a look wants more fakes than a batch has. So the last batches before a look are
kept, and no others.
"""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from uncollapse.errors import UserError


class Window:
    """The steps at which looks are due, and the fakes for the next one.

    Attributes:
        every: Steps from look to look; looks are at its multiples, or at the first step after one.
        samples: Fakes that a look wants.
        due: Step from which on the next look is due.
        last: The last step seen; -1 before the first.
        stride: Steps between the last two calls.
    """

    def __init__(self, *, every: int, samples: int) -> None:
        """Starts with a look due at step 0."""
        self.every, self.samples = every, samples
        self.due, self.last, self.stride = 0, -1, 1
        self._kept: deque[Tensor] = deque()

    def step(self, step: int) -> bool:
        """Takes note of a step; whether a look is due.

        Raises:
            UserError: Steps run backwards.
        """
        if step < self.last:
            raise UserError(
                f"step fell from {self.last:,} to {step:,}; count steps over the whole run, not within an epoch, and "
                "after a restart load the monitor's state with the rest."
            )
        self.stride = max(1, step - self.last) if self.last >= 0 else 1
        self.last = step
        return step >= self.due

    def wants(self, batch: int) -> bool:
        """Whether a batch of so many fakes at this step will be among those of the next look."""
        return (self.due - self.last) * batch < self.samples * self.stride

    def keep(self, fakes: Tensor) -> None:
        """Keeps a copy of a batch, and as few batches as hold `samples` fakes."""
        self._kept.append(fakes.clone())
        while len(self._kept) > 1 and self.gathered - len(self._kept[0]) >= self.samples:
            self._kept.popleft()

    @property
    def gathered(self) -> int:
        """Fakes that are kept."""
        return sum(len(part) for part in self._kept)

    def take(self) -> Tensor:
        """The newest fakes, at most `samples`, oldest first; nothing is kept any longer."""
        newest = self._kept[-1]  # batches of a checkpoint may be on another device
        fakes = torch.cat([part.to(newest) for part in self._kept])[-self.samples :]
        self._kept.clear()
        return fakes

    def done(self) -> None:
        """A look was had: the next is due at the next multiple."""
        self.due = (self.last // self.every + 1) * self.every

    def peek(self) -> Tensor | None:
        """What is kept, for a checkpoint."""
        return torch.cat(list(self._kept)) if self._kept else None

    def restore(self, *, due: int, last: int, kept: Tensor | None) -> None:
        """Goes on from a checkpoint."""
        self.due, self.last = due, last
        self._kept.clear()
        if kept is not None:
            self._kept.append(kept)
