"""One t-SNE embedding of real and generated samples together, shown twice: by where they come from, and by class.

The first map shows groups of real samples that nobody generates, the second which classes these are. Nothing is
measured in a map; it is a picture of one seed a method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from uncollapse.report.class_shares import class_key, class_labels
from uncollapse.report.curves import Panel
from uncollapse.report.figure import chart
from uncollapse.report.palette import LINE, REAL, Style
from uncollapse.report.real import Real, final_labels, final_samples, typical
from uncollapse.report.records import Array, Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.path import Path

# Points of the whole map, of one set, and the fewest of one set.
MAP_POINTS, SET_POINTS, LEAST = 900, 300, 20
# Classes that can be told apart as coloured signs.
MOST_CLASSES = 16
WIDTH, HEIGHT = 400, 340

# Samples (n, *shape) and their classes (n,), None where nothing is known of them.
Set = tuple[Array, Array | None]


def common_maps(cells: Sequence[Cell], real: Real, looks: Mapping[str, Style], weights: str) -> list[Panel]:
    """t-SNE of real and generated samples in one map, on the classifier's features where the task has one.

    van der Maaten and Hinton (2008), "Visualizing Data using t-SNE". At most 900 points, 300 a set, seeded, PCA start.

    Args:
        cells: The methods of one task.
        real: Its real data.
        looks: How each method is drawn.
        weights: "averaged" or "live".

    Returns:
        The map by set and, where samples have few classes, by class; empty without real or generated samples.
    """
    sets = _sets(cells, real, weights)
    if len(sets) < 2:
        return []
    samples = [part for part, _ in sets.values()]
    features, which = _features(real, np.concatenate(samples))
    places = _embed(features)
    at = dict(zip(sets, np.split(places, np.cumsum([len(part) for part in samples])[:-1]), strict=True))
    found = [_by_set(at, real, looks, f"{len(samples[0])} samples of each, one seed a method, on {which}.")]
    classes = [labels for _, labels in sets.values() if labels is not None]
    if len(classes) == len(sets) and 1 < len(real.mode_names) <= MOST_CLASSES:
        asked = any(cell.conditional for cell in cells)
        found.append(_by_class(places, np.concatenate(classes), real, asked))
    return found


def _sets(cells: Sequence[Cell], real: Real, weights: str) -> dict[str, Set]:
    """Real samples under the name "", then those of each method; at most as many as a map can show."""
    lanes = {cell.method: lane for cell in cells if (lane := typical(cell)) is not None}
    clouds: dict[str, Set] = {
        method: (final_samples(lane, weights), final_labels(lane, weights)) for method, lane in lanes.items()
    }
    clouds = {method: cloud for method, cloud in clouds.items() if len(cloud[0]) >= LEAST}
    if real.samples is None or not clouds:
        return {}
    each = min(SET_POINTS, MAP_POINTS // (len(clouds) + 1))
    shown = {"": _some(real.samples, real.labels, each)}
    for method, (samples, labels) in clouds.items():
        part, wanted = _some(samples, labels, each)
        shown[method] = part, real.assign(part) if wanted is None and real.labelled else wanted
    return shown


def _some(samples: Array, labels: Array | None, most: int) -> Set:
    rows = np.linspace(0, len(samples) - 1, min(most, len(samples))).astype(int)
    return samples[rows], None if labels is None else labels[rows]


def _by_set(at: Mapping[str, Array], real: Real, looks: Mapping[str, Style], caption: str) -> Panel:
    """The map in the marks of the methods, real samples in grey."""
    alt = f"t-SNE map of real samples of {real.name} and samples of {', '.join(name for name in at if name)}"
    with chart(f"map-{real.name}", alt, width=WIDTH, height=HEIGHT) as drawn:
        for name, points in at.items():
            marker, colour = (looks[name].marker, looks[name].ink) if name else ("o", REAL)
            drawn.axes.plot(*points.T, ls="", marker=marker, color=colour, ms=4.5, alpha=0.75, mew=0)
        _frame(drawn.axes)
    return Panel(
        title="One map of real and generated samples (t-SNE)",
        method="",
        markup=drawn.markup,
        caption=f"{caption} Far distances mean nothing in such a map.",
    )


def _by_class(places: Array, classes: Array, real: Real, asked: bool) -> Panel:
    """The same map with each sample as the sign of its class, whose hues repeat after eight."""
    count = len(real.mode_names)
    alt = f"The same t-SNE map of {real.name} by class: each of the {len(places)} samples as the sign of its class"
    with chart(f"map-classes-{real.name}", alt, width=WIDTH, height=HEIGHT) as drawn:
        for k, sign in enumerate(class_labels(real, count)):
            size = 6.5 * len(sign) ** 0.5
            points = places[classes == k].T
            drawn.axes.plot(*points, ls="", marker=_sign(sign), color=Style(slot=k).ink, ms=size, mew=0)
        _frame(drawn.axes)
    told = "Real samples by their labels, generated ones as the classifier sees them"
    by_label = ", or by the label asked for where a method takes one" if asked else ""
    caption = f"{told}{by_label}.{class_key(real, count)}"
    return Panel(title="The same map by class", method="", markup=drawn.markup, caption=caption)


def _sign(text: str) -> Path:
    """A short text as a marker, centred."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.path import Path
    from matplotlib.textpath import TextPath

    drawn = TextPath((0, 0), text, size=1, prop=FontProperties(weight="bold"))
    return Path(drawn.vertices - drawn.get_extents().get_points().mean(0), drawn.codes)


def _frame(axes: Axes) -> None:
    """A box without ticks: the axes of such a map mean nothing."""
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set_visible(True)
        side.set_color(LINE)


def _features(real: Real, samples: Array) -> tuple[Array, str]:
    """Features (n, d) and their name: the hidden layer of the task's classifier, else the pixels or values."""
    from uncollapse.features.classifier import CLASSIFIERS, load_classifier

    if real.task is not None and real.task.name in CLASSIFIERS:
        import torch

        from uncollapse.metrics.images import hidden

        images = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
        return hidden(load_classifier(real.task.name), images).numpy(), "the features of the trained classifier"
    return samples.reshape(len(samples), -1), "the pixels" if real.images else "the values themselves"


def _embed(features: Array) -> Array:
    """Places in the plane (n, 2)."""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(features) - 1) / 3)
    places: Array = TSNE(n_components=2, random_state=0, init="pca", perplexity=perplexity).fit_transform(features)
    return places
