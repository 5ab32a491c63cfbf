"""The processes that read together on Ray: readers that each open the files and read parts as they are asked to.

Ray Core only, connected as for the runs of a comparison: token authentication on, no dashboard, no statistics of use.
The one who asks joins the parts in their order, and judges.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from uncollapse.data.source import Source
from uncollapse.distributed import RanksFailed
from uncollapse.errors import UserError
from uncollapse.evaluation.crews import LONGEST_ROUND, opened
from uncollapse.features.extraction import read_shard
from uncollapse.features.extractor import Extractor
from uncollapse.features.shards import Part, Shard, pack
from uncollapse.text import clean

# Parts that each reader has been asked for ahead of the one that is awaited.
AHEAD = 2


class Reader:
    """Reads parts of one source in a process of its own."""

    def __init__(self, reopen: Callable[[], Source], extractor: Extractor | None, count: int) -> None:
        """Opens the source.

        Args:
            reopen: Opens it.
            extractor: Fitted, where it has to be; None where only names and labels are wanted.
            count: Rows that the one who asks has seen.
        """
        self._extractor, self._failed = extractor, ""
        try:
            self._source = reopen()
            if self._source.count != count:
                self._failed = f"A reader finds {self._source.count} rows where there were {count}; share the files."
        except UserError as error:
            self._failed = str(error)

    def read(self, first: int, stop: int) -> bytes:
        """One part, packed; or the sentence that says why it cannot be read."""
        if self._failed:
            return b"-" + json.dumps(self._failed).encode()
        part = self._source.part(first, stop)
        assert part is not None, "only sources with parts are read together"
        try:
            return b"+" + pack(read_shard(part, self._extractor, first))
        except UserError as error:
            return b"-" + json.dumps(str(error)).encode()


class RayCrew:
    """Readers on Ray, led by this process; made by `ray_crew`."""

    leads = True

    def __init__(self, ray: Any, size: int, gpus: float) -> None:
        """Has no readers yet.

        Args:
            ray: The module, connected.
            size: Readers.
            gpus: GPUs of each.
        """
        self._ray, self.size, self._gpus = ray, size, gpus

    def told(self, flag: bool) -> bool:
        """There is nobody else to tell."""
        return flag

    def same(self, *facts: object) -> None:
        """Readers check by themselves what they find."""

    def fit(self, extractor: Extractor, fit: Callable[[], None]) -> None:
        """Fits it here; readers get it fitted."""
        fit()

    def shards(
        self, source: Source, extractor: Extractor | None, parts: Sequence[Part], *, reopen: Callable[[], Source]
    ) -> Generator[Shard, None, None]:
        """As `Crew.shards`.

        Raises:
            UserError: A part cannot be read.
            RanksFailed: A reader is gone or silent.
        """
        made = self._ray.remote(num_cpus=1, num_gpus=self._gpus, max_restarts=0, max_task_retries=0)(Reader)
        readers = [made.remote(reopen, extractor, source.count) for _ in range(min(self.size, len(parts)))]
        left, asked = deque(parts), deque[Any]()
        turn = 0
        try:
            while left or asked:
                while left and len(asked) < AHEAD * len(readers):
                    asked.append(readers[turn % len(readers)].read.remote(*left.popleft()))
                    turn += 1
                yield opened(self._got(asked.popleft()))
        finally:
            for reader in readers:
                self._ray.kill(reader)

    def _got(self, ref: Any) -> bytes:
        try:
            content: bytes = self._ray.get(ref, timeout=LONGEST_ROUND.total_seconds())
        except self._ray.exceptions.GetTimeoutError as error:
            minutes = LONGEST_ROUND.total_seconds() / 60
            raise RanksFailed(
                f"A reader of Ray was silent for {minutes:g} minutes; look at its machine and start again."
            ) from error
        except self._ray.exceptions.RayError as error:
            what = (str(getattr(error, "cause", None) or error).strip().splitlines() or [""])[-1]
            raise RanksFailed(
                f"A reader of Ray is gone ({type(error).__name__}: {clean(what)}); nothing was written, start again."
            ) from error
        return content


@contextmanager
def ray_crew(jobs: int | None = None, *, device: str = "auto") -> Iterator[RayCrew]:
    """A crew on a Ray cluster of this machine that lives as long as the crew.

    Args:
        jobs: Readers; None = one a core.
        device: Where features are computed; on GPUs each reader has one.

    Raises:
        UserError: Ray is not installed or cannot be started, or jobs is below 1.
    """
    from uncollapse.experiments.engines.local import default_jobs
    from uncollapse.experiments.engines.ray_cluster import joined
    from uncollapse.versions import choose_device

    if jobs is not None and jobs < 1:
        raise UserError(f"--jobs {jobs} is not possible; give a whole number of at least 1.")
    size = jobs or default_jobs(1)
    with joined(cpus=size) as ray:
        yield RayCrew(ray, size, 1.0 if choose_device(device).type == "cuda" else 0.0)
