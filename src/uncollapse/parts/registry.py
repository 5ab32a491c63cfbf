"""The known parts by name, a user's own among them, and parts as JSON.

A part that a spec names is looked up here and never imported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import fields
from numbers import Integral, Real
from typing import Any

from uncollapse.errors import UserError, unknown
from uncollapse.parts import (
    conditioning,
    constraints,
    dynamics,
    generator_terms,
    losses,
    penalties,
    population,
    views,
)
from uncollapse.parts.kinds import annotated
from uncollapse.parts.scene import Part

_MODULES = (losses, penalties, generator_terms, constraints, views, conditioning, dynamics, population)
PARTS: dict[str, type[Part]] = {part.__name__: part for module in _MODULES for part in module.PARTS}
BUILT_IN = frozenset(PARTS)


def register_part(part: type[Part]) -> None:
    """Makes a user's own part known by its class name, so that specs can be read back.

    Args:
        part: A frozen dataclass that is a leaf of one of the contracts in `uncollapse.parts`.
    """
    if not (isinstance(part, type) and issubclass(part, Part) and dataclasses.is_dataclass(part)):
        raise UserError(f"{part!r} is not a part; derive a frozen dataclass from a contract in uncollapse.parts.")
    known = PARTS.get(part.__name__)
    if part.__name__ in BUILT_IN and known is not part:
        raise UserError(f"A part named {part.__name__} is built in; give your class another name.")
    PARTS[part.__name__] = part


def origin(part: type[Part]) -> str:
    """``module:Class`` of a part that is not built in; empty for the others."""
    # A worker process knows the script that started it by another name.
    module = part.__module__.replace("__mp_main__", "__main__")
    return "" if part.__name__ in BUILT_IN else f"{module}:{part.__qualname__}"


def to_json(value: Any) -> Any:
    """A part, with all parts in it, or a tuple of parts as JSON values; `from_json` reads them back."""
    if isinstance(value, Part):
        assert dataclasses.is_dataclass(value)
        kinds, names = annotated(type(value)), [item.name for item in fields(value)]
        content = {name: to_json(_plainly(getattr(value, name), kinds.get(name))) for name in names}
        plugin = {"plugin": own} if (own := origin(type(value))) else {}
        return {"part": type(value).__name__, **plugin, **content}
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    return value


def _plainly(value: Any, hint: Any) -> Any:
    """A number as Python's own of the kind that is meant, so that equal parts have equal JSON and equal hashes."""
    if hint is float and isinstance(value, Real) and not isinstance(value, bool):
        return float(value)
    return int(value) if hint is int and isinstance(value, Integral) and not isinstance(value, bool) else value


def from_json(value: Any) -> Any:
    """The part, or whatever else, that JSON values describe.

    Raises:
        UserError: It names a part or a field that is not known.
    """
    if isinstance(value, Mapping):
        name = value.get("part", "")
        if not isinstance(name, str) or name not in PARTS:
            if "plugin" in value:
                raise UserError(
                    f"This method uses the part {value['plugin']!r}, which is not built in;"
                    f" repeat the command with `--plugin {value['plugin']}` (or `plugins=`) if you trust that code."
                )
            raise unknown("part", name, PARTS)
        content = {key: from_json(item) for key, item in value.items() if key not in ("part", "plugin")}
        known = [item.name for item in fields(PARTS[name])]  # type: ignore[arg-type]
        for key in content:
            if key not in known:
                raise unknown(f"field of {name}", key, known)
        return PARTS[name](**content)
    if isinstance(value, list):
        return tuple(from_json(item) for item in value)
    return value
