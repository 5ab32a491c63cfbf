"""The few pairs of parts that do not compose with each other or with a task, each with its sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from uncollapse.errors import UserError
from uncollapse.method import Method
from uncollapse.parts.scene import Sizes


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One refusal.

    Attributes:
        name: What is refused.
        broken: Whether a method and sizes break the rule.
        sentence: What to say: what, which value, what is allowed, what to do next.
    """

    name: str
    broken: Callable[[Method, Sizes], bool]
    sentence: Callable[[Method, Sizes], str]


def _per_sample(method: Method) -> str:
    return next(type(part).__name__ for part in method.penalties if part.per_sample)


RULES: tuple[Rule, ...] = (
    Rule(
        name="labels for a conditional method",
        broken=lambda method, sizes: method.labelled and sizes.classes < 2,
        sentence=lambda method, sizes: (
            f"{method.name} needs labels, and this task has {sizes.classes or 'none'};"
            " choose a labelled task, or an unconditional method such as wgan-gp."
        ),
    ),
    Rule(
        name="whole packs",
        broken=lambda method, sizes: sizes.batch % method.view.group != 0,
        sentence=lambda method, sizes: (
            f"{type(method.view).__name__}({method.view.group}) cannot split a batch of {sizes.batch};"
            f" choose a multiple of {method.view.group}."
        ),
    ),
    Rule(
        name="batch statistics under per-sample slopes",
        broken=lambda method, sizes: method.view.entangles and any(penalty.per_sample for penalty in method.penalties),
        sentence=lambda method, sizes: (
            f"{type(method.view).__name__} lets samples see each other, so the slope of one sample that"
            f" {_per_sample(method)} asks for is not defined; drop one of the two."
        ),
    ),
)


def check(method: Method, sizes: Sizes) -> None:
    """Refuses a method that cannot be played at these sizes.

    Args:
        method: Any method.
        sizes: Of the task and the batch.

    Raises:
        UserError: With the sentence of the first broken rule.
    """
    for rule in RULES:
        if rule.broken(method, sizes):
            raise UserError(rule.sentence(method, sizes))
