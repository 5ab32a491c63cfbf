"""A user's own network as extractor: an object of a program, or `module:factory`, imported only because it was named.

A function or a network gets the same images either way; `Custom` says which.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from uncollapse.data.source import Pixels
from uncollapse.errors import UserError
from uncollapse.features.batches import Prepared, digest_of, in_batches
from uncollapse.features.extractor import Extractor, Rows, called
from uncollapse.features.resizing import COLOUR_POLICY, GREY_POLICY, RESIZES, common_size, looks_grey, prepare
from uncollapse.plugins import resolve

BATCH, LARGEST = 32, 1024


class Custom(Extractor):
    """What a callable makes of images: float32 (n, 1 or 3, h, w) in [0, 1] -> (n, d).

    The callable says with attributes `size` (a number or (h, w)) and `channels` (1 or 3) what it wants; otherwise the
    commonest size of the example images decides, and colour as soon as one of them is in colour. Rows are never kept
    in the cache, since no digest can see every change of a user's code.
    """

    reusable = False

    def __init__(
        self, network: Callable[[Tensor], Any], *, name: str, example: Sequence[Pixels], device: torch.device
    ) -> None:
        """Wraps a callable.

        Args:
            network: A torch module, which is put into evaluation mode, or any callable on tensors.
            name: ``module:factory``, or what a function is called.
            example: Images of both sides; may be empty where `size` and `channels` say all.
            device: Where the images are given.

        Raises:
            UserError: Its wishes cannot be read, there are no examples, or it does not return one row an image.
        """
        self._device = device
        self._height, self._columns = _wanted_size(network, name, example)
        self._colour = _wanted_colour(network, name, example)
        if isinstance(network, nn.Module):
            network = network.to(device).eval()
        self._network, self._of = network, name
        self.name = f"{name}[{self._height}x{self._columns}{'x3' if self._colour else ''}]"
        self.digest = digest_of(
            extractor=name,
            size=[self._height, self._columns],
            colour=self._colour,
            code=_code_digest(network),
            policies=[RESIZES["clean"], GREY_POLICY, COLOUR_POLICY],
        )
        self.why = (
            f"Your own {name}; images of {self._height} x {self._columns} in {'colour' if self._colour else 'grey'}."
        )
        self._width: int = self.extract([np.zeros((self._height, self._columns), dtype=np.uint8)]).shape[1]

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return self._width

    def extract(self, images: Sequence[Pixels]) -> Rows:
        """The callable's rows (n, d).

        Raises:
            UserError: The callable failed, or returned something else than one row of numbers an image.
        """
        return in_batches(images, self._prepare, self._call, size=BATCH, device=self._device, apart=False)[0]

    def _prepare(self, images: Sequence[Pixels]) -> Prepared:
        values = prepare(images, height=self._height, width=self._columns, colour=self._colour) / np.float32(255)
        return values if self._colour else values[:, None]

    def _call(self, x: Tensor) -> tuple[Tensor]:
        try:
            rows = self._network(x)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            raise UserError(
                f"{self._of} failed on images {tuple(x.shape)} in [0, 1] with {type(error).__name__}: {error}; set its "
                "attributes size and channels if it wants others."
            ) from error
        rows = torch.from_numpy(rows) if isinstance(rows, np.ndarray) else rows
        if not isinstance(rows, Tensor) or rows.ndim != 2 or len(rows) != len(x) or not rows.is_floating_point():
            found = f"{rows.dtype} {tuple(rows.shape)}" if isinstance(rows, Tensor) else type(rows).__name__
            raise UserError(f"{self._of} must return {len(x)} rows of floats ({len(x)}, d) here, not {found}.")
        return (rows,)


def given_extractor(given: object, *, example: Sequence[Pixels], device: torch.device) -> Extractor:
    """The extractor that an object of a program is, or makes of images; the object itself is left as it is.

    Args:
        given: An `Extractor`, a torch module or any callable on tensors.
        example: Images of both sides, to decide size and colour.
        device: Where it computes; an `Extractor` chooses for itself.

    Raises:
        UserError: It is something else, or cannot be used.
    """
    if isinstance(given, Extractor):
        kept = copy.copy(given)
        kept.reusable = False
        return kept
    if not callable(given):
        raise UserError(
            "features must be the name of an extractor, an Extractor, or a function or network that makes rows (n, d) "
            f"of images (n, 1 or 3, h, w) in [0, 1], not {given!r}."
        )
    # A network is put into evaluation mode and moved, which its owner would have to undo.
    network = copy.deepcopy(given) if isinstance(given, nn.Module) else given
    return Custom(network, name=called(given), example=example, device=device)


def load_custom(reference: str, *, example: Sequence[Pixels], device: torch.device) -> Extractor:
    """The extractor that ``module:factory`` makes.

    Args:
        reference: Names a function without arguments that returns a torch module, a callable or an `Extractor`.
        example: Images of both sides, to decide size and colour.
        device: Where it computes; an `Extractor` chooses for itself.

    Raises:
        UserError: It cannot be imported or called, or returns something else.
    """
    factory = resolve(reference, option="--features", example="my_features:network")
    if not callable(factory):
        raise UserError(f"{reference} is no function; name one that returns a network or an Extractor.")
    try:
        made = factory()
    except Exception as error:
        raise UserError(f"{reference}() failed with {type(error).__name__}: {error}.") from error
    if isinstance(made, Extractor):
        named = copy.copy(made)
        named.name = made.name if made.name.startswith(reference) else f"{reference}[{made.name}]"
        # Its digest was written by whoever wrote the code, and stays as it is when the code changes.
        named.reusable = False
        return named
    if not callable(made):
        raise UserError(
            f"{reference}() must return a torch module, a callable or an Extractor, not {type(made).__name__}."
        )
    return Custom(made, name=reference, example=example, device=device)


def _wanted_size(network: object, name: str, example: Sequence[Pixels]) -> tuple[int, int]:
    size = getattr(network, "size", None)
    if isinstance(size, int):
        size = (size, size)
    if size is None:
        if not len(example):
            raise UserError(f"{name} needs example images to decide their size, or an attribute size.")
        return common_size(example, most=LARGEST)
    pair = size if isinstance(size, tuple | list) and len(size) == 2 else ()
    if not pair or not all(isinstance(side, int) and side > 0 for side in pair):
        raise UserError(f"{name}: the attribute size must be a whole number or (height, width), not {size!r}.")
    return pair[0], pair[1]


def _wanted_colour(network: object, name: str, example: Sequence[Pixels]) -> bool:
    channels = getattr(network, "channels", None)
    if channels is None:
        if not len(example):
            raise UserError(f"{name} needs example images to decide between grey and colour, or an attribute channels.")
        return not all(looks_grey(image) for image in example)
    if channels not in (1, 3):
        raise UserError(f"{name}: the attribute channels must be 1 or 3, not {channels!r}.")
    return bool(channels == 3)


def _code_digest(network: object) -> str:
    """What is knowable of a callable: its parameters and the file that defines it."""
    found = hashlib.sha256()
    if isinstance(network, nn.Module):
        for key, value in sorted(network.state_dict().items()):
            found.update(key.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    subject = network if inspect.isroutine(network) else type(network)
    try:
        found.update(Path(inspect.getfile(subject)).read_bytes())
    except (TypeError, OSError):  # defined at a prompt
        found.update(repr(subject).encode())
    return found.hexdigest()
