"""The public face: every name loads, is documented, and importing the package imports no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

import uncollapse as uc


@pytest.mark.parametrize("name", uc.__all__)
def test_every_public_name_loads_and_is_documented(name: str) -> None:
    value = getattr(uc, name)
    assert name in dir(uc)
    if callable(value) or hasattr(value, "__path__"):
        assert (value.__doc__ or "").strip()


def test_the_face_is_small_beside_the_parts_of_a_method() -> None:
    from uncollapse.parts.registry import PARTS

    parts = {name for name, part in PARTS.items() if part.__module__.startswith("uncollapse.")}
    assert parts < set(uc.__all__)
    assert 10 < len(set(uc.__all__) - parts) <= 21


def test_importing_imports_no_torch() -> None:
    code = "import sys, uncollapse; uncollapse.__version__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_names_are_told() -> None:
    with pytest.raises(AttributeError, match="module 'uncollapse' has no attribute 'trian'"):
        _ = uc.trian


def test_the_readme_example() -> None:
    mine = uc.VANILLA.but(name="mine", view=uc.Packed(2))
    run = uc.train(mine, "ring-8", seeds=range(2), updates=4, batch=8, networks=uc.MLP(width=8, depth=1))
    assert run.samples(5, seed=1).shape == (5, 2)
    assert [lane["seed"] for lane in run.metrics] == [0, 1]
    assert run.status == "finished"
