"""Both sides on one map: principal components always, and t-SNE or openTSNE of fewer rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.evaluation.classes import Known
from uncollapse.evaluation.sides import Side

MOST, COMPONENTS, PERPLEXITY = 700, 32, 30
CODES = {"real": 0, "fake": 1, "other": 2}


def maps(
    sides: Sequence[Side], known: Known | None, marked: Mapping[str, Collection[int]], *, seed: int
) -> dict[str, NDArray[Any]]:
    """Coordinates and what belongs to them, as the report reads them.

    Args:
        sides: Real, fake and perhaps other.
        known: Classes, for the names on the map.
        marked: Role -> numbers of rows that are marked; of these as many as fit are kept.
        seed: Of the choice of rows and of the layout.
    """
    draws = np.random.default_rng(seed)
    chosen = [_choose(len(side), marked.get(side.role, ()), draws) for side in sides]
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
        return found | {"map_pca": rows.astype(np.float32)} | _points(sides)
    leading = _components(rows)
    found["map_pca"] = _two(leading)
    if len(rows) > 3 * PERPLEXITY and rows.shape[1] > 2:
        found["map_tsne"] = _tsne(leading, seed)
    return found


def _choose(count: int, marked: Collection[int], draws: np.random.Generator) -> NDArray[np.int64]:
    """At most `MOST` rows, marked ones first but at most half of them."""
    if count <= MOST:
        return np.arange(count)
    kept = np.array(sorted(marked)[: MOST // 2], dtype=np.int64)
    others = np.setdiff1d(np.arange(count), kept)
    return np.sort(np.concatenate([kept, draws.choice(others, MOST - len(kept), replace=False)]))


def _classes(side: Side, index: NDArray[np.int64], known: Known | None) -> NDArray[np.int16]:
    if known is None or side.role not in known.of:
        return np.full(len(index), -1, np.int16)
    return known.of[side.role][index].astype(np.int16)


def _points(sides: Sequence[Side]) -> dict[str, NDArray[Any]]:
    """All rows of two features, at most 5,000 a side, for densities."""
    return {
        f"points_{side.role}": np.asarray(side.rows.features[:5_000], np.float32)
        for side in sides
        if side.role in ("real", "fake")
    }


def _components(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    from sklearn.decomposition import PCA

    count = min(COMPONENTS, *rows.shape)
    found: NDArray[np.float64] = PCA(count, svd_solver="full").fit_transform(rows)
    return found


def _two(leading: NDArray[np.float64]) -> NDArray[np.float32]:
    """The first two columns; a single column gets a second one of zeros."""
    if leading.shape[1] < 2:
        leading = np.column_stack([leading, np.zeros(len(leading))])
    return leading[:, :2].astype(np.float32)


def _tsne(leading: NDArray[np.float64], seed: int) -> NDArray[np.float32]:
    """openTSNE where it is installed, else scikit-learn's; both start from the components."""
    scale = leading[:, :2].std() or 1.0
    start = 1e-4 * leading[:, :2] / scale
    try:
        from openTSNE import TSNE as Open
    except ImportError:
        from sklearn.manifold import TSNE

        made = TSNE(2, perplexity=PERPLEXITY, init=start.astype(np.float32), random_state=seed, max_iter=500)
        return np.asarray(made.fit_transform(leading.astype(np.float32)), np.float32)
    made = Open(2, perplexity=PERPLEXITY, initialization=start, random_state=seed, n_jobs=1)
    return np.asarray(made.fit(leading), np.float32)
