"""Small texts for people: names without control characters, lists of seeds, lengths of time, sizes."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def clean(text: object) -> str:
    """The text without control characters, because a file's name may hold sequences that drive a terminal.

    >>> clean("a" + chr(27) + "[31mb")
    'a[31mb'
    """
    return "".join(letter for letter in str(text) if unicodedata.category(letter) not in ("Cc", "Cf", "Cs"))


def reason(error: BaseException) -> str:
    """An exception of the user's code in one line."""
    text = " ".join(clean(str(error).replace("\n", " ")).split()).rstrip(".")
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def described(value: object) -> str:
    """What kind of thing a value is: of tensors and arrays their type and shape, of pairs how long they are.

    >>> described(None), described(0.5), described((1, 2))
    ('None', 'a float', 'a tuple of 2')
    """
    if value is None:
        return "None"
    name = type(value).__name__
    kind = f"{'an' if name[0].lower() in 'aeiou' or name == 'ndarray' else 'a'} {name}"
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        where = getattr(getattr(value, "device", None), "type", "cpu")
        return f"{kind} of {value.dtype} and shape {tuple(value.shape)}{'' if where == 'cpu' else f' on {where}'}"
    return f"{kind} of {len(value)}" if isinstance(value, tuple | list) else kind


def seed_text(seeds: Sequence[int], noun: str = "seed") -> str:
    """Seeds in words, runs of neighbours as ranges.

    >>> seed_text([0, 1, 2, 3, 9])
    'seeds 0-3, 9'
    """
    spans: list[list[int]] = []
    for seed in sorted(seeds):
        if spans and seed == spans[-1][-1] + 1:
            spans[-1] = [spans[-1][0], seed]
        else:
            spans.append([seed, seed])
    listed = ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in spans)
    return f"{noun}{'s' if len(seeds) > 1 else ''} {listed}" if noun else listed


def duration(seconds: float) -> str:
    """A length of time as a person says it.

    >>> [duration(8.2), duration(200), duration(7500)]
    ['8 s', '3 min 20 s', '2 h 05 min']
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(count: float) -> str:
    """A number of bytes with its unit.

    >>> [size(512), size(3_500_000)]
    ['512 B', '3.5 MB']
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def web_address(place: str) -> str:
    """Where a paper is: an arXiv number becomes an address, an address stays one, nothing stays nothing.

    >>> web_address("1706.08500")
    'https://arxiv.org/abs/1706.08500'
    """
    return place if "://" in place or not place else f"https://arxiv.org/abs/{place}"
