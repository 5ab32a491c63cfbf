"""What to learn: the list of task families, and how a name becomes a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from uncollapse.errors import UserError, unknown
from uncollapse.tasks import arrays, digits, folder, images, mixtures, stacked
from uncollapse.tasks.arrays import Arrays
from uncollapse.tasks.digits import Digits
from uncollapse.tasks.folder import Folder
from uncollapse.tasks.images import Images
from uncollapse.tasks.mixtures import Mixture
from uncollapse.tasks.stacked import Stacked
from uncollapse.tasks.task import Modes, Task

__all__ = [
    "TASKS", "Arrays", "Digits", "Family", "Folder", "Images", "Mixture", "Modes", "Stacked", "Task", "find",
    "from_spec", "register",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Family:
    """One line of `uncollapse tasks`.

    Attributes:
        name: Name or pattern: ``"ring-8"``, ``"blobs-K"``, ``"array:FILE"``, ``"folder:PATH"``.
        summary: One sentence.
        example: A name that `find` accepts, None when it needs the user's own file.
        options: What ``but(...)`` and ``--set task.OPTION=...`` accept.
    """

    name: str
    summary: str
    example: str | None
    options: tuple[str, ...]


def _family(name: str, make: Callable[[], Task], summary: str | None = None) -> Family:
    task = make()
    return Family(name=name, summary=summary or task.summary, example=task.name, options=task.options)


# Image tasks by name.
NAMED: Mapping[str, Callable[[], Task]] = MappingProxyType(
    {
        "digits": digits.digits,
        "mnist": images.mnist,
        "fashion-mnist": images.fashion_mnist,
        "stacked-digits": stacked.stacked_digits,
        "stacked-mnist": stacked.stacked_mnist,
    }
)
# What stands before the name of the user's own file or folder.
PREFIXES = ("array:", folder.PREFIX)

TASKS: Mapping[str, Family] = MappingProxyType(
    {
        family.name: family
        for family in (
            _family("ring-8", mixtures.ring),
            _family("grid-25", mixtures.grid_25),
            _family("grid-100", mixtures.grid_100),
            _family(
                "blobs-K",
                lambda: mixtures.blobs(8),
                "K Gaussian blobs of equal weight for any K from 2 (sigma .5, spacing 5, scaled into [-0.9, 0.9]).",
            ),
            _family(
                "unequal-K",
                lambda: mixtures.unequal(8),
                "The blobs with long-tailed weights, w_k proportional to 1/(k+1): rare modes are lost first.",
            ),
            *(_family(name, make) for name, make in NAMED.items()),
            Family(name="array:FILE", summary=arrays.SUMMARY, example=None, options=Arrays.options),
            Family(name="folder:PATH", summary=folder.SUMMARY, example=None, options=Folder.options),
        )
    }
)


_OWN: dict[str, Task] = {}


def register(task: Task) -> None:
    """Makes a user's own task known by its name, for plans and the command line.

    Raises:
        UserError: A built-in task has that name.
    """
    if task.name in NAMED or task.name.startswith(PREFIXES) or mixtures.named(task.name) is not None:
        raise UserError(f"A task named {task.name!r} is built in; give yours another name.")
    _OWN[task.name] = task


def find(name_or_task: str | Task, **options: Any) -> Task:
    """The task of that name, with options.

    Args:
        name_or_task: A name such as ``"blobs-16"``, ``"digits"``, ``"array:points.npz"`` or ``"folder:photos.zip"``,
            or a task.
        **options: As for `Task.but`, for example ``train_size=10_000``.

    Raises:
        UserError: No such task or option, or a file that cannot be used.
    """
    if isinstance(name_or_task, Task):
        return name_or_task.but(**options)
    name = str(name_or_task).strip()
    if name in _OWN:
        return _OWN[name].but(**options)
    if name.startswith("array:"):
        _check_options(options, Arrays.options)
        return arrays.load(name.removeprefix("array:"), **options)
    if name.startswith(folder.PREFIX):
        _check_options(options, Folder.options)
        return Folder(name=name, **options)
    task = NAMED[name]() if name in NAMED else mixtures.named(name)
    if task is None:
        raise unknown("task", name, [*TASKS, *_OWN])
    return task.but(**options)


def from_spec(spec: Mapping[str, Any]) -> Task:
    """The task that `Task.spec` described.

    Raises:
        UserError: The arrays were in memory only, or their file has changed since.
    """
    options = dict(spec)
    name = str(options.pop("name"))
    if name in _OWN:
        own = _OWN[name].but(**{key: value for key, value in options.items() if key in _OWN[name].options})
        if own.spec() != dict(spec):
            raise UserError(f"Task {name!r} is defined otherwise than in this run; restore the definition it had.")
        return own
    if "centres" in options:
        return Mixture(name=name, **options)
    digest = options.pop("sha256", None)
    if digest is not None and not name.startswith(PREFIXES):
        raise UserError(
            f"Task {name!r} was given as arrays in memory, which a run directory does not hold; pass the same "
            "uc.tasks.Arrays again, or save them with its save(FILE) and train on array:FILE."
        )
    task = find(name, **options)
    if digest is not None and isinstance(task, Arrays | Folder) and task.sha256 != digest:
        what, where = ("file", name.removeprefix("array:")) if isinstance(task, Arrays) else ("images", name)
        colours = isinstance(task, Arrays) and task.channels_last
        earlier = ", or an earlier version trained it, which took colours for rows; train again" if colours else ""
        raise UserError(f"The contents of {where} have changed since this run; restore the {what}{earlier}.")
    return task


def _check_options(options: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    for option in options:
        if option not in allowed:
            raise unknown("task option", option, allowed)
