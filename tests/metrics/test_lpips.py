"""LPIPS against its definition in NumPy loops, on random weights of the true layout with few channels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from uncollapse.errors import UserError
from uncollapse.metrics import lpips
from uncollapse.metrics.lpips import Lpips

NARROW = ((3, 4), (4, 5), (5, 4, 6), (6, 5, 4), (4, 5, 7))
# torchvision's numbers of the 13 convolutions, written out.
NUMBERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


@pytest.fixture
def states(monkeypatch):
    monkeypatch.setattr(lpips, "BLOCKS", NARROW)
    draws = torch.Generator().manual_seed(5)
    network, before = {}, 3
    for number, width in zip(NUMBERS, [w for block in NARROW for w in block], strict=True):
        network[f"features.{number}.weight"] = torch.randn(width, before, 3, 3, generator=draws) / 3
        network[f"features.{number}.bias"] = torch.randn(width, generator=draws) / 3
        before = width
    heads = {
        f"lin{level}.model.1.weight": torch.rand(1, block[-1], 1, 1, generator=draws)
        for level, block in enumerate(NARROW)
    }
    return network | {"classifier.0.weight": torch.zeros(2, 2)}, heads


@pytest.fixture
def files(states, tmp_path):
    paths = tmp_path / "vgg16.pth", tmp_path / "vgg.pth"
    for state, path in zip(states, paths, strict=True):
        torch.save(state, path)
    return paths


@pytest.fixture
def images():
    draws = torch.Generator().manual_seed(6)
    return tuple(2 * torch.rand(2, 3, 20, 17, generator=draws) - 1 for _ in range(2))


def by_hand(x, y, network, heads):
    """The definition with NumPy: convolutions as sums of shifted images."""
    total = 0.0
    one, other = (
        (image - np.array(lpips.SHIFT)[:, None, None]) / np.array(lpips.SCALE)[:, None, None] for image in (x, y)
    )
    numbers = iter(NUMBERS)
    for level, block in enumerate(NARROW):
        for _ in block:
            number = next(numbers)
            weight, bias = (network[f"features.{number}.{kind}"].double().numpy() for kind in ("weight", "bias"))
            one, other = (np.maximum(convolved(maps, weight) + bias[:, None, None], 0) for maps in (one, other))
        units = [maps / (np.sqrt((maps**2).sum(0)) + 1e-10) for maps in (one, other)]
        head = heads[f"lin{level}.model.1.weight"].double().numpy().reshape(-1)
        total += np.tensordot(head, (units[0] - units[1]) ** 2, axes=1).mean()
        one, other = (halved(maps) for maps in (one, other))
    return total


def convolved(maps, weight):
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
    height, width = maps.shape[1:]
    return sum(
        np.tensordot(weight[:, :, i, j], padded[:, i : i + height, j : j + width], axes=1)
        for i in range(3)
        for j in range(3)
    )


def halved(maps):
    c, h, w = maps.shape
    return maps[:, : h // 2 * 2, : w // 2 * 2].reshape(c, h // 2, 2, w // 2, 2).max((2, 4))


def test_it_is_the_published_definition(states, files, images):
    found = Lpips(backbone=files[0], heads=files[1])(*images)
    expected = [by_hand(x.double().numpy(), y.double().numpy(), *states) for x, y in zip(*images, strict=True)]
    assert min(expected) > 0.01
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)


def test_it_is_symmetric_and_zero_for_equal_images(files, images):
    distance = Lpips(backbone=files[0], heads=files[1])
    x, y = images
    assert distance(x, x).tolist() == [0.0, 0.0]
    torch.testing.assert_close(distance(x, y), distance(y, x))
    torch.testing.assert_close(distance(x[:1], y[:1]), distance(x, y)[:1])


def test_gradients_reach_the_image_and_stay_finite_on_black_channels(files, images):
    distance = Lpips(backbone=files[0], heads=files[1])
    x = images[0].clone().requires_grad_()
    distance(x, images[1]).sum().backward()
    assert bool(torch.isfinite(x.grad).all())
    assert float(x.grad.abs().max()) > 0
    assert not any(weight.requires_grad for weight in distance.parameters())


def test_safetensors_give_the_same_and_the_identity_names_the_bytes(states, files, images, tmp_path):
    for state, name in zip(states, ("a.safetensors", "b.safetensors"), strict=True):
        save_file(state, tmp_path / name)
    other = Lpips(backbone=tmp_path / "a.safetensors", heads=str(tmp_path / "b.safetensors"))
    one = Lpips(backbone=files[0], heads=files[1])
    torch.testing.assert_close(one(*images), other(*images), rtol=0, atol=0)
    assert one.identity.startswith("lpips-vgg ")
    assert one.identity != other.identity


@pytest.mark.usefixtures("global_random_untouched")
def test_loading_draws_nothing(files):
    Lpips(backbone=files[0], heads=files[1])


def test_the_layout_is_that_of_vgg16():
    widths = [width for block in lpips.BLOCKS for width in block]
    assert widths == [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    # 14,714,688 parameters in the convolutions of VGG16, as torchvision counts them.
    assert sum(9 * a * b + b for a, b in zip([3, *widths], widths, strict=False)) == 14_714_688


def test_without_files_a_sentence_says_where_they_are(tmp_path):
    for given in ({}, {"backbone": tmp_path / "a.pth"}):
        with pytest.raises(UserError, match=r"vgg16-397923af\.pth .* vgg\.pth of the PyPI package lpips"):
            Lpips(**given)
    with pytest.raises(UserError, match=r"backbone: there is no file .*nothing\.pth"):
        Lpips(backbone=tmp_path / "nothing.pth", heads=tmp_path / "nothing.pth")


@pytest.mark.parametrize("name", ["bad.pth", "bad.safetensors"])
def test_files_that_are_no_weights_are_refused(files, tmp_path, name):
    (tmp_path / name).write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match="is not a readable file of weights"):
        Lpips(backbone=tmp_path / name, heads=files[1])
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UserError, match="holds no state dict"):
        Lpips(backbone=files[0], heads=tmp_path / "list.pth")


def test_missing_and_misshapen_weights_are_named(states, files, tmp_path):
    network = dict(states[0])
    del network["features.12.bias"]
    torch.save(network, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"a\.pth has no weights 'features\.12\.bias'"):
        Lpips(backbone=tmp_path / "a.pth", heads=files[1])
    torch.save(states[1] | {"lin3.model.1.weight": torch.ones(1, 9, 1, 1)}, tmp_path / "b.pth")
    with pytest.raises(UserError, match=r"lin3\.model\.1\.weight has shape \(1, 9, 1, 1\) but LPIPS .* \(1, 4, 1, 1\)"):
        Lpips(backbone=files[0], heads=tmp_path / "b.pth")


def test_what_is_no_pair_of_images_is_refused(files, images):
    distance = Lpips(backbone=files[0], heads=files[1])
    x, y = images
    for one, other in ((x, y[:1]), (x[:, :1], y[:, :1]), (x[0], y[0]), (x[..., :15], y[..., :15])):
        with pytest.raises(UserError, match=r"two batches \(b, 3, h, w\) of equal shape"):
            distance(one, other)
    with pytest.raises(UserError, match=r"floats in \[-1, 1\], not numbers up to 2[0-9.]+; map grey levels"):
        distance(x * 127.5 + 127.5, y)
    with pytest.raises(UserError, match=r"not torch\.uint8"):
        distance(x.to(torch.uint8), y.to(torch.uint8))
