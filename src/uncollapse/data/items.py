"""What a row may be in a program: an image of Pillow, an array, a tensor, encoded bytes, a path, a dictionary, a pair.

`Unpacker` takes apart whatever a data set or an iterator gives, batches too; `Converter` turns single rows into pixels
or feature rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from uncollapse.data.arrays import as_features, check_numbers
from uncollapse.data.folders import read_image_file
from uncollapse.data.images import Unreadable, decode, to_pixels
from uncollapse.data.labels import is_label, label_text, label_texts
from uncollapse.data.layout import CHANNELS, layout_of
from uncollapse.data.limits import short
from uncollapse.data.scaling import DIM, Scaling, check_whole
from uncollapse.data.source import Pixels
from uncollapse.dense import check_dense
from uncollapse.errors import UserError

IMAGE_KEYS = ("image", "img", "images", "pixel_values", "x")
LABEL_KEYS = ("label", "labels", "fine_label", "y", "class")
KINDS = "an image of Pillow, an array, a tensor, the bytes or the path of an image, or a dictionary with an 'image'"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row before it is converted.

    Attributes:
        value: A Pillow image, a NumPy array, bytes, a path, or what made it unreadable.
        label: Its label; None where there is none.
        tensor: Whether an array came as a torch tensor.
    """

    value: Image.Image | NDArray[Any] | bytes | Path | Unreadable
    label: str | None
    tensor: bool = False


@dataclass(kw_only=True)
class Unpacker:
    """Takes items apart into rows.

    A pair is (image, label), or (batch, labels). Of arrays alone, one axis is a feature row, two axes are one grey
    image, four axes a batch of images; three axes are one image if its last or first axis has 1, 3 or 4 entries, else
    a batch of grey images (and then so is a shorter last batch). With as many labels as entries of its first axis an
    array is a batch whatever its axes, and so is everything that is known to come in batches.

    Attributes:
        place: How messages call the source.
        name_label: Turns a label into text.
        largest: Rows of the largest batch where every array is one, as of a `DataLoader`: then two axes are feature
            rows. An array that is longer is no batch, but the one row itself.
    """

    place: str
    name_label: Callable[[object], str] = label_text
    largest: float = 0
    _grey: tuple[int, ...] | None = None  # height and width of batches of grey images so far

    def rows(self, item: object) -> list[Row]:
        """The rows of one item: usually one, several where it is a batch.

        Raises:
            UserError: It is nothing that is known.
        """
        value, label = _parted(item, self.place)
        if isinstance(value, Mapping):
            value = value.get("bytes")  # as Hugging Face keeps an image that is not decoded
        if isinstance(value, bytearray | memoryview):
            value = bytes(value)
        if isinstance(value, Unreadable | Image.Image | bytes | str | Path):
            return [Row(value=Path(value) if isinstance(value, str) else value, label=self._label(label))]
        array, tensor = as_array(value, self.place)
        if _one_each(label, array):
            texts = label_texts(label, len(array), self.place)
            return [Row(value=row, label=text, tensor=tensor) for row, text in zip(array, texts, strict=True)]
        known = array.ndim in (2, 3) and len(array) <= self.largest
        if known or array.ndim == 4 or (array.ndim == 3 and self._is_grey_batch(array)):
            if label is not None:
                raise UserError(
                    f"{self.place} gives a batch of shape {array.shape} with other than {len(array)} labels."
                )
            return [Row(value=row, label=None, tensor=tensor) for row in array]
        return [Row(value=array, label=self._label(label), tensor=tensor)]

    def _is_grey_batch(self, array: NDArray[Any]) -> bool:
        if array.shape[0] not in CHANNELS and array.shape[2] not in CHANNELS:
            self._grey = array.shape[1:]
        return array.shape[1:] == self._grey

    def _label(self, label: object) -> str | None:
        if label is None:
            return None
        if hasattr(label, "detach"):
            label = label.detach().cpu().numpy()
        if isinstance(label, np.ndarray) and label.size == 1:
            label = label.item()
        if not is_label(label):
            raise UserError(
                f"{self.place} gives a {type(label).__name__} as a label; give one number or text an image."
            )
        return self.name_label(label)


def pictures_of(value: object) -> object:
    """The images that a diffusion pipeline's output holds as `images`, or the value itself where it is none."""
    # A table may have a column of that name, and a data set or a sampler a list of its own.
    rows = callable(value) or isinstance(value, Iterable) or hasattr(value, "__getitem__")
    if rows and not isinstance(value, Mapping):
        return value
    listed = getattr(value, "images", None)
    return listed if isinstance(listed, list | tuple) or is_array(listed) else value


def as_array(value: object, place: str) -> tuple[NDArray[Any], bool]:
    """An array or a tensor as a NumPy array, and whether it was a tensor.

    Raises:
        UserError: It is neither, or does not hold what it shows.
    """
    check_dense(value, place)
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        found = value.detach().cpu()
        if str(found.dtype) == "torch.bfloat16":  # which NumPy does not have
            found = found.float()
        array: NDArray[Any] = found.numpy()
        return array, True
    if not (isinstance(value, np.ndarray | np.generic | Sequence) or hasattr(value, "__array__")):
        raise UserError(f"{place} gives a {type(value).__name__}; give {KINDS}.")
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{place} gives a {type(value).__name__} that is no array ({short(error)}); give {KINDS}."
        ) from error
    if array.dtype.kind not in "biuf":
        raise UserError(f"{place} gives a {type(value).__name__} of type {array.dtype}; give {KINDS}.")
    return array, False


@dataclass(kw_only=True)
class Converter:
    """Turns rows into pixels or features, all of the first row's kind.

    Attributes:
        place: How messages call the source.
        scaling: What floats mean; None until `decide`.
        dim: Whether arrays hold nothing above 1.
    """

    place: str
    scaling: Scaling | None = None
    dim: bool = False

    def decide(self, rows: Sequence[Row]) -> None:
        """Looks at the first rows once, to learn what floats mean, and whether whole numbers are too small.

        Raises:
            UserError: They do.
        """
        arrays = [row.value for row in rows if isinstance(row.value, np.ndarray) and row.value.ndim > 1]
        self.dim = check_whole(arrays, self.place)
        floats = [value for value in arrays if value.dtype.kind == "f"]
        # fmin and fmax pass over what is not a number, which is refused later by its row
        lowest = min((float(np.fmin.reduce(value, axis=None, initial=0.0)) for value in floats), default=0.0)
        highest = max((float(np.fmax.reduce(value, axis=None, initial=0.0)) for value in floats), default=0.0)
        self.scaling = Scaling.decided(lowest, highest, self.place)

    def is_features(self, row: Row) -> bool:
        """Whether a row is a feature row and no image."""
        return isinstance(row.value, np.ndarray) and row.value.ndim == 1

    def features(self, row: Row, width: int | None) -> NDArray[Any]:
        """A feature row (d,) as float32 or float64.

        Args:
            row: The row.
            width: d of the rows before; None for the first.

        Raises:
            Unreadable: This row cannot be read.
            UserError: It is none, or of another width.
        """
        if isinstance(row.value, Unreadable):
            raise row.value
        if not self.is_features(row) or not isinstance(row.value, np.ndarray):
            raise UserError(f"{self.place} mixes feature rows and images; give one kind.")
        check_numbers(row.value.dtype, (1, *row.value.shape), self.place)
        if width is not None and len(row.value) != width:
            raise UserError(
                f"{self.place} has feature rows of {width} and of {len(row.value)} numbers; give equal ones."
            )
        return as_features(row.value)

    def pixels(self, row: Row, number: int) -> tuple[Pixels, tuple[str, ...]]:
        """An image as uint8, and the policies that were applied.

        Args:
            row: The row.
            number: Its number, for messages.

        Raises:
            Unreadable: This image cannot be read.
            UserError: It is no image, or holds values that are none.
        """
        assert self.scaling is not None
        value = row.value
        if isinstance(value, Unreadable):
            raise value
        if isinstance(value, Image.Image):
            try:
                return to_pixels(value)
            except (OSError, SyntaxError, ValueError) as error:  # it is decoded only now
                raise Unreadable(f"is damaged ({short(error)})") from error
        if isinstance(value, Path):
            value = read_image_file(str(value))
        if isinstance(value, bytes):
            return decode(value)
        if value.ndim == 1:
            raise UserError(f"{self.place} mixes images and feature rows; give one kind.")
        check_numbers(value.dtype, (1, *value.shape), self.place)
        upright = layout_of(value.shape, self.place, tensor=row.tensor).upright(value[None])
        images, policies = self.scaling.to_bytes(upright, (number,))
        return np.array(images[0], order="C"), (*policies, DIM) if self.dim else policies


def _parted(item: object, place: str) -> tuple[Any, object]:
    """The image part and the label part of an item."""
    if isinstance(item, Mapping) and "bytes" not in item:
        keys = next((key for key in IMAGE_KEYS if key in item), None)
        if keys is None:
            raise UserError(
                f"{place} gives dictionaries with {short(', '.join(map(str, item)))}; one key must be 'image'."
            )
        return item[keys], next((item[key] for key in LABEL_KEYS if key in item), None)
    lines = isinstance(item, list) and all(isinstance(line, list) for line in item)  # of numbers
    if isinstance(item, tuple | list) and len(item) == 2 and not _is_number(item[0]) and not lines:
        return item[0], item[1]
    if isinstance(item, tuple | list) and len(item) == 1 and not _is_number(item[0]):
        return item[0], None  # as a TensorDataset of one tensor gives
    return item, None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number)


def _one_each(label: object, array: NDArray[Any]) -> bool:
    """Whether there is one label for each entry of the array's first axis."""
    if label is None or isinstance(label, str | bytes) or array.ndim < 2:
        return False
    shape = tuple(getattr(label, "shape", (len(label),) if isinstance(label, Sequence) else ()))
    return shape in ((len(array),), (len(array), 1))


def is_array(given: object) -> bool:
    """Whether something is one array of rows: of NumPy, of torch, convertible, or a list of lists of numbers."""
    if isinstance(given, np.ndarray) or (hasattr(given, "detach") and hasattr(given, "cpu")):
        return True
    if isinstance(given, list | tuple) and given:
        first = given[0]
        return isinstance(first, int | float | np.number) or (
            isinstance(first, list | tuple) and bool(first) and isinstance(first[0], int | float | np.number)
        )
    return hasattr(given, "__array__") and not hasattr(given, "getbands")


def is_labelled_array(given: object) -> TypeGuard[tuple[object, object]]:
    """Whether something is a pair of one array of rows and one label for each, or labels that are too few or many."""
    if not (isinstance(given, tuple) and len(given) == 2 and is_array(given[0]) and hasattr(given[1], "__len__")):
        return False
    rows = given[0]
    labels = given[1]
    flat = getattr(labels, "ndim", 0) == 1 or (isinstance(labels, list | tuple) and all(map(is_label, labels)))
    return getattr(rows, "ndim", 2) > 1 and (len(rows) == len(labels) or flat) and not isinstance(labels, str | bytes)


def description(given: object) -> str:
    """An object in memory in a few words."""
    shape = getattr(given, "shape", None)
    kind = type(given).__name__
    name = getattr(given, "__qualname__", "")
    if isinstance(shape, tuple):
        return f"{kind} of shape {tuple(int(size) for size in shape)}" if all(map(_is_whole, shape)) else kind
    return f"function {name}" if name and callable(given) else kind


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer)
