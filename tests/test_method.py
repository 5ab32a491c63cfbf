"""Methods as data: changes, settings, JSON and every refusal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.method import AXES, Method
from uncollapse.methods import METHODS, VANILLA, register
from uncollapse.parts.dynamics import Cosine, Dynamics
from uncollapse.parts.losses import Hinge, Loss, State
from uncollapse.parts.penalties import GradientPenalty, Penalty, ZeroCentred
from uncollapse.parts.scene import Judgement, Scene, Sizes
from uncollapse.parts.views import Packed
from uncollapse.spec import make_spec


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_json_and_back(method: Method) -> None:
    spec = json.loads(json.dumps(method.spec()))
    assert Method.from_spec(spec) == method


def test_json_and_back_with_nested_parts() -> None:
    method = VANILLA.but(
        name="mine",
        penalties=(GradientPenalty(weight=2.0), ZeroCentred(on="fake")),
        view=Packed(3),
        dynamics=Dynamics(schedule=Cosine(final=0.2)),
    )
    assert Method.from_spec(json.loads(json.dumps(method.spec()))) == method


def test_a_setting_changes_one_number_and_nothing_else() -> None:
    method = METHODS["wgan-gp"].with_setting("penalties.0.weight", 1)
    assert method.penalties == (GradientPenalty(weight=1.0),)
    assert isinstance(method.penalties[0].weight, float)  # type: ignore[attr-defined]
    assert method.but(penalties=METHODS["wgan-gp"].penalties) == METHODS["wgan-gp"]
    assert VANILLA.with_setting("dynamics.betas", [0, 0.9]).dynamics.betas == (0.0, 0.9)
    assert VANILLA.with_setting("dynamics.critic_steps", 3.0).dynamics.critic_steps == 3


def test_settings_lists_every_number() -> None:
    settings = METHODS["wgan-gp"].settings()
    assert settings["penalties.0.weight"] == 10.0
    assert settings["dynamics.betas"] == (0.0, 0.9)
    for path, value in settings.items():
        assert METHODS["wgan-gp"].with_setting(path, value) == METHODS["wgan-gp"], path


def test_unknown_axis_refused() -> None:
    with pytest.raises(UserError, match=r"no axis of a method 'penalty'; did you mean 'penalties'"):
        VANILLA.but(penalty=())
    with pytest.raises(UserError, match="no axis of a method 'los'; did you mean 'loss'"):
        Method.from_spec({**VANILLA.spec(), "los": {}})


@pytest.mark.parametrize(
    ("axis", "value"),
    [("loss", {"part": "Plain"}), ("penalties", {"part": "Packed"}), ("view", []), ("loss", "Wasserstein")],
)
def test_a_part_on_the_wrong_axis_is_refused(axis: str, value: object) -> None:
    with pytest.raises(UserError, match=f"does not fit the axis '{axis}', which takes a"):
        Method.from_spec({**VANILLA.spec(), axis: value})


def test_facts_do_not_make_a_method_another_one() -> None:
    assert VANILLA.but(facts=METHODS["wgan-gp"].facts) == VANILLA
    assert "facts" not in AXES


def test_describe_says_what_differs() -> None:
    assert VANILLA.describe() == "the baseline"
    assert VANILLA.but(view=Packed(2)).describe() == "view=Packed(size=2)"


def test_two_penalties_of_one_kind_draw_their_own_numbers() -> None:
    method = VANILLA.but(penalties=(GradientPenalty(), GradientPenalty(weight=0.5)))
    wishes = method.noise(Sizes(shape=(2,), latent=2, batch=8))
    assert wishes == {f"penalties.{position}.between": ("uniform", (8,)) for position in (0, 1)}


@dataclass(frozen=True, kw_only=True)
class Heads(Penalty):
    """Asks for a head of some width."""

    width: int = 3

    def heads(self, sizes: Sizes) -> dict[str, int]:
        return {"class_logits": self.width}

    def __call__(self, scene: Scene):  # type: ignore[no-untyped-def]
        return scene.fake.sum()


def test_parts_that_want_one_head_in_two_sizes_are_refused() -> None:
    sizes = Sizes(shape=(2,), latent=2)
    assert VANILLA.but(penalties=(Heads(), Heads())).heads(sizes) == {"class_logits": 3}
    with pytest.raises(UserError, match="vanilla asks for class_logits of 3 and of 5 numbers; drop one part"):
        VANILLA.but(penalties=(Heads(), Heads(width=5))).heads(sizes)


def test_penalties_may_be_a_list_or_one() -> None:
    one = GradientPenalty(weight=2.0)
    assert VANILLA.but(penalties=one) == VANILLA.but(penalties=[one]) == VANILLA.but(penalties=(one,))


class NoDataclass(Penalty):
    """Forgot its decorator."""

    def __call__(self, scene: Scene) -> Tensor:
        return scene.fake.mean()


@pytest.mark.parametrize(
    ("axis", "value", "message"),
    [
        ("loss", Hinge, r"loss = Hinge is a class; give an instance, Hinge\(\)\."),
        ("view", Packed, r"view = Packed is a class"),
        ("loss", "hinge", r"'hinge' does not fit the axis 'loss', which takes a Loss\."),
        ("penalties", Packed(2), r"Packed\(size=2, .* does not fit the axis 'penalties', which takes a Penalty\."),
        (
            "penalties",
            (NoDataclass(),),
            r"NoDataclass is no dataclass; put @dataclass\(frozen=True, kw_only=True\) above",
        ),
    ],
)
def test_what_is_no_part_of_the_axis_is_refused_at_once(axis: str, value: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        VANILLA.but(**{axis: value})


def test_a_loss_without_a_generator_cannot_be_made() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Half(Loss):
        def critic(self, real: Judgement, fake: Judgement, state: State, scene: Scene) -> Tensor:
            return fake.score.mean()

    with pytest.raises(TypeError, match=r"abstract method '?generator"):
        Half()  # type: ignore[abstract]


def test_facts_go_along_with_changed_settings_and_not_with_another_loss() -> None:
    mild = METHODS["wgan-gp"].but(name="mild", penalties=(GradientPenalty(weight=0.1),))
    assert mild.facts == METHODS["wgan-gp"].facts
    other = METHODS["wgan-gp"].but(name="other", loss=Hinge())
    assert (other.facts.idea, other.facts.paper) == ("wgan-gp with loss=Hinge().", "")
    assert other.facts.sensitive == "penalties.0.weight"
    assert METHODS["wgan-gp"].but(name="bare", penalties=()).facts.sensitive == ""
    told = METHODS["wgan-gp"].but(name="told", loss=Hinge(), facts=METHODS["sngan"].facts)
    assert told.facts == METHODS["sngan"].facts


@pytest.mark.parametrize("name", ["a/b", "", " ", "..", ".hid", "-x", "a\0b", "a\nb", "a\\b", "x" * 101, "é" * 51, 3])
def test_a_name_that_no_directory_can_have_is_refused(name: Any) -> None:
    for use in (register, lambda method: make_spec(method, "ring-8", seeds=[0])):
        with pytest.raises(UserError, match=r"A method cannot be called '.*letters, digits and signs such as - _ \."):
            use(VANILLA.but(name=name))
    assert name not in METHODS


@pytest.mark.parametrize("name", ["a", "wgan gp (2)", "été", "x" * 100, "a.b_c+d-e", "1"])
def test_a_name_that_a_directory_can_have_is_taken(name: str) -> None:
    assert make_spec(VANILLA.but(name=name), "ring-8", seeds=[0]).directory_name.startswith(name)
