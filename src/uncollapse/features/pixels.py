"""Extractors that need no network: the pixels themselves, and their principal components fitted on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from uncollapse.data.source import Pixels as Image
from uncollapse.errors import UserError
from uncollapse.features.batches import digest_of
from uncollapse.features.extractor import Extractor, Rows
from uncollapse.features.resizing import COLOUR_POLICY, GREY_POLICY, RESIZES, common_size, looks_grey, prepare
from uncollapse.features.sampling import pick_images

# Components are of small pictures, so that a shift by one pixel or a slight blur hardly moves them.
LARGEST_PIXELS, LARGEST_PCA, MOST_FITTED, COMPONENTS = 64, 16, 10_000, 64
PART = 256
Numbers = NDArray[np.float64]


class Pixels(Extractor):
    """The pixels as one row, values / 255: rows first, then columns; in colour all of red, then green, then blue."""

    why = "The pixels themselves: exact and blind to nothing, but a shift by one pixel counts as much as another image."
    reusable = False

    def __init__(self, *, side: int | tuple[int, int], colour: bool = False) -> None:
        """Fixes the size to which other images are resized.

        Args:
            side: Height and width, or one number for both; 1 to 1,024.
            colour: Whether rows hold three channels or grey.

        Raises:
            UserError: A side outside that range.
        """
        self.height, self.columns = (side, side) if isinstance(side, int) else side
        self.colour = colour
        if not (1 <= self.height <= 1024 and 1 <= self.columns <= 1024):
            raise UserError(f"pixels takes sides from 1 to 1,024, not {self.height} x {self.columns}.")
        self.name = f"pixels[{self.height}x{self.columns}{'x3' if colour else ''}]"
        self.digest = digest_of(
            extractor="pixels",
            size=[self.height, self.columns],
            colour=colour,
            policies=[RESIZES["clean"], GREY_POLICY, COLOUR_POLICY],
        )

    @classmethod
    def like(cls, *sides: Sequence[Image], most: int = LARGEST_PIXELS) -> Pixels:
        """Pixels for images such as these: their commonest size, in colour if any of them is in colour.

        Args:
            sides: Images of each side; exchanging the sides changes nothing.
            most: Largest side; larger images are scaled down to it.

        Raises:
            UserError: There is no image.
        """
        if not any(len(images) for images in sides):
            raise UserError("pixels needs at least one image to decide its size; write pixels[28x28] to fix it.")
        colour = not all(looks_grey(image) for images in sides for image in images)
        return cls(side=common_size(*sides, most=most), colour=colour)

    @property
    def width(self) -> int:
        """Height x width x channels."""
        return self.height * self.columns * (3 if self.colour else 1)

    def extract(self, images: Sequence[Image]) -> Rows:
        """Pixel values (n, width) from 0 to 1."""
        prepared = prepare(images, height=self.height, width=self.columns, colour=self.colour)
        return prepared.reshape(len(images), -1) / np.float32(255)


class Pca(Extractor):
    """The first principal components of the pixels of both sides.

    Each side weighs one half whatever its size: the fit is on mean (m_a + m_b) / 2 and covariance
    (C_a + C_b) / 2 + (m_a - m_b)(m_a - m_b)' / 4, in float64, from images ordered by their content. So neither the
    order of the images nor an exchange of the sides changes a bit. Each component's largest entry is positive.
    """

    why = (
        "Principal components of the pixels of both sides: sees coarse layout and colour, needs no weights; blind to "
        "fine texture and to what things mean."
    )
    fits = True
    portable = True
    reusable = False

    def __init__(self, components: int = COMPONENTS) -> None:
        """Fixes the number of components.

        Args:
            components: At most this many, at least 1; no more than half of the pixels and than there are directions.

        Raises:
            UserError: Fewer than one component.
        """
        if components < 1:
            raise UserError(f"pca needs at least 1 component, not {components}.")
        self.asked = components
        self.name = f"pca[{components}]"
        self.digest = digest_of(extractor="pca", components=components)
        self._pixels: Pixels | None = None
        self._mean: Numbers = np.zeros(0)
        self._directions: Numbers = np.zeros((0, 0))

    @property
    def width(self) -> int:
        """Components in use; those asked for before `fit`."""
        return self._directions.shape[1] if self._pixels else self.asked

    def fit(self, real: Sequence[Image], fake: Sequence[Image]) -> None:
        """Learns mean and components from at most 10,000 images a side, chosen by their content.

        Raises:
            UserError: A side has no image.
        """
        if not len(real) or not len(fake):
            raise UserError("pca is fitted on both sides and needs at least one image of each.")
        sides = [pick_images(images, MOST_FITTED) for images in (real, fake)]
        pixels = Pixels.like(*sides, most=LARGEST_PCA)
        (mean_a, spread_a), (mean_b, spread_b) = (_moments(pixels, images) for images in sides)
        apart = mean_a - mean_b
        covariance = (spread_a + spread_b) / 2 + np.outer(apart, apart) / 4
        directions = _directions(covariance, min(self.asked, max(1, pixels.width // 2)))
        self._know(pixels, (mean_a + mean_b) / 2, directions)

    def learned(self) -> dict[str, Numbers]:
        """Mean and directions, and the size and colour of the images that they are of."""
        assert self._pixels is not None
        form = np.array([self._pixels.height, self._pixels.columns, self._pixels.colour], dtype=np.float64)
        return {"mean": self._mean, "directions": self._directions, "form": form}

    def learn(self, learned: Mapping[str, Numbers]) -> None:
        """Knows what was learned elsewhere."""
        height, columns, colour = (int(number) for number in learned["form"])
        self._know(Pixels(side=(height, columns), colour=bool(colour)), learned["mean"], learned["directions"])

    def _know(self, pixels: Pixels, mean: Numbers, directions: Numbers) -> None:
        self._pixels, self._mean, self._directions = pixels, mean, directions
        self.name = f"pca[{self.width}]"
        fitted = hashlib.sha256(self._mean.tobytes() + self._directions.tobytes()).hexdigest()
        self.digest = digest_of(extractor="pca", pixels=pixels.digest, fitted=fitted)

    def extract(self, images: Sequence[Image]) -> Rows:
        """Coordinates (n, components) along the components, in units of the pixel range.

        Raises:
            UserError: It was not fitted.
        """
        if self._pixels is None:
            raise UserError(f"{self.name} is fitted on the images of both sides; call fit(real, fake) first.")
        parts = [
            (self._pixels.extract(images[first : first + PART]) - self._mean) @ self._directions
            for first in range(0, len(images), PART)
        ]
        return np.concatenate(parts).astype(np.float32)


def _moments(pixels: Pixels, images: Sequence[Image]) -> tuple[Numbers, Numbers]:
    """Mean (d,) and covariance (d, d), divided by n, of one side."""
    blocks = [images[first : first + PART] for first in range(0, len(images), PART)]
    mean = sum((pixels.extract(block).sum(0, dtype=np.float64) for block in blocks), np.zeros(pixels.width))
    mean = mean / len(images)
    scatter = np.zeros((pixels.width, pixels.width))
    for block in blocks:
        centred = pixels.extract(block) - mean
        scatter += centred.T @ centred
    return mean, scatter / len(images)


def _directions(covariance: Numbers, most: int) -> Numbers:
    """Eigenvectors (d, k) of the largest eigenvalues, those without any variance left out, but at least one."""
    size = len(covariance)
    values, vectors = eigh(covariance, subset_by_index=(size - most, size - 1))
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = max(1, int((values > 1e-10 * values[0]).sum()))
    vectors = vectors[:, :kept]
    largest = vectors[np.abs(vectors).argmax(0), np.arange(kept)]
    return np.ascontiguousarray(vectors * np.where(largest < 0, -1.0, 1.0))
