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
from uncollapse.source_code import failure

REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", re.ASCII)
MISSING = object()


def load_plugins(plugins: Iterable[object]) -> list[str]:
    """Registers what the plugins name.

    Args:
        plugins: ``"module:attr"`` references, or the objects themselves: a Method, a list of Methods, a Task or a
            part class.

    Returns:
        The names that exist now, one a registered object.

    Raises:
        UserError: A reference has another form, cannot be imported, or names something that is none of the four; or two
            methods have one name.
    """
    every: list[tuple[object, object]] = []
    for plugin in plugins:
        found = resolve(plugin) if isinstance(plugin, str) else plugin
        every += [(item, plugin) for item in (found if isinstance(found, list | tuple) else [found])]
    _check_names(every)
    return [_register(item, plugin) for item, plugin in every]


def _check_names(every: Iterable[tuple[object, object]]) -> None:
    """Refuses two different methods of one name, of which a plan could only mean one."""
    from uncollapse.method import Method

    seen: dict[str, Method] = {}
    for item, plugin in every:
        if isinstance(item, Method) and seen.setdefault(item.name, item) != item:
            where = f"--plugin {plugin}" if isinstance(plugin, str) else "plugins"
            raise UserError(
                f"{where}: two different methods are called {item.name!r}; give each a name of its own, as by"
                ' .but(name="...").'
            )


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
            found: object = getattr(module, attribute, MISSING)
    except UserError:
        raise
    except SystemExit as error:
        raise UserError(
            f"{option} {reference}: importing it ended in sys.exit({error.code!r}); put what a script does under"
            " `if __name__ == '__main__':`."
        ) from error
    except Exception as error:
        raise UserError(f"{option} {reference}: {_why_not(module_name, error)}.") from error
    if found is MISSING:
        public = [name for name in vars(module) if not name.startswith("_")]
        raise unknown(f"attribute of module {module_name!r},", attribute, public)
    return found


def _why_not(module: str, error: Exception) -> str:
    """Why a module cannot be imported."""
    if isinstance(error, ModuleNotFoundError) and error.name and (module + ".").startswith(error.name + "."):
        return f"no module {module!r} in the current folder or among installed packages"
    if isinstance(error, TypeError) and "abstract class" in str(error):
        said = str(error)
        return f"{said[0].lower()}{said[1:]}; write what is missing"
    return f"importing it fails: {failure(error)}"


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
