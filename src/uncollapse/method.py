"""The `Method` type: one frozen object of orthogonal axes, its changes, its dotted settings and its JSON.

A row of `methods.py` states what differs from the baseline; `game.py` plays any `Method` without knowing which it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
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
    registry,
    views,
)
from uncollapse.parts.scene import Law, Part, Sizes
from uncollapse.parts.settings import NoSetting, changed, leaves
from uncollapse.source_code import digest
from uncollapse.text import clean


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

    def __post_init__(self) -> None:
        """Takes lists and single parts where several may stand, and refuses what is no part of its axis."""
        for axis, contract in CONTRACTS.items():
            value = getattr(self, axis)
            if axis in SEVERAL:
                value = tuple(value) if isinstance(value, list | tuple) else (value,)
                object.__setattr__(self, axis, value)
            for part in value if axis in SEVERAL else (value,):
                _check_part(part, axis, contract)
        own_code(self)  # which reads files once, now, and not after somebody has edited them

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
        """This method with some axes replaced, as ``VANILLA.but(name="mine", view=Packed(2))``.

        Facts go along unless a part is exchanged for one of another kind: then they are no longer those of its paper.
        """
        for name in changes:
            if name not in (known := [axis.name for axis in fields(self)]):
                raise unknown("axis of a method", name, known)
        made = replace(self, **changes)
        if "facts" in changes or not (others := [axis for axis in AXES if self._kinds(axis) != made._kinds(axis)]):
            return made
        idea = f"{self.name} with {', '.join(f'{axis}={_short(getattr(made, axis))}' for axis in others)}."
        sensitive = self.facts.sensitive if self.facts.sensitive in made.settings() else ""
        return replace(made, facts=Facts(idea=idea, sensitive=sensitive))

    def _kinds(self, axis: str) -> list[type[Part]]:
        """The classes of the parts on an axis."""
        return [type(part) for part in _nested(getattr(self, axis))]

    def with_setting(self, path: str, value: Any) -> Method:
        """This method with one number replaced, as ``with_setting("penalties.0.weight", 0.1)``.

        A part within a part is given as it is, ``with_setting("dynamics.schedule", Cosine(final=0.1))``, or as JSON,
        ``{"part": "Cosine", "final": 0.1}``.
        """
        axis, _, rest = path.partition(".")
        if axis not in AXES or not rest:
            raise unknown("setting", path, list(self.settings()))
        try:
            return replace(self, **{axis: changed(getattr(self, axis), rest.split("."), value, path)})
        except NoSetting:
            raise unknown(f"setting of {self.name}", path, list(self.settings())) from None

    def settings(self) -> dict[str, Any]:
        """Every number that `with_setting` can replace, by dotted path."""
        return {f"{axis}.{path}": value for axis in AXES for path, value in leaves(getattr(self, axis))}

    def spec(self) -> dict[str, Any]:
        """This method as JSON; `from_spec` reads it back."""
        return {"name": self.name, **{axis: registry.to_json(getattr(self, axis)) for axis in AXES}}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """The method of a spec; parts are looked up by name among the known ones and never imported."""
        unknown_axes = [name for name in spec if name not in (*AXES, "name")]
        if unknown_axes:
            raise unknown("axis of a method", unknown_axes[0], AXES)
        return cls(name=spec["name"], **{axis: registry.from_json(spec[axis]) for axis in AXES if axis in spec})

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
# In bytes; a file system allows 255, and a directory's name holds the task and a hash as well.
LONGEST_NAME = 100
SEVERAL = ("penalties", "generator_terms")

# Parts whose first number says so much that it is shown even when it is the default.
SHOWN = (penalties.Penalty, constraints.Constraint, views.View)


def _check_part(part: object, axis: str, contract: type[Part]) -> None:
    """Refuses what an axis cannot hold."""
    if isinstance(part, type) and issubclass(part, contract):
        raise UserError(f"{axis} = {part.__name__} is a class; give an instance, {part.__name__}().")
    if not isinstance(part, contract):
        raise UserError(f"{part!r} does not fit the axis {axis!r}, which takes a {contract.__name__}.")
    if not is_dataclass(part):
        name = type(part).__name__
        raise UserError(f"{name} is no dataclass; put @dataclass(frozen=True, kw_only=True) above its class.")


def check_name(name: object) -> None:
    """Refuses the name of a method that no directory can have and no command line can say.

    Raises:
        UserError: What is allowed.
    """
    wrong = not isinstance(name, str) or not name.strip() or name != name.strip() or name[0] in ".-"
    if wrong or len(str(name).encode()) > LONGEST_NAME or clean(name) != name or set(str(name)) & set("/\\"):
        said = clean(name) if len(str(name)) < LONGEST_NAME else f"{clean(name)[:40]}..."
        raise UserError(
            f"A method cannot be called {said!r}, because its runs' directories bear its name; use at"
            f" most {LONGEST_NAME} letters, digits and signs such as - _ . +, without / and \\, beginning with neither"
            " . nor -."
        )


def own_names(method: Method) -> list[str]:
    """``module:Class`` of each part of a method that is not built in."""
    return [name for part in method.nested_parts() if (name := registry.origin(type(part)))]


def own_parts(method: Method) -> list[str]:
    """The same, after which specs that name these parts can be read."""
    for part in method.nested_parts():
        if registry.origin(type(part)):
            registry.register_part(type(part))
    return own_names(method)


def own_code(method: Method) -> dict[str, str]:
    """``module:Class`` -> a digest of its code, for each part of a method that is not built in and has a source."""
    own = {name: kind for part in method.nested_parts() if (name := registry.origin(kind := type(part)))}
    return {name: code for name, kind in own.items() if (code := digest(kind))}


def _nested(value: Any) -> Iterator[Part]:
    """Every part in a value, parts within parts included."""
    if isinstance(value, tuple):
        for item in value:
            yield from _nested(item)
    elif isinstance(value, Part):
        yield value
        for item in fields(value):  # type: ignore[arg-type]
            yield from _nested(getattr(value, item.name))


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
