"""What kind of value a setting of a part takes, told by its annotation: looked at once, when a part is made.

What this module does not know, as annotations of a user's own, is taken as it is.
"""

from __future__ import annotations

import functools
import inspect
import math
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from numbers import Integral, Real
from typing import Any

from uncollapse.errors import UserError
from uncollapse.text import clean

LARGEST = 2**63  # what a tensor can hold


def check_settings(made: type, values: Sequence[Any], named: Mapping[str, Any]) -> None:
    """Refuses settings of another kind than their annotations say, before anything is computed with them.

    Of a user's class that has an ``__init__`` or ``__post_init__`` of its own, which may turn what it is given into
    something else, nothing is refused.

    Args:
        made: The class of the part that is being made.
        values: Its settings by position.
        named: Its settings by name.

    Raises:
        UserError: The first one of another kind, with what is allowed; settings of what is no dataclass.
    """
    if (values or named) and made.__init__ is object.__init__:  # type: ignore[misc]
        raise UserError(f"{made.__name__} is no dataclass; put @dataclass(frozen=True, kw_only=True) above its class.")
    if not _checkable(made):
        return
    by_position = zip(_places(made), values, strict=False) if values else ()
    for name, value in (dict(by_position) | dict(named)).items():
        if (wanted := _wanted(annotated(made).get(name), value)) and not _is_default(made, name, value):
            raise UserError(f"{made.__name__}({name}={_shown(value)}) is not {wanted}; {_advice(made, name)}.")


@functools.cache
def _checkable(made: type) -> bool:
    """Whether what a call gives is what the fields will hold."""
    if not is_dataclass(made):
        return False
    own = made.__module__.partition(".")[0] != __package__.partition(".")[0]
    # The code of an __init__ that a dataclass has written lies in no file.
    written = made.__init__.__code__.co_filename != "<string>"
    return not own or not (written or hasattr(made, "__post_init__"))


@functools.cache
def annotated(made: type) -> dict[str, Any]:
    """Annotations of a class, read once; none, where they name what only the function that defines it knows."""
    try:
        return typing.get_type_hints(made)
    except (NameError, AttributeError, TypeError, SyntaxError):  # what looking up such a name, or using it, raises
        return {}


@functools.cache
def _places(made: type) -> list[str]:
    """Names of what the call of a class takes, in order."""
    return list(inspect.signature(made.__init__).parameters)[1:]  # type: ignore[misc]


def _wanted(hint: Any, value: Any) -> str:
    """What a value should have been; empty where it is that."""
    counts = isinstance(value, Integral) and not isinstance(value, bool)
    if hint is bool:
        return "" if isinstance(value, bool) else "true or false"
    if hint is int:
        return "" if counts and abs(value) < LARGEST else "a whole number"
    if hint is float:
        number = counts or (isinstance(value, Real) and not isinstance(value, bool))
        return "" if number and _finite(value) else "a finite number"
    if typing.get_origin(hint) is tuple:
        return "" if isinstance(value, Iterable) and not isinstance(value, str | Mapping | type) else "a tuple"
    if typing.get_origin(hint) is typing.Literal:
        allowed = typing.get_args(hint)
        named = any(type(value) is type(one) and value == one for one in allowed)
        return "" if named else f"one of {', '.join(map(repr, allowed))}"
    if inspect.isclass(hint) and is_contract(hint) and not isinstance(value, hint):
        return f"a {hint.__name__}"
    return ""


def _finite(value: Any) -> bool:
    """Whether a number is one as a float, too."""
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def is_contract(hint: type) -> bool:
    """Whether an annotation is one of the package's own abstract classes, as `Schedule`."""
    return hint.__module__.startswith(__package__) and not is_dataclass(hint)


def _shown(value: Any) -> str:
    """A value in a sentence, shortened."""
    try:
        text = clean(value.__name__ if isinstance(value, type) else repr(value))
    except Exception:  # a repr of the user's, or a number of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _default(made: type, name: str) -> Any:
    """The default of a field; MISSING where it has none."""
    return next((item.default for item in fields(made) if item.name == name), MISSING)


def _is_default(made: type, name: str, value: Any) -> bool:
    """Whether a value is what stands there anyway: a default of the user's may be of another kind than annotated."""
    usual = _default(made, name)
    return value is usual or (type(value) is type(usual) and isinstance(value, int | float) and value == usual)


def _advice(made: type, name: str) -> str:
    """What to do next: an example, where the setting has a usual value."""
    usual = _default(made, name)
    return "choose one" if usual is MISSING else f"{_shown(usual)} is the usual value"
