"""Hooks of own parts that give something else than their contract says are refused by name, before anything trains."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import uncollapse as uc
from uncollapse.errors import UserError
from uncollapse.loop import Trainer
from uncollapse.method import Method
from uncollapse.parts.conditioning import Conditioning
from uncollapse.parts.constraints import Constraint
from uncollapse.parts.dynamics import Dynamics, Foresight, Schedule
from uncollapse.parts.generator_terms import GeneratorTerm
from uncollapse.parts.hooks import RULES, found, watched
from uncollapse.parts.losses import CrossEntropy, NonSaturating
from uncollapse.parts.penalties import GradientPenalty, Penalty
from uncollapse.parts.population import Layers, Population
from uncollapse.parts.registry import PARTS
from uncollapse.parts.scene import Part
from uncollapse.parts.views import Packed, View
from uncollapse.spec import make_spec

SETTINGS = {"networks.width": 8, "networks.depth": 1}


def part(contract: type[Part], **hooks: Any) -> Any:
    """A part `Mine` of an axis with these hooks."""
    kind = ABCMeta("Mine", (contract,), {"__module__": __name__, **hooks})
    return dataclass(frozen=True, kw_only=True)(kind)()


class Base(CrossEntropy):
    """A loss that is right."""

    def generator(self, real: Any, fake: Any, scene: Any) -> torch.Tensor:
        """The non-saturating one."""
        return nn.functional.softplus(-fake.score).mean()


def penalty(**hooks: Any) -> Any:
    return part(Penalty, **{"__call__": lambda self, scene: scene.fake_judgement.score.mean() * 0, **hooks})


def term(**hooks: Any) -> Any:
    return part(GeneratorTerm, **{"__call__": lambda self, scene: scene.fake.mean() * 0, **hooks})


def playing(method: Method, seeds: int, updates: int = 1) -> Trainer:
    trainer = Trainer(make_spec(method, "ring-8", seeds=range(seeds), updates=updates, batch=8, settings=SETTINGS))
    trainer.advance(updates)
    return trainer


def counted(self: Any) -> dict[str, torch.Tensor]:
    return {"k": torch.zeros(())}


def forgets(self: Any, state: Mapping[str, torch.Tensor], *rest: Any) -> dict[str, torch.Tensor]:
    return {}


def shrunk(self: Any, parameters: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.sum() for name, value in parameters.items()}


WRONG: list[tuple[str, Callable[[], Any], str]] = [
    ("loss", lambda: part(Base, heads=lambda self, sizes: None), r"Mine\.heads gives None; return a dict of widths"),
    ("loss", lambda: part(Base, heads=lambda self, sizes: {"logits": 3}), r"Mine\.heads gives \{'logits': 3\}; return"),
    ("penalties", lambda: penalty(noise=lambda self, sizes: {"a": ("gauss", (3,))}), r"Mine\.noise gives \{'a': \("),
    ("penalties", lambda: penalty(noise=lambda self, sizes: {"a": ("normal", 3)}), r"return a dict of \(law, shape\)"),
    ("penalties", lambda: penalty(__call__=lambda self, scene: None), r"Mine gives None; return one number as a tens"),
    ("generator_terms", lambda: term(__call__=lambda self, scene: scene.fake), r"Mine gives a tensor of shape \[8, 2"),
    ("loss", lambda: part(Base, init_state=lambda self: {"k": 0.0}), r"Mine\.init_state gives \{'k': 0\.0\}; return"),
    ("loss", lambda: part(Base, init_state=counted, next_state=forgets), r"next_state gives \{\}; return a dict with"),
    ("loss", lambda: part(Base, judge=lambda self, judged: judged.score), r"Mine\.judge gives a tensor .* a Judgement"),
    ("constraint", lambda: part(Constraint, init_buffers=lambda self, named: None), r"Mine\.init_buffers gives None"),
    ("constraint", lambda: part(Constraint, reparameterise=lambda self, named, held: named), r"a pair of dicts of ten"),
    ("constraint", lambda: part(Constraint, reparameterise=lambda self, named, held: ({}, held)), r"every parameter u"),
    ("constraint", lambda: part(Constraint, project=shrunk), r"Mine\.project gives .* \('body\.0\.weight' is not\)"),
    ("view", lambda: part(View, group=property(lambda self: 0)), r"Mine\.group gives 0; return a whole number of 1 or"),
    ("view", lambda: part(View, group=property(lambda self: 2)), r"Mine\.pack gives .*\[8, 2\]; return .*\[4, 4\], fo"),
    ("view", lambda: part(View, extra=property(lambda self: 3)), r"Mine\.summarise gives .*, 8\]; return .*, 11\]"),
    ("view", lambda: part(View, pack=lambda self, samples: samples[:3]), r"Mine\.pack gives a tensor of shape \[3, 2"),
    ("view", lambda: part(View, alter=lambda self, inputs, noise: inputs[:1]), r"Mine\.alter gives a tensor of shape"),
    ("view", lambda: part(View, module=lambda self, width: 3), r"Mine\.module gives 3; return a torch module, or None"),
    ("conditioning", lambda: part(Conditioning, critic_extra=lambda self, sizes: "2"), r"Mine\.critic_extra gives '2'"),
    ("conditioning", lambda: part(Conditioning, generator_extra=lambda self, sizes: 2), r"Mine\.generator_join gives"),
    ("conditioning", lambda: part(Conditioning, context=lambda self, labels, code: 3), r"Mine\.context gives 3; retur"),
    ("conditioning", lambda: part(Conditioning, score=lambda self, module, score, *rest: score.mean()), r"Mine\.score"),
    ("dynamics", lambda: Dynamics(schedule=part(Schedule, __call__=lambda self, progress: "a")), r"Mine gives 'a'; re"),
    ("penalties", lambda: GradientPenalty(schedule=part(Schedule, __call__=lambda self, at: None)), r"Mine gives None"),
    ("dynamics", lambda: Dynamics(unroll=1, foresight=part(Foresight, known=lambda self, x: x[:3])), r"Mine\.known gi"),
    ("population", lambda: part(Population, members=property(lambda self: 0)), r"Mine\.members gives 0; return a whol"),
    ("population", lambda: part(Population, assemble=lambda self, layers: None), r"Mine\.assemble gives None; return"),
]  # fmt: skip


@pytest.mark.parametrize(("axis", "made", "message"), WRONG, ids=[f"{row[0]}-{at}" for at, row in enumerate(WRONG)])
def test_a_wrong_result_is_refused_by_the_name_of_its_hook(axis: str, made: Callable[[], Any], message: str) -> None:
    method = uc.VANILLA.but(name="mine", **{axis: made()})
    with pytest.raises(UserError, match=message):
        playing(method, 2)


def fails(self: Any, *given: Any) -> Any:
    raise KeyError("oops")


@pytest.mark.parametrize(
    ("axis", "contract", "hook"),
    [
        ("loss", Base, name)
        for name in ("heads", "noise", "init_state", "next_state", "judge")
    ]
    + [("constraint", Constraint, name) for name in RULES[Constraint]]
    + [("view", View, name) for name in RULES[View]]
    + [("conditioning", Conditioning, name) for name in RULES[Conditioning]]
    + [("population", Population, name) for name in RULES[Population]],
)  # fmt: skip
def test_an_exception_in_any_hook_names_file_and_line(axis: str, contract: type[Part], hook: str) -> None:
    plain = isinstance(vars(next(base for base in contract.__mro__ if hook in vars(base)))[hook], property)
    method = uc.VANILLA.but(name="mine", **{axis: part(contract, **{hook: property(fails) if plain else fails})})
    with pytest.raises(UserError, match=r"mine with \S+Mine .*: KeyError: 'oops' \(test_hooks\.py, line \d+\)\."):
        playing(method, 1)


class Doubled(Layers):
    """A network of the user's own."""


RIGHT: dict[str, Callable[[], Any]] = {
    "loss": lambda: part(
        Base,
        init_state=counted,
        next_state=lambda self, state, *rest: {"k": state["k"] + 1},
        noise=lambda self, sizes: {"unused": ["normal", [sizes.batch]]},
        heads=lambda self, sizes: {"code": 2},
    ),
    "penalties": lambda: penalty(__call__=lambda self, scene: 0.0),
    "constraint": lambda: part(
        Constraint,
        init_buffers=lambda self, named, transposed=(): {"seen": torch.zeros(())},
        reparameterise=lambda self, named, held: (dict(named), {**held, "seen": held["seen"] + 1}),
        project=lambda self, named: {name: value.clamp(-9, 9) for name, value in named.items()},
    ),
    "view": lambda: part(View, extra=1, summarise=lambda self, module, h: torch.cat([h, h[:, :1]], 1)),
    "conditioning": lambda: part(
        Conditioning,
        generator_extra=lambda self, sizes: 1,
        generator_join=lambda self, module, latent, labels: torch.cat([latent, latent[:, :1]], 1),
        context=lambda self, labels, code: None,
    ),
    "dynamics": lambda: Dynamics(schedule=part(Schedule, __call__=lambda self, progress: 1 - progress / 2)),
    "population": lambda: part(Population, assemble=lambda self, layers: Doubled([layer() for layer in layers])),
}


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("axis", RIGHT)
def test_right_hooks_train(axis: str, seeds: int) -> None:
    trainer = playing(uc.VANILLA.but(name="mine", **{axis: RIGHT[axis]()}), seeds)
    assert trainer.update == 1
    assert not trainer.diverged()


def packs(self: Any, samples: torch.Tensor) -> torch.Tensor:
    return samples.reshape(-1, self.group, *samples.shape[1:]).flatten(1, 2)


@dataclass(frozen=True, kw_only=True)
class Settable(View):
    """Its hook is a setting."""

    group: int = 2
    pack = packs


def cached() -> Any:
    """A view whose hook is computed once."""
    group = cached_property(lambda self: 2)
    group.__set_name__(View, "group")
    return part(View, group=group, pack=packs)


@pytest.mark.parametrize("make", [Settable, cached, lambda: part(View, group=np.int64(2), pack=packs)])
def test_a_hook_may_be_a_setting_or_kept_or_a_number_of_numpy(make: Callable[[], Any]) -> None:
    method = uc.VANILLA.but(name="mine", view=make())
    for _ in range(2):  # the second time the kept value is there
        one, other = playing(method, 2), playing(uc.VANILLA.but(name="mine", view=Packed(2, equal="images")), 2)
        assert torch.equal(one.lanes.state.critic.parameters, other.lanes.state.critic.parameters)


def test_a_hook_that_is_a_setting_is_looked_at() -> None:
    with pytest.raises(UserError, match=r"Settable\.group gives 0; return a whole number of 1 or more\."):
        make_spec(uc.VANILLA.but(name="mine", view=Settable(group=0)), "ring-8", seeds=[0])


def test_hooks_may_call_each_other_by_the_names_of_their_arguments() -> None:
    wishes = {"a": ("uniform", (2,))}
    mine = penalty(
        heads=lambda self, sizes: {}, noise=lambda self, sizes: wishes if self.heads(sizes=sizes) == {} else {}
    )
    assert playing(uc.VANILLA.but(name="mine", penalties=(mine,)), 1).update == 1
    wrong = part(View, alter=lambda self, inputs, noise: inputs[:1], twice=None)
    with pytest.raises(UserError, match=r"Mine\.alter gives a tensor of shape \[1, 2\]; return .* shape \[4, 2\]"):
        watched(wrong).alter(noise={}, inputs=torch.zeros(4, 2))


def test_a_schedule_may_give_a_number_of_numpy() -> None:
    mine = Dynamics(schedule=part(Schedule, __call__=lambda self, progress: np.float32(0.5)))
    assert playing(uc.VANILLA.but(name="mine", dynamics=mine), 1).update == 1


def test_only_hooks_that_a_user_wrote_are_looked_at() -> None:
    for kind in PARTS.values():
        built_in = kind(3) if kind is Packed else kind()
        assert type(watched(built_in)) is kind
    mine = part(View, pack=lambda self, samples: samples)
    assert type(watched(mine)) is not type(mine)
    assert "pack" in vars(type(watched(mine)))
    assert "alter" not in vars(type(watched(mine)))


def test_what_trains_is_not_watched() -> None:
    calls = []

    def pack(self: Any, samples: torch.Tensor) -> torch.Tensor:
        calls.append(type(self))
        return samples

    mine = part(View, pack=pack)
    trainer = playing(uc.VANILLA.but(name="mine", view=mine), 1)
    tried = len(calls)
    assert type(mine) is not calls[0]
    trainer.spec.__dict__["updates"] = 3
    trainer.advance(3)
    assert set(calls[tried:]) == {type(mine)}


def test_a_part_like_a_built_in_one_trains_to_the_same_bits() -> None:
    mine = part(NonSaturating, noise=lambda self, sizes: {}, heads=lambda self, sizes: {})
    one, other = (playing(uc.VANILLA.but(name="mine", loss=loss), 2, 3) for loss in (mine, NonSaturating()))
    assert torch.equal(one.lanes.state.generator.parameters, other.lanes.state.generator.parameters)
    assert torch.equal(one.lanes.state.critic.parameters, other.lanes.state.critic.parameters)


def test_values_are_called_as_a_person_would() -> None:
    assert found({"k": torch.zeros(3)}) == "{'k': a tensor of shape [3]}"
    assert found([1, 2, 3]) == "a list"
    assert found(None) == "None"
