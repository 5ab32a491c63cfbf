"""What is refused, and what is noted, about the choices and the sides of an evaluation before anything is measured.

A mistake is told before anything long begins: choices before the data are opened, rows as soon as they are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from uncollapse.data.source import Source
from uncollapse.errors import UserError
from uncollapse.evaluation.classes import alike, mostly_labelled, names_of, unlabelled
from uncollapse.evaluation.measuring import check_names
from uncollapse.evaluation.per_class import LEAST_ALPHA, check_labels, judged_labels
from uncollapse.evaluation.sides import Side, path_of
from uncollapse.features.resizing import check_resize
from uncollapse.metrics.inputs import check_level, chunks, common_keys, is_number
from uncollapse.text import clean
from uncollapse.verdict.judge import ALPHA, FEWEST
from uncollapse.versions import choose_device

MOST_ALPHA = 0.5
MOST_SEED = 2**32 - 5  # with the sides' own places added it still is a seed of 32 bits
# Squares of numbers beyond these leave the range of float32, in which distances are computed.
LARGEST, SMALLEST = 1e15, 1e-15
NAMED_LABELS = 3
# Share of the variance from which on one column leaves hardly anything of the others in a distance.
DOMINATING = 0.99
# The forms of data that have columns with heads.
TABLES = ("CSV table", "parquet file", "table in memory", "generator of tables")


def check_options(
    *,
    metrics: Sequence[str] | None,
    with_train: bool,
    level: float | None,
    alpha: float,
    seed: int,
    device: str,
    resize: str,
) -> None:
    """Refuses what no data could make possible.

    Raises:
        UserError: An unknown metric, device or way to resize, or a number out of its range.
    """
    check_level(level)
    check_names(metrics, with_train=with_train)
    if not is_number(alpha) or not LEAST_ALPHA <= alpha <= MOST_ALPHA:
        raise UserError(f"alpha must be from {LEAST_ALPHA} to {MOST_ALPHA}, for example {ALPHA}, not {alpha!r}.")
    if not isinstance(seed, int) or not 0 <= seed <= MOST_SEED:
        raise UserError(f"seed must be a whole number from 0 to {MOST_SEED:,}, not {seed!r}.")
    choose_device(device)
    check_resize(resize)


def check_given(given: Mapping[str, object]) -> None:
    """Refuses a side that is missing, as a function gives that forgets to return.

    Args:
        given: What the user gave for each side.

    Raises:
        UserError: The real or the fake side is None.
    """
    for role in ("real", "fake"):
        if given[role] is None:
            raise UserError(
                f"The {role} side is None; give a path, an array, a tensor, a data set or a function f(n) that draws n."
            )


def check_alike(sources: Mapping[str, Source], given: Mapping[str, object]) -> list[str]:
    """Refuses sides of different kind, and notes when both are one and the same.

    Args:
        sources: The opened sides by role.
        given: What the user gave for each.

    Raises:
        UserError: One side holds images and another features.
    """
    kinds = {role: source.kind for role, source in sources.items() if source.kind != "statistics"}
    if len(set(kinds.values())) > 1:
        told = " and ".join(f"{role} ({clean(sources[role].name)}) holds {kind}" for role, kind in kinds.items())
        raise UserError(f"{told}; give the same kind on all sides.")
    real, fake = given["real"], given["fake"]
    same = path_of(real) is not None and path_of(real) == path_of(fake)
    return [SAME] if same or real is fake else []


def check_label_column(label_column: str | None, sources: Mapping[str, Source]) -> None:
    """Refuses the name of a column where no side has columns.

    Args:
        label_column: What the user gave.
        sources: The opened sides by role.

    Raises:
        UserError: None of them is a table.
    """
    if label_column is not None and not any(source.form in TABLES for source in sources.values()):
        told = " and ".join(
            f"{role} ({clean(source.name)}) holds no columns ({source.form})" for role, source in sources.items()
        )
        raise UserError(
            f"--label-column {clean(label_column)} names a column of a table (.csv, .parquet, DataFrame), but {told}; "
            "leave it out, or give a table."
        )


SAME = "Both sides are the same data, so nothing can be missing; the verdict says nothing about a generator."


def check_sides(sides: Mapping[str, Side], *, per_class: bool, alpha: float) -> list[str]:
    """Refuses rows that cannot be judged, and notes what makes sides differ before any generator does.

    Args:
        sides: By role.
        per_class: Whether each label is to be judged by itself.
        alpha: Chance of a false alarm.

    Raises:
        UserError: A side has too few rows, another number of features, numbers beyond computing, or no labels where
            each label is to be judged.
    """
    for side in sides.values():
        if len(side) < FEWEST and side.role != "train":
            count = "1 readable row" if len(side) == 1 else f"{len(side)} readable rows"
            raise UserError(f"The {side.role} side has {count}, but a verdict needs at least {FEWEST}; give more.")
    widths = {role: side.rows.features.shape[1] for role, side in sides.items()}
    if len(set(widths.values())) > 1:
        told = ", ".join(f"{role} {width}" for role, width in widths.items())
        raise UserError(f"The sides have different numbers of features a row ({told}); use one extractor for all.")
    _check_range(sides)
    real, fake = sides["real"], sides["fake"]
    if per_class:
        check_labels(real, fake)
    keys = [key.sort().values for key in common_keys(real.checked, fake.checked)] if len(real) == len(fake) else []
    same = bool(keys) and torch.equal(*keys)
    labels = label_notes(real, fake)
    if "other" in sides and sides["other"].rows.labels is not None and alike(real, fake):
        labels = list(dict.fromkeys([*labels, *label_notes(real, sides["other"])]))
    notes = [*([SAME] if same else []), *size_notes(list(sides.values())), *scale_notes(real), *labels]
    most = int(alpha / LEAST_ALPHA)
    if per_class and judged_labels(real, fake) > most:
        notes.append(
            f"More than {most} labels are judged, each with a chance of {100 * LEAST_ALPHA:g} % of a false alarm; "
            "taken together that is more than the chance stated for the verdict."
        )
    return notes


def scale_notes(real: Side) -> list[str]:
    """A sentence on a column of numbers that leaves nothing of the others in a distance."""
    x = real.checked.x
    if real.source.kind != "features" or x.shape[1] < 2:
        return []
    variances = torch.stack([x[:, column].double().var() for column in range(x.shape[1])])
    share = float(variances.max() / variances.sum().clamp_min(1e-300))
    if share < DOMINATING or int((variances > 0).sum()) < 2:
        return []
    largest = int(variances.argmax())
    name = real.source.heads[largest] if real.source.heads else f"number {largest + 1}"
    return [
        f"One column ({name}) has {100 * share:.4g} % of the variance, so that distances and the verdict hardly see the"
        " others; bring the columns to one scale first, the same for both sides."
    ]


def _check_range(sides: Mapping[str, Side]) -> None:
    largest = {}
    for role, side in sides.items():
        x = side.checked.x
        largest[role] = max(float(x[part].abs().max()) for part in chunks(len(x), x.shape[1]))
        if largest[role] > LARGEST:
            raise UserError(
                f"The {role} side holds numbers as large as {largest[role]:.2g}, beyond the {LARGEST:g} up to which "
                "distances can be computed; scale all sides alike, or take samples from before the generator diverged."
            )
    if 0 < max(largest.values()) < SMALLEST:
        raise UserError(
            f"No side holds a number larger than {max(largest.values()):.2g}, below the {SMALLEST:g} from which on "
            "distances can be computed; scale all sides alike."
        )


def size_notes(sides: Sequence[Side]) -> list[str]:
    """Sentences on images whose sizes or channels differ between the sides."""
    notes = []
    sizes = {side.role: side.rows.notes.sizes for side in sides if side.rows.notes.sizes}
    common = {role: found.most_common(1)[0][0] for role, found in sizes.items()}
    if len(set(common.values())) > 1:
        told = ", ".join(f"{role} {height} x {width}" for role, (height, width) in common.items())
        notes.append(
            f"The images differ in size ({told}); all are resized to the extractor's size, and resizing alone makes "
            "the sides differ a little. Give images of one size to rule that out."
        )
    channels = {side.role: set(side.rows.notes.channels) for side in sides if side.rows.notes.channels}
    if len({frozenset(found) for found in channels.values()}) > 1:
        told = ", ".join(f"{role} {' and '.join(sorted(found))}" for role, found in channels.items())
        notes.append(f"The images differ in colour ({told}); that is a difference between the sides of its own.")
    return notes


def label_notes(real: Side, fake: Side) -> list[str]:
    """Sentences on labels that cannot be used as they are."""
    having = [side for side in (real, fake) if side.rows.labels is not None]
    if len(having) == 1:
        return [f"Only the {having[0].role} side has labels, so they are not compared."]
    if not having:
        return []
    if not alike(real, fake):
        told = " and ".join(f"{side.role} {_listed(sorted(names_of(side)))}" for side in having)
        return [f"The labels of the sides have no name in common ({told}), so they are not compared; name them alike."]
    lacking = [side for side in having if unlabelled(side)]
    if not lacking:
        return []
    told = " and ".join(f"{unlabelled(side):,} of {len(side):,} {side.role} rows" for side in lacking)
    if all(mostly_labelled(side) for side in having):
        return [f"Without a label: {told}. They are in no class, and a verdict by labels leaves them out."]
    return [f"Without a label: {told}. These are too many for a verdict by labels; label them or leave them out."]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(clean(name) for name in names[:NAMED_LABELS])
    return shown + (", ..." if len(names) > NAMED_LABELS else "")
