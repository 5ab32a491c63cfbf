"""Numbers of parts by dotted path: what is refused, and parts within parts."""

from __future__ import annotations

import pytest

from uncollapse.errors import UserError
from uncollapse.methods import METHODS, VANILLA
from uncollapse.parts.dynamics import Cosine, Dynamics
from uncollapse.parts.penalties import GradientPenalty
from uncollapse.parts.settings import NoSetting, changed, leaves
from uncollapse.parts.views import Packed


def test_leaves_are_the_numbers_of_parts_and_of_parts_within_them() -> None:
    assert dict(leaves((GradientPenalty(weight=2.0),)))["0.weight"] == 2.0
    found = dict(leaves(Dynamics(schedule=Cosine(final=0.2)), "dynamics"))
    assert found["dynamics.schedule.final"] == 0.2
    assert "dynamics.schedule" not in found


def test_nothing_at_a_path_is_left_to_who_knows_all_paths() -> None:
    with pytest.raises(NoSetting):
        changed((GradientPenalty(),), ["0", "wieght"], 1.0, "penalties.0.wieght")
    with pytest.raises(NoSetting):
        changed((GradientPenalty(),), ["1", "weight"], 1.0, "penalties.1.weight")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("penalties.0.wieght", 1, "did you mean 'penalties.0.weight'"),
        ("penalties.1.weight", 1, "no setting of wgan-gp 'penalties.1.weight'"),
        ("dynamics.lr", 1, "did you mean 'dynamics.lr_critic' or 'dynamics.lr_generator'"),
        ("dynamics.lr_critic", "fast", "'fast' is not of the right kind; give a number"),
        ("dynamics.critic_steps", 1.5, "give a whole number"),
        ("dynamics.betas", 0.5, "give a list of numbers"),
        ("penalties.0.one_sided", 1, "give true or false"),
        ("dynamics.schedule", 1, "is a part, not a number"),
        ("dynamics.schedule.final", 1, "no setting of wgan-gp"),
        ("penalties", 1, "no setting 'penalties'"),
        ("penalties.0", 5, "penalties.0 is a part, not a number"),
        ("penalties.0.weight", -1.0, "rewards what it should punish; choose a weight of 0 or more"),
        ("colour", 1, "no setting 'colour'"),
    ],
)
def test_settings_refused(path: str, value: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        METHODS["wgan-gp"].with_setting(path, value)


def test_a_part_within_a_part_is_replaced_by_its_description() -> None:
    given = {"part": "Cosine", "final": 0.25}
    changed = VANILLA.with_setting("dynamics.schedule", given)
    assert changed == VANILLA.but(dynamics=Dynamics(schedule=Cosine(final=0.25)))
    assert VANILLA.with_setting("dynamics.schedule", Cosine(final=0.25)) == changed
    for wrong, sentence in (
        (Packed(2), "takes a Schedule, and Packed is none"),
        ({"part": "Packed"}, "takes a Schedule, and Packed is none"),
        ({"part": "Cosin"}, "'Cosine'"),
    ):
        with pytest.raises(UserError, match=sentence):
            VANILLA.with_setting("dynamics.schedule", wrong)
