"""The README of a saved run: what it is, what was measured with its intervals, and, first of all, what was lost."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from uncollapse.cards import address
from uncollapse.methods import METHODS
from uncollapse.metrics.intervals import mean_interval, wilson
from uncollapse.metrics.modes import SOLID_SHARE, diverged_value, measure_bounds, solid
from uncollapse.text import clean, seed_text

# Measures of the table, in this order.
SHOWN = ("modes_solid", "modes_hit", "high_quality_share", "kl_high_quality", "class_entropy")
MOST_NAMES, MOST_LETTERS = 12, 60
LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,39}")
UNKNOWN = "unknown"


def model_card(config: Mapping[str, Any], *, repository: str, licence: str = UNKNOWN, picture: str = "") -> str:
    """The README of a saved run, as Markdown with the head that the hub reads.

    Args:
        config: The content of its `config.json`.
        repository: What `load` is given in the example.
        licence: Of the weights, as the hub writes it.
        picture: File of a picture of samples in the same folder; empty without one.
    """
    spec, result = config["spec"], config["result"]
    method, task = plain(spec["method"]["name"]), plain(spec["task"]["name"])
    head = ["---", f'license: "{licence}"', "library_name: uncollapse", "tags:", "- gan", "- mode-collapse"]
    seeds = [lane["seed"] for lane in result["lanes"]]
    body = [
        f"# {method} on {task}",
        f"{len(seeds)} generator{'s' if len(seeds) > 1 else ''} ({seed_text(seeds)}), each trained for "
        f"{result['updates']:,} critic updates by [uncollapse](https://pypi.org/project/uncollapse/) "
        f"{plain(config['versions'].get('uncollapse', ''))}.",
        *lost(result),
        *([f"![Samples of seed {seeds[0]}]({picture})"] if picture else []),
        "## Measured",
        *measured(result),
        "## Use",
        usage(repository, seeds[0]),
        *method_part(spec),
        "## Licence",
        "The licence of these weights was not stated; ask whoever published them."
        if licence == UNKNOWN
        else f"The weights: {licence}. What they were trained on has a licence of its own.",
    ]
    return "\n".join([*head, "---", ""]) + "\n" + "\n\n".join(body) + "\n"


def lost(result: Mapping[str, Any]) -> list[str]:
    """The warning: the modes that each seed's averaged generator makes far too rarely."""
    names, weights, n = result["modes"]["names"], result["modes"]["weights"], result["n_samples"]
    lines = []
    for lane in result["lanes"]:
        fine = lane["counts"]["averaged"]["high_quality"]
        gone = [plain(name) for name, kept in zip(names, solid(fine, n, weights), strict=True) if not kept]
        if lane["diverged_at"] is not None:
            lines.append(
                f"> - Seed {lane['seed']} diverged at update {lane['diverged_at']:,} and stands as it was then."
            )
        if gone:
            more = f" and {len(gone) - MOST_NAMES} more" if len(gone) > MOST_NAMES else ""
            listed = ", ".join(gone[:MOST_NAMES])
            lines.append(f"> - Seed {lane['seed']} lacks {len(gone)} of {len(names)} modes: {listed}{more}.")
    rule = f"fewer than {100 * SOLID_SHARE:.0f} % of the good samples that its share of the data asks for, of {n:,}"
    if lines:
        return ["\n".join([f"> **What was lost.** A mode is lacking when it gets {rule} samples a seed.", *lines])]
    return [
        f"> **No mode is lacking** in any seed (a mode would be with {rule}). Variety within a mode is not part of it."
    ]


def measured(result: Mapping[str, Any]) -> list[str]:
    """Means over the seeds with 95 % intervals, and the success rate; a seed that diverged covers nothing."""
    lanes, weights = result["lanes"], result["modes"]["weights"]
    table = {key: [_value(lane, key) for lane in lanes] for key in SHOWN}
    solid = sum(value == len(weights) for value in table["modes_solid"])
    low, high = wilson(solid, len(lanes))
    rows = ["| measure | mean over seeds | 95 % interval | seeds |", "|---|---|---|---|"]
    for key, values in table.items():
        found = mean_interval(values, bounds=measure_bounds(key, weights), diverged="omit")
        if found.mean is not None:
            ends = " to ".join("?" if end is None else f"{end:.4g}" for end in (found.low, found.high))
            rows.append(f"| `{key}` | {found.mean:.4g} | {ends} | {found.n} |")
    return [
        f"All {len(weights)} modes are solid in {solid} of {len(lanes)} seeds (95 % interval of that share: {low:.2f} "
        f"to {high:.2f}). Averaged weights, {result['n_samples']:,} samples a seed; intervals are over seeds.",
        "\n".join(rows),
    ]


def _value(lane: Mapping[str, Any], key: str) -> float | None:
    found: float | None = lane["measures"]["averaged"].get(key)
    return found if lane["diverged_at"] is None else diverged_value(key)


def usage(repository: str, seed: int) -> str:
    """How to sample."""
    lines = ["```python", "import uncollapse as uc", "", f"run = uc.hub.load({repository!r})"]
    return "\n".join([*lines, f"x = run.samples(64, seed={seed})", "```"])


def method_part(spec: Mapping[str, Any]) -> list[str]:
    """What the list says of the method; nothing where it is a user's own."""
    row = METHODS.get(spec["method"]["name"])
    if row is None:
        return []
    facts = row.facts
    paper = f"[{facts.paper}]({address(row)})" if address(row) else facts.paper
    lines = [
        ("Idea", facts.idea), ("Paper", paper), ("Good at", facts.strengths), ("Bad at", facts.weaknesses),
        ("When it fails", facts.fails), ("Differs from the paper", " ".join(facts.differs)),
    ]  # fmt: skip
    changed = [] if dict(row.spec()) == dict(spec["method"]) else ["Its settings were changed; `config.json` has all."]
    return [f"## The method: {row.name}", "\n".join(f"- {name}: {text}" for name, text in lines if text), *changed]


def plain(text: object) -> str:
    """A name from data as Markdown that shows it and does nothing else."""
    short = clean(text)
    short = short if len(short) <= MOST_LETTERS else short[: MOST_LETTERS - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return re.sub(r"([\\`*_{}\[\]<>()#|!~@&:])", r"\\\1", short)
