"""The extractor of FID, KID and the Inception score: how its weights are checked and how it is fed.

No weights are shipped; `inception_weights` says where they are.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from uncollapse.data.source import Pixels
from uncollapse.errors import UserError
from uncollapse.features.batches import Prepared, digest_of, in_batches
from uncollapse.features.extractor import Extractor, Rows
from uncollapse.features.inception_network import SIDE, WIDTH, InceptionV3
from uncollapse.features.inception_weights import HOW_TO_GET, WEIGHTS, cached_weights
from uncollapse.features.resizing import COLOUR_POLICY, RESIZES, check_resize, prepare
from uncollapse.text import clean, size

LARGEST_FILE = 400_000_000
# On a CPU larger batches are no faster.
BATCH_CPU, BATCH_GPU = 8, 64
LAST = torch.channels_last
UNUSED = "num_batches_tracked"


class Inception(Extractor):
    """The 2015 Inception-v3: features (n, 2048) of its last pooling, probabilities (n, 1008) for the Inception score.

    Images are made colour, resized to 299 x 299, and mapped to (x - 128) / 128, as in TTUR, torch-fidelity and
    clean-fid (pytorch-fid maps to 2 x / 255 - 1 after PyTorch's bilinear resize, which gives other numbers).
    Probabilities are the softmax of the logits without bias. It has no `classes`: the 1,008 outputs are ImageNet's,
    and their shares say nothing about the classes of the data.
    """

    def __init__(
        self, state: Mapping[str, Tensor], *, sha256: str, resize: str = "clean", device: torch.device
    ) -> None:
        """Builds the network around weights.

        Args:
            state: The weights, by name; compared with the network before use.
            sha256: Of the file they came from.
            resize: "clean" or "legacy".
            device: Where it computes.

        Raises:
            UserError: Weights of another network, or no such way to resize.
        """
        self._how = check_resize(resize)
        self._device = device
        self.standard = sha256 == WEIGHTS.sha256
        self._network = _build(state).to(device)
        self.name = f"inception[{resize}]" if self.standard else f"inception[{resize}, unverified weights]"
        self.digest = digest_of(
            extractor="inception", weights=sha256, range="(x - 128) / 128", policies=[RESIZES[self._how], COLOUR_POLICY]
        )
        whose = "The network of the published FID and KID" if self.standard else "An Inception-v3 of unknown weights"
        self.why = (
            f"{whose}: 2,048 features that know ImageNet's objects and textures; weak on drawings, text, "
            f"medical images and anything unlike photographs. Resized to 299 x 299: {RESIZES[self._how]}."
        )

    @property
    def width(self) -> int:
        """2,048."""
        return WIDTH

    def extract(self, images: Sequence[Pixels]) -> Rows:
        """The 2,048 numbers of the last pooling (n, 2048)."""
        return self.both(images)[0]

    def probabilities(self, images: Sequence[Pixels]) -> Rows:
        """Softmax of the logits without bias (n, 1008)."""
        return self.both(images)[1]

    def both(self, images: Sequence[Pixels]) -> tuple[Rows, Rows]:
        """Features and probabilities from one pass."""
        batch = BATCH_CPU if self._device.type == "cpu" else BATCH_GPU
        features, softmax = in_batches(images, self._prepare, self._judge, size=batch, device=self._device)
        return features, softmax

    def _prepare(self, images: Sequence[Pixels]) -> Prepared:
        colour = prepare(images, height=SIDE, width=SIDE, colour=True, how=self._how)
        return (colour - np.float32(128)) / np.float32(128)

    def _judge(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features, logits = self._network(x.contiguous(memory_format=LAST))
        return features, logits.softmax(1)


def load_inception(
    path: Path | None, *, resize: str = "clean", device: torch.device, allow_unknown: bool = False
) -> Inception:
    """The extractor from a file of weights.

    Args:
        path: The file; None looks into the cache.
        resize: "clean" or "legacy".
        device: Where it computes.
        allow_unknown: Take weights whose hash is not the known one. They fit the network, but nothing says that they
            are the published ones, so `standard` is False and no number is called FID or KID.

    Raises:
        UserError: No file, not the known hash, not readable as plain tensors, or weights of another network.
    """
    path = path or cached_weights()
    if path is None:
        raise UserError(f"inception has no weights here; {HOW_TO_GET}.")
    content = _read(path)
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != WEIGHTS.sha256 and not allow_unknown:
        raise UserError(
            f"{clean(path)} is not the known file of Inception weights (sha256 {sha256[:8]}..., not "
            f"{WEIGHTS.sha256[:8]}...); {HOW_TO_GET}, or allow unknown weights, and no number will be called FID."
        )
    return Inception(_tensors(path, content), sha256=sha256, resize=resize, device=device)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UserError(
                f"{clean(path)} has {size(path.stat().st_size)}, far more than Inception weights; {HOW_TO_GET}."
            )
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"The weights {clean(path)} cannot be read ({error.strerror}); {HOW_TO_GET}.") from error


def _tensors(path: Path, content: bytes) -> Mapping[str, Tensor]:
    """The tensors of a safetensors file, or of a PyTorch file that holds nothing but tensors."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        if path.suffix == ".safetensors":
            return load(content)
        state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise UserError(
            f"{clean(path)} is no file of plain tensors (a state_dict or safetensors), and nothing else is ever "
            f"loaded, since it could run code; {HOW_TO_GET}."
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise UserError(f"{clean(path)} does not hold named tensors only; {HOW_TO_GET}.")
    return state


def _build(state: Mapping[str, Tensor]) -> InceptionV3:
    with torch.device("meta"):  # nothing is drawn and nothing allocated before the weights are known to fit
        network = InceptionV3()
    wanted = {key: value for key, value in network.state_dict().items() if not key.endswith(UNUSED)}
    given = {key: value for key, value in state.items() if not key.endswith(UNUSED)}
    for key, value in wanted.items():
        if key not in given or given[key].shape != value.shape:
            found = f"has shape {tuple(given[key].shape)}" if key in given else "is not there"
            raise UserError(
                f"These are not weights of the 2015 Inception-v3: {key} must have shape {tuple(value.shape)} and "
                f"{found}; {HOW_TO_GET}."
            )
    stray = next((key for key in given if key not in wanted), None)
    if stray is not None:
        raise UserError(f"These are not weights of the 2015 Inception-v3, which has no {clean(stray)!r}; {HOW_TO_GET}.")
    counters = {key: torch.zeros((), dtype=torch.long) for key in network.state_dict() if key.endswith(UNUSED)}
    plain = {key: value.float() for key, value in given.items()}
    # Channels last is a third faster on a CPU.
    laid = {key: value.contiguous(memory_format=LAST) if value.ndim == 4 else value for key, value in plain.items()}
    network.load_state_dict(laid | counters, assign=True)
    return network.requires_grad_(False).eval()
