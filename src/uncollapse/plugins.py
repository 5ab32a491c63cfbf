"""A user's own methods, parts and tasks, brought in by ``--plugin module:attr`` or ``plugins=[...]``.

Code is imported only because the user named it on the command line or passed it; never because a file asks for it.
"""

from __future__ import annotations

import importlib
import pickle
import re
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path

from uncollapse.errors import UserError, unknown

REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", re.ASCII)


def load_plugins(plugins: Iterable[object]) -> list[str]:
    """Registers what the plugins name.

    Args:
        plugins: ``"module:attr"`` references, or the objects themselves: a Method, a list of Methods, a Task or a
            part class.

    Returns:
        The names that exist now, one a registered object.

    Raises:
        UserError: A reference has another form, cannot be imported, or names something that is none of the four.
    """
    names: list[str] = []
    for plugin in plugins:
        found = resolve(plugin) if isinstance(plugin, str) else plugin
        many = found if isinstance(found, list | tuple) else [found]
        names += [_register(item, plugin) for item in many]
    return names


def resolve(reference: str, *, option: str = "--plugin", example: str = "my_methods:MINE") -> object:
    """The object that ``module:attr`` names, imported with the current folder on the path.

    Args:
        reference: What the user wrote, never a text from a file.
        option: How messages call where it was written.
        example: A reference of the kind that is wanted.

    Raises:
        UserError: The reference has another form, or there is no such module or attribute.
    """
    if not REFERENCE.fullmatch(reference):
        raise UserError(f"{option} {reference!r} is not of the form module:attr, such as {example}.")
    module_name, _, attribute = reference.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        with redirect_stdout(sys.stderr):  # what a module prints is no result
            module = importlib.import_module(module_name)
    except SystemExit as error:
        raise UserError(
            f"{option} {reference}: importing it ended in sys.exit({error.code!r}); put what a script does under"
            " `if __name__ == '__main__':`."
        ) from error
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise
        raise UserError(
            f"{option} {reference}: no module {module_name!r} in the current folder or among installed packages."
        ) from error
    except TypeError as error:
        if "abstract class" not in str(error):
            raise
        said = f"{str(error)[0].lower()}{str(error)[1:]}"
        raise UserError(f"{option} {reference}: {said}; write what is missing.") from error
    if not hasattr(module, attribute):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise unknown(f"attribute of module {module_name!r},", attribute, public)
    found: object = getattr(module, attribute)
    return found


def permit_networks(reference: str | None) -> None:
    """Lets runs that were trained with the user's own networks be opened in this process; None permits nothing.

    Args:
        reference: What the user wrote after ``--networks``.

    Raises:
        UserError: It cannot be imported, or names no networks.
    """
    if reference is not None:
        from uncollapse.networks.own import permit

        permit(reference)


def _register(item: object, plugin: object) -> str:
    from uncollapse import tasks
    from uncollapse.method import Method, own_parts
    from uncollapse.methods import register
    from uncollapse.parts.registry import register_part
    from uncollapse.parts.scene import Part

    reference = plugin if isinstance(plugin, str) else ""
    if isinstance(item, Method):
        own_parts(item)  # which also makes its parts known, so that specs naming them can be read
        register(item, reference)
        return item.name
    if isinstance(item, tasks.Task):
        tasks.register(item, reference)
        return item.name
    if isinstance(item, type) and issubclass(item, tasks.Task):
        raise UserError(
            f"--plugin {plugin}: Task {item.__name__} is a class; name an instance, such as MINE = {item.__name__}()."
        )
    if isinstance(item, type) and issubclass(item, Part):
        register_part(item)
        return item.__name__
    raise UserError(
        f"--plugin {plugin}: {type(item).__name__} is not a Method, a list of Methods, a Task or a part class."
    )


def plugin_options(plugins: Iterable[object]) -> str:
    """The plugins as command-line options, for the command that reproduces a result."""
    return "".join(f" --plugin {plugin}" for plugin in plugins if isinstance(plugin, str))


def bound_to_this_process(plugins: Iterable[object]) -> bool:
    """Whether a plugin object cannot reach a worker: it is made of what a notebook or a prompt defined."""
    objects = [plugin for plugin in plugins if not isinstance(plugin, str)]
    main = sys.modules["__main__"]
    script = getattr(main, "__file__", None)  # which is "<stdin>" where a script is read from there
    if not objects or getattr(main, "__spec__", None) or (script and Path(script).is_file()):
        return False
    try:
        return b"__main__" in pickle.dumps(objects)  # a pickle holds the module name of every class in it
    except (pickle.PicklingError, AttributeError, TypeError):
        return True
