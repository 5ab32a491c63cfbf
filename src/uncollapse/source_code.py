"""The code of a user's own classes without comments, and its digest: what was changed is known again.

`method` asks it for own parts, `networks/fingerprint.py` for the layers of own networks.
"""

from __future__ import annotations

import ast
import functools
import inspect
import sys
import textwrap
import traceback
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from types import FunctionType

from uncollapse.text import reason

OURS = ("torch", "uncollapse")


@functools.cache
def digest(kind: type) -> str:
    """12 hexadecimal digits over the code of a class, of its bases, and of what they name of their modules.

    Counted are functions, classes and assignments at the top of those modules, as they are written; comments,
    docstrings, names of files, and what other modules hold are not. Empty where a class has no source, as at a prompt.
    The file is read at the first call, which should come soon after the import.
    """
    codes = [code for base in written(kind) for code in _closure(base)]
    return sha256("\n".join(codes).encode()).hexdigest()[:12] if all(codes) else ""


def written(kind: type) -> list[type]:
    """The class and those it derives from, as far as they come neither from torch, nor from Python, nor from here."""
    return [base for base in kind.__mro__ if base.__module__.partition(".")[0] not in (*OURS, *sys.stdlib_module_names)]


def function_code(function: FunctionType) -> str:
    """12 hexadecimal digits over the code of a function and of what it names of its module; empty for a library's.

    Where lines do not tell it from others, as of two lambdas in one line or at a prompt, its byte code counts too.
    """
    if function.__module__.partition(".")[0] in (*OURS, *sys.stdlib_module_names):
        return ""
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        source = ""
    # What cannot be read alone is a part of a statement.
    codes = list(_closure(function)) if _tree(function) is not None else [source.strip()]
    if not source or source.count("lambda") > 1:
        code = function.__code__
        consts = [repr(one) for one in code.co_consts if not inspect.iscode(one)]
        codes += [code.co_code.hex(), *code.co_names, *consts]
    return sha256("\n".join(codes).encode()).hexdigest()[:12]


def code_of(kind: type | FunctionType) -> str:
    """The code of a class or function as its syntax tree in one line, without comments and docstrings.

    Every version of Python that can read the code gives the same; empty where there is no source, as at a prompt.
    """
    tree = _tree(kind)
    return "" if tree is None else _told(tree)


def place(error: BaseException) -> str:
    """Where in a user's file an exception came from, as ``mine.py, line 3``; empty if no frame is the user's.

    Frames of installed packages are passed over where there are others, because the user's line called them.
    """
    frames = [
        (Path(frame.f_code.co_filename), line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] not in (*OURS, *sys.stdlib_module_names)
    ]
    last = [(path, line) for path, line in frames if not {"site-packages", "dist-packages"} & set(path.parts)] or frames
    return f"{last[-1][0].name}, line {last[-1][1]}" if last else ""


def failure(error: BaseException) -> str:
    """An exception of the user's code in one line, with the file and line that it came from."""
    where = place(error)
    return f"{reason(error)} ({where})" if where else reason(error)


def _closure(kind: type | FunctionType) -> Iterator[str]:
    """The code of a class or function, and of what it names of its module, and so on; the code decides the order."""
    yield code_of(kind)
    tree = _tree(kind)
    top, waiting = _top(kind.__module__), [] if tree is None else [tree]
    seen = {kind.__qualname__}
    while waiting:
        for name in sorted(_names(waiting.pop()) - seen):
            seen.add(name)
            for statement in top.get(name, ()):
                waiting.append(statement)
                yield f"{name}: {_told(statement)}"


@functools.cache
def _tree(kind: type | FunctionType) -> ast.AST | None:
    """The bare syntax tree of a class or function; None where there is no source, or a part of a statement."""
    try:
        return _bare(ast.parse(textwrap.dedent(inspect.getsource(kind))))
    except (OSError, TypeError, SyntaxError):
        return None


def _names(tree: ast.AST) -> set[str]:
    """The plain names in a code."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _top(module: str) -> Mapping[str, list[ast.AST]]:
    """Name -> the statements that define it at the top of a module, imports left out."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (KeyError, OSError, TypeError, SyntaxError):
        return {}
    found: dict[str, list[ast.AST]] = {}
    for node in tree.body:
        for name in _defined(node):
            found.setdefault(name, []).append(_bare(node))
    return found


def _defined(node: ast.stmt) -> set[str]:
    """The names that a statement defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return set()
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}


def _bare(tree: ast.AST) -> ast.AST:
    """A syntax tree without docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _told(part: object) -> str:
    """A part of a syntax tree in one line.

    `ast.unparse` quotes differently, and `ast.dump` shows other empty fields, from one version of Python to the next.
    """
    if isinstance(part, list):
        return f"[{', '.join(map(_told, part))}]"
    if not isinstance(part, ast.AST):
        return repr(part)
    told = [(name, value) for name, value in ast.iter_fields(part) if name != "kind"]  # u"..." is "..."
    fields = [(name, value) for name, value in told if value is not None and value != []]
    if isinstance(part, ast.JoinedStr):
        fields = [("values", _joined(part.values))]
    return f"{type(part).__name__}({', '.join(f'{name}={_told(value)}' for name, value in fields)})"


def _joined(values: list[ast.expr]) -> list[ast.expr]:
    """The parts of an f-string, texts beside each other as one: Python 3.12 splits them, and adds empty ones."""
    found: list[ast.expr] = []
    for value in values:
        last = found[-1] if found else None
        if isinstance(value, ast.Constant) and value.value == "":
            continue
        if isinstance(value, ast.Constant) and isinstance(last, ast.Constant):
            found[-1] = ast.Constant(str(last.value) + str(value.value))
        else:
            found.append(value)
    return found
