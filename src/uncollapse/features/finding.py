"""From what a user names to an extractor, and the choice of `auto`: which extractor suits these images, and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uncollapse.data.source import Pixels as Image
from uncollapse.errors import UserError, unknown
from uncollapse.features.extractor import Choice, Extractor, called
from uncollapse.features.resizing import check_resize, looks_grey

# Share of real images that a shipped classifier has to recognise (of its own data it recognises .95), share that has to
# be grey and of a size between these sides.
RECOGNISED, MOSTLY, SMALLEST, LARGEST = 0.85, 0.9, 8, 32
LEAST_FOR_INCEPTION = 32
PATTERN = re.compile(r"(?P<name>[a-z]+)(\[(?P<setting>[^\]]*)\])?")


def find_extractor(
    name: Choice,
    *,
    weights: Path | str | None = None,
    resize: str = "clean",
    device: str = "auto",
    example: Sequence[Image] | None = None,
    allow_unknown: bool = False,
) -> Extractor:
    """The extractor of a name, or that a user's own object is or makes.

    Args:
        name: "identity", "pixels", "pixels[28x28]", "pixels[32x32x3]", "pca", "pca[32]", "classifier:NAME",
            "inception", "inception[legacy]", "pretrained:NAME_OR_DIR" or "module:factory"; or an `Extractor`, a torch
            module or a function of images (n, 1 or 3, h, w) in [0, 1], as a factory returns them.
        weights: A file of Inception weights; by default that in the cache.
        resize: How inception resizes: "clean" or "legacy".
        device: "auto", "cpu" or "cuda".
        example: Some images of both sides, where size or colour have to be decided by the data.
        allow_unknown: Take Inception weights of an unknown hash; nothing is called FID then.

    Raises:
        UserError: No such extractor (names the nearest), or it cannot be made; says what to do.
    """
    from uncollapse.versions import choose_device

    images, place = example if example is not None else [], choose_device(device)
    if weights is not None and not called(name).startswith("inception"):
        raise UserError(f"Weights are for inception, not for {called(name)}; leave them out or choose inception.")
    if not isinstance(name, str):
        from uncollapse.features.custom import given_extractor

        return given_extractor(name, example=images, device=place)
    prefix, colon, rest = name.partition(":")
    if colon and prefix == "classifier":
        from uncollapse.features.shipped import ShippedClassifier

        return ShippedClassifier(rest, device=place)
    if colon and prefix == "pretrained":
        from uncollapse.features.pretrained import load_pretrained

        return load_pretrained(rest, device=place)
    if colon:
        from uncollapse.features.custom import load_custom

        return load_custom(name, example=images, device=place)
    found = PATTERN.fullmatch(name)
    kind, setting = (found["name"], found["setting"]) if found else (name, None)
    if kind == "inception":
        from uncollapse.features.inception import load_inception

        path = None if weights is None else Path(weights)
        how = check_resize(resize if setting is None else setting)
        return load_inception(path, resize=how, device=place, allow_unknown=allow_unknown)
    return _without_network(kind, setting, name, images)


def _without_network(kind: str, setting: str | None, name: str, images: Sequence[Image]) -> Extractor:
    from uncollapse.features.extractors import NAMES
    from uncollapse.features.identity import Identity
    from uncollapse.features.pixels import Pca, Pixels

    if kind == "pixels" and setting is None:
        return Pixels.like(images)
    if kind == "pixels" and setting is not None:
        numbers = re.fullmatch(r"(\d{1,4})x(\d{1,4})(x3)?", setting)
        if numbers is None:
            raise UserError(f"{name!r} is not of the form pixels[HEIGHTxWIDTH] or pixels[HEIGHTxWIDTHx3].")
        return Pixels(side=(int(numbers[1]), int(numbers[2])), colour=bool(numbers[3]))
    if kind == "pca":
        if setting is not None and not re.fullmatch(r"\d{1,4}", setting):
            raise UserError(f"{name!r} is not of the form pca[COMPONENTS], such as pca[64].")
        return Pca() if setting is None else Pca(int(setting))
    if kind == "identity" and setting is None:
        return Identity()
    see = "`uncollapse extractors` lists them, and a model of Hugging Face is written pretrained:facebook/dinov2-base"
    raise unknown("extractor", name, NAMES, see=see)


def choose(
    real: Sequence[Image] | NDArray[np.floating],
    fake: Sequence[Image] | NDArray[np.floating] = (),
    *,
    device: str = "auto",
    resize: str = "clean",
) -> tuple[Extractor, str]:
    """What `auto` means for these data.

    Rows of numbers pass as they are. Small grey images go to the shipped classifier that recognises the real ones, then
    larger images to inception when its weights are in the cache, and the rest to pca. Only real images decide: what a
    generator makes must not choose its own judge.

    Args:
        real: Some real images, a few hundred are enough; or rows (n, d) of features.
        fake: Some fake images; they only have to be of the same kind.
        device: "auto", "cpu" or "cuda".
        resize: How inception resizes, if it is chosen.

    Returns:
        The extractor (which may have to be fitted), and one or two sentences that say why and what else there is.

    Raises:
        UserError: One side has features and the other images, or there is no real image.
    """
    from uncollapse.features.identity import Identity

    vectors = [isinstance(side, np.ndarray) and side.ndim == 2 and len(side) > 0 for side in (real, fake)]
    if vectors[0]:
        if len(fake) and not vectors[1]:
            raise UserError("The real side holds rows of features and the fake side images; give the same of both.")
        return Identity(int(real[0].shape[0])), "identity: the data are rows of numbers and are taken as they are."
    if vectors[1]:
        raise UserError("The fake side holds rows of features and the real side images; give the same of both.")
    if not len(real):
        raise UserError("There is no real image by which an extractor could be chosen.")
    images: Sequence[Image] = list(real)
    judged = _classifier_for(images, device)
    if judged is not None:
        return judged
    return _without_classifier(images, device, resize)


def _classifier_for(images: Sequence[Image], device: str) -> tuple[Extractor, str] | None:
    """The shipped classifier that recognises the images; of several the one of their own size, then the surest."""
    from uncollapse.features.classifier import CLASSIFIERS, load_classifier
    from uncollapse.features.shipped import ShippedClassifier
    from uncollapse.versions import choose_device

    if np.mean([_small_and_grey(image) for image in images]) < MOSTLY:
        return None
    place = choose_device(device)
    typical = float(np.median([side for image in images for side in image.shape[:2]]))
    judged = []
    for name in CLASSIFIERS:
        share = ShippedClassifier(name, device=place).recognised(images)
        if share >= RECOGNISED:
            judged.append((-abs(load_classifier(name).side - typical), share, name))
    if not judged:
        return None
    _, share, name = max(judged)
    chosen = ShippedClassifier(name, device=place)
    return chosen, (
        f"{chosen.name}: it is sure of {100 * share:.0f} % of the {len(images):,} real images looked at (at least "
        f"{100 * RECOGNISED:.0f} % are asked for; 95 % would be its own data), so its features and classes mean "
        "something here."
    )


def _small_and_grey(image: Image) -> bool:
    return min(image.shape[:2]) >= SMALLEST and max(image.shape[:2]) <= LARGEST and looks_grey(image)


def _without_classifier(images: Sequence[Image], device: str, resize: str) -> tuple[Extractor, str]:
    from uncollapse.features.inception import load_inception
    from uncollapse.features.inception_weights import HOW_TO_GET, cached_weights
    from uncollapse.features.pixels import Pca
    from uncollapse.versions import choose_device

    smallest = float(np.median([min(image.shape[:2]) for image in images]))
    path = cached_weights()
    if smallest >= LEAST_FOR_INCEPTION and path is not None:
        found = load_inception(path, resize=resize, device=choose_device(device))
        return found, (
            f"{found.name}: the images are at least {LEAST_FOR_INCEPTION} pixels large and its weights are here, so "
            "that the numbers are FID and KID. It knows photographs; for other images also look at pretrained:NAME."
        )
    pca = Pca()
    if smallest < LEAST_FOR_INCEPTION:
        return pca, (
            f"{pca.name}: no shipped classifier recognises these images, and they are too small for inception (less "
            f"than {LEAST_FOR_INCEPTION} pixels). Better is your own network of such images: --features module:factory."
        )
    return pca, (
        f"{pca.name}: no shipped classifier recognises these images and the weights of inception are not here. For "
        f"photographs inception is better: {HOW_TO_GET}; for other images pretrained:NAME or module:factory."
    )
