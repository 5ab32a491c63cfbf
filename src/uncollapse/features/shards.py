"""Parts of a source, each read by one of several processes, and joined by one of them in the order of one process.

Between `extraction.py`, which says what is wanted of a chunk, and `evaluation.crews`, which know who reads what. A row
does not depend on what stands beside it, so that the rows of all parts are to the bit those of one reading.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from uncollapse.data.source import Met, Notes, Source
from uncollapse.features.extractor import Extractor, Rows

# Rows of a part: few enough that nobody waits long for the last part, a whole number of everyone's batches.
MOST_ROWS, LEAST_ROWS = 1_024, 256
# Parts for each process where there are few rows.
TURNS = 4
Part = tuple[int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Shard:
    """What reading one part gave.

    Attributes:
        features: (n, d); None where only names and labels were wanted.
        probabilities: (n, classes) of an extractor that gives them, else None.
        labels: One text a row, or None.
        names: Where each row came from.
        met: What reading it has met.
    """

    features: NDArray[Any] | None
    probabilities: Rows | None
    labels: tuple[str, ...] | None
    names: tuple[str, ...]
    met: Met


class Crew(Protocol):
    """Processes that read together; one of them leads and gets what all have read."""

    @property
    def leads(self) -> bool:
        """Whether this is the process that joins the parts."""
        ...

    @property
    def size(self) -> int:
        """Processes that read."""
        ...

    def told(self, flag: bool) -> bool:
        """What the leading process says, in all of them."""
        ...

    def same(self, *facts: object) -> None:
        """Fails in all processes unless these facts about files and choices are the same in all.

        Raises:
            UserError: They differ, in the leading process.
        """
        ...

    def fit(self, extractor: Extractor, fit: Callable[[], None]) -> None:
        """Has an extractor learn, in the leading process alone where what it learns can be sent."""
        ...

    def shards(
        self, source: Source, extractor: Extractor | None, parts: Sequence[Part], *, reopen: Callable[[], Source]
    ) -> Generator[Shard, None, None]:
        """Reads all parts; gives them in their order to the leading process, and nothing to the others.

        Args:
            source: What is read, as this process has opened it.
            extractor: What makes features; None where only names and labels are wanted.
            parts: First row and the row after the last of each.
            reopen: Opens the source in another process; it can be pickled.

        Raises:
            UserError: A part cannot be read.
            ConnectionError: A process is gone.
        """
        ...


def split(count: int, size: int) -> list[Part]:
    """The parts of so many rows for so many processes.

    >>> split(1000, 2)
    [(0, 256), (256, 512), (512, 768), (768, 1000)]
    """
    wanted = -(-count // (TURNS * size))
    rows = min(MOST_ROWS, -(-max(wanted, 1) // LEAST_ROWS) * LEAST_ROWS)
    return [(first, min(first + rows, count)) for first in range(0, count, rows)]


def pack(shard: Shard) -> bytes:
    """A shard as bytes that hold numbers and texts only."""
    from safetensors.numpy import save

    notes = shard.met.notes
    document = {
        "labels": shard.labels, "names": shard.names, "tried": shard.met.tried, "places": shard.met.bad,
        "rows": notes.rows, "bad": notes.bad, "bad_count": notes.bad_count, "policies": list(notes.policies.items()),
        "sizes": list(notes.sizes.items()), "channels": list(notes.channels.items()),
    }  # fmt: skip
    arrays = {"text": np.frombuffer(json.dumps(document).encode(), dtype=np.uint8)}
    for name, rows in (("features", shard.features), ("probabilities", shard.probabilities)):
        if rows is not None:
            arrays[name] = np.ascontiguousarray(rows)
    return save(arrays)


def unpack(content: bytes) -> Shard:
    """The shard that `pack` has packed, in another of our own processes."""
    from safetensors.numpy import load

    arrays = load(content)
    said = json.loads(arrays["text"].tobytes())
    notes = Notes(
        rows=said["rows"],
        bad=[(name, reason) for name, reason in said["bad"]],
        bad_count=said["bad_count"],
        policies=Counter(dict(said["policies"])),
        sizes=Counter({(height, width): count for (height, width), count in said["sizes"]}),
        channels=Counter(dict(said["channels"])),
    )
    return Shard(
        features=arrays.get("features"),
        probabilities=arrays.get("probabilities"),
        labels=None if said["labels"] is None else tuple(said["labels"]),
        names=tuple(said["names"]),
        met=Met(tried=said["tried"], notes=notes, bad=tuple(said["places"])),
    )
