"""THE LIST: every method as its difference from the baseline; a row is the paper's claim.

A new method is one row here, one class in `parts/` if it brings a new idea, and its facts in `facts.toml`: paper, idea,
strengths, weaknesses and every deviation. What an update costs is measured (`costs.json`).
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from importlib import resources
from types import MappingProxyType
from typing import Any

from uncollapse.errors import UserError, unknown
from uncollapse.method import Facts, Method, check_name
from uncollapse.parts.conditioning import AuxiliaryClassifier, Concat, JointPairs, Projection
from uncollapse.parts.constraints import SpectralNorm, WeightClip
from uncollapse.parts.dynamics import Cosine, Dynamics, LookAhead
from uncollapse.parts.generator_terms import (
    BuresMetric,
    ClassLogits,
    DeterminantalPointProcess,
    Identity,
    ModeSeeking,
    PullingAway,
    Reconstruction,
)
from uncollapse.parts.losses import (
    BoundaryEquilibrium,
    EnergyMargin,
    Hinge,
    LeastSquares,
    LogRatio,
    Minimax,
    Relativistic,
    TopK,
    TwoCritics,
    Wasserstein,
    WhoMadeIt,
)
from uncollapse.parts.penalties import Dragan, GeneratorClassifier, GradientPenalty, LabelClassifier, ZeroCentred
from uncollapse.parts.population import Ensemble, Mixture
from uncollapse.parts.views import DiffAugment, MinibatchDiscrimination, MinibatchStddev, Packed

_FACTS = tomllib.loads(resources.files("uncollapse").joinpath("facts.toml").read_text(encoding="utf-8"))

VANILLA = Method(name="vanilla", facts=Facts(**{**_FACTS["vanilla"], "differs": tuple(_FACTS["vanilla"]["differs"])}))


def _row(name: str, **axes: Any) -> Method:
    """A method as what differs from the baseline."""
    return VANILLA.but(name=name, facts=Facts(**{**_FACTS[name], "differs": tuple(_FACTS[name]["differs"])}), **axes)


_WASSERSTEIN = Dynamics(critic_steps=5, lr_critic=1e-4, lr_generator=1e-4, betas=(0.0, 0.9))
_HINGE = Dynamics(critic_steps=5, betas=(0.0, 0.9))
_UNROLLED = Dynamics(unroll=5, lr_critic=1e-4, lr_generator=1e-3)
_FADING = Cosine(final=0.1)

_ROWS = (
    VANILLA,
    # The critic's measure of distance.
    _row("lsgan", loss=LeastSquares()),
    _row(
        "wgan",
        loss=Wasserstein(),
        constraint=WeightClip(),
        dynamics=Dynamics(critic_steps=5, lr_critic=5e-5, lr_generator=5e-5, betas=(0.0, 0.99)),
    ),
    _row("wgan-gp", loss=Wasserstein(), penalties=(GradientPenalty(),), dynamics=_WASSERSTEIN),
    _row("wgan-gp-one-sided", loss=Wasserstein(), penalties=(GradientPenalty(one_sided=True),), dynamics=_WASSERSTEIN),
    _row("dragan", penalties=(Dragan(),)),
    _row("sngan", loss=Hinge(), constraint=SpectralNorm(), dynamics=_HINGE),
    _row(
        "r1",
        penalties=(ZeroCentred(weight=10.0),),
        dynamics=Dynamics(lr_critic=1e-4, lr_generator=1e-4, betas=(0.0, 0.99)),
    ),
    _row("rpgan", loss=Relativistic()),
    _row(
        "r3gan",
        loss=Relativistic(),
        penalties=(ZeroCentred(on="real", schedule=_FADING), ZeroCentred(on="fake", schedule=_FADING)),
        dynamics=Dynamics(betas=(0.0, 0.99), schedule=Cosine(final=0.25)),
    ),
    _row("d2gan", loss=TwoCritics()),
    _row("top-k", loss=TopK()),
    # Auto-encoding critics.
    _row("ebgan", loss=EnergyMargin()),
    _row("ebgan-pt", loss=EnergyMargin(), generator_terms=(PullingAway(),)),
    _row("began", loss=BoundaryEquilibrium(), dynamics=Dynamics(lr_critic=1e-4, lr_generator=1e-4)),
    # Critics that see more than one sample.
    _row("minibatch-discrimination", view=MinibatchDiscrimination()),
    _row("minibatch-stddev", view=MinibatchStddev()),
    _row("pacgan-2", view=Packed(2, equal="packs")),
    _row("pacgan-3", view=Packed(3, equal="packs")),
    _row("pacgan-4", view=Packed(4, equal="packs")),
    _row("diffaugment", view=DiffAugment()),
    # Generators that foresee the critic, or are asked for variety.
    _row("unrolled-5", loss=Minimax(), dynamics=_UNROLLED),
    _row(
        "unrolled-5-first-order",
        loss=Minimax(),
        dynamics=Dynamics(unroll=5, foresight=LookAhead(), lr_critic=1e-4, lr_generator=1e-3),
    ),
    _row("msgan", generator_terms=(ModeSeeking(),)),
    _row("veegan", loss=LogRatio(), conditioning=JointPairs(), generator_terms=(Reconstruction(),)),
    _row("gdpp", generator_terms=(DeterminantalPointProcess(),)),
    _row("bures", generator_terms=(BuresMetric(),)),
    # Several generators.
    _row("ensemble-4", population=Ensemble(size=4)),
    _row("mad-gan-4", loss=WhoMadeIt(), population=Mixture(size=4, last=1)),
    _row(
        "mgan-4",
        penalties=(GeneratorClassifier(),),
        generator_terms=(Identity(),),
        population=Mixture(size=4, first=1, last=0),
    ),
    # Told the label.
    _row("cgan", conditioning=Concat()),
    _row("cwgan-gp", loss=Wasserstein(), penalties=(GradientPenalty(),), conditioning=Concat(), dynamics=_WASSERSTEIN),
    _row("projection", loss=Hinge(), constraint=SpectralNorm(), conditioning=Projection(), dynamics=_HINGE),
    _row(
        "ac-gan",
        penalties=(LabelClassifier(),),
        generator_terms=(ClassLogits(),),
        conditioning=AuxiliaryClassifier(),
    ),
)

_METHODS: dict[str, Method] = {row.name: row for row in _ROWS}
METHODS: Mapping[str, Method] = MappingProxyType(_METHODS)


# Time of a critic update with its share of generator updates, as a multiple of vanilla's; see benchmarks/costs.py.
COSTS: Mapping[str, float] = MappingProxyType(
    json.loads(resources.files("uncollapse").joinpath("costs.json").read_text(encoding="utf-8"))["relative"]
)


# The --plugin that named a method of the user's own, where one did.
_REFERENCES: dict[str, str] = {}


def register(method: Method, reference: str = "") -> None:
    """Adds a user's own method to the list, for plans and the command line.

    Args:
        method: Its name must be fit for a directory and not be one of the built-in rows.
        reference: ``module:attr`` where it was named so, for the command that trains it again.
    """
    check_name(method.name)
    if any(row.name == method.name for row in _ROWS):
        if method != _METHODS[method.name]:
            raise UserError(f"A method named {method.name!r} is built in; give yours another name.")
        return  # one of the project's own among the user's
    _METHODS[method.name], _REFERENCES[method.name] = method, reference


def registered_as(method: Method) -> str | None:
    """The ``module:attr`` of a registered method, empty where an object was; None for the project's own."""
    return _REFERENCES.get(method.name)


def find_method(method: str | Method) -> Method:
    """The method itself, or the row of that name."""
    if isinstance(method, Method):
        return method
    if not isinstance(method, str):
        given = f"the class {method.__name__}" if isinstance(method, type) else f"of type {type(method).__name__}"
        raise UserError(f"method must be a name, such as 'wgan-gp', or a method, such as uc.VANILLA, not {given}.")
    if method not in _METHODS:
        raise unknown("method", method, _METHODS, see="`uncollapse methods` lists them")
    return _METHODS[method]


def card(method: Method) -> dict[str, object]:
    """What is known of a method as JSON: its facts, its axes and its settings."""
    facts = {item.name: getattr(method.facts, item.name) for item in fields(Facts)}
    settings = {path: list(value) if isinstance(value, tuple) else value for path, value in method.settings().items()}
    return {
        "name": method.name,
        **facts,
        "differs": list(method.facts.differs),
        "row": method.describe(),
        "settings": settings,
        "cost": COSTS.get(method.name),
    }
