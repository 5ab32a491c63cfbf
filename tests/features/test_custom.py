from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from uncollapse.errors import UserError
from uncollapse.features.custom import given_extractor, load_custom
from uncollapse.features.pixels import Pixels
from uncollapse.features.shipped import ShippedClassifier

MODULE = """
import numpy as np
import torch
from torch import nn
from uncollapse.features.pixels import Pixels
from uncollapse.features.shipped import ShippedClassifier

def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4 * 36, 7))

def mean_colour():
    def function(x):
        return x.mean((2, 3))
    function.channels, function.size = 3, (5, 6)
    return function

def in_numpy():
    return lambda x: x.mean((2, 3)).numpy()

def extractor():
    return Pixels(side=4)

def keeping():
    return ShippedClassifier("digits")

def flat():
    return lambda x: x

def broken():
    return lambda x: x @ x.new_zeros(3, 3)

def odd_size():
    function = lambda x: x.flatten(1)
    function.size = "large"
    return function

def odd_channels():
    function = lambda x: x.flatten(1)
    function.channels = 4
    return function

def nothing():
    return 3

def failing():
    raise RuntimeError("no weights")

number = 3
"""
CPU = torch.device("cpu")
GREY = list(np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8))
COLOUR = list(np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8))


@pytest.fixture(autouse=True)
def _own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "my_extractors.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield
    sys.modules.pop("my_extractors", None)


def test_a_torch_module_is_evaluated_on_images_between_0_and_1() -> None:
    extractor = load_custom("my_extractors:network", example=GREY, device=CPU)
    assert extractor.name == "my_extractors:network[8x8]"
    assert extractor.width == 7
    rows = extractor.extract(GREY)
    network = sys.modules["my_extractors"].network().eval()
    with torch.no_grad():
        expected = network(torch.from_numpy(np.stack(GREY))[:, None].float() / 255)
    np.testing.assert_allclose(rows, expected.numpy(), atol=1e-5)
    alone = np.concatenate([extractor.extract([image]) for image in GREY])
    np.testing.assert_allclose(alone, rows, atol=1e-6)
    assert not extractor.reusable
    assert not extractor.standard


def test_attributes_say_what_a_callable_wants() -> None:
    extractor = load_custom("my_extractors:mean_colour", example=[], device=CPU)
    assert extractor.name == "my_extractors:mean_colour[5x6x3]"
    flat = np.zeros((9, 9, 3), np.uint8)
    flat[..., 1] = 255
    np.testing.assert_allclose(extractor.extract([flat]), [[0, 1, 0]], atol=1e-6)


def test_without_attributes_the_examples_decide() -> None:
    assert load_custom("my_extractors:in_numpy", example=GREY + COLOUR, device=CPU).name.endswith("[8x8x3]")
    grey = load_custom("my_extractors:in_numpy", example=GREY, device=CPU)
    np.testing.assert_allclose(grey.extract(GREY)[:, 0], np.stack(GREY).mean((1, 2)) / 255, rtol=1e-5)
    with pytest.raises(UserError, match="needs example images to decide their size"):
        load_custom("my_extractors:in_numpy", example=[], device=CPU)


def test_an_extractor_of_ones_own_keeps_its_ways_and_gets_the_name() -> None:
    extractor = load_custom("my_extractors:extractor", example=[], device=CPU)
    assert extractor.name == "my_extractors:extractor[pixels[4x4]]"
    assert extractor.extract(GREY).shape == (40, 16)


def test_an_object_of_a_program_is_used_as_one_of_a_factory_and_left_as_it_is() -> None:
    network = torch.nn.Flatten().train()
    extractor = given_extractor(network, example=GREY, device=CPU)
    with torch.no_grad():
        expected = network(torch.from_numpy(np.stack(GREY))[:, None].float() / 255)
    np.testing.assert_allclose(extractor.extract(GREY), expected.numpy(), atol=1e-5)
    assert network.training
    assert extractor.name == "Flatten[8x8]"

    def brightness(x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))

    assert given_extractor(brightness, example=COLOUR, device=CPU).name == "brightness[8x8x3]"
    own = Pixels(side=4)
    kept = given_extractor(own, example=[], device=CPU)
    np.testing.assert_array_equal(kept.extract(GREY), own.extract(GREY))
    shipped = ShippedClassifier("digits")
    assert (given_extractor(shipped, example=[], device=CPU).reusable, shipped.reusable) == (False, True)
    for wrong in (None, 3):
        with pytest.raises(
            UserError, match=rf"^features must be the name of an extractor, .* in \[0, 1\], not {wrong}\.$"
        ):
            given_extractor(wrong, example=GREY, device=CPU)


def test_rows_of_an_extractor_of_ones_own_are_never_kept() -> None:
    assert ShippedClassifier("digits").reusable
    assert not load_custom("my_extractors:keeping", example=[], device=CPU).reusable
    assert not load_custom("my_extractors:network", example=GREY, device=CPU).reusable


def test_changed_weights_change_the_digest() -> None:
    first = load_custom("my_extractors:network", example=GREY, device=CPU)
    assert first.digest == load_custom("my_extractors:network", example=GREY, device=CPU).digest
    sys.modules["my_extractors"].network = lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 7))
    assert first.digest != load_custom("my_extractors:network", example=GREY, device=CPU).digest


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("flat", r"must return 32 rows of floats \(32, d\) here, not torch.float32 \(32, 1, 8, 8\)"),
        ("broken", r"failed on images \(32, 1, 8, 8\) in \[0, 1\] with RuntimeError"),
        ("odd_size", "size must be a whole number or .height, width., not 'large'"),
        ("odd_channels", "channels must be 1 or 3, not 4"),
        ("nothing", "must return a torch module, a callable or an Extractor, not int"),
        ("failing", "failed with RuntimeError: no weights"),
        ("number", "is no function"),
        ("netwrok", "did you mean 'network'"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        load_custom(f"my_extractors:{name}", example=GREY, device=CPU)
