"""One t-SNE map of real and generated samples together, to see which groups of the real data nobody generates.

Nothing is measured in the map; it is a picture of one seed a method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from uncollapse.report.curves import Panel
from uncollapse.report.figure import chart
from uncollapse.report.palette import LINE, REAL, Style
from uncollapse.report.real import Real, final_samples, typical
from uncollapse.report.records import Array, Cell

MAP_POINTS = 600


def common_map(cells: Sequence[Cell], real: Real, looks: Mapping[str, Style], weights: str) -> Panel | None:
    """t-SNE of real and generated samples in one map, on the classifier's features where the task has one.

    van der Maaten and Hinton (2008), "Visualizing Data using t-SNE". At most 600 points, seeded, PCA start.
    """
    clouds = {cell.method: final_samples(lane, weights) for cell in cells if (lane := typical(cell)) is not None}
    clouds = {method: cloud for method, cloud in clouds.items() if len(cloud) >= 20}
    if real.samples is None or not clouds:
        return None
    each = min(200, MAP_POINTS // (len(clouds) + 1))
    parts = {"": real.samples, **clouds}
    picked = {
        name: part[np.linspace(0, len(part) - 1, min(each, len(part))).astype(int)] for name, part in parts.items()
    }
    features, which = _features(real, np.concatenate(list(picked.values())))
    places = _embed(features)
    alt = f"t-SNE map of real samples of {real.name} and samples of {', '.join(clouds)}"
    with chart(f"map-{real.name}", alt, width=400, height=340) as drawn:
        start = 0
        for name, part in picked.items():
            at, start = places[start : start + len(part)], start + len(part)
            marker, colour = (looks[name].marker, looks[name].ink) if name else ("o", REAL)
            drawn.axes.plot(*at.T, ls="", marker=marker, color=colour, ms=4.5, alpha=0.75, mew=0)
        drawn.axes.set(xticks=[], yticks=[])
        for side in drawn.axes.spines.values():
            side.set_visible(True)
            side.set_color(LINE)
    caption = f"{each} samples of each, one seed a method, on {which}. Far distances mean nothing in such a map."
    return Panel(title="One map of real and generated samples (t-SNE)", method="", markup=drawn.markup, caption=caption)


def _features(real: Real, samples: Array) -> tuple[Array, str]:
    """Features (n, d) and their name: the digit classifier's for digits, else the pixels or values."""
    if real.name == "digits":
        import torch

        from uncollapse.features.classifier import digits_classifier

        with torch.no_grad():
            features = digits_classifier().features(torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32)))
        return features.numpy(), "the features of the trained classifier"
    return samples.reshape(len(samples), -1), "the pixels" if real.images else "the values themselves"


def _embed(features: Array) -> Array:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(features) - 1) / 3)
    places: Array = TSNE(n_components=2, random_state=0, init="pca", perplexity=perplexity).fit_transform(features)
    return places
