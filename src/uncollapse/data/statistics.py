"""Mean and covariance of features without their rows, as a source that only some metrics can use."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from uncollapse.data.numpy_files import Statistics
from uncollapse.data.source import Chunk, Kind, Notes, Pixels, Source
from uncollapse.errors import UserError


class StatisticsOnly(Source):
    """What pytorch-fid and clean-fid keep of a data set.

    Attributes:
        mean: float64 (d,).
        covariance: float64 (d, d).
        rows: How many rows they are of; None where the file does not say.
    """

    kind: Kind = "statistics"
    form = "mean and covariance"
    labelled = False

    def __init__(self, found: Statistics, *, name: str, place: str) -> None:
        """Keeps both.

        Args:
            found: What the file holds.
            name: What the user wrote.
            place: How messages call it.
        """
        self.name, self.place, self.notes = name, place, Notes()
        self.mean, self.covariance, self.rows = found.mean, found.covariance, found.rows

    @property
    def count(self) -> int:
        """No row can be read."""
        return 0

    def chunks(self, size: int) -> Iterator[Chunk]:
        """Nothing."""
        del size
        yield from ()

    def fetch(self, rows: Sequence[int]) -> list[Pixels]:
        """Nothing can be fetched.

        Raises:
            UserError: Always, unless nothing is asked for.
        """
        if rows:
            raise UserError(f"{self.name} holds mean and covariance only, no rows.")
        return []

    def content_hash(self) -> str:
        """sha256 over both and the number of rows."""
        digest = hashlib.sha256(f"uncollapse statistics 1 {self.mean.shape} {self.rows}".encode())
        digest.update(self.mean.tobytes())
        digest.update(self.covariance.tobytes())
        return digest.hexdigest()
