"""The code of a user's own classes without comments, and its digest: what was changed is known again.

`run_files` asks it for own parts, `networks/fingerprint.py` for the layers of own networks.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Iterator
from types import FunctionType

OURS = ("torch.", "uncollapse.")


def digest(kind: type) -> str:
    """12 hexadecimal digits over the code of a class, of its bases, and of what it uses of their modules.

    Comments and docstrings do not count, nor does what other modules define, nor what is not called by its plain name.
    """
    found: dict[str, str] = {}
    for base in written(kind):
        _gather(base, found)
    lines = "\n".join(f"{name}: {code}" for name, code in sorted(found.items()))
    return hashlib.sha256(lines.encode()).hexdigest()[:12]


def written(kind: type) -> list[type]:
    """The class and those it derives from, as far as they come neither from torch nor from here."""
    return [base for base in kind.__mro__ if base is not object and not base.__module__.startswith(OURS)]


@functools.cache
def code_of(thing: type | FunctionType) -> str:
    """The source of a class or function without comments and docstrings; empty where there is none, as at a prompt."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    except (OSError, TypeError, SyntaxError):
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _gather(thing: type | FunctionType, found: dict[str, str]) -> None:
    """Adds a class or function, and the functions, classes and constants of its module that its code names."""
    if thing.__qualname__ in found:
        return
    found[thing.__qualname__] = code_of(thing)
    for name, value in _named(thing):
        if isinstance(value, FunctionType | type):
            if value.__module__ == thing.__module__:
                _gather(value, found)
        elif isinstance(value, bool | int | float | str):
            found[name] = repr(value)


def _named(thing: type | FunctionType) -> Iterator[tuple[str, object]]:
    """What a class or function names of its module."""
    module = vars(sys.modules.get(thing.__module__, object))
    tree = ast.parse(code_of(thing))
    for name in {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}:
        if name in module:
            yield name, module[name]
