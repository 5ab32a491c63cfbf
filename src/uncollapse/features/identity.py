"""Rows that are features already and pass as they are: tables, 2-D points, embeddings made elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from uncollapse.data.source import Pixels
from uncollapse.errors import UserError
from uncollapse.features.batches import digest_of
from uncollapse.features.extractor import Extractor, Rows


class Identity(Extractor):
    """Passes feature rows; `extraction` never asks it for anything."""

    name = "identity"
    why = "The rows are features already and are taken as they are."
    reusable = False

    def __init__(self, width: int = 0) -> None:
        """For rows of a width.

        Args:
            width: Numbers in a row; 0 as long as no row was seen.
        """
        self._width = width
        self.digest = digest_of(extractor="identity")

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return self._width

    def extract(self, images: Sequence[Pixels]) -> Rows:
        """Refuses images.

        Raises:
            UserError: Always; images are no feature rows.
        """
        raise UserError("identity takes rows of features (n, d), not images; choose pixels, pca or another extractor.")
