"""One loss has several names: which lost class, lost region, group of real samples and cluster are the same rows."""

from __future__ import annotations

from collections.abc import Sequence

from uncollapse.report.evaluation_exhibits import Same


def mode_name(mode: str, kind: str) -> str:
    """A lost mode within a sentence, without what stands in its brackets.

    >>> mode_name("3", "class"), mode_name("region 1 (mostly 3, 100 %)", "cluster"), mode_name("class 3", "class")
    ('class 3', 'region 1', 'class 3')
    """
    if kind == "class":
        return mode if "class" in mode else f"class {mode}"
    return mode.split(" (")[0]


def of_mode(same: Sequence[Same], mode: str, kind: str) -> str:
    """The other names of a lost mode; empty without any."""
    found = next((it for it in same if (it.mode, it.kind) == (mode, kind)), None)
    if found is None:
        return ""
    named = [f"same rows as {', '.join(mode_name(*other) for other in found.modes)}"] if found.modes else []
    below = [*(_group_name(key) for key in found.groups), *found.clusters]
    named += [f"below as {', '.join(below)}"] if below else []
    return "; ".join(named)


def of_group(same: Sequence[Same], key: str) -> str:
    """The lost modes that a group of real samples is of, as a sentence; empty without any."""
    return _sentence([it for it in same if key in it.groups])


def of_cluster(same: Sequence[Same], name: str) -> str:
    """The lost modes that a cluster is of, as a sentence; in brackets behind its name stands where it lies."""
    return _sentence([it for it in same if name.split(" (")[0] in it.clusters])


def _sentence(found: Sequence[Same]) -> str:
    modes = [mode_name(it.mode, it.kind) for it in found]
    return f"Its real rows are mostly of {' and '.join(modes)}." if modes else ""


def _group_name(key: str) -> str:
    """What the gallery of a key calls its rows: "group 1" for "uncovered-0"."""
    number = key.rpartition("-")[2]
    return f"group {int(number) + 1}" if number.isdecimal() else key
