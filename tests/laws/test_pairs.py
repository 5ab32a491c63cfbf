"""Every two parts compose or are refused by a named rule: two updates on a tiny task, finite losses.

A part that cannot stand alone (a term on codes, a classifier of generators) is tried as it is, and once more with the
companions it needs, so that its pairs are played and not only refused.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from typing import Any

import pytest

from uncollapse.compatibility import RULES
from uncollapse.errors import UserError
from uncollapse.lanes import sizes_of
from uncollapse.loop import Trainer
from uncollapse.method import AXES, SEVERAL, Method
from uncollapse.methods import VANILLA
from uncollapse.networks.mlp import MLP
from uncollapse.parts import conditioning, constraints, generator_terms, losses, penalties, population, views
from uncollapse.parts.conditioning import AuxiliaryClassifier, Concat, JointPairs, Projection
from uncollapse.parts.constraints import SpectralNorm, WeightClip
from uncollapse.parts.dynamics import Cosine, Dynamics, LookAhead
from uncollapse.parts.generator_terms import ClassLogits, Identity, PullingAway, Reconstruction
from uncollapse.parts.losses import EnergyMargin, WhoMadeIt
from uncollapse.parts.penalties import Dragan, GeneratorClassifier, GradientPenalty, LabelClassifier, ZeroCentred
from uncollapse.parts.population import Ensemble, Mixture
from uncollapse.parts.registry import PARTS
from uncollapse.parts.scene import Part
from uncollapse.parts.views import DiffAugment, MinibatchDiscrimination, MinibatchStddev, Packed
from uncollapse.run import make_spec
from uncollapse.tasks import find

TINY = MLP(width=4, depth=2, bounded=True)
FADING = Cosine(final=0.5)
# Every value of every axis that differs from the baseline; each class once, and what changes its path.
VALUES: dict[str, tuple[Part, ...]] = {
    "loss": tuple(part() for part in losses.PARTS[1:]),
    "penalties": (
        GradientPenalty(),
        GradientPenalty(one_sided=True, schedule=FADING),
        ZeroCentred(),
        ZeroCentred(on="fake"),
        Dragan(),
        LabelClassifier(),
        GeneratorClassifier(),
    ),
    "generator_terms": tuple(part() for part in generator_terms.PARTS),
    "constraint": (WeightClip(limit=0.1), SpectralNorm()),
    "view": (
        Packed(2),
        Packed(3, equal="packs"),
        MinibatchDiscrimination(kernels=3, size=2),
        MinibatchStddev(),
        DiffAugment(),
    ),
    "conditioning": (Concat(), JointPairs(), AuxiliaryClassifier(), Projection()),
    "dynamics": (
        Dynamics(unroll=2),
        Dynamics(unroll=2, foresight=LookAhead()),
        Dynamics(critic_steps=2, clip=1.0, schedule=FADING),
    ),
    "population": (Mixture(size=2), Mixture(size=2, first=1, last=0), Ensemble(size=2)),
}
# What a part needs beside it to be playable at all.
COMPANIONS: dict[type[Part], dict[str, Part]] = {
    PullingAway: {"loss": EnergyMargin()},
    WhoMadeIt: {"population": Mixture(size=2)},
    GeneratorClassifier: {"population": Mixture(size=2)},
    Identity: {"penalties": GeneratorClassifier(), "population": Mixture(size=2)},
    LabelClassifier: {"conditioning": Projection()},
    ClassLogits: {"penalties": LabelClassifier(), "conditioning": AuxiliaryClassifier()},
    AuxiliaryClassifier: {"penalties": LabelClassifier(), "generator_terms": ClassLogits()},
    JointPairs: {"generator_terms": Reconstruction()},
    Reconstruction: {"conditioning": JointPairs()},
}
CHOICES = [(axis, value) for axis, values in VALUES.items() for value in values]
VECTORS, IMAGES = find("blobs-4"), find("digits")


def pairs() -> list[tuple[tuple[str, Part], ...]]:
    """Two values on two axes, or two on an axis that takes several."""
    found = itertools.combinations(CHOICES, 2)
    return [(one, two) for one, two in found if one[0] != two[0] or one[0] in SEVERAL]


def composed(parts: Iterable[tuple[str, Part]], *, companions: bool) -> Method:
    """The baseline with these parts; of companions only those whose axis is free."""
    axes: dict[str, Any] = {}

    def join(axis: str, part: Part) -> None:
        if axis in SEVERAL:
            known = axes.setdefault(axis, ())
            axes[axis] = known if any(type(part) is type(other) for other in known) else (*known, part)
        else:
            axes.setdefault(axis, part)

    chosen = list(parts)
    for axis, part in chosen:
        if axis in SEVERAL:
            axes[axis] = (*axes.get(axis, ()), part)
        else:
            axes[axis] = part
    for _, part in chosen if companions else ():
        for axis, companion in COMPANIONS.get(type(part), {}).items():
            join(axis, companion)
    return VANILLA.but(name="composed", **axes)


def specification(method: Method, seeds: tuple[int, ...], *, images: bool) -> Any:
    """A run on labelled vectors, or on labelled images."""
    task = IMAGES if images else VECTORS
    return make_spec(method, task, seeds=seeds, updates=2, batch=12, networks=TINY)


def outcome(method: Method, seeds: tuple[int, ...]) -> str:
    """``""`` after two updates with finite losses, else the name of the rule that refused the method."""
    try:
        spec = specification(method, seeds, images=method.view.images_only)
        trainer = Trainer(spec)
    except UserError as refusal:
        return named(method, str(refusal))
    trainer.advance(2)
    assert trainer.diverged() == {}, method.describe()
    assert all(value is not None for values in trainer.losses().values() for value in values), method.describe()
    return ""


def named(method: Method, sentence: str) -> str:
    """The rule whose sentence this is."""
    sizes = sizes_of_method(method)
    broken = [rule for rule in RULES if rule.broken(method, sizes) and rule.sentence(method, sizes) == sentence]
    assert broken, f"{method.describe()} is refused without a rule: {sentence}"
    return broken[0].name


def sizes_of_method(method: Method) -> Any:
    class Given:
        task = IMAGES if method.view.images_only else VECTORS
        networks, batch = TINY, 12

    Given.method = method  # type: ignore[attr-defined]
    return sizes_of(Given)  # type: ignore[arg-type]


def test_the_values_above_are_all_that_there_are() -> None:
    tried = {type(value) for _, value in CHOICES}
    defaults = {type(getattr(VANILLA, axis)) for axis in AXES if axis not in SEVERAL}
    inner = {"Constant", "Cosine", "ThroughSteps", "LookAhead"}
    modules = (losses, penalties, generator_terms, constraints, views, conditioning, population)
    built_in = {part for module in modules for part in module.PARTS}
    assert tried | defaults == built_in | {Dynamics}
    assert {PARTS[name] for name in PARTS if name not in inner} >= built_in


@pytest.mark.long
def test_every_pair_of_parts_trains_or_is_refused_by_a_named_rule() -> None:
    results: dict[str, int] = {}
    for place, parts in enumerate(pairs()):
        seeds = (0,) if place % 3 else (0, 1)
        bare = composed(parts, companions=False)
        whole = composed(parts, companions=True)
        for method in (bare,) if bare == whole else (bare, whole):
            result = outcome(method, seeds)
            results[result] = results.get(result, 0) + 1
    assert results[""] > 0.6 * sum(results.values()), results
    # What only a task or a batch can break is tried in tests/test_compatibility.py.
    outside = {
        "labels for a conditional method", "images for augmentation", "whole packs", "whole groups",
        "two samples to compare",
    }  # fmt: skip
    assert {rule.name for rule in RULES} - outside <= set(results)


def test_every_part_is_played_with_its_companions() -> None:
    for choice in CHOICES:
        assert outcome(composed([choice], companions=True), (0, 1)) == "", choice


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_combinations_of_three_and_more_parts(part: int) -> None:
    """Triples, and full methods with one value on every axis; drawn, as there are more than can be played."""
    numbers = random.Random(part)
    for _ in range(150):
        count = numbers.choice([3, 3, 4, 5, 8])
        axes = numbers.sample(sorted(VALUES), count)
        chosen = [(axis, numbers.choice(VALUES[axis])) for axis in axes]
        outcome(composed(chosen, companions=numbers.random() < 0.7), (0, 1) if numbers.random() < 0.5 else (0,))
