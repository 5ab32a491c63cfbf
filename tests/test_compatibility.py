"""Every rule refuses what it names, with its sentence, and lets the rest through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from uncollapse.compatibility import RULES, check
from uncollapse.errors import UserError
from uncollapse.methods import METHODS, VANILLA
from uncollapse.parts.penalties import GradientPenalty
from uncollapse.parts.scene import Sizes
from uncollapse.parts.views import Packed, View


@dataclass(frozen=True, kw_only=True)
class Entangled(View):
    """A view whose samples see each other."""

    joint: ClassVar[bool] = False
    entangles: ClassVar[bool] = True


PENALISED = VANILLA.but(penalties=(GradientPenalty(),))
REFUSED = [
    (
        METHODS["cgan"],
        Sizes(shape=(2,), latent=2, batch=4),
        "cgan needs labels, and this task has none; choose a labelled",
    ),
    (METHODS["cgan"], Sizes(shape=(2,), latent=2, batch=4, classes=1), "this task has 1;"),
    (
        VANILLA.but(view=Packed(3)),
        Sizes(shape=(2,), latent=2, batch=64, group=3),
        r"Packed\(3\) cannot split a batch of 64; choose a multiple of 3\.",
    ),
    (PENALISED.but(view=Entangled()), Sizes(shape=(2,), latent=2, batch=4), "Entangled lets samples see each other"),
]


@pytest.mark.parametrize(("method", "sizes", "message"), REFUSED, ids=lambda item: getattr(item, "name", None))
def test_refused(method: object, sizes: Sizes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(method, sizes)  # type: ignore[arg-type]


def test_every_rule_is_tried_above() -> None:
    broken = {rule.name for method, sizes, _ in REFUSED for rule in RULES if rule.broken(method, sizes)}
    assert broken == {rule.name for rule in RULES}


def test_what_composes_passes() -> None:
    sizes = Sizes(shape=(2,), latent=2, batch=12, classes=3, group=3)
    for method in (*METHODS.values(), PENALISED.but(view=Packed(3)), VANILLA.but(view=Entangled())):
        check(method, sizes)
