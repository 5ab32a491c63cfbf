"""Where a user's networks come from: what is called with what, and what is refused before anything is built."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.networks.owned import Maker, Scorer
from torch import nn

from uncollapse.errors import UserError
from uncollapse.networks.sources import Pair, Role, drawing, pair_of, source_of
from uncollapse.parts.scene import Sizes

SIZES = Sizes(shape=(2,), latent=3, batch=8)
LATENT = (torch.zeros(4, 3),)


@pytest.fixture(autouse=True)
def _path_as_before() -> Iterator[None]:
    before = list(sys.path)
    yield
    sys.path[:] = before
    sys.modules.pop("nets_of_sources", None)


def made(given: object) -> nn.Module:
    source = source_of(given, "generator")
    assert source is not None
    return source.made(SIZES, LATENT)


def optional(width: int = 3) -> nn.Module:
    return nn.Linear(width, 2)


@pytest.mark.parametrize(
    "given",
    [Maker, lambda: Maker(SIZES), lambda sizes: Maker(sizes), functools.partial(Maker, SIZES), Maker(SIZES)],
    ids=["class", "without", "with sizes", "partial", "object"],
)
def test_a_network_a_class_and_a_function_make_a_network(given: object) -> None:
    network = made(given)
    assert isinstance(network, Maker)
    assert network.training
    assert [tuple(value.shape) for value in network.parameters()] == [(8, 3), (8,), (2, 8), (2,)]


def test_what_has_defaults_is_called_without_arguments() -> None:
    assert made(optional).in_features == 3


def test_a_network_is_copied_and_a_function_called_for_every_seed() -> None:
    mine, calls = Maker(SIZES).eval(), []

    def make() -> nn.Module:
        calls.append(1)
        return Maker(SIZES)

    one, other = made(mine), made(mine)
    assert one is not other is not mine
    assert not mine.training
    assert all(torch.equal(left, right) for left, right in zip(one.parameters(), mine.parameters(), strict=True))
    assert not torch.equal(next(made(make).parameters()), next(made(make).parameters()))
    assert len(calls) == 2


def test_drawing_leaves_the_global_stream_as_it_was() -> None:
    before = torch.get_rng_state()
    with drawing():
        first = torch.randn(3)
    with drawing():
        assert torch.equal(torch.randn(3), first)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("given", "place"),
    [
        (Maker, "tests.networks.owned:Maker"),
        (Maker(SIZES), "tests.networks.owned:Maker"),
        (functools.partial(Maker, SIZES), "functools:partial"),
    ],
)
def test_places_are_names_that_say_something(given: object, place: str) -> None:
    source = source_of(given, "critic")
    assert source is not None
    assert source.place == place
    assert source.said == f"Your critic ({place})"


def needs_two(first: int, second: int) -> nn.Module:
    return nn.Linear(first, second)


def needs_a_name(*, width: int) -> nn.Module:
    return nn.Linear(width, 2)


def fails() -> nn.Module:
    raise ValueError("no such\nlayer.")


PLACE = "Your generator (tests.networks.test_sources:"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: made(needs_two), PLACE + "needs_two) asks for first, second; give a function without arguments, or"
         " with one for the Sizes, that makes it."),
        (lambda: made(needs_a_name), PLACE + "needs_a_name) asks for width; give a function"),
        (lambda: made(fails), PLACE + "fails) cannot be made: ValueError: no such layer (test_sources.py, line "),
        (lambda: made(dict), "Your generator (builtins:dict) must be a torch module or give one when called, not a"
         " dict."),
        (lambda: made(lambda: Maker), "must be a torch module or give one when called, not a type."),
        (lambda: made(unpicklable()), "cannot be copied and called: "),
        (lambda: source_of(3, "critic"), "critic = 3 is no network; give a torch module, or a class or function that"
         " makes one."),
        (lambda: source_of("nets:G", "critic"), "critic = 'nets:G' is no network"),
        (lambda: pair_of((1, 2, 3), "nets:x"), "nets:x must give a pair (generator, critic), with None for one that"
         " the task's own networks provide; it gives 3 things."),
        (lambda: pair_of(4, "nets:x"), "it gives a int."),
    ],
)  # fmt: skip
def test_what_makes_no_network_is_refused(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)) as caught:
        make()
    assert "\n" not in str(caught.value)


def unpicklable() -> nn.Module:
    network = nn.Linear(3, 2)
    network.results = network(torch.zeros(1, 3))  # a tensor with a graph cannot be copied
    return network


def test_no_networks_are_no_pair() -> None:
    assert Pair.of(None, None) is None
    pair: Any = Pair.of(None, Scorer)
    assert (pair.source("generator"), pair.source("critic").given, pair.reference) == (None, Scorer, "")


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ("nets_of_sources", "--networks 'nets_of_sources' is not of the form module:attr, such as my_networks:pair."),
        ("no_nets_here:pair", "--networks no_nets_here:pair: no module 'no_nets_here' in the current folder"),
        ("nets_of_sources:piar", "There is no attribute of module 'nets_of_sources', 'piar'; did you mean 'pair'?"),
        ("nets_of_sources:One", "--networks nets_of_sources:One is a single network; name a function that returns"
         " (generator, critic), or a tuple of the two, with None for the one that the task's own networks provide."),
        ("nets_of_sources:ONE", "--networks nets_of_sources:ONE is a single network"),
        ("nets_of_sources:NONE", "--networks nets_of_sources:NONE names no network; give a generator, a critic"),
        ("nets_of_sources:THREE", "nets_of_sources:THREE must give a pair (generator, critic)"),
        ("nets_of_sources:WORDS", "generator = 'a' is no network"),
    ],
)  # fmt: skip
def test_a_reference_that_is_no_pair_is_refused(
    reference: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nets_of_sources.py").write_text(
        "from torch import nn\n"
        "class One(nn.Linear): pass\n"
        "ONE, NONE, THREE, WORDS = One(2, 2), (None, None), (1, 2, 3), ('a', 'b')\n"
        "def pair(): return One(2, 2), One(2, 1)\n"
    )
    monkeypatch.chdir(tmp_path)
    assert Pair.named("nets_of_sources:pair").reference == "nets_of_sources:pair"
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}"):
        Pair.named(reference)


@pytest.mark.parametrize("role", ["generator", "critic"])
@pytest.mark.parametrize("compile", [torch.jit.script, lambda net: torch.jit.trace(net, torch.zeros(4, 2))])
@pytest.mark.filterwarnings("ignore:The .grad attribute", "ignore:.*torch.jit", "ignore:`torch.jit")
def test_modules_of_torch_jit_are_refused_and_plain_ones_are_not(role: Role, compile: Any) -> None:
    plain = nn.Linear(2, 2)
    compiled = compile(plain)
    for given in (compiled, lambda: compiled):
        source = source_of(given, role)
        assert source is not None
        with pytest.raises(UserError, match=rf"^Your {role} \(.*\) is compiled by torch\.jit, .*without script"):
            source.found(SIZES)
    source = source_of(plain, role)
    assert source is not None
    assert source.found(SIZES) is plain
