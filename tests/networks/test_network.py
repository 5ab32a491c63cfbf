"""The type of network settings, its families and their JSON."""

from __future__ import annotations

import re
from typing import Any

import pytest

from uncollapse.errors import UserError
from uncollapse.networks import FAMILIES, MLP, Networks, in_family, networks_from_json, with_setting
from uncollapse.spec import make_spec


def test_a_spec_without_a_family_is_fully_connected() -> None:
    assert networks_from_json({"width": 7, "latent": 3}) == MLP(width=7, latent=3)
    assert "family" not in MLP().to_json()


def test_hashes_of_long_comparisons_stay() -> None:
    """Golden: these runs are in results/cures, and a changed hash would train them again."""
    shared = {
        "networks.width": 64, "networks.depth": 3, "networks.latent": 2, "networks.bounded": False,
        "dynamics.lr_critic": 1e-3, "dynamics.lr_generator": 1e-3,
        "dynamics.schedule": {"part": "Cosine", "final": 0.0},
    }  # fmt: skip
    options: dict[str, Any] = {"seeds": range(1000, 1012), "updates": 6000, "batch": 128, "settings": shared}
    assert make_spec("vanilla", "ring-8", **options).hash == "e0ef3c74be3d"
    assert make_spec("wgan-gp", "grid-25", **options).hash == "d104a4206306"


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_json_leads_back(name: str) -> None:
    usual = MLP(latent=5)
    made = in_family(name, usual)
    assert isinstance(made, Networks)
    assert made.family == name
    assert made.latent == 5
    wide = with_setting(made, "width", 24)
    assert wide.width == 24
    assert wide != made
    assert networks_from_json(wide.to_json()) == wide


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"family": "mpl"}, "There is no family of networks 'mpl'; did you mean 'mlp'?"),
        ({"family": 3}, "There is no family of networks '3'"),
        ({"widht": 3}, "There is no setting of the networks 'widht'; did you mean 'width'?"),
    ],
)
def test_unknown_names_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match="^" + re.escape(sentence)):
        networks_from_json(settings)


def test_an_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no setting 'networks.widht'; did you mean 'networks.width'"):
        with_setting(MLP(), "widht", 3)
