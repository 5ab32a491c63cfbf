"""Backbones of Hugging Face `transformers` (DINOv2, CLIP and others), from the hub or from a local folder.

Only safetensors are read and no code of a repository is ever run. Everything goes through a folder, so that a download
and a local copy give the same rows; weights, configuration and preprocessing are part of the digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from uncollapse.data.source import Pixels
from uncollapse.errors import UserError
from uncollapse.features.batches import Prepared, digest_of, in_batches
from uncollapse.features.extractor import Extractor, Rows
from uncollapse.features.resizing import COLOUR_POLICY, to_colour
from uncollapse.text import clean

PREFIX = "pretrained:"
INSTALL = "pip install 'uncollapse[pretrained]'"
CONFIGURATION, PREPROCESSING = "config.json", "preprocessor_config.json"
WANTED = [CONFIGURATION, PREPROCESSING, "model*.safetensors", "model.safetensors.index.json"]
# Hub, timm and transformers interpolate position tables differently, so the name says who loaded the model.
LIBRARY = "[transformers]"
BATCH = 16


class Pretrained(Extractor):
    """The image features of a pretrained backbone.

    The row is the image embedding of a model of images and texts (CLIP's `image_embeds`, not normalised), else the
    pooled output (DINOv2: the class token behind the last norm), else, also where the weights hold no pooling, the
    class token. Images are made colour and go through the preprocessing that comes with the model, computed by Pillow
    so that it does not depend on what else is installed.
    """

    def __init__(self, folder: Path, *, source: str, device: torch.device) -> None:
        """Loads model and preprocessing from a folder.

        Args:
            folder: Holds config.json, preprocessor_config.json and model*.safetensors.
            source: What the name says about where they came from.
            device: Where it computes.

        Raises:
            UserError: `transformers` is missing, a file is missing, or the model cannot be used.
        """
        transformers = import_transformers()
        files = _files(folder, source)
        self._device = device
        with _quiet(transformers):
            self._processor, self._model, self._pooled = _load(transformers, folder, source)
        self._model.to(device)
        self.name = f"{PREFIX}{clean(source)}{LIBRARY}"
        self.digest = digest_of(
            extractor="pretrained",
            library="transformers",
            version=transformers.__version__,
            files=[f"{path.name}:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files],
            pooled=self._pooled,
            policies=[COLOUR_POLICY],
        )
        kind = json.loads((folder / CONFIGURATION).read_text()).get("model_type", "unknown")
        self.why = (
            f"A pretrained {clean(kind)} model, loaded by transformers {transformers.__version__}: features that know "
            "what its training images show. Preprocessing as the model's own configuration says, by Pillow."
        )
        self._width: int = self.extract([np.zeros((8, 8), dtype=np.uint8)]).shape[1]

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return self._width

    def extract(self, images: Sequence[Pixels]) -> Rows:
        """The image embeddings (n, width)."""
        return in_batches(images, self._prepare, self._embed, size=BATCH, device=self._device)[0]

    def _prepare(self, images: Sequence[Pixels]) -> Prepared:
        colour = [to_colour(image).astype(np.uint8) for image in images]
        values = self._processor(images=colour, return_tensors="np", input_data_format="channels_last")["pixel_values"]
        prepared: Prepared = np.asarray(values, dtype=np.float32)
        return prepared

    def _embed(self, x: Tensor) -> tuple[Tensor]:
        if hasattr(self._model, "get_image_features"):
            found = self._model.get_image_features(pixel_values=x)
            return (found if isinstance(found, Tensor) else found.pooler_output,)
        output = self._model(pixel_values=x)
        pooled = getattr(output, "pooler_output", None) if self._pooled else None
        return ((output.last_hidden_state[:, 0] if pooled is None else pooled).flatten(1),)


def load_pretrained(name: str, *, device: torch.device) -> Pretrained:
    """The extractor of a folder, or of a model on the hub.

    Args:
        name: A folder, or "owner/model" or "owner/model@REVISION" on huggingface.co.
        device: Where it computes.

    Raises:
        UserError: As `Pretrained`, or the model cannot be fetched.
    """
    if not name:
        raise UserError("pretrained: wants a folder or a model of the hub, such as pretrained:facebook/dinov2-base.")
    name = name.removesuffix(LIBRARY)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Pretrained(folder, source=name, device=device)
    repository, _, revision = name.partition("@")
    if repository.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UserError(
            f"There is no folder {clean(name)!r}, and a model of the hub has the form owner/model, such as "
            "facebook/dinov2-base."
        )
    fetched = _fetch(repository, revision or None)
    return Pretrained(fetched, source=f"{repository}@{fetched.name[:12]}", device=device)


def import_transformers() -> ModuleType:
    """The package `transformers`.

    Raises:
        UserError: It is not installed, or older than version 5.
    """
    try:
        import transformers
    except ImportError as error:
        raise UserError(f"pretrained models need the package transformers: {INSTALL}.") from error
    if int(transformers.__version__.partition(".")[0]) < 5:
        raise UserError(f"pretrained models need transformers 5 or newer, not {transformers.__version__}: {INSTALL}.")
    return transformers


def _fetch(repository: str, revision: str | None) -> Path:
    """The folder of a download, named by the commit; only configuration and safetensors are fetched."""
    import_transformers()
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=WANTED))
    except (OSError, ValueError) as error:  # the hub's own errors are kinds of these two
        reason = clean(str(error).strip().splitlines()[0]) if str(error).strip() else type(error).__name__
        raise UserError(
            f"{clean(repository)} cannot be fetched from huggingface.co ({reason}); check name and connection, or "
            "give a folder with a copy of it."
        ) from error


def _files(folder: Path, source: str) -> list[Path]:
    weights = sorted(folder.glob("model*.safetensors"))
    missing = [name for name in (CONFIGURATION, PREPROCESSING) if not (folder / name).is_file()]
    if not weights or missing:
        raise UserError(
            f"{PREFIX}{clean(source)} lacks {', '.join([*missing, *([] if weights else ['model.safetensors'])])}; save "
            "model and image processor with save_pretrained (weights of other formats are never loaded)."
        )
    return [folder / CONFIGURATION, folder / PREPROCESSING, *weights]


def _load(transformers: ModuleType, folder: Path, source: str) -> tuple[Any, Any, bool]:
    """Image processor, model, and whether its pooling was trained; what is not in the weights must not be made up."""
    settings: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil", **settings)
        with torch.random.fork_rng(devices=[]):
            model, told = transformers.AutoModel.from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **settings
            )
    except Exception as error:  # whatever a foreign configuration makes the library raise
        reason = clean(str(error).strip().splitlines()[0]) if str(error).strip() else type(error).__name__
        raise UserError(
            f"transformers cannot load {PREFIX}{clean(source)} without running code of its repository ({reason}); "
            "choose a model that transformers itself supports."
        ) from error
    pooled = not any(key.startswith("pooler.") for key in told["missing_keys"])
    missing = sorted(key for key in told["missing_keys"] if not key.startswith("pooler."))
    if missing or told["mismatched_keys"]:
        lacking = missing[0] if missing else str(next(iter(told["mismatched_keys"])))
        raise UserError(
            f"The weights of {PREFIX}{clean(source)} do not fit its configuration ({clean(lacking)} is missing or has "
            "another shape), so a part of the model would be random; save it again with save_pretrained."
        )
    return processor, model.requires_grad_(False).eval(), pooled


@contextlib.contextmanager
def _quiet(transformers: ModuleType) -> Iterator[None]:
    """No progress bars and notices of the library while a model loads."""
    talk = transformers.utils.logging
    level, bars = talk.get_verbosity(), talk.is_progress_bar_enabled()
    talk.set_verbosity(logging.ERROR)
    talk.disable_progress_bar()
    try:
        yield
    finally:
        talk.set_verbosity(level)
        if bars:
            talk.enable_progress_bar()
