"""The list of extractors: what each is, is good and bad at, costs and needs.

The facts are data (`facts.toml`). Nothing heavy is imported; `finding` makes an extractor from a name, `listing` prints
this list.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from uncollapse.errors import unknown


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One extractor and all that is known of it.

    Attributes:
        name: As the user writes it; capitals stand for what the user fills in.
        title: What it is, in a few words.
        gives: What a row holds.
        good: What it is good at.
        bad: What it is bad at.
        blind: What it cannot see.
        use: When to use it.
        resizing: What happens to images of other sizes and channels.
        seconds: Measured seconds for 1,000 images on one core; None where that depends on the user's network.
        measured: On which images.
        needs: What has to be there.
        paper: Authors, year, title; empty where there is none.
        arxiv: Number or address.
        licence: Of the weights.
        example: A value for `--features`.
    """

    name: str
    title: str
    gives: str
    good: str
    bad: str
    blind: str
    use: str
    resizing: str
    seconds: float | None = None
    measured: str = ""
    needs: str = "nothing"
    paper: str = ""
    arxiv: str = ""
    licence: str = "none: there are no weights"
    example: str


_TOLD = tomllib.loads(resources.files("uncollapse.features").joinpath("facts.toml").read_text(encoding="utf-8"))
EXTRACTORS: Mapping[str, Entry] = {facts["name"]: Entry(**facts) for facts in _TOLD["extractor"]}
NAMES = tuple(EXTRACTORS)


def find_entry(name: str) -> Entry:
    """The entry of a name, also of a name with its settings filled in.

    >>> find_entry("pca[32]").name, find_entry("pretrained:facebook/dinov2-base").name
    ('pca', 'pretrained:NAME_OR_DIR')

    Raises:
        UserError: There is none; names the nearest.
    """
    if name in EXTRACTORS:
        return EXTRACTORS[name]
    prefix, colon, _ = name.partition(":")
    bare = name.partition("[")[0]
    if not colon and bare in EXTRACTORS:
        return EXTRACTORS[bare]
    if colon and prefix == "pretrained":
        return EXTRACTORS["pretrained:NAME_OR_DIR"]
    if name in ("pretrained", "module"):
        return next(entry for key, entry in EXTRACTORS.items() if key.startswith(name))
    raise unknown("extractor", name, NAMES)
