"""What is measured of generated images beside their modes: distance, quality, variety, and the labels asked for.

Image tasks call `image_measures` from `further_measures` with their classifier and their held-out images; the facts
of what it returns stand in `further.py`. The two sides are compared on the classifier's hidden layer, images inside a
class by their pixels, which no classifier has smoothed.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.features.classifier import Classifier
from uncollapse.metrics.together import feature_metrics

COMPARED = ("frechet_distance", "precision", "recall")
NAMES = (*COMPARED, "within_class_diversity", "label_agreement")
# Images a side that are looked at; the Fréchet distance depends on this number, so both sides have equally many.
SIZE = 2_000
# Images of one class whose pairs are measured, and fewest images a side for the comparison.
OF_A_CLASS, LEAST = 500, 10
# Images a pass of the classifier: few, so that they fit into the processor's cache.
PART = 256


def image_measures(
    samples: Tensor,
    labels: Tensor | None,
    *,
    classifier: Classifier,
    held_out: Tensor,
    held_out_labels: Tensor,
) -> dict[str, float | None]:
    """The image measures of one generator against held-out real images.

    - ``frechet_distance``, ``precision``, ``recall``: as `uc.metrics` has them, on the classifier's hidden layer with
      n = min(generated, held-out, 2,000) images of each side and the k of `uc.metrics`.
    - ``within_class_diversity``: as the function of that name; the classes are what the classifier sees, because
      images of wrong classes would pass for variety.
    - ``label_agreement``: share of the images in which the classifier sees the label asked for, 0 .. 1, one that is not
      finite counting as none; None without labels.

    At most 2,000 generated images are looked at, always the same ones; those that are not finite are left out.

    Args:
        samples: Generated images (n, *shape) in [-1, 1], on the CPU.
        labels: int64 (n,), what a conditional generator was asked for; None for an unconditional one.
        classifier: A classifier of the held-out images.
        held_out: Real images (m, *shape) in [-1, 1] that nothing was trained on. Give the same tensor every time, as
            its features are kept.
        held_out_labels: Their classes, int64 (m,).

    Returns:
        The five numbers by name; None where one has no meaning, and all None below 10 finite images.

    Raises:
        UserError: Labels and images differ in number, or there are fewer than 10 held-out images.
    """
    _check(samples, labels, held_out, held_out_labels)
    finite = torch.isfinite(samples.flatten(1)).all(1).nonzero()[:, 0]
    kept = finite[chosen(len(finite), SIZE)]
    if len(kept) < LEAST:
        return dict.fromkeys(NAMES)
    images, wanted = samples[kept].float(), None if labels is None else labels[kept]
    fake = hidden(classifier, images)
    seen = classifier.logits(fake).argmax(1)
    real = _real_features(classifier, held_out)
    size = min(len(real), len(fake))
    agreement = 0.0 if wanted is None else float((seen == wanted).double().mean())
    found = feature_metrics(
        real=real[chosen(len(real), size)], fake=fake[chosen(len(fake), size)], metrics=COMPARED, level=None
    )
    return {
        **{name: estimate.value for name, estimate in found.items()},
        "within_class_diversity": within_class_diversity(images, seen, real=held_out, real_labels=held_out_labels),
        "label_agreement": None if wanted is None else agreement * len(finite) / len(samples),
    }


def within_class_diversity(images: Tensor, classes: Tensor, *, real: Tensor, real_labels: Tensor) -> float | None:
    """How varied images are inside their classes as a multiple of real ones: 1 is right, 0 is one image a class.

    (1/C) sum_c D(images of class c) / D(real images of class c), D the mean Euclidean distance of pixels over all pairs
    of at most 500 images. A class with fewer than two images counts 0: it is lost, and nothing in it varies. Noise lies
    farther apart than real images do and gives more than 1.

    Args:
        images: (n, *shape).
        classes: Their classes, int64 (n,).
        real: Real images (m, *shape).
        real_labels: Their classes, int64 (m,); a class of which no two real images differ is left out.

    Returns:
        The mean ratio, 0 or more; None when every class is left out.
    """
    ratios = []
    for label in torch.bincount(real_labels).nonzero()[:, 0].tolist():
        spread = _mean_distance(real[real_labels == label])
        if spread > 0:
            ratios.append(_mean_distance(images[classes == label]) / spread)
    return sum(ratios) / len(ratios) if ratios else None


def chosen(available: int, most: int) -> Tensor:
    """Which of so many rows are looked at, int64, ascending: all, or `most` random ones, the same every time.

    Every k-th row would see only some of the generators of a mixture, which take turns.
    """
    if available <= most:
        return torch.arange(available)
    return stream(0, "image measures").permutation(available)[:most].sort().values


@torch.no_grad()
def hidden(classifier: Classifier, images: Tensor) -> Tensor:
    """The classifier's hidden layer (n, width) of images (n, *shape) in [-1, 1]."""
    return torch.cat([classifier.features(part) for part in torch.split(images, PART)])


@lru_cache(maxsize=4)
def _real_features(classifier: Classifier, held_out: Tensor) -> Tensor:
    """The hidden layer of at most 2,000 held-out images, once for all seeds of a task."""
    return hidden(classifier, held_out[chosen(len(held_out), SIZE)].float())


def _mean_distance(images: Tensor) -> float:
    """Mean distance of pixels over all pairs; exactly 0 for copies, and for fewer than two images."""
    rows = images[chosen(len(images), OF_A_CLASS)].flatten(1).float()
    return float(torch.nn.functional.pdist(rows).double().mean()) if len(rows) > 1 else 0.0


def _check(samples: Tensor, labels: Tensor | None, held_out: Tensor, held_out_labels: Tensor) -> None:
    for what, images, classes in (("samples", samples, labels), ("held_out", held_out, held_out_labels)):
        if classes is not None and len(classes) != len(images):
            raise UserError(f"{what} has {len(images)} images and {len(classes)} labels; give one label for each.")
    if len(held_out) < LEAST:
        raise UserError(f"held_out has {len(held_out)} images; give at least {LEAST}.")
