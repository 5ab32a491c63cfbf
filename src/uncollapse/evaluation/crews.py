"""The processes that read together under ``torchrun``: all read parts in turn, rank 0 joins them and judges alone.

Between `features.shards`, which cuts and joins, and the verb `evaluate`. In every round each process reads one part,
and rank 0 takes them in their order, so that no process is more than a round ahead and none waits for ever.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from torch import Tensor

from uncollapse.data.source import Source
from uncollapse.distributed import RanksFailed, Team, joined
from uncollapse.errors import UserError
from uncollapse.features.extraction import read_shard
from uncollapse.features.extractor import Extractor
from uncollapse.features.shards import Part, Shard, pack, unpack
from uncollapse.ranks import Ranks

# No process may take so long for one part (at most 1,024 images) longer than another.
LONGEST_ROUND = timedelta(minutes=30)
GONE = (
    "Another process of this evaluation is gone, or was silent for {minutes:g} minutes; its own message says why. "
    "Nothing was written; start again."
)
DIFFERENT = (
    "The processes of this evaluation do not see the same files, options or extractor; under torchrun all get one "
    "and the same command, and every machine the same files and versions."
)
FAILED = "Rank 0 failed; its own message says why."


class Helped(Exception):
    """This process has done its part of an evaluation; rank 0 has the result."""


class RanksCrew:
    """The crew of a process that torchrun started; made by `crew_of`."""

    def __init__(self, team: Team, rounds: Any) -> None:
        """Takes both groups of processes.

        Args:
            team: For what may take long.
            rounds: The group for rounds, which waits no longer than `LONGEST_ROUND`.
        """
        self._team, self._rounds = team, rounds

    @property
    def leads(self) -> bool:
        """Whether this is rank 0."""
        return self._team.rank == 0

    @property
    def size(self) -> int:
        """Ranks."""
        return self._team.size

    def told(self, flag: bool) -> bool:
        """What rank 0 says, in all; the others wait for as long as it takes."""
        said = torch.tensor([int(flag)])
        self._broadcast(said, self._team.orders)
        return bool(said)

    def same(self, *facts: object) -> None:
        """Fails in all unless these facts are the same in all.

        Raises:
            UserError: They differ; in rank 0.
            RanksFailed: They differ; in the others.
        """
        digest = hashlib.sha256(json.dumps([str(fact) for fact in facts]).encode()).digest()
        with _sentence():
            self._team.agree(int.from_bytes(digest[:7], "big"), DIFFERENT)

    def fit(self, extractor: Extractor, fit: Callable[[], None]) -> None:
        """Rank 0 fits a portable extractor and tells the others what it learned; of another each learns by itself."""
        if not extractor.portable:
            fit()
            return
        if self.leads:
            fit()
        content = _pack(extractor.learned()) if self.leads else b""
        length = torch.tensor([len(content)])
        self._broadcast(length, self._team.orders)
        message = _tensor(content) if self.leads else torch.empty(int(length), dtype=torch.uint8)
        self._broadcast(message, self._rounds)
        if not self.leads:
            extractor.learn(_unpack(message.numpy().tobytes()))

    def shards(
        self, source: Source, extractor: Extractor | None, parts: Sequence[Part], *, reopen: Callable[[], Source]
    ) -> Generator[Shard, None, None]:
        """As `Crew.shards`: in each round every process reads one part.

        Raises:
            UserError: A part cannot be read; in rank 0.
            RanksFailed: Another process failed or is gone.
        """
        del reopen  # every rank has opened it
        for first in range(0, len(parts), self.size):
            turn = parts[first : first + self.size]
            content = self._read(source, extractor, turn)
            said = torch.zeros(1, dtype=torch.int64)
            try:
                yield from self._gathered(content, len(turn))
            except RanksFailed:
                raise
            except BaseException:  # also when whoever takes the shards has enough of them: nobody must wait in vain
                with suppress(RanksFailed):
                    self._broadcast(said, self._rounds)
                raise
            said += self.leads
            self._broadcast(said, self._rounds)
            if not bool(said):
                raise RanksFailed(FAILED)

    def _read(self, source: Source, extractor: Extractor | None, turn: Sequence[Part]) -> bytes:
        """This process's part of a round, packed; a sentence where it cannot be read; nothing where there is none."""
        if self._team.rank >= len(turn):
            return b""
        first, stop = turn[self._team.rank]
        part = source.part(first, stop)
        assert part is not None, "only sources with parts are read together"
        try:
            return b"+" + pack(read_shard(part, extractor, first))
        except UserError as error:
            return b"-" + json.dumps(str(error)).encode()

    def _gathered(self, content: bytes, count: int) -> Iterator[Shard]:
        """Rank 0 gets the parts of a round in their order; the others send theirs."""
        import torch.distributed as dist

        length = torch.tensor([len(content)])
        lengths = [torch.zeros_like(length) for _ in range(self.size)] if self.leads else None
        with _sentence():
            dist.gather(length, lengths, dst=0, group=self._rounds)
            if not self.leads:
                if content:
                    dist.send(_tensor(content), dst=0, group=self._rounds)
                return
        for rank, announced in enumerate(lengths or ()):
            if rank:
                message = torch.empty(int(announced), dtype=torch.uint8)
                with _sentence():
                    if len(message):
                        dist.recv(message, src=rank, group=self._rounds)
                content = message.numpy().tobytes()
            if rank < count:
                yield opened(content)

    def _broadcast(self, value: Tensor, group: Any) -> None:
        import torch.distributed as dist

        with _sentence():
            dist.broadcast(value, src=0, group=group)


@contextmanager
def crew_of(ranks: Ranks) -> Iterator[RanksCrew]:
    """The crew of this process, from when all have met until it leaves.

    Args:
        ranks: The place of this process.

    Raises:
        RanksFailed: The processes do not find each other.
        UserError: This torch cannot connect them.
    """
    import torch.distributed as dist

    with joined(ranks, torch.device("cpu")) as team:
        with _sentence():
            crew = RanksCrew(team, dist.new_group(backend="gloo", timeout=LONGEST_ROUND))
        try:
            yield crew
        finally:
            crew._rounds = None  # as the team's own group, whose threads must end before Python does


def opened(content: bytes) -> Shard:
    """The shard of a message of another process.

    Raises:
        UserError: The other process could not read it, and says why.
    """
    if content[:1] == b"-":
        raise UserError(json.loads(content[1:]))
    return unpack(content[1:])


@contextmanager
def _sentence() -> Iterator[None]:
    """An exchange with the other processes; if one is gone, one sentence says so."""
    try:
        yield
    except RanksFailed as error:
        if error.__cause__ is None:  # what the processes agreed to say
            raise
        raise RanksFailed(GONE.format(minutes=LONGEST_ROUND / timedelta(minutes=1))) from error
    except RuntimeError as error:
        raise RanksFailed(GONE.format(minutes=LONGEST_ROUND / timedelta(minutes=1))) from error


def _tensor(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def _pack(arrays: Mapping[str, Any]) -> bytes:
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def _unpack(content: bytes) -> dict[str, Any]:
    from safetensors.numpy import load

    return load(content)
