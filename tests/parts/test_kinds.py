"""Settings of another kind than annotated: refused in one sentence, before any tensor meets them."""

from __future__ import annotations

import copy
import json
import math
import pickle
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.parts.dynamics import Constant, Cosine, Dynamics
from uncollapse.parts.penalties import Dragan, GradientPenalty, Penalty
from uncollapse.parts.registry import PARTS, from_json, to_json
from uncollapse.parts.scene import Scene
from uncollapse.parts.views import Packed

STRANGE: dict[str, Any] = {
    "text": "a", "none": None, "list": [1], "nan": math.nan, "mapping": {}, "class": Cosine,
    "array": np.ones(2), "tensor": torch.ones(2, 2), "huge": 10**400,
}  # fmt: skip


@pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE)
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_no_setting_of_a_built_in_part_takes_what_it_cannot_compute_with(part: Any, strange: Any) -> None:
    for item in fields(part):
        with pytest.raises(UserError):
            part(**{item.name: strange})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: GradientPenalty(weight="a"),
            r"GradientPenalty\(weight='a'\) is not a finite number; 10.0 is the usual",
        ),  # type: ignore[arg-type]
        (lambda: GradientPenalty(weight=math.inf), "is not a finite number"),
        (lambda: GradientPenalty(weight=True), "is not a finite number"),
        (lambda: GradientPenalty(one_sided=1), "is not true or false; False is the usual value"),  # type: ignore[arg-type]
        (lambda: GradientPenalty(schedule=Cosine), r"schedule=Cosine\) is not a Schedule; Constant\(\) is the usual"),  # type: ignore[arg-type]
        (lambda: Dynamics(critic_steps=2.0), "is not a whole number; 1 is the usual value"),  # type: ignore[arg-type]
        (lambda: Dynamics(betas=0.5), "is not a tuple"),  # type: ignore[arg-type]
        (lambda: Packed(size=3, equal="both"), "is not one of 'images', 'packs'"),  # type: ignore[arg-type]
        (lambda: GradientPenalty(weight="\x1b[31m" + "a" * 100), r"weight='.{50,60}\.\.\.\) is not"),  # type: ignore[arg-type]
        (lambda: Dragan(spread=-1.0), "spread=-1.0"),
        (lambda: replace(GradientPenalty(), weight="a"), "is not a finite number"),  # type: ignore[arg-type]
        (lambda: from_json({"part": "Cosine", "final": "low"}), "is not a finite number"),
    ],
)
def test_the_sentence_says_what_is_allowed(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_what_is_of_its_kind_passes_and_whole_numbers_are_numbers() -> None:
    penalty = GradientPenalty(weight=10, one_sided=True, schedule=Cosine(final=0))
    assert (penalty.weight, penalty.one_sided, penalty.schedule) == (10, True, Cosine(final=0.0))
    assert Dynamics(betas=[0, 0.9]).betas == (0.0, 0.9)  # type: ignore[arg-type]
    assert copy.deepcopy(penalty) == pickle.loads(pickle.dumps(penalty)) == from_json(to_json(penalty)) == penalty


@dataclass(frozen=True)
class Mine(Penalty):
    """A part as a user may write it: positional, with annotations of its own."""

    weight: float
    scales: list[float] | None = None
    schedule: Constant = Constant()  # noqa: RUF009

    def __call__(self, scene: Scene) -> Tensor:
        """Scores of the fakes."""
        return self.weight * scene.fake_judgement.score.mean()


class Forgotten(Penalty):
    """A part whose decorator was forgotten."""

    weight: float = 1.0

    def __call__(self, scene: Scene) -> Tensor:
        """Scores of the fakes."""
        return self.weight * scene.fake_judgement.score.mean()


@dataclass(frozen=True, kw_only=True)
class Endless(Forgotten):
    """Defaults of another kind than annotated, and a field of an awkward name."""

    weight: float = 1.0
    limit: float = math.inf
    size: int = None  # type: ignore[assignment]
    cls: int = 1


@dataclass(frozen=True, kw_only=True)
class Turning(Forgotten):
    """What it is given becomes what is annotated."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", float(self.scale))


def test_settings_of_what_is_no_dataclass_are_not_swallowed() -> None:
    assert Forgotten().weight == 1.0
    with pytest.raises(UserError, match="Forgotten is no dataclass; put @dataclass"):
        Forgotten(weight=7.0)  # type: ignore[call-arg]
    with pytest.raises(UserError, match="Forgotten is no dataclass; put @dataclass"):
        Forgotten(7.0)  # type: ignore[call-arg]


def test_a_users_default_of_another_kind_stays_and_can_be_copied() -> None:
    assert replace(Endless(cls=2), weight=2.0) == Endless(cls=2, weight=2.0)
    with pytest.raises(UserError, match=r"Endless\(size='a'\) is not a whole number; None is the usual value"):
        Endless(size="a")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="is not a finite number"):
        Endless(limit=-math.inf)


def test_a_class_that_turns_what_it_is_given_is_left_to_do_so() -> None:
    assert Turning(scale="1e-3").scale == 0.001  # type: ignore[arg-type]


def test_numbers_of_numpy_are_numbers_and_are_written_as_pythons() -> None:
    penalty = GradientPenalty(weight=np.float32(10), schedule=Cosine(final=np.float64(0.5)))  # type: ignore[arg-type]
    written = to_json((penalty, Packed(np.int64(2))))  # type: ignore[arg-type]
    assert json.loads(json.dumps(written)) == to_json(
        (GradientPenalty(weight=10.0, schedule=Cosine(final=0.5)), Packed(2))
    )
    assert Dynamics(betas=np.array([0.0, 0.9])).betas == (0.0, 0.9)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"weight=a int\) is not a finite number"):
        GradientPenalty(weight=10**5000)


def test_annotations_of_a_users_own_are_taken_as_they_are() -> None:
    assert Mine(2.0, [1.0]).scales == [1.0]
    assert Mine(weight=2, scales="any", schedule=Cosine()).scales == "any"  # type: ignore[arg-type, comparison-overlap]
    with pytest.raises(UserError, match=r"Mine\(weight='a'\) is not a finite number; choose one"):
        Mine("a")  # type: ignore[arg-type]


def test_annotations_that_only_a_function_knows_are_no_obstacle() -> None:
    class Local:
        """A type of the function."""

    @dataclass(frozen=True, kw_only=True)
    class Inside(Penalty):
        near: Local | None = None
        weight: float = 1.0

        def __call__(self, scene: Scene) -> Tensor:
            return self.weight * scene.fake_judgement.score.mean()

    assert to_json(Inside(weight=2.0))["weight"] == 2.0
    assert replace(Inside(), weight=3.0).weight == 3.0
