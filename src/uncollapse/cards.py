"""What the list of methods tells people: groups, addresses of papers, settings to watch, measured costs.

Between `methods` (data) and what prints it: the command line, the report's cards and the generated documentation.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

from uncollapse.method import Method
from uncollapse.methods import COSTS
from uncollapse.text import web_address

_TOLD = tomllib.loads(resources.files("uncollapse").joinpath("facts.toml").read_text(encoding="utf-8"))
# The order of `methods.py` under its headings; a user's own methods come last.
GROUPS: Mapping[str, tuple[str, ...]] = {title: tuple(names) for title, names in _TOLD["groups"].items()}
OWN = "Your own"
AVERAGED = "Measured with averaged weights (half-life 500 generator updates) unless asked for the live ones."
SYMBOLS = (
    "x is real, z a latent, y a label, D the critic's score (higher = more real), G the generator, E a mean, w a"
    " weight, softplus(t) = log(1 + e^t)."
)


def grouped(methods: Iterable[str]) -> dict[str, list[str]]:
    """The names under their headings, empty headings left out.

    >>> grouped(["wgan-gp", "vanilla", "of-mine"])
    {'The baseline': ['vanilla'], "The critic's measure of distance": ['wgan-gp'], 'Your own': ['of-mine']}
    """
    wanted = list(methods)
    known = {name for names in GROUPS.values() for name in names}
    found = {title: [name for name in names if name in wanted] for title, names in GROUPS.items()}
    found[OWN] = [name for name in wanted if name not in known]
    return {title: names for title, names in found.items() if names}


def address(method: Method) -> str:
    """Where the paper is, empty for a method without one.

    >>> from uncollapse.methods import METHODS
    >>> address(METHODS["wgan-gp"])
    'https://arxiv.org/abs/1704.00028'
    """
    return web_address(method.facts.arxiv)


def authors(paper: str) -> str:
    """Authors and year of a paper's entry.

    >>> authors("Arjovsky, Chintala and Bottou 2017, Wasserstein GAN")
    'Arjovsky, Chintala and Bottou 2017'
    """
    found = re.match(r".*?\b\d{4}\b", paper)
    return found[0] if found else paper


def watch(method: Method) -> tuple[str, Any] | None:
    """The setting that matters most and its value, None where none is named."""
    path = method.facts.sensitive
    settings = method.settings()
    return (path, settings[path]) if path in settings else None


def cost(name: str) -> str:
    """The measured time of an update as a multiple of vanilla's, empty where it was not measured."""
    return f"{COSTS[name]:.1f}" if name in COSTS else ""
