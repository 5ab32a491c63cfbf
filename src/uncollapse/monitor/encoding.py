"""From what a training loop makes to feature rows in the coordinates of the reference."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uncollapse.data.layout import layout_of
from uncollapse.data.scaling import SLACK, WAYS, Scaling
from uncollapse.data.source import Pixels
from uncollapse.dense import check_dense
from uncollapse.errors import UserError
from uncollapse.features.extractor import Extractor
from uncollapse.features.identity import Identity
from uncollapse.monitor.actions import LOG
from uncollapse.monitor.hosts import plain_numbers

# Leading principal components of the reference in which rows are compared.
COMPONENTS = 64
# Rows that tell the components.
MOST_FITTED = 2_000
BATCH = 256
# So far beyond black or white, and so large a share of all values, is no overshoot of single pixels.
BEYOND, MANY = 0.5, 0.1
# Images in [-1, 1] end so near to both, and the brightest value of images in 0 .. 255 lies between these.
NEAR, BRIGHTEST = 0.1, (64.0, 255.5)
# Noted once a generator's samples were looked at: a training is not stopped for their range later on.
LOOKED = "looked"
Function = Callable[[Tensor], object]


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """Fakes as rows.

    Attributes:
        rows: float32 (f, q), those that are finite.
        classes: Class of each by a classifier, int64 (f,); None without one.
        finite: bool (m,), which fakes are finite.
    """

    rows: Tensor
    classes: NDArray[np.int64] | None
    finite: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Space:
    """Coordinates: centred, on the leading components where there are more features, and of unit mean square.

    Attributes:
        mean: float64 (d,).
        axes: float64 (d, q).
    """

    mean: Tensor
    axes: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> Space:
        """Of real rows (n, d).

        Raises:
            UserError: All rows are the same.
        """
        x = rows.double()
        mean = x.mean(0)
        centred = x - mean
        scale = float(centred.square().sum(1).mean().sqrt())
        if not scale > 0 or not math.isfinite(scale):
            raise UserError("All rows of the reference have the same features; give real data that vary.")
        if rows.shape[1] <= COMPONENTS:
            return cls(mean=mean, axes=torch.eye(rows.shape[1], dtype=torch.float64) / scale)
        return cls(mean=mean, axes=_leading(centred[:: max(1, len(centred) // MOST_FITTED)] / scale) / scale)

    def project(self, rows: Tensor) -> Tensor:
        """Rows (m, d) as float32 (m, q)."""
        projected: Tensor = ((rows.double() - self.mean) @ self.axes).float()
        return projected


def _leading(rows: Tensor) -> Tensor:
    """Directions of the largest variance of centred rows (n, d), (d, at most `COMPONENTS`)."""
    from scipy.linalg import eigh

    tall = len(rows) >= rows.shape[1]
    moments = (rows.T @ rows if tall else rows @ rows.T).numpy()
    size = len(moments)
    _, vectors = eigh(moments, subset_by_index=(max(0, size - COMPONENTS), size - 1))
    found = torch.from_numpy(vectors) if tall else rows.T @ torch.from_numpy(vectors)
    unit: Tensor = found / found.norm(dim=0).clamp_min(1e-30)
    return unit


@dataclass(kw_only=True, eq=False)
class Encoder:
    """What turns fakes into features, as it turned the reference.

    Attributes:
        extractor: A named extractor, or a function of the user.
        shape: Of one sample of the reference, where it was an array; flat fakes of as many numbers get it.
        low: What is black where fakes are images of floats, 0 or -1; None until fakes have told.
        negative: Share of the reference's values below 0; None where they are no floats, and fakes tell what is black.
        width: Number of features d.
        classify: What tells the class of each of some samples (m, ...), where the extractor does not; -1 for none.
    """

    extractor: Extractor | Function
    shape: tuple[int, ...] | None = None
    low: float | None = None
    width: int = field(default=0)
    classify: Callable[[Tensor], NDArray[np.int64]] | None = None
    negative: float | None = None

    def __post_init__(self) -> None:
        """Reads fakes as the reference was read."""
        if self.low is None and self.negative is not None:
            self.low = -1.0 if self.negative else 0.0

    def features(
        self, samples: Tensor, told: set[str] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.int64] | None, NDArray[np.bool_]]:
        """Features (f, d) of the finite samples, their classes, and which samples (m, ...) are finite.

        Args:
            samples: (m, ...).
            told: What was told of this generator's samples, which is added to; None for the first samples of one.

        Raises:
            UserError: The samples are not of the kind and size of the reference.
        """
        finite = torch.isfinite(samples).flatten(1).all(1).cpu()
        samples = samples[finite.to(samples.device)]
        told = set() if told is None else told
        rows, classes = self._rows(samples, told) if len(samples) else (np.zeros((0, self.width)), None)
        if self.width and rows.shape[1] != self.width:
            raise UserError(
                f"The fakes have {rows.shape[1]} features a row and the reference {self.width}; give samples of the "
                "same kind."
            )
        # Features that overflow lie nowhere, as samples that are not finite do.
        good = np.isfinite(rows).all(1)
        known = finite.numpy().copy()
        known[known] = good
        return rows[good], None if classes is None else classes[good], known

    def _rows(self, samples: Tensor, told: set[str]) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
        if not isinstance(self.extractor, Extractor):
            classes = None if self.classify is None else self.classify(samples)
            return apply(self.extractor, samples), classes
        if isinstance(self.extractor, Identity):
            if samples.ndim != 2:
                raise UserError(
                    f"The reference holds rows of features and the fakes have the shape {tuple(samples.shape)}; give "
                    "rows (m, d), or images as reference."
                )
            return samples.cpu().numpy(), None
        with plain_numbers():
            features, probabilities = self.extractor.both(self._images(samples, told))
        return features, None if probabilities is None else probabilities.argmax(1).astype(np.int64)

    def _images(self, samples: Tensor, told: set[str]) -> list[Pixels]:
        if samples.ndim == 2 and self.shape is not None and math.prod(self.shape) == samples.shape[1]:
            samples = samples.reshape(len(samples), *self.shape)
        layout = layout_of(tuple(samples.shape[1:]), "fake", tensor=True)
        if layout.kind != "images":
            raise UserError(
                f"The reference holds images and the fakes have the shape {tuple(samples.shape)}; give images."
            )
        values = samples.cpu().numpy()
        if values.dtype.kind == "f":
            values = self._shades(values, told)
        scaling = Scaling(low=self.low or 0.0, place="fake")
        return list(scaling.to_bytes(layout.upright(values), range(len(values)))[0])

    def _shades(self, values: NDArray[Any], told: set[str]) -> NDArray[Any]:
        """Values of images, those of a generator without bounds cut at black and white.

        Raises:
            UserError: They are in 0 .. 255, or in [-1, 1] beside a reference in [0, 1].
        """
        lowest, highest, first = float(values.min()), float(values.max()), LOOKED not in told
        told.add(LOOKED)
        if first and lowest >= -SLACK and BRIGHTEST[0] < highest <= BRIGHTEST[1]:
            raise UserError(
                f"The fakes hold floats from {lowest:.4g} to {highest:.4g}, as of images in 0 .. 255; {WAYS}."
            )
        if self.low is None:
            self.low = -1.0 if lowest < -SLACK else 0.0
        darkest, brightest = self.low - BEYOND, 1 + BEYOND
        if lowest < darkest or highest > brightest:
            share = float(((values < darkest) | (values > brightest)).mean())
            if share > MANY:
                self._far(lowest, highest, share, told, first=first)
        elif self.low < 0 <= lowest and (self.negative or 0.0) > MANY:
            _warn(
                told,
                "nothing dark",
                f"no value of the fakes is negative, but {self.negative:.0%} of the reference's are, which is read as "
                "[-1, 1]; give fakes in its scale (2 x - 1 for x in [0, 1])",
            )
        return values.clip(self.low, 1.0)

    def _far(self, lowest: float, highest: float, share: float, told: set[str], *, first: bool) -> None:
        """Many values lie far outside: of another scale, or of a generator without bounds, which may still learn."""
        if self.low == 0 and abs(lowest + 1) < NEAR and highest < 1 + NEAR:
            if self.negative is not None and first:  # later on a training is not stopped for it
                raise UserError(
                    f"The fakes hold values from {lowest:.4g} to {highest:.4g} and the reference none below 0; give "
                    "both in one scale (0.5 x + 0.5 for x in [-1, 1])."
                )
            if self.negative is None:
                self.low = -1.0  # the first fakes happened to have nothing dark
                return
        _warn(
            told,
            "far outside",
            f"{share:.0%} of the fakes' values lie far outside of [{self.low:g}, 1] and are cut, they reach from "
            f"{lowest:.4g} to {highest:.4g}; give fakes in the reference's scale",
        )


def _warn(told: set[str], kind: str, sentence: str) -> None:
    """Tells of each kind once."""
    if kind not in told:
        told.add(kind)
        LOG.warning("%s", sentence)


def as_samples(given: object, *, name: str) -> Tensor:
    """Samples (m, ...) as a detached tensor on their own device; half precision is widened.

    Raises:
        UserError: Not numbers, or not a batch.
    """
    check_dense(given, name)
    try:
        x = given.detach() if isinstance(given, Tensor) else torch.as_tensor(_usable(np.asarray(given)))
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{name} must be an array or a tensor of samples (m, ...), not {type(given).__name__}."
        ) from error
    if x.ndim < 2 or not len(x) or x.is_complex():
        raise UserError(f"{name} must hold samples (m, ...) of real numbers, not the shape {tuple(x.shape)}.")
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _usable(x: NDArray[Any]) -> NDArray[Any]:
    """The array, copied where torch could not share it: with a negative stride, or read-only."""
    return x if x.flags.writeable and all(stride >= 0 for stride in x.strides) else x.copy()


def apply(function: Function, samples: Tensor) -> NDArray[Any]:
    """Features of a user's function, in batches: float (m, d).

    Raises:
        UserError: It does not give one row a sample.
    """
    parts = []
    for part in torch.split(samples, BATCH):
        rows = as_samples(function(part), name="What features= gives").cpu()
        if rows.ndim != 2 or len(rows) != len(part):
            raise UserError(
                f"The function features= gives the shape {tuple(rows.shape)} for {len(part)} samples; it has to give "
                "one row of numbers a sample, (m, d)."
            )
        parts.append(rows)
    found: NDArray[Any] = torch.cat(parts).numpy()
    return found
