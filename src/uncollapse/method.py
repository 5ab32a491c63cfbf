"""The `Method` type: one frozen object of orthogonal axes, its changes, its dotted settings and its JSON.

A row of `methods.py` states what differs from the baseline; `game.py` plays any `Method` without knowing which it is.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

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
from uncollapse.parts.scene import Law, Part, Sizes


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a method, for the lists, the report and the documentation.

    Attributes:
        paper: Authors, year and title.
        arxiv: arXiv number, or another permanent address.
        idea: The core idea in one sentence.
        strengths: What it is good at.
        weaknesses: What it is bad at.
        complexity: Effort of implementing it: ``"low"``, ``"medium"`` or ``"high"``.
        sensitive: The one setting that matters most, as a dotted path; empty if none stands out.
        differs: Every deviation from the paper, a sentence each.
        equation: What is played, in a few lines of TeX-free mathematics.
        fails: When it fails and how that looks.
    """

    paper: str = ""
    arxiv: str = ""
    idea: str = ""
    strengths: str = ""
    weaknesses: str = ""
    complexity: str = ""
    sensitive: str = ""
    differs: tuple[str, ...] = ()
    equation: str = ""
    fails: str = ""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way of training a GAN, as data.

    Attributes:
        name: Name in lists, plans and directories.
        loss: What critic and generator minimise.
        penalties: Summed into the critic's objective.
        generator_terms: Summed into the generator's objective.
        constraint: On the critic's weights.
        view: How the critic sees a batch.
        conditioning: What labels add.
        dynamics: Steps, rates, averaging, unrolling.
        population: Who draws which sample.
        facts: What is known of it; not part of what is trained.
    """

    name: str
    loss: losses.Loss = losses.NonSaturating()  # noqa: RUF009 (frozen parts are safe to share)
    penalties: tuple[penalties.Penalty, ...] = ()
    generator_terms: tuple[generator_terms.GeneratorTerm, ...] = ()
    constraint: constraints.Constraint = constraints.Free()  # noqa: RUF009
    view: views.View = views.Plain()  # noqa: RUF009
    conditioning: conditioning.Conditioning = conditioning.Unconditional()  # noqa: RUF009
    dynamics: dynamics.Dynamics = dynamics.Dynamics()  # noqa: RUF009
    population: population.Population = population.OneGenerator()  # noqa: RUF009
    facts: Facts = field(default=Facts(), compare=False)

    @property
    def labelled(self) -> bool:
        """Whether it needs labels."""
        return self.conditioning.labelled

    @property
    def generator_sees_real(self) -> bool:
        """Whether a generator step looks at real samples."""
        terms = any(term.generator_sees_real for term in self.generator_terms)
        return self.loss.generator_sees_real or terms or self.dynamics.unroll > 0

    def parts(self) -> Iterator[Part]:
        """Every part, penalties and terms included."""
        yield from (self.loss, *self.penalties, *self.generator_terms, self.constraint)
        yield from (self.view, self.conditioning, self.dynamics, self.population)

    def nested_parts(self) -> Iterator[Part]:
        """Every part, and the parts within them."""
        return _nested(tuple(self.parts()))

    def heads(self, sizes: Sizes) -> dict[str, int]:
        """The extra critic heads that the parts read: `Judgement` field -> width."""
        found: dict[str, int] = {}
        for part in self.parts():
            for name, width in part.heads(sizes).items():
                if found.setdefault(name, width) != width:
                    raise UserError(
                        f"{self.name} asks for {name} of {found[name]} and of {width} numbers; drop one part."
                    )
        return found

    def noise(self, sizes: Sizes) -> dict[str, tuple[Law, tuple[int, ...]]]:
        """The numbers that loss, view, penalties and terms need drawn: ``axis.position.name`` -> (law, shape)."""
        owners: list[tuple[str, Part]] = [("loss", self.loss), ("view", self.view)]
        owners += [
            (f"{axis}.{position}", part) for axis in SEVERAL for position, part in enumerate(getattr(self, axis))
        ]
        return {f"{owner}.{name}": wish for owner, part in owners for name, wish in part.noise(sizes).items()}

    @property
    def follows_budget(self) -> bool:
        """Whether the numbers of a run depend on how many updates it is meant to have."""
        return any(part.follows_budget for part in self.nested_parts())

    def but(self, **changes: Any) -> Method:
        """This method with some axes replaced, as ``VANILLA.but(name="mine", view=Packed(2))``."""
        for name in changes:
            if name not in (known := [axis.name for axis in fields(self)]):
                raise unknown("axis of a method", name, known)
        return replace(self, **changes)

    def with_setting(self, path: str, value: Any) -> Method:
        """This method with one number replaced, as ``with_setting("penalties.0.weight", 0.1)``.

        A part within a part is given as ``with_setting("dynamics.schedule", {"part": "Cosine", "final": 0.0})``.
        """
        axis, _, rest = path.partition(".")
        if axis not in AXES or not rest:
            raise unknown("setting", path, list(self.settings()))
        return replace(self, **{axis: _with(getattr(self, axis), rest.split("."), value, path, self)})

    def settings(self) -> dict[str, Any]:
        """Every number that `with_setting` can replace, by dotted path."""
        return {f"{axis}.{path}": value for axis in AXES for path, value in _leaves(getattr(self, axis))}

    def spec(self) -> dict[str, Any]:
        """This method as JSON; `from_spec` reads it back."""
        return {"name": self.name, **{axis: _to_json(getattr(self, axis)) for axis in AXES}}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """The method of a spec; parts are looked up by name among the known ones and never imported."""
        unknown_axes = [name for name in spec if name not in (*AXES, "name")]
        if unknown_axes:
            raise unknown("axis of a method", unknown_axes[0], AXES)
        values = {axis: _from_json(spec[axis]) for axis in AXES if axis in spec}
        for axis, value in values.items():
            contract, several = CONTRACTS[axis], isinstance(value, tuple)
            parts = value if several else (value,)
            if several != (axis in SEVERAL) or not all(isinstance(part, contract) for part in parts):
                raise UserError(f"{spec[axis]!r} does not fit the axis {axis!r}, which takes a {contract.__name__}.")
        return cls(name=spec["name"], **values)

    def describe(self) -> str:
        """The axes that differ from the baseline, in one line of Python."""
        default = Method(name="")
        changed = [axis for axis in AXES if getattr(self, axis) != getattr(default, axis)]
        return ", ".join(f"{axis}={_short(getattr(self, axis))}" for axis in changed) or "the baseline"


AXES: tuple[str, ...] = tuple(axis.name for axis in fields(Method) if axis.name not in ("name", "facts"))

CONTRACTS: dict[str, type[Part]] = {
    "loss": losses.Loss,
    "penalties": penalties.Penalty,
    "generator_terms": generator_terms.GeneratorTerm,
    "constraint": constraints.Constraint,
    "view": views.View,
    "conditioning": conditioning.Conditioning,
    "dynamics": dynamics.Dynamics,
    "population": population.Population,
}
SEVERAL = ("penalties", "generator_terms")

_MODULES = (losses, penalties, generator_terms, constraints, views, conditioning, dynamics, population)
PARTS: dict[str, type[Part]] = {part.__name__: part for module in _MODULES for part in module.PARTS}
_BUILT_IN = frozenset(PARTS)
# Parts whose first number says so much that it is shown even when it is the default.
SHOWN = (penalties.Penalty, constraints.Constraint, views.View)


def register_part(part: type[Part]) -> None:
    """Makes a user's own part known by its class name, so that specs can be read back.

    Args:
        part: A frozen dataclass that is a leaf of one of the contracts in `uncollapse.parts`.
    """
    if not (isinstance(part, type) and issubclass(part, Part) and dataclasses.is_dataclass(part)):
        raise UserError(f"{part!r} is not a part; derive a frozen dataclass from a contract in uncollapse.parts.")
    known = PARTS.get(part.__name__)
    if part.__name__ in _BUILT_IN and known is not part:
        raise UserError(f"A part named {part.__name__} is built in; give your class another name.")
    PARTS[part.__name__] = part


def own_parts(method: Method) -> list[str]:
    """``module:Class`` of each part of a method that is not built in."""
    names = []
    for part in method.nested_parts():
        if type(part).__name__ not in _BUILT_IN:
            names.append(f"{type(part).__module__}:{type(part).__qualname__}")
            register_part(type(part))
    return names


def _to_json(value: Any) -> Any:
    if isinstance(value, Part):
        assert dataclasses.is_dataclass(value)
        hints = _hints(type(value))
        content = {item.name: _to_json(_plainly(getattr(value, item.name), hints[item.name])) for item in fields(value)}
        name = type(value).__name__
        origin = {} if name in _BUILT_IN else {"plugin": f"{type(value).__module__}:{type(value).__qualname__}"}
        return {"part": name, **origin, **content}
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    return value


_hints = functools.cache(typing.get_type_hints)  # evaluating annotations takes longer than all the rest of a spec


def _plainly(value: Any, hint: Any) -> Any:
    """A whole number as the float that is meant, so that equal parts have equal JSON and equal hashes."""
    return float(value) if hint is float and type(value) is int else value


def _from_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        name = value.get("part", "")
        if name not in PARTS:
            if "plugin" in value:
                raise UserError(
                    f"This method uses the part {value['plugin']!r}, which is not built in;"
                    f" repeat the command with `--plugin {value['plugin']}` (or `plugins=`) if you trust that code."
                )
            raise unknown("part", name, PARTS)
        content = {key: _from_json(item) for key, item in value.items() if key not in ("part", "plugin")}
        known = [item.name for item in fields(PARTS[name])]  # type: ignore[arg-type]
        for key in content:
            if key not in known:
                raise unknown(f"field of {name}", key, known)
        return PARTS[name](**content)
    if isinstance(value, list):
        return tuple(_from_json(item) for item in value)
    return value


def _nested(value: Any) -> Iterator[Part]:
    """Every part in a value, parts within parts included."""
    if isinstance(value, tuple):
        for item in value:
            yield from _nested(item)
    elif isinstance(value, Part):
        yield value
        for item in fields(value):  # type: ignore[arg-type]
            yield from _nested(getattr(value, item.name))


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of every number below a part or a tuple of parts."""
    inner: Sequence[tuple[str, Any]]
    if isinstance(value, Part):
        inner = [(item.name, getattr(value, item.name)) for item in fields(value)]  # type: ignore[arg-type]
    elif isinstance(value, tuple) and all(isinstance(item, Part) for item in value):
        inner = [(str(position), item) for position, item in enumerate(value)]
    else:
        yield prefix, value
        return
    for name, item in inner:
        yield from _leaves(item, f"{prefix}.{name}" if prefix else name)


def _with(value: Any, path: list[str], new: Any, whole: str, method: Method) -> Any:
    """`value` with what stands at `path` replaced; the error names the whole path."""
    head, *rest = path
    if isinstance(value, tuple) and head.isdigit() and int(head) < len(value):
        items = list(value)
        if not rest and isinstance(items[int(head)], Part):
            raise UserError(f"{whole} is a part, not a number; set one of its own numbers, or use .but() in Python.")
        items[int(head)] = _with(items[int(head)], rest, new, whole, method) if rest else new
        return tuple(items)
    names = [item.name for item in fields(value)] if isinstance(value, Part) else []  # type: ignore[arg-type]
    if head not in names:
        raise unknown(f"setting of {method.name}", whole, list(method.settings()))
    old = getattr(value, head)
    if rest:
        changed = _with(old, rest, new, whole, method)
    else:
        changed = _checked(new, typing.get_type_hints(type(value)).get(head), old, whole)
    return replace(value, **{head: changed})


def _checked(new: Any, hint: Any, old: Any, path: str) -> Any:
    """A new value of the kind that stood there: numbers for numbers, lists for tuples."""
    if isinstance(old, Part):
        return _other_part(new, hint, path)
    if hint is float and isinstance(new, int) and not isinstance(new, bool):
        return float(new)
    if isinstance(old, tuple) and isinstance(new, list):
        new = tuple(new)
    if isinstance(old, int) and not isinstance(old, bool) and isinstance(new, float) and new.is_integer():
        new = int(new)
    if type(new) is not type(old):
        kind = {"int": "a whole number", "float": "a number", "tuple": "a list of numbers", "bool": "true or false"}
        wanted = kind.get(type(old).__name__, "text")
        raise UserError(f"{path} = {new!r} is not of the right kind; give {wanted}, as {_plain(old)!r} is now.")
    return new


def _other_part(new: Any, contract: Any, path: str) -> Part:
    """The part that a mapping as ``{"part": "Cosine", "final": 0.1}`` describes, of the kind that stood there."""
    if not isinstance(new, Mapping):
        raise UserError(
            f"{path} is a part, not a number; set one of its own numbers, or give a part as"
            ' {part = "Cosine", final = 0.1}.'
        )
    made: Part = _from_json(new)
    fits: bool = isinstance(made, contract)
    if not fits:
        raise UserError(f"{path} takes a {contract.__name__}, and {type(made).__name__} is none.")
    return made


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _short(value: Any) -> str:
    """A part as the Python that makes it, without its defaults."""
    if isinstance(value, tuple):
        return "(" + ", ".join(_short(item) for item in value) + ("," if len(value) == 1 else "") + ")"
    if not isinstance(value, Part):
        return repr(value)
    given = [
        f"{item.name}={_short(getattr(value, item.name))}"
        for position, item in enumerate(fields(value))  # type: ignore[arg-type]
        if getattr(value, item.name) != item.default or (position == 0 and isinstance(value, SHOWN))
    ]
    return f"{type(value).__name__}({', '.join(given)})"
