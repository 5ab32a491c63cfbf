"""Labels of rows: from the folders that images lie in, from StyleGAN's `dataset.json`, or from an array.

A label is a text; 3, 3.0 and "3" are the same label, so that two sides that write it differently still agree.
"""

from __future__ import annotations

import functools
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.data.limits import GIGA, MOST_LETTERS_TOLD_APART, short_label
from uncollapse.errors import UserError
from uncollapse.text import size as size_text

UNLABELLED = "(no label)"
LOOSE = "image in no folder, beside folders: folders are not taken as labels"
MOST_LETTERS = 1 * GIGA  # of all different labels of a source together


def label_text(value: object) -> str:
    """A label as text, without control characters; whole numbers without a point; nothing, None and NaN are no label.

    >>> [label_text(3.0), label_text(True), label_text(b"cat"), label_text(" 3 "), label_text(float("nan"))]
    ['3', '1', 'cat', '3', '(no label)']
    >>> label_text(" ")
    '(no label)'
    """
    if isinstance(value, np.generic):
        value = value.item()
    if is_nothing(value):
        return UNLABELLED
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        value = value[: 4 * MOST_LETTERS_TOLD_APART].decode("utf-8", "replace")
    return short_label(value).strip() or UNLABELLED


def is_nothing(value: object) -> bool:
    """Whether a value stands for one that is missing: None, NaN, or what pandas writes for it."""
    return (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or type(value).__name__ in ("NAType", "NaTType")
    )


def is_label(value: object) -> bool:
    """Whether a value can be a label, or stands for one that is missing."""
    return isinstance(value, bool | int | float | str | bytes | np.generic) or is_nothing(value)


class LabelList:
    """Labels as texts, in the order in which they come; equal ones are one text, as a million rows share a few."""

    def __init__(self, place: str) -> None:
        """Empty.

        Args:
            place: How messages call the source.
        """
        self.texts: list[str] = []
        self._place = place
        self._known: dict[str, str] = {}
        self._letters = 0

    def add(self, value: object) -> None:
        """Takes the label of the next row.

        Raises:
            UserError: The different labels have too many letters to be kept.
        """
        text = label_text(value)
        if text not in self._known:
            self._letters += len(text)
            if self._letters > MOST_LETTERS:
                raise UserError(
                    f"{self._place} has different labels of more than {size_text(MOST_LETTERS)} together; give "
                    "shorter or fewer ones."
                )
        self.texts.append(self._known.setdefault(text, text))


def label_texts(values: Any, count: int | None, place: str) -> list[str]:
    """Labels given as an array, a tensor or a list.

    Args:
        values: (n,) or (n, 1) numbers or texts.
        count: How many there must be; None when that is not known yet.
        place: How messages call the source.

    Raises:
        UserError: Another shape or number, or values that are no labels.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    # An array of texts would give every label the room of the longest one.
    texts_listed = isinstance(values, list | tuple) and any(isinstance(value, str | bytes) for value in values)
    try:
        array: NDArray[Any] = np.asarray(values, dtype=object if texts_listed else None)
    except ValueError as error:
        raise UserError(f"{place} has labels of unequal lengths; give one number or text a row.") from error
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "biufUSO":
        raise UserError(
            f"{place} has labels of shape {array.shape} and type {array.dtype}; give one number or text a row "
            "(of one-hot rows, take argmax)."
        )
    if count is not None and len(array) != count:
        raise UserError(f"{place} has {count:,} rows and {len(array):,} labels; give one label a row.")
    found = LabelList(place)
    if array.dtype.kind == "f" and array.dtype.itemsize < np.dtype(float).itemsize:
        # 0.1 in fewer digits is the label 0.1, as it is in a file.
        array = array.astype(str).astype(float)
    try:
        listed = array.tolist()
    except ValueError as error:  # texts with numbers that are no letters
        raise UserError(f"{place} has labels that are no text; save them again.") from error
    for value in listed:
        if not is_label(value):
            raise UserError(f"{place} has a {type(value).__name__} among its labels; give one number or text a row.")
        found.add(value)
    return found.texts


def folder_labels(names: Sequence[str], policies: Counter[str]) -> list[str] | None:
    """One label a name from the folders in it, or None where some image lies in no folder.

    Leading folders that all names share say nothing and are passed over, as long as a folder is left: the label is the
    first folder after them.

    Args:
        names: Paths with "/" between folders; they are only read, never opened.
        policies: Where images in no folder are counted if others lie in folders.
    """
    folders = [[part for part in name.split("/")[:-1] if part not in ("", ".", "..")] for name in names]
    least = min((len(parts) for parts in folders), default=0)
    if not least:
        loose = sum(not parts for parts in folders)
        if loose < len(folders):
            policies[LOOSE] += loose
        return None
    at = 0
    while at < least - 1 and len({parts[at] for parts in folders}) == 1:
        at += 1
    known: dict[str, str] = {}
    return [known.setdefault(parts[at], label_text(parts[at])) for parts in folders]


def dataset_labels(content: bytes, names: Iterable[str], place: str, policies: Counter[str]) -> list[str] | None:
    """Labels by StyleGAN's `dataset.json`, or None where it holds none.

    Args:
        content: The file: ``{"labels": [["0001.png", 3], ...], "classes": ["name", ...]}``; `classes` is optional and
            names the labels.
        names: The images, as paths from the folder where the file lies.
        place: How messages call the source.
        policies: Where images without a label are counted.

    Raises:
        UserError: It is no JSON of this form.
    """
    broken = UserError(
        f"{place} has a dataset.json that is not of the form {{'labels': [['image.png', 3], ...]}}; "
        "repair or remove it."
    )
    try:
        document = json.loads(content)
        listed = document["labels"] if isinstance(document, dict) else document
        if listed is None:
            return None
        pairs = listed.items() if isinstance(listed, Mapping) else ((name, label) for name, label in listed)
        labels = {str(name).replace("\\", "/"): label for name, label in pairs}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise broken from error
    classes = document.get("classes") if isinstance(document, dict) else None
    listed_classes = classes if isinstance(classes, list) else []
    # Many images share a class, whose name may be long.
    class_name = functools.cache(lambda place: label_text(listed_classes[place]))
    texts = {name: _text_of(label, class_name, len(listed_classes)) for name, label in labels.items()}
    if any(text is None for text in texts.values()):
        policies["dataset.json holds vectors or objects as labels: not used"] += 1
        return None
    found = [texts.get(name) or UNLABELLED for name in names]
    missing = sum(text == UNLABELLED for text in found)
    if missing == len(found):
        policies["dataset.json names none of the images: not used"] += 1
        return None
    if missing:
        policies["image without a label in dataset.json"] += missing
    return found


def _text_of(label: object, class_name: Callable[[int], str], classes: int) -> str | None:
    """The text of one label; None for what is neither a number, a text, nor a one-hot vector."""
    if isinstance(label, list) and len(label) == 1:
        label = label[0]
    if isinstance(label, list):
        hot = [place for place, value in enumerate(label) if value == 1]
        if len(hot) != 1 or any(value not in (0, 1) for value in label):
            return None
        label = hot[0]
    if not isinstance(label, int | float | str | None):
        return None
    return class_name(label) if isinstance(label, int) and 0 <= label < classes else label_text(label)
