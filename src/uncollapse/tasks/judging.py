"""How image tasks tell the mode and the quality of a sample: by a shipped classifier, or by the nearest training image.

`digits`, `images` and `stacked` ask the classifier; `folder` knows no classifier and asks its own training images.
"""

from __future__ import annotations

import copy
import hashlib
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.features.classifier import Classifier, load_card, load_classifier

if TYPE_CHECKING:
    from sklearn.neighbors import NearestNeighbors

# Images a pass: few on a CPU, whose cache they should fit.
PART, PART_ELSEWHERE = 128, 16_384
REMEMBERED = 4
HELD_OUT = 5  # one of so many
QUALITY_QUANTILE = 0.95
CLUSTER_STARTS = 10
COMPONENTS, MOST_FITTED = 64, 2_000

Answer = tuple[Tensor, Tensor]
_ANSWERS: dict[tuple[str, str], Answer] = {}


def classified(name: str, x: Tensor) -> Answer:
    """The class that a shipped classifier sees in each image, and whether it is confident enough.

    Confident means that its largest class probability reaches the threshold of its card, the 5 % quantile on unseen
    real images. The last few sets are remembered by their content, because several measures ask about the same one.

    Args:
        name: ``"digits"``, ``"mnist"`` or ``"fashion-mnist"``.
        x: Grey images in [-1, 1] with the classifier's number of pixels, (n, side, side) or flattened; judged on the
            device where they are.

    Returns:
        int64 (n,), -1 for an image that is not finite, and bool (n,), False for such an image.
    """
    x = x.detach().reshape(len(x), load_classifier(name).side ** 2).float()
    if x.device.type != "cpu":
        return _classify(name, x, PART_ELSEWHERE)
    key = name, hashlib.sha256(np.ascontiguousarray(x.numpy()).data).hexdigest()
    if key not in _ANSWERS:
        answer = _classify(name, x, PART)
        while len(_ANSWERS) >= REMEMBERED:
            _ANSWERS.pop(next(iter(_ANSWERS)))
        _ANSWERS[key] = answer
    seen, sure = _ANSWERS[key]
    return seen.clone(), sure.clone()


@cache
def _placed(name: str, device: str) -> Classifier:
    """A copy for judging, because the loaded one is shared; with channels last it takes 60 % of the time on a CPU."""
    own = copy.deepcopy(load_classifier(name)).to(torch.device(device))
    for weight in own.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return own


def _classify(name: str, x: Tensor, part: int) -> Answer:
    classifier, threshold = _placed(name, str(x.device)), load_card(name).confidence_threshold
    seen, sure = [], []
    for rows in torch.split(x, part):
        finite = torch.isfinite(rows).all(1)
        confidence, digit = classifier.probabilities(rows.nan_to_num(0.0, 1.0, -1.0)).max(1)
        seen.append(digit.where(finite, digit.new_tensor(-1)))
        sure.append(finite & (confidence >= threshold))
    if not seen:
        return torch.zeros(0, dtype=torch.int64, device=x.device), torch.zeros(0, dtype=torch.bool, device=x.device)
    return torch.cat(seen), torch.cat(sure)


class Nearest:
    """The mode of the nearest training row, and whether that row is no farther than for 95 % of the held-out rows.

    Attributes:
        reach: The distance that 95 % of the held-out rows do not exceed.
        accuracy: Share of the held-out rows whose nearest training row has their mode.
    """

    def __init__(self, rows: NDArray[np.float32], modes: NDArray[np.int64], out: NDArray[np.bool_]) -> None:
        """Looks up every held-out row once.

        Args:
            rows: Coordinates in which distances mean something (n, d).
            modes: The mode of each row (n,).
            out: Which rows are held out (n,), at least one.
        """
        from sklearn.neighbors import NearestNeighbors

        kept = modes[~out]
        self._modes = torch.from_numpy(kept)
        self._index: NearestNeighbors = NearestNeighbors(n_neighbors=1).fit(rows[~out])
        distance, nearest = self._index.kneighbors(rows[out])
        self.reach = float(np.quantile(distance, QUALITY_QUANTILE))
        self.accuracy = float(np.mean(kept[nearest[:, 0]] == modes[out]))

    def judge(self, rows: NDArray[np.float32]) -> Answer:
        """The mode int64 (n,) and the quality bool (n,) of rows in the same coordinates; -1, False where not finite."""
        finite = np.asarray(np.isfinite(rows).all(1))
        distance, nearest = self._index.kneighbors(np.where(finite[:, None], rows, 0))
        modes = self._modes[torch.from_numpy(nearest[:, 0])]
        sound = torch.from_numpy(finite)
        return modes.where(sound, modes.new_tensor(-1)), sound & torch.from_numpy(distance[:, 0] <= self.reach)


class Components:
    """Coordinates in which images that look alike are near: 64 principal components, and the distance from all of them.

    The last coordinate is the length of what the components leave out. Distances are thereby never above those of the
    pixels, and noise, which the components hardly see, is far from every image.
    """

    def __init__(self, images: Tensor) -> None:
        """Fits the components on at most 2,000 images, chosen by a fixed seed.

        Args:
            images: Bytes (n, ...).
        """
        from sklearn.decomposition import PCA

        picked = np.sort(np.random.default_rng(0).permutation(len(images))[:MOST_FITTED])
        rows = as_floats(images[torch.from_numpy(picked)], torch.float32).flatten(1).numpy()
        found = PCA(min(COMPONENTS, *rows.shape), svd_solver="randomized", random_state=0).fit(rows)
        self._mean = torch.from_numpy(found.mean_.astype(np.float32))
        self._directions = torch.from_numpy(np.ascontiguousarray(found.components_.T, dtype=np.float32))

    def of(self, images: Tensor) -> NDArray[np.float32]:
        """The coordinates (n, components + 1) of images (n, ...), bytes or floats in [-1, 1]."""
        found = []
        for part in torch.split(images, PART):
            centred = as_floats(part, torch.float32).flatten(1) - self._mean
            along = centred @ self._directions
            left_out = (centred.square().sum(1) - along.square().sum(1)).clamp(min=0).sqrt()
            found.append(torch.cat([along, left_out[:, None]], 1).numpy())
        return np.concatenate(found)


def as_floats(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Bytes as floats, 0 .. 255 -> -1 .. 1; floats as they are."""
    return images.to(dtype) / 127.5 - 1 if images.dtype == torch.uint8 else images.to(dtype)


def held_out_fifth(modes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows are held out: a fifth of each mode, at least one row of two or more, by a fixed seed."""
    order = np.random.default_rng(0).permutation(len(modes))
    out = np.zeros(len(modes), dtype=bool)
    for mode in np.unique(modes):
        members = order[modes[order] == mode]
        out[members[: max(1, round(len(members) / HELD_OUT)) if len(members) > 1 else 0]] = True
    return out


def k_means(rows: NDArray[np.float32], count: int, name: str) -> NDArray[np.int64]:
    """The cluster of each row (n,), 0 .. count - 1, by k-means from ten seeded starts.

    Args:
        rows: Coordinates in which distances mean something (n, d).
        count: Number of clusters.
        name: Of the task, for the message.

    Raises:
        UserError: There are fewer distinct rows than clusters.
    """
    from sklearn.cluster import KMeans

    if len(np.unique(rows, axis=0)) < count:
        raise UserError(f"{name} has fewer than {count} distinct rows; choose a smaller clusters.")
    found: NDArray[np.int32] = KMeans(count, n_init=CLUSTER_STARTS, random_state=0).fit(rows).labels_
    return found.astype(np.int64)
