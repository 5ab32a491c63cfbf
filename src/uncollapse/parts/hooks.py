"""What the hooks of a user's own parts give back, looked at while a method is tried; built-in parts are never asked.

`first_update.py` tries a method with `watched` parts: a hook that gives something else than its contract says is
refused in one sentence that names it. What trains afterwards are the parts themselves.
"""

from __future__ import annotations

import copy
import inspect
from abc import ABCMeta
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from numbers import Integral, Real
from typing import Any, NamedTuple

from torch import Tensor, nn

from uncollapse.errors import UserError
from uncollapse.parts.conditioning import Conditioning
from uncollapse.parts.constraints import Constraint
from uncollapse.parts.dynamics import Foresight, Schedule
from uncollapse.parts.generator_terms import GeneratorTerm
from uncollapse.parts.losses import Loss
from uncollapse.parts.penalties import Penalty
from uncollapse.parts.population import Population
from uncollapse.parts.scene import Judgement, Part, Sizes
from uncollapse.parts.views import View

HEADS = tuple(item.name for item in fields(Judgement) if item.name not in ("score", "features"))
LAWS = ("uniform", "normal")
ONE_NUMBER = "one number as a tensor, such as a mean over the batch"


class Asked(NamedTuple):
    """How a hook was called: on which part, with what, at which sizes (None before they are known)."""

    part: Any
    given: tuple[Any, ...]
    sizes: Sizes | None


# What a hook should have given; empty where it did.
Rule = Callable[[Any, Asked], str]


def found(value: object) -> str:
    """A value as sentences call it."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {list(value.shape)}"
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)[:60]
    if isinstance(value, Mapping):
        inner = ", ".join(f"{name!r}: {found(one)}" for name, one in list(value.items())[:2])
        return f"{{{inner}{', ...' if len(value) > 2 else ''}}}"
    if isinstance(value, tuple | list) and len(value) <= 2:
        return f"({', '.join(map(found, value))})"
    return f"a {type(value).__name__}"


def _is_whole(value: object, least: int = 0) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def _is_number(value: object) -> bool:
    return value.shape == () if isinstance(value, Tensor) else isinstance(value, Real) and not isinstance(value, bool)


def _whole(least: int) -> Rule:
    return lambda value, asked: "" if _is_whole(value, least) else f"a whole number of {least} or more"


def _number(value: Any, asked: Asked) -> str:
    return "" if _is_number(value) else ONE_NUMBER


def _factor(value: Any, asked: Asked) -> str:
    return "" if _is_number(value) else "one number, the factor at this progress"


def _module(value: Any, asked: Asked) -> str:
    return "" if value is None or isinstance(value, nn.Module) else "a torch module, or None"


def _network(value: Any, asked: Asked) -> str:
    return "" if isinstance(value, nn.Module) else "a torch module of (inputs, index), such as population.Layers"


def _shaped(value: Any, *shape: int) -> str:
    right = isinstance(value, Tensor) and tuple(value.shape) == shape
    return "" if right else f"a tensor of shape {list(shape)}"


def _like(place: int) -> Rule:
    """As what the hook was given at one place."""
    return lambda value, asked: _shaped(value, *asked.given[place].shape)


def _heads(value: Any, asked: Asked) -> str:
    right = isinstance(value, Mapping) and all(name in HEADS and _is_whole(width) for name, width in value.items())
    return "" if right else f"a dict of widths, whole numbers, under names among {', '.join(HEADS)}"


def _noise(value: Any, asked: Asked) -> str:
    right = isinstance(value, Mapping) and all(
        isinstance(name, str)
        and isinstance(wish, tuple | list)
        and len(wish) == 2
        and wish[0] in LAWS
        and isinstance(wish[1], tuple | list)
        and all(_is_whole(side) for side in wish[1])
        for name, wish in value.items()
    )
    return "" if right else 'a dict of (law, shape) by name, as {"between": ("uniform", (16,))}, with uniform or normal'


def _judgement(value: Any, asked: Asked) -> str:
    score = value.score if isinstance(value, Judgement) else None
    shape = list(asked.given[0].score.shape)
    right = isinstance(score, Tensor) and list(score.shape) == shape
    return "" if right else f"a Judgement with a score of shape {shape}"


def _errors(value: Any, asked: Asked) -> str:
    return _shaped(value, len(asked.given[0]))


def _state(value: Any, asked: Asked) -> str:
    right = isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(one, Tensor) and one.shape == () and one.is_floating_point()
        for name, one in value.items()
    )
    return "" if right else 'a dict of tensors that hold one float each, as {"k": torch.zeros(())}'


def _next_state(value: Any, asked: Asked) -> str:
    names = list(asked.given[0])
    right = not _state(value, asked) and set(value) == set(names)
    named = ", ".join(map(repr, names)) or "nothing in it, as init_state does"
    return "" if right else f"a dict with {named}, each a tensor that holds one float"


def _unlike(value: Any, wanted: Mapping[str, Tensor]) -> str:
    """The first name under which two dicts of tensors differ in shape, or that only one of them has."""
    for name in (*wanted, *value):
        one, other = wanted.get(name), value.get(name)
        if not isinstance(one, Tensor) or not isinstance(other, Tensor) or one.shape != other.shape:
            return repr(name)
    return ""


def _tensors(value: Any, asked: Asked) -> str:
    right = isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(one, Tensor) for name, one in value.items()
    )
    return "" if right else "a dict of tensors by name"


def _projected(value: Any, asked: Asked) -> str:
    return _tensors(value, asked) or _all_of("parameter", value, asked.given[0])


def _used(value: Any, asked: Asked) -> str:
    if not isinstance(value, tuple | list) or len(value) != 2 or any(_tensors(one, asked) for one in value):
        return "a pair of dicts of tensors, (parameters, buffers)"
    return _all_of("parameter", value[0], asked.given[0]) or _all_of("buffer", value[1], asked.given[1])


def _all_of(what: str, value: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    wrong = _unlike(value, wanted)
    return f"every {what} under its name and in its shape ({wrong} is not)" if wrong else ""


def _packs(value: Any, asked: Asked) -> str:
    samples, group = asked.given[0], asked.part.group
    right = (
        isinstance(value, Tensor)
        and value.ndim > 1
        and len(value) == len(samples) // group
        and value.numel() == samples.numel()
    )
    shape = [len(samples) // group, group * samples.shape[1], *samples.shape[2:]]
    return "" if right else f"a tensor of shape {shape}, for packs of {group}"


def _summary(value: Any, asked: Asked) -> str:
    rows, width = asked.given[1].shape
    return _shaped(value, rows, width + asked.part.extra)


def _generator_input(value: Any, asked: Asked) -> str:
    rows, width = asked.given[1].shape
    return _shaped(value, rows, width + (asked.part.generator_extra(asked.sizes) if asked.sizes else 0))


def _critic_input(value: Any, asked: Asked) -> str:
    rows, width = asked.given[1].shape
    return _shaped(value, rows, width + (asked.part.critic_extra(asked.sizes) if asked.sizes else 0))


def _context(value: Any, asked: Asked) -> str:
    labels = asked.given[0]
    right = isinstance(value, Tensor) and value.ndim == 2 and (labels is None or len(value) == len(labels))
    return "" if value is None or right else "a tensor of one row a sample, or None"


# A loss's critic and generator are left to the trial, which says of the whole objective what is wrong with it.
RULES: dict[type[Part], dict[str, Rule]] = {
    Part: {"heads": _heads, "noise": _noise},
    Loss: {"judge": _judgement, "error": _errors, "init_state": _state, "next_state": _next_state},
    Penalty: {"__call__": _number},
    GeneratorTerm: {"__call__": _number},
    Constraint: {"init_buffers": _tensors, "reparameterise": _used, "project": _projected},
    View: {
        "extra": _whole(0), "group": _whole(1), "samples": _whole(1), "block": _whole(1),
        "pack": _packs, "alter": _like(0), "module": _module, "summarise": _summary,
    },
    Conditioning: {
        "generator_module": _module, "generator_extra": _whole(0), "generator_join": _generator_input,
        "context": _context, "critic_module": _module, "critic_extra": _whole(0), "critic_join": _critic_input,
        "score_module": _module, "score": _like(1),
    },
    Schedule: {"__call__": _factor, "for_critic": _factor, "for_generator": _factor},
    Foresight: {"known": _like(0)},
    Population: {"count": _whole(1), "members": _whole(1), "assemble": _network},
}  # fmt: skip
# What must follow a number that a user changed, though it may be the contract's own.
FOLLOWS = {
    "pack": "group",
    "summarise": "extra",
    "generator_join": "generator_extra",
    "critic_join": "critic_extra",
}


def watched(value: Any, sizes: Sizes | None = None) -> Any:
    """A part, or a tuple of parts, whose own hooks are looked at whenever they are called; the rest as it is.

    Args:
        value: A part with all parts in it, or a tuple of them.
        sizes: Of the task and the batch, where they are known.
    """
    if isinstance(value, tuple):
        return tuple(watched(item, sizes) for item in value)
    if not isinstance(value, Part) or not is_dataclass(value):
        return value
    made: Any = object.__new__(_watching(type(value), sizes))
    if hasattr(value, "__dict__"):
        vars(made).update(vars(value))  # past the properties of hooks, of which a cached one has left its value there
    rules = _rules(type(value))
    for item in fields(value):
        inner = getattr(value, item.name)
        if item.name in rules:  # a hook that is a setting
            _look(rules[item.name][0], type(value), item.name, inner, Asked(value, (), sizes))
        object.__setattr__(made, item.name, watched(inner, sizes))
    return made


def watched_method(method: Any, sizes: Sizes | None = None) -> Any:
    """The method with `watched` parts."""
    made = copy.copy(method)
    for item in fields(method):
        object.__setattr__(made, item.name, watched(getattr(method, item.name), sizes))
    return made


def _watching(kind: type[Part], sizes: Sizes | None) -> Any:
    """The class, or one derived from it under the same name, if it has hooks that a user wrote."""
    held = {item.name for item in fields(kind)}  # type: ignore[arg-type]  # `watched` looks at these itself
    rules = {
        name: (rule, isinstance(inspect.getattr_static(contract, name), property))
        for name, (rule, contract) in _rules(kind).items()
        if name not in held
    }
    if not rules:
        return kind
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__, "__slots__": ()}
    made: Any = ABCMeta(kind.__name__, (kind,), names)
    for name, (rule, plain) in rules.items():
        setattr(made, name, _hook(made, name, rule, sizes, plain=plain))
    return made


def _rules(kind: type[Part]) -> dict[str, tuple[Rule, type[Part]]]:
    """The hooks of a class that a user wrote -> what they must give, and the contract that says so."""
    return {
        name: (rule, contract)
        for contract, hooks in RULES.items()
        if issubclass(kind, contract)
        for name, rule in hooks.items()
        if _is_own(kind, name) or (name in FOLLOWS and _is_own(kind, FOLLOWS[name]))
    }


def _look(rule: Rule, kind: type[Part], name: str, value: Any, asked: Asked) -> Any:
    """A value that a hook gives, if it is what its contract says."""
    if wanted := rule(value, asked):
        said = kind.__name__ if name == "__call__" else f"{kind.__name__}.{name}"
        raise UserError(f"{said} gives {found(value)}; return {wanted}.")
    return value


def _is_own(kind: type[Part], name: str) -> bool:
    """Whether a user wrote this hook, be it in a base of the class."""
    owner = next(base for base in kind.__mro__ if name in vars(base))
    return owner.__module__.partition(".")[0] != "uncollapse"


def _hook(made: type[Part], name: str, rule: Rule, sizes: Sizes | None, *, plain: bool) -> Any:
    """The hook of a watching class: what the user's gives, looked at."""

    def called(part: Any, *given: Any, **named: Any) -> Any:
        hook = getattr(super(made, part), name)
        value = hook(*given, **named)
        if named:  # by name, as one hook of a user's part may call another
            given = inspect.signature(hook).bind(*given, **named).args
        return _look(rule, made, name, value, Asked(part, given, sizes))

    def read(part: Any) -> Any:
        return _look(rule, made, name, getattr(super(made, part), name), Asked(part, (), sizes))

    return property(read) if plain else called
