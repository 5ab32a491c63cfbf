"""All sides on one map: principal components (two features stay as they are), and t-SNE or openTSNE of fewer rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.evaluation.classes import Known
from uncollapse.evaluation.sides import Side

# Rows a side on the map, of which so many are marked ones where there are so many; rows drawn as densities.
MOST, LEAST_MARKED, MOST_POINTS = 500, 25, 5_000
COMPONENTS, PERPLEXITY = 32, 30
# Steps of t-SNE: with its attraction exaggerated (scikit-learn fixes them), and after that.
EXAGGERATED, AFTER = 250, 150
CODES = {"real": 0, "fake": 1, "other": 2}
Matrix = NDArray[np.float64]


def maps(
    sides: Sequence[Side], known: Known | None, marked: Mapping[str, Collection[int]], *, seed: int
) -> dict[str, NDArray[Any]]:
    """Coordinates and what belongs to them, as the report reads them.

    Args:
        sides: Real, fake and perhaps other.
        known: Classes, for the names on the map.
        marked: Role -> numbers of rows that are marked.
        seed: Of the choice of rows and of the layout.
    """
    chosen = [choose(side, MOST, marked.get(side.role, ()), seed=seed) for side in sides]
    pairs = list(zip(sides, chosen, strict=True))
    rows = np.concatenate([np.asarray(side.rows.features[index], np.float64) for side, index in pairs])
    found: dict[str, NDArray[Any]] = {
        "map_side": np.concatenate([np.full(len(index), CODES[side.role], np.int8) for side, index in pairs]),
        "map_state": np.concatenate(
            [np.isin(index, list(marked.get(side.role, ()))).astype(np.int8) for side, index in pairs]
        ),
        "map_class": np.concatenate([_classes(side, index, known) for side, index in pairs]),
    }
    if rows.shape[1] == 2:
        return found | {"map_features": rows.astype(np.float32)} | _points(sides, seed)
    leading = components(rows)
    found["map_pca"] = _two(leading)
    if len(rows) > 3 * PERPLEXITY and leading.shape[1] > 2:
        found["map_tsne"] = _tsne(leading, seed)
    return found


def choose(side: Side, most: int, marked: Collection[int] = (), *, seed: int) -> NDArray[np.int64]:
    """Numbers of at most so many rows, at random by their content.

    Marked rows have the share on the map that they have in the data, but where they are rare a few of them are there.
    """
    order = side.order
    if len(order) <= most:
        return order
    shuffled = order[np.random.default_rng(seed).permutation(len(order))]
    kept = shuffled[:most].copy()
    is_marked = np.isin(shuffled, list(marked))
    lacking = min(LEAST_MARKED, int(is_marked.sum())) - int(is_marked[:most].sum())
    if lacking > 0:
        kept[np.flatnonzero(~is_marked[:most])[-lacking:]] = shuffled[most:][is_marked[most:]][:lacking]
    return kept


def _classes(side: Side, index: NDArray[np.int64], known: Known | None) -> NDArray[np.int16]:
    # Beyond what two bytes can number there is no colour left either.
    if known is None or side.role not in known.of or len(known.names) > np.iinfo(np.int16).max:
        return np.full(len(index), -1, np.int16)
    return known.of[side.role][index].astype(np.int16)


def _points(sides: Sequence[Side], seed: int) -> dict[str, NDArray[Any]]:
    """Rows of two features, at most `MOST_POINTS` a side, for densities."""
    return {
        f"points_{side.role}": np.asarray(side.rows.features[choose(side, MOST_POINTS, seed=seed)], np.float32)
        for side in sides
        if side.role in ("real", "fake")
    }


def components(rows: Matrix) -> Matrix:
    """Rows (n, d) on their leading components (n, q), q <= `COMPONENTS`, those without any spread left out.

    The largest entry of each is positive, so that the map is not mirrored by chance. Rows that are all the same have
    one component, which is zero.
    """
    from scipy.linalg import eigh

    centred = rows - rows.mean(0)
    n, d = centred.shape
    products = centred.T @ centred if d <= n else centred @ centred.T
    size = len(products)
    values, vectors = eigh(products, subset_by_index=(max(0, size - COMPONENTS), size - 1))
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = max(1, int((values > 1e-10 * values[0]).sum()))
    found: Matrix = vectors[:, :kept]
    found = centred @ found if d <= n else found * np.sqrt(np.maximum(values[:kept], 0.0))
    largest = found[np.abs(found).argmax(0), np.arange(kept)]
    return found * np.where(largest < 0, -1.0, 1.0)


def _two(leading: Matrix) -> NDArray[np.float32]:
    """The first two columns; a single column gets a second one of zeros."""
    if leading.shape[1] < 2:
        leading = np.column_stack([leading, np.zeros(len(leading))])
    return leading[:, :2].astype(np.float32)


def _tsne(leading: Matrix, seed: int) -> NDArray[np.float32]:
    """openTSNE where it is installed, else scikit-learn's; both start from the components, in one thread.

    More threads wait for each other longer than they work on so few rows.
    """
    scaled = leading / leading[:, 0].std()
    start = 1e-4 * scaled[:, :2]
    try:
        from openTSNE import TSNE as Open
    except ImportError:
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        made = TSNE(
            2, perplexity=PERPLEXITY, init=start.astype(np.float32), random_state=seed, max_iter=EXAGGERATED + AFTER
        )
        with threadpool_limits(1, "openmp"):
            return np.asarray(made.fit_transform(scaled.astype(np.float32)), np.float32)
    made = Open(
        2, perplexity=PERPLEXITY, initialization=start, random_state=seed, n_jobs=1,
        early_exaggeration_iter=EXAGGERATED, n_iter=AFTER,
    )  # fmt: skip
    return np.asarray(made.fit(scaled), np.float32)
