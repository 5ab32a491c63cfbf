"""What every extractor is: images in, feature rows out, with a name and a digest that say which numbers these are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.data.source import Pixels
from uncollapse.errors import UserError

Rows = NDArray[np.float32]


class Extractor(ABC):
    """Turns images into feature rows; the same image gives the same row whatever stands beside it in a chunk.

    Attributes:
        name: As in results, settings included: "classifier:mnist", "inception[clean]", "pca[64]".
        digest: sha256 over the weights and every setting that changes a number; part of the cache's key.
        why: One sentence on what it is and what it is good for.
        classes: Names of the classes it can tell apart; empty when it is no classifier.
        standard: Whether it is the network of the published FID and KID, so that these names may be used.
        fits: Whether `fit` has to be called with images of both sides first.
        portable: Whether what `fit` learns can be had as arrays, so that one process learns and others are told.
        reusable: Whether its rows may be kept in the cache of features; not where they are cheap, depend on `fit`, or
            come from a user's code, whose changes the digest cannot see.
    """

    name: str
    digest: str
    why: str
    classes: tuple[str, ...] = ()
    standard: bool = False
    fits: bool = False
    portable: bool = False
    reusable: bool = True

    @property
    @abstractmethod
    def width(self) -> int:
        """Number of features d of a row."""

    @abstractmethod
    def extract(self, images: Sequence[Pixels]) -> Rows:
        """Feature rows (n, d) float32 of uint8 images, each (h, w) or (h, w, 3) of any size."""

    def probabilities(self, images: Sequence[Pixels]) -> Rows:
        """Class probabilities (n, classes) float32; only of a classifier.

        Raises:
            UserError: It is none.
        """
        raise UserError(f"{self.name} is no classifier and knows no classes; choose one, such as classifier:mnist.")

    def both(self, images: Sequence[Pixels]) -> tuple[Rows, Rows | None]:
        """Feature rows and, of a classifier, class probabilities, from one look at the images."""
        return self.extract(images), self.probabilities(images) if self.classes else None

    def fit(self, real: Sequence[Pixels], fake: Sequence[Pixels]) -> None:  # noqa: B027 - most have nothing to fit
        """Learns from images of both sides together, so that exchanging the sides changes nothing."""

    def learned(self) -> dict[str, NDArray[np.float64]]:
        """What `fit` has learned; of a portable one."""
        raise NotImplementedError(f"{self.name} is not portable")

    def learn(self, learned: Mapping[str, NDArray[np.float64]]) -> None:
        """Knows what `fit` has learned in another process; of a portable one."""
        raise NotImplementedError(f"{self.name} is not portable")


# How a user says which extractor is wanted: its name, or in a program itself, or a network or function of images.
Choice = str | Extractor | Callable[..., Any]


def called(choice: object) -> str:
    """How messages and results call what a user chose."""
    if isinstance(choice, str | Extractor):
        return choice if isinstance(choice, str) else choice.name
    return str(getattr(choice, "__name__", type(choice).__name__))
