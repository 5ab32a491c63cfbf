"""What to learn: the list of task families, and how a name becomes a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from uncollapse.data.items import description
from uncollapse.errors import UserError, unknown
from uncollapse.tasks import arrays, digits, folder, images, mixtures, stacked
from uncollapse.tasks.arrays import Arrays
from uncollapse.tasks.digits import Digits
from uncollapse.tasks.folder import Folder
from uncollapse.tasks.identity import is_own, own_fields
from uncollapse.tasks.images import Images
from uncollapse.tasks.mixtures import Mixture
from uncollapse.tasks.stacked import Stacked
from uncollapse.tasks.task import Modes, Task
from uncollapse.text import clean

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
# The --plugin that named a task of the user's own, where one did.
_REFERENCES: dict[str, str] = {}


def register(task: Task, reference: str = "") -> None:
    """Makes a user's own task known by its name, for plans and the command line.

    Args:
        task: Its name must not be that of a built-in one.
        reference: ``module:attr`` where it was named so; runs tell it to whoever opens them without it.

    Raises:
        UserError: A built-in task has that name.
    """
    if built_in(task.name) is not None:
        raise _taken(task.name)
    _OWN[task.name], _REFERENCES[task.name] = task, reference


def registered_as(task: Task) -> str | None:
    """The ``module:attr`` of a registered task, empty where an object was; None for all others."""
    return _REFERENCES.get(task.name)


def built_in(name: str) -> type[Task] | None:
    """The type of the project's own task of that name, None where there is none."""
    if name in NAMED:
        return type(NAMED[name]())
    if name.startswith(PREFIXES):
        return Arrays if name.startswith("array:") else Folder
    return None if mixtures.named(name) is None else Mixture


def _taken(name: str) -> UserError:
    return UserError(f"A task named {name!r} is built in; give yours another name.")


def find(name_or_task: str | Task, **options: Any) -> Task:
    """The task of that name, with options.

    Args:
        name_or_task: A name such as ``"blobs-16"``, ``"digits"``, ``"array:points.npz"`` or ``"folder:photos.zip"``,
            or a task.
        **options: As for `Task.but`, for example ``train_size=10_000``.

    Raises:
        UserError: No such task or option, a file that cannot be used, or a user's own task of a built-in one's name.
    """
    if isinstance(name_or_task, Task):
        _check_name(name_or_task)
        return name_or_task.but(**options)
    if isinstance(name_or_task, type) and issubclass(name_or_task, Task):
        raise UserError(
            f"Task {name_or_task.__name__} is a class; give an instance, such as {name_or_task.__name__}()."
        )
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
        raise _no_task(name_or_task)
    return task.but(**options)


def _check_name(task: Task) -> None:
    """Refuses a task that is called like a built-in one and is another."""
    if not isinstance(task.name, str) or not task.name.strip():
        raise UserError(f"The name of a task is {task.name!r}; give it a text of at least one letter.")
    kind = built_in(task.name)
    if kind is not None and (type(task) is not kind or (isinstance(task, Mixture) and not task.is_named)):
        raise _taken(task.name)


def _no_task(given: object) -> UserError:
    """The error for what is no task: data in its place, another object, a file without its prefix, an unknown name."""
    if isinstance(given, str | Path):
        name = str(given).strip()
        prefix = "array:" if name.lower().endswith(arrays.SUFFIXES) else folder.PREFIX if folder.is_there(name) else ""
        if prefix:
            return UserError(f"There is no task {name!r}; a file or folder of your own is {prefix + name!r}.")
        return unknown("task", name, [*TASKS, *_OWN])
    if hasattr(given, "shape") or isinstance(given, list | tuple):
        return UserError(
            f"task is data ({description(given)}), not a task; give uc.tasks.Arrays(x), or uc.tasks.Arrays(x, labels)."
        )
    return UserError(
        f"task must be a name, such as 'ring-8', or a task, such as uc.tasks.Arrays(x), not {description(given)}."
    )


def from_spec(spec: Mapping[str, Any], trained_with: object = None) -> Task:
    """The task that `Task.spec` described.

    Args:
        spec: That description, perhaps with a `measure_size`.
        trained_with: What a run says of where a task of the user's own came from: its `plugin`, or a `file`.

    Raises:
        UserError: The arrays were in memory only, their file has changed since, or it is a task of the user's own that
            is not known here, or is another here.
    """
    options = dict(spec)
    size = options.pop("measure_size", None)
    task = _described(str(options.pop("name")), options, trained_with if isinstance(trained_with, Mapping) else {})
    if size is None and (is_own(task) or (task.name in _OWN and "measure_size" in task.options)):
        size = type(task).measure_size  # which a registered task may have changed, and this run did not
    return task if size is None else task.with_fields(measure_size=size)


def _described(name: str, options: dict[str, Any], trained_with: Mapping[str, Any]) -> Task:
    """The task of a name and what else its spec says."""
    if name in _OWN:
        return _own(name, options)
    held = "sha256" in options and not name.startswith(PREFIXES)
    if "class" in options or held or ("centres" not in options and built_in(name) is None):
        raise _unknown_here(name, options, trained_with)
    if "centres" in options:
        return Mixture(name=name, **options)
    digest = options.pop("sha256", None)
    task = find(name, **options)
    if digest is not None and isinstance(task, Arrays | Folder) and task.sha256 != digest:
        what, where = ("file", name.removeprefix("array:")) if isinstance(task, Arrays) else ("images", name)
        colours = isinstance(task, Arrays) and task.channels_last
        earlier = ", or an earlier version trained it, which took colours for rows; train again" if colours else ""
        raise UserError(f"The contents of {where} have changed since this run; restore the {what}{earlier}.")
    return task


def _own(name: str, told: Mapping[str, Any]) -> Task:
    """The registered task of that name, with the options that a spec tells.

    Raises:
        UserError: It is not the one that the spec describes.
    """
    task = _OWN[name]
    # What a field holds is told by a digest where it is no plain value; a digest is not to be put in its place.
    given = {key: told[key] for key in task.options if key in told and not isinstance(told[key], Mapping)}
    task = task.but(**given)
    is_now = {key: value for key, value in task.spec().items() if key not in ("name", "measure_size")}
    if "class" not in told:  # a run from before specs told it, and fields that are no options
        untold = {"class", *own_fields(task)} - set(task.options)
        is_now = {key: value for key, value in is_now.items() if key not in untold}
    if is_now != dict(told):
        raise UserError(f"Task {name!r} is defined otherwise than in this run; restore the definition it had.")
    return task


def _unknown_here(name: str, told: Mapping[str, Any], trained_with: Mapping[str, Any]) -> UserError:
    """The error for a task that only the user's code or arrays can bring back."""
    plugin, file = (clean(trained_with.get(key) or "") for key in ("plugin", "file"))
    if plugin:
        return UserError(
            f"Task {name!r} is the user's own and not known here; repeat the command with the `--plugin {plugin}` that"
            " it was trained with (or `plugins=`) if you trust that code."
        )
    if "sha256" in told and "class" not in told:
        return UserError(
            f"Task {name!r} was given as arrays in memory, which a run directory does not hold; pass the same "
            "uc.tasks.Arrays again, or save them with its save(FILE) and train on array:FILE."
        )
    if "class" not in told:  # a name mistyped in a file, or a run from before specs told the class
        known, see = [*TASKS, *_OWN], "If it is the user's own, name it with `--plugin module:attr`"
        return unknown("task", name, known, see=see)
    kind = f"class {clean(told['class'])}{f' in {file}' if file else ''}"
    return UserError(
        f"Task {name!r} is the user's own ({kind}) and not known here; repeat the command with the `--plugin"
        " module:attr` that names it, or give the object as `plugins=[...]`, if you trust that code."
    )


def _check_options(options: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    for option in options:
        if option not in allowed:
            raise unknown("task option", option, allowed)
