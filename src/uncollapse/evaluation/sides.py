"""The sides of an evaluation: opened, looked at to choose an extractor, and turned into feature rows by it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uncollapse.data.generated import is_reference, is_run, is_run_object
from uncollapse.data.limits import MEGA, USUAL_BAD
from uncollapse.data.opening import open_source
from uncollapse.data.source import Pixels, Source
from uncollapse.data.tables import match_columns
from uncollapse.errors import UserError
from uncollapse.features.extraction import Extracted, check_any, extract, extract_together
from uncollapse.features.extractor import Choice, Extractor, called
from uncollapse.features.finding import choose, find_extractor
from uncollapse.features.identity import Identity
from uncollapse.features.sampling import pick_images
from uncollapse.features.shards import Crew
from uncollapse.metrics.inputs import Features, as_features
from uncollapse.text import clean

ROLES = ("real", "fake", "other", "train")
# Samples drawn of a generator whose counterpart is larger or of unknown size.
DRAWN = 10_000
# Images that choose the extractor (fewer where they are large), and that one which learns from both sides learns from.
LOOKED_AT, LOOKED_BYTES, FITTED = 256, 256 * MEGA, 10_000
# What is learned from is far smaller than this, so that larger images are kept reduced.
KEPT_SIDE = 64
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

    @cached_property
    def checked(self) -> Features:
        """The feature rows with their order by content, which every choice of rows goes through."""
        return as_features(self.rows.features, name=self.role, least=1)

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Numbers of the rows, ordered by content, (n,)."""
        order: NDArray[np.int64] = self.checked.order.cpu().numpy()
        return order

    def centred(self, numbers: NDArray[np.int64] | Tensor, centre: Tensor, scale: float = 1.0) -> Tensor:
        """Some rows as float32 (m, d), after a centre was taken off in float64 and the rest was divided by a scale."""
        index = torch.as_tensor(numbers)
        found = torch.empty(len(index), self.checked.width)
        for part in torch.split(torch.arange(len(index)), 8 * BATCH):
            rows = self.checked.x[index[part]].cpu().double()
            found[part] = ((rows - centre) / scale).float()
        return found

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
        label_column: Which column of a table holds the labels.
        device: Where features are computed.
        weights: A file of Inception weights.
        resize: How inception resizes.
        cache: Whether features are kept for the next time.
        progress: Called with what is done, rows done and rows there are; 0 of 0 rows is a step without rows.
        crew: Processes that read images of files together; None = this one reads all.
    """

    n: int | None = None
    max_bad: float = USUAL_BAD
    seed: int = 0
    plugins: tuple[object, ...] = ()
    label_column: str | None = None
    device: str = "auto"
    weights: Path | None = None
    resize: str = "clean"
    cache: bool = True
    progress: Progress | None = None
    crew: Crew | None = None

    @property
    def leads(self) -> bool:
        """Whether this process gets all rows, and judges."""
        return self.crew is None or self.crew.leads

    def open(self, given: object, role: str, *, like: Source | None = None) -> Source:
        """Opens one side; its place in the seed keeps the draws of two samplers apart.

        Training rows are always read whole: of a part of them nothing could be said about copies.

        Args:
            given: What `open_source` takes.
            role: One of `ROLES`.
            like: The side whose number of rows a sampler or a run should draw, at most `DRAWN`, and whose order of
                columns a table takes.
        """
        n, drawn = self.n if role != "train" else None, None
        if role != "train" and like is not None and like.count and draws(given):
            drawn = min(like.count, DRAWN)
        found = open_source(
            given, side=role, n=n, drawn=drawn, seed=self.seed + ROLES.index(role), max_bad=self.max_bad,
            plugins=self.plugins, label_column=self.label_column,
        )  # fmt: skip
        return found if like is None else match_columns(found, like, role)

    def look(self, given: object, role: str, source: Source) -> list[Pixels]:
        """Some images from all over a side, because folders are often sorted by class.

        Unreadable ones are passed over; how many are too many is decided when everything is read, or when none of
        those that were looked at could be.

        Raises:
            UserError: Too many rows are unreadable, or all.
        """
        count, kept = source.count, list[Pixels]()
        if count is not None and count > LOOKED_AT and isinstance(given, str | Path) and not draws(given):
            kept = _spread(
                open_source(given, side=role, n=LOOKED_AT, seed=self.seed, max_bad=1.0, plugins=self.plugins), LOOKED_AT
            )
        kept = kept or _spread(source, count)
        check_any(source, len(kept))
        return kept

    def rows(self, source: Source, role: str, extractor: Extractor, given: object = None) -> Side | None:
        """Reads one side and computes its features; None in a process that only helps.

        Args:
            source: The opened side.
            role: One of `ROLES`.
            extractor: Fitted, where it has to be.
            given: What the user gave, by which other processes find the files.
        """
        from uncollapse.data import cache

        told = self._told(f"{role}: {clean(source.name)}")
        kept = cache if self.cache else None
        found: Extracted | None = None
        if self.crew is not None and shareable(given, source):
            alone = replace(self, crew=None, progress=None, plugins=())
            found = extract_together(
                source, extractor, self.crew, reopen=partial(alone.open, path_of(given), role), progress=told, keep=kept
            )
        elif self.leads:
            found = extract(source, extractor, progress=told, keep=kept)
        return None if found is None else Side(role=role, source=source, rows=found)

    def step(self, what: str) -> None:
        """Tells of a step that has no rows to count."""
        if self.progress is not None:
            self.progress(what, 0, 0)

    def _told(self, what: str) -> Callable[[int, int | None], None] | None:
        progress = self.progress
        return None if progress is None else lambda done, count: progress(what, done, count)


def _spread(source: Source, count: int | None) -> list[Pixels]:
    """At most `LOOKED_AT` images at even distances, of the first ones where nobody knows how many there are."""
    step = 1 if count is None else max(1, count // LOOKED_AT)
    kept: list[Pixels] = []
    number, held = 0, 0
    for chunk in source.chunks(BATCH):
        for image in chunk.images:
            if number % step == 0 and len(kept) < LOOKED_AT and (held < LOOKED_BYTES or not kept):
                kept.append(image)
                held += image.nbytes
            number += 1
        if len(kept) >= LOOKED_AT or held >= LOOKED_BYTES:
            break
    return kept


def draws(given: object) -> bool:
    """Whether samples may be drawn on demand, as many as are asked for: a run, a sampler, a function or a factory."""
    if isinstance(given, str | Path):
        found = path_of(given)
        if found is not None:
            return is_run(found)
        return isinstance(given, str) and is_reference(given)
    if is_run_object(given):
        return True
    return callable(given) and not isinstance(given, Iterable) and not hasattr(given, "__getitem__")


def shareable(given: object, source: Source) -> bool:
    """Whether several processes can read parts of it: images in files; arrays of features are read as fast by one."""
    images = source.kind == "images" and path_of(given) is not None and not draws(given)
    return images and source.part(0, source.count or 0) is not None


def path_of(given: object) -> Path | None:
    """The existing place that a text or a path names, without links; None for anything else."""
    if not isinstance(given, str | Path) or not str(given):
        return None
    try:
        path = Path(given).expanduser()
        return path.resolve() if path.exists() else None
    except (OSError, ValueError, RuntimeError):  # too long, a null byte, a home folder of nobody
        return None


def make_extractor(
    name: Choice, given: Mapping[str, object], sources: Mapping[str, Source], reading: Reading
) -> tuple[Extractor, str]:
    """The extractor and why it was chosen; fitted where it has to be.

    Raises:
        UserError: There is no such extractor, or it does not suit the data.
    """
    if reading.weights is not None and name in ("auto", "identity"):
        raise UserError("--weights are for inception; say --features inception with them.")
    if sources["real"].kind == "features":
        if called(name) not in ("auto", "identity"):
            what = clean(sources["real"].name)
            raise UserError(f"{what} holds features already, which {called(name)} does not take; leave --features out.")
        return Identity(), "identity: the data are rows of numbers and are taken as they are."

    def look(role: str) -> list[Pixels]:
        return reading.look(given[role], role, sources[role])

    reading.step("choosing features")
    if name == "auto":
        extractor, why = choose(look("real"), device=reading.device, resize=reading.resize)
    else:
        extractor = find_extractor(
            name, weights=reading.weights, resize=reading.resize, device=reading.device,
            example=[*look("real"), *look("fake")],
        )  # fmt: skip
        why = extractor.why
    if extractor.fits:

        def fit() -> None:
            extractor.fit(_sample(sources["real"]), _sample(sources["fake"]))

        fit() if reading.crew is None else reading.crew.fit(extractor, fit)
    return extractor, why


def _sample(source: Source) -> list[Pixels]:
    """At most `FITTED` images chosen by their content from all of a side, large ones reduced to bound memory."""
    return pick_images((reduced(image) for chunk in source.chunks(BATCH) for image in chunk.images), FITTED)


def reduced(image: Pixels) -> Pixels:
    """An image, by a whole factor smaller where it has at least four times the pixels of a square of `KEPT_SIDE`.

    A block is its mean. The factor is of the area, so that a long strip is no larger than a square.
    """
    from PIL import Image

    factor = math.isqrt(image.shape[0] * image.shape[1]) // KEPT_SIDE
    return image if factor < 2 else np.asarray(Image.fromarray(image).reduce(factor))
