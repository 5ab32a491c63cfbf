"""The sides of an evaluation: opened, checked against each other, and turned into feature rows by one extractor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uncollapse.data.generated import is_reference, is_run
from uncollapse.data.opening import open_source
from uncollapse.data.source import Pixels, Source
from uncollapse.errors import UserError
from uncollapse.features.extraction import Extracted, extract
from uncollapse.features.extractor import Extractor
from uncollapse.features.finding import choose, find_extractor
from uncollapse.features.identity import Identity
from uncollapse.text import clean

# Images that choose the extractor, and that one which learns from both sides may learn from.
LOOKED_AT, FITTED = 512, 10_000
BATCH = 256
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side with its rows.

    Attributes:
        role: "real", "fake", "other" or "train".
        source: Where it came from.
        rows: Features, probabilities, labels and names.
    """

    role: str
    source: Source
    rows: Extracted

    def __len__(self) -> int:
        return len(self.rows.features)

    def to_json(self) -> dict[str, Any]:
        """What was read, as JSON values."""
        source = self.source
        head = {"name": source.name, "form": source.form, "kind": source.kind, "labelled": self.rows.labels is not None}
        return head | self.rows.notes.to_json()


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How data are opened and read.

    Attributes:
        n: Rows wanted of a side; None = all, and of something that draws as many as the other side has.
        max_bad: Largest share of unreadable rows.
        seed: Of choices and draws.
        plugins: What runs need.
        device: Where features are computed.
        weights: A file of Inception weights.
        resize: How inception resizes.
        cache: Whether features are kept for the next time.
        progress: Called with what is done, rows done and rows there are.
    """

    n: int | None = None
    max_bad: float = 0.01
    seed: int = 0
    plugins: tuple[object, ...] = ()
    device: str = "auto"
    weights: Path | None = None
    resize: str = "clean"
    cache: bool = True
    progress: Progress | None = None

    def open(self, given: object, role: str, *, like: Source | None = None) -> Source:
        """Opens one side; its place in the seed keeps the draws of two samplers apart.

        Args:
            given: What `open_source` takes.
            role: One of `ROLES`.
            like: The side whose number of rows a sampler or a run should draw, at most `DRAWN`.
        """
        n = self.n
        if n is None and like is not None and like.count is not None and _draws(given):
            n = min(like.count, DRAWN)
        seed = self.seed + ROLES.index(role)
        return open_source(given, side=role, n=n, seed=seed, max_bad=self.max_bad, plugins=self.plugins)

    def sample(self, given: object, role: str, source: Source, most: int) -> list[Pixels]:
        """At most so many images from all over a side, because folders are often sorted by class."""
        large = source.count is not None and source.count > most
        if large and isinstance(given, str | Path) and not _draws(given):
            some = open_source(given, side=role, n=most, seed=self.seed, max_bad=self.max_bad, plugins=self.plugins)
            return [image for chunk in some.chunks(BATCH) for image in chunk.images]
        return _spread_sample(source, most)

    def rows(self, source: Source, role: str, extractor: Extractor) -> Side:
        """Reads one side and computes its features."""
        from uncollapse.data import cache

        told = None if self.progress is None else _told(self.progress, f"{role}: {clean(source.name)}")
        kept = cache if self.cache else None
        return Side(role=role, source=source, rows=extract(source, extractor, progress=told, keep=kept))


ROLES = ("real", "fake", "other", "train")
DRAWN = 10_000


def _draws(given: object) -> bool:
    """Whether samples are drawn on demand, as many as are asked for: a run, a sampler, a function."""
    if isinstance(given, Path) or (isinstance(given, str) and Path(given).expanduser().exists()):
        return is_run(Path(given).expanduser())
    return is_reference(given) if isinstance(given, str) else callable(given)


def _told(progress: Progress, what: str) -> Callable[[int, int | None], None]:
    return lambda done, count: progress(what, done, count)


def check_alike(sources: Mapping[str, Source]) -> list[str]:
    """Refuses sides of different kind, and warns of what makes them differ before any generator does.

    Raises:
        UserError: One side holds images and another features.
    """
    kinds = {role: source.kind for role, source in sources.items() if source.kind != "statistics"}
    if len(set(kinds.values())) > 1:
        told = " and ".join(f"{role} ({clean(sources[role].name)}) holds {kind}" for role, kind in kinds.items())
        raise UserError(f"{told}; give the same kind on all sides.")
    same = sources.get("fake")
    if same is not None and _path(same) is not None and _path(same) == _path(sources["real"]):
        return ["Both sides are the same data, so nothing can be missing; the verdict says nothing about a generator."]
    return []


def _path(source: Source) -> Path | None:
    path = Path(source.name).expanduser()
    try:
        return path.resolve() if path.exists() else None
    except (OSError, ValueError):
        return None


def size_notes(sides: Sequence[Side]) -> list[str]:
    """Sentences on images whose sizes or channels differ between the sides."""
    notes = []
    sizes = {side.role: side.rows.notes.sizes for side in sides if side.rows.notes.sizes}
    common = {role: found.most_common(1)[0][0] for role, found in sizes.items()}
    if len(set(common.values())) > 1:
        told = ", ".join(f"{role} {height} x {width}" for role, (height, width) in common.items())
        notes.append(
            f"The images differ in size ({told}); all are resized to the extractor's size, and resizing alone makes "
            "the sides differ a little. Give images of one size to rule that out."
        )
    channels = {side.role: set(side.rows.notes.channels) for side in sides if side.rows.notes.channels}
    if len({frozenset(found) for found in channels.values()}) > 1:
        told = ", ".join(f"{role} {' and '.join(sorted(found))}" for role, found in channels.items())
        notes.append(f"The images differ in colour ({told}); that is a difference between the sides of its own.")
    return notes


def make_extractor(
    name: str, given: Mapping[str, object], sources: Mapping[str, Source], reading: Reading
) -> tuple[Extractor, str]:
    """The extractor and why it was chosen; fitted where it has to be.

    Raises:
        UserError: There is no such extractor, or it does not suit the data.
    """
    if sources["real"].kind == "features":
        if name not in ("auto", "identity"):
            what = clean(sources["real"].name)
            raise UserError(f"{what} holds features already, which {name} does not take; leave --features out.")
        return Identity(), "identity: the data are rows of numbers and are taken as they are."

    def some(role: str, most: int) -> list[Pixels]:
        return reading.sample(given[role], role, sources[role], most)

    if name == "auto":
        if reading.weights is not None:
            raise UserError("--weights are for inception; say --features inception with them.")
        extractor, why = choose(some("real", LOOKED_AT), device=reading.device, resize=reading.resize)
    else:
        example = [*some("real", LOOKED_AT), *some("fake", LOOKED_AT)]
        extractor = find_extractor(
            name, weights=reading.weights, resize=reading.resize, device=reading.device, example=example
        )
        why = extractor.why
    if extractor.fits:
        extractor.fit(some("real", FITTED), some("fake", FITTED))
    return extractor, why


def _spread_sample(source: Source, most: int) -> list[Pixels]:
    """At most so many images at even distances over the source."""
    step = 1 if source.count is None else max(1, source.count // most)
    kept: list[Pixels] = []
    number = 0
    for chunk in source.chunks(BATCH):
        for image in chunk.images:
            if number % step == 0:
                kept.append(image)
            number += 1
        if len(kept) >= most:
            break
    return kept[:most]
