"""Known parts: what specs may name, a user's own parts, and every refusal."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from uncollapse.errors import UserError
from uncollapse.method import Method, own_parts
from uncollapse.methods import VANILLA
from uncollapse.parts.penalties import GradientPenalty, Penalty
from uncollapse.parts.registry import from_json, origin, register_part, to_json
from uncollapse.parts.scene import Part, Scene


def test_a_whole_number_is_the_float_that_is_meant() -> None:
    written = to_json((GradientPenalty(weight=1),))
    assert written == to_json((GradientPenalty(weight=1.0),))
    assert isinstance(written[0]["weight"], float)
    assert from_json(written) == (GradientPenalty(weight=1.0),)
    assert origin(GradientPenalty) == ""


def test_unknown_part_and_field_refused() -> None:
    spec = VANILLA.spec()
    with pytest.raises(UserError, match=r"There is no part"):
        from_json({"part": ["NonSaturating"]})
    with pytest.raises(UserError, match="no part 'NonSaturatin'; did you mean 'NonSaturating'"):
        Method.from_spec({**spec, "loss": {"part": "NonSaturatin"}})
    with pytest.raises(UserError, match="no field of Packed 'sise'; did you mean 'size'"):
        Method.from_spec({**spec, "view": {"part": "Packed", "sise": 2}})
    with pytest.raises(UserError, match=r"repeat the command with `--plugin evil:Loss`"):
        Method.from_spec({**spec, "loss": {"part": "Loss", "plugin": "evil:Loss"}})


@dataclass(frozen=True, kw_only=True)
class Mine(Penalty):
    """A user's own part."""

    weight: float = 1.0

    def __call__(self, scene: Scene):  # type: ignore[no-untyped-def]
        return self.weight * scene.fake.square().mean()


def test_own_parts_are_named_in_the_spec_and_read_back_once_registered() -> None:
    method = VANILLA.but(name="own", penalties=(Mine(weight=3.0),))
    spec = json.loads(json.dumps(method.spec()))
    assert spec["penalties"][0] == {"part": "Mine", "plugin": f"{__name__}:Mine", "weight": 3.0}
    with pytest.raises(UserError, match=f"--plugin {__name__}:Mine"):
        Method.from_spec(spec)
    assert own_parts(method) == [f"{__name__}:Mine"]
    assert Method.from_spec(spec) == method


def test_what_is_no_part_is_refused() -> None:
    with pytest.raises(UserError, match="is not a part; derive a frozen dataclass"):
        register_part(int)  # type: ignore[arg-type]

    @dataclass(frozen=True)
    class Packed(Part):
        """Steals a name."""

    with pytest.raises(UserError, match="A part named Packed is built in"):
        register_part(Packed)


def test_a_part_of_a_script_has_one_origin_in_all_its_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Scripted(GradientPenalty):
        """A penalty of a script."""

    names = set()
    for module in ("__main__", "__mp_main__"):
        monkeypatch.setattr(Scripted, "__module__", module)
        names.add(origin(Scripted).partition(":")[0])
    assert names == {"__main__"}
    assert origin(GradientPenalty) == ""
