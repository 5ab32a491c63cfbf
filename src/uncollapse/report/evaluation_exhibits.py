"""What a page shows beside numbers, as frozen records: clusters, galleries, dimensions, and how much of them.

Below `evaluation_record`. How many rows or groups there are in all is missing in files that were written before that
was counted; then it is None, and the page says so much less.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster of real data; `low` and `high` are the interval of `share_fake` / `share_real`."""

    name: str
    n_real: int | None
    n_fake: int | None
    share_real: float | None
    share_fake: float | None
    low: float | None
    high: float | None
    state: str
    p_adjusted: float | None
    gallery: str = ""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One sample in a gallery; `thumb` is its place among the thumbnails, None for vectors."""

    side: str
    row: int | None
    name: str
    thumb: int | None
    label: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Whole:
    """All rows of which a row of tiles is a part: how many, and how many have each label, the most frequent first.

    `kinds` is the number of labels, of which `labels` may be the first.
    """

    rows: int
    labels: tuple[tuple[str, int], ...] = ()
    kinds: int = 0


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Rows of samples that show one thing; `kind` is uncovered, repeated, neighbours, cluster or sample.

    `wholes` has an entry for each row, None where the file does not say of how many rows it is a part.
    """

    key: str
    kind: str
    title: str
    sentence: str
    rows: tuple[tuple[Tile, ...], ...]
    wholes: tuple[Whole | None, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Uncovered:
    """Real rows that no fake comes near.

    Attributes:
        share: Share of the real rows looked at.
        expected: The share that a perfect generator leaves.
        beyond_chance: Whether it is more than chance leaves; None when the file does not say.
        rows: How many they are; None likewise, as below.
        groups: Groups they fall into.
    """

    share: float | None = None
    expected: float | None = None
    beyond_chance: bool | None = None
    rows: int | None = None
    groups: int | None = None

    @property
    def surplus(self) -> bool:
        """Whether they are more than a perfect generator leaves, by chance too where the file says so."""
        if self.beyond_chance is not None:
            return self.beyond_chance
        return self.share is None or self.expected is None or self.share > self.expected


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """Fakes that nearly repeat each other.

    Attributes:
        groups: How many groups there are, at least.
        all_groups: Whether that is the exact number.
        share: Share of the fakes that repeat another one; None when the file does not say.
    """

    groups: int
    all_groups: bool
    share: float | None = None


@dataclass(frozen=True, kw_only=True)
class Same:
    """A lost mode with the other names of the same rows: modes as (name, kind), keys of galleries, clusters."""

    mode: str
    kind: str
    modes: tuple[tuple[str, str], ...]
    groups: tuple[str, ...]
    clusters: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DimensionTest:
    """How many columns of a table of vectors differ by more than chance, in words, and of how many rows a side."""

    sentence: str
    beyond_chance: int | None
    n_real: int | None
    n_fake: int | None


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """How one column of a table of vectors differs; without a test `p_adjusted` and `beyond_chance` are None."""

    name: str
    real_mean: float | None
    fake_mean: float | None
    real_sd: float | None
    fake_sd: float | None
    effect: float | None
    sentence: str
    p_adjusted: float | None = None
    beyond_chance: bool | None = None
