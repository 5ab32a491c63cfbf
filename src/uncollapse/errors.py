"""The one error type for what a user gave wrongly, and the sentence that names the nearest known name.

Whatever a user can get wrong raises `UserError` with one sentence: what, which value, what is allowed, what to do
next. The command line prints it on one line and exits with 2.
"""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable

# The name under which `files.write_atomic` writes NAME until it is whole.
TEMPORARY = re.compile(r"\.([^/]+)\.\d+\.tmp$")


class UserError(ValueError):
    """Something the user gave cannot be used; the message is one complete sentence."""


def unknown(kind: str, name: object, allowed: Iterable[str], *, see: str = "") -> UserError:
    """The error for a name that is not in a list, naming its nearest neighbours.

    Args:
        kind: What was looked up, for example ``"method"``.
        name: What the user wrote.
        allowed: The names that exist.
        see: A next step, for example ``"`uncollapse methods` lists them"``; by default all names when they are few.

    Returns:
        The error, to be raised by the caller.
    """
    names = sorted(str(item) for item in allowed)
    starting = [item for item in names if item.startswith(str(name).lower())]
    near = (starting or difflib.get_close_matches(str(name).lower(), names, n=3, cutoff=0.5))[:3]
    guess = f"; did you mean {' or '.join(repr(item) for item in near)}?" if near else "."
    listing = f" Known: {', '.join(names)}." if len(names) <= 16 and not see else (f" {see}." if see else "")
    return UserError(f"There is no {kind} {str(name)!r}{guess}{listing}")


def system_sentence(error: OSError) -> str:
    """What the operating system refused as one sentence: which file, why, and what to do where that is known.

    >>> system_sentence(OSError(30, "Read-only file system", "runs/.result.json.4711.tmp"))
    'runs/result.json cannot be written: read-only file system; choose another folder by --out.'
    >>> system_sentence(OSError("The disk is full."))
    'The disk is full.'
    """
    if error.errno is None or not error.strerror:
        return str(error)
    where = TEMPORARY.sub(r"\1", str(error.filename)) if error.filename is not None else ""
    why = f"{error.strerror[0].lower()}{error.strerror[1:]}"
    if error.errno == errno.EROFS:
        return f"{where or 'A file'} cannot be written: {why}; choose another folder by --out."
    hint = "; change its permissions, or choose another path" if error.errno in (errno.EACCES, errno.EPERM) else ""
    return f"{where}: {why}{hint}." if where else f"{error.strerror}."
