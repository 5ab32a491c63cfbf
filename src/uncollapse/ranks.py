"""Which of several processes this one is, as ``torchrun`` tells each in its environment.

`distributed.py` lets them train one run together; the command line asks here who prints.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uncollapse.errors import UserError

if TYPE_CHECKING:
    import torch

SET_BY_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR")


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """The place of this process among those that train a run together.

    Attributes:
        rank: Its number; 0 leads.
        size: Processes in all.
        local: Its number on its own machine, which is the number of its GPU.
    """

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def own(self, device: torch.device) -> torch.device:
        """The device of this process, where all of them were given one.

        Raises:
            UserError: This machine has fewer GPUs than processes.
        """
        import torch

        if self.size == 1 or device.type != "cuda":
            return device
        if self.local >= torch.cuda.device_count():
            raise UserError(
                f"LOCAL_RANK is {self.local}, and this machine has {torch.cuda.device_count()} GPUs;"
                " start one process a GPU (--nproc-per-node), or use --device cpu."
            )
        return torch.device("cuda", self.local)


def ranks_of_environment() -> Ranks:
    """What torchrun says in the environment; one process alone where it says nothing.

    Raises:
        UserError: The environment says half of it, or nonsense.
    """
    said = {name: os.environ.get(name, "") for name in SET_BY_TORCHRUN}
    if said["WORLD_SIZE"] in ("", "1"):
        return Ranks()
    try:
        found = Ranks(rank=int(said["RANK"]), size=int(said["WORLD_SIZE"]), local=int(said["LOCAL_RANK"] or 0))
    except ValueError:
        found = Ranks(rank=-1)
    if not (said["MASTER_ADDR"] and 0 <= found.rank < found.size and found.local >= 0):
        values = ", ".join(f"{name}={value}" for name, value in said.items())
        raise UserError(f"The environment is not what torchrun sets ({values}); start with torchrun, or unset them.")
    return found


def said_by() -> str:
    """``"rank 1: "`` before what another process than the leading one says; nothing otherwise."""
    rank = os.environ.get("RANK", "0") if os.environ.get("WORLD_SIZE", "1") != "1" else "0"
    return "" if rank == "0" else f"rank {rank}: "
