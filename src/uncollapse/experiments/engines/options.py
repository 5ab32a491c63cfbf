"""``--engine-option NAME=VALUE``: the settings of an engine, each a field of a frozen dataclass."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from uncollapse.errors import UserError, unknown

_WORDS = {int: "a whole number", float: "a number", str: "a text"}


def read_options(texts: Sequence[str], kinds: Sequence[type], engine: str) -> list[Any]:
    """One object of each kind, with what the texts say.

    Args:
        texts: ``NAME=VALUE`` each, as ``run_minutes=30``.
        kinds: Frozen dataclasses whose fields are numbers or texts, or None.
        engine: Name of the engine, for messages.

    Raises:
        UserError: A text has another form, names no field or one that was named before, or holds no such value.
    """
    homes = {field.name: kind for kind in kinds for field in fields(kind)}
    found: dict[type, dict[str, Any]] = {kind: {} for kind in kinds}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name or not value:
            raise UserError(f"--engine-option {text!r} is not of the form NAME=VALUE, such as run_minutes=30.")
        if name not in homes:
            raise unknown(f"option of the engine {engine},", name, homes)
        if name in found[homes[name]]:
            raise UserError(f"--engine-option {name} is given twice; give it once.")
        found[homes[name]][name] = _value(homes[name], name, value)
    return [kind(**found[kind]) for kind in kinds]


def _value(kind: type, name: str, text: str) -> int | float | str:
    hint = typing.get_type_hints(kind)[name]
    allowed = [part for part in (typing.get_args(hint) or (hint,)) if part is not types.NoneType]
    try:
        number: int | float | str = allowed[0](text)
    except ValueError as error:
        raise UserError(f"--engine-option {name}={text} is not possible; give {_WORDS[allowed[0]]}.") from error
    return number
