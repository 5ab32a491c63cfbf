"""The list of network families, and how settings become a pair of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from uncollapse.errors import unknown
from uncollapse.networks.dcgan import DCGAN
from uncollapse.networks.mlp import MLP
from uncollapse.networks.network import Networks
from uncollapse.networks.residual import Residual

__all__ = ["DCGAN", "FAMILIES", "MLP", "Networks", "Residual", "in_family", "networks_from_json", "with_setting"]

FAMILIES: Mapping[str, type[Networks]] = MappingProxyType({family.family: family for family in (MLP, DCGAN, Residual)})


def in_family(name: object, usual: Networks) -> Networks:
    """The networks of a family with its own defaults, but the latent of a task's usual ones.

    Raises:
        UserError: There is no such family.
    """
    if name == usual.family:
        return usual
    if not isinstance(name, str) or name not in FAMILIES:
        raise unknown("family of networks", str(name), FAMILIES)
    return FAMILIES[name](latent=usual.latent)


def with_setting(networks: Networks, name: str, value: Any) -> Networks:
    """The networks with one setting replaced, another family included.

    Raises:
        UserError: There is no such setting.
    """
    if name == "family":
        return in_family(value, networks)
    known = networks.settings()
    if name not in known:
        raise unknown(
            "setting", f"networks.{name}" if name else "networks", [f"networks.{item}" for item in ("family", *known)]
        )
    return dataclasses.replace(networks, **{name: value})


def networks_from_json(settings: Mapping[str, Any]) -> Networks:
    """The networks that `Networks.to_json` described; without a family they are fully connected.

    Raises:
        UserError: There is no such family or setting.
    """
    given = dict(settings)
    family = given.pop("family", MLP.family)
    if family not in FAMILIES:
        raise unknown("family of networks", str(family), FAMILIES)
    known = [item.name for item in dataclasses.fields(FAMILIES[family])]
    for name in given:
        if name not in known:
            raise unknown("setting of the networks", name, known)
    return FAMILIES[family](**given)
