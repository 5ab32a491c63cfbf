from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from uncollapse.errors import UserError
from uncollapse.features.pixels import Pca, Pixels

DRAWS = np.random.default_rng(0)
REAL = list(DRAWS.integers(0, 256, (60, 8, 8), dtype=np.uint8))
FAKE = list(DRAWS.integers(0, 128, (90, 8, 8), dtype=np.uint8))
COLOUR = list(DRAWS.integers(0, 256, (30, 12, 10, 3), dtype=np.uint8))


def test_pixels_are_values_between_0_and_1() -> None:
    rows = Pixels(side=8).extract(REAL)
    np.testing.assert_allclose(rows, np.stack(REAL).reshape(60, 64) / 255, rtol=1e-7)
    assert rows.dtype == np.float32
    colour = Pixels(side=(12, 10), colour=True).extract(COLOUR)
    np.testing.assert_allclose(colour, np.stack(COLOUR).transpose(0, 3, 1, 2).reshape(30, 360) / 255, rtol=1e-7)


def test_the_data_decide_size_and_colour_and_the_name_says_so() -> None:
    assert Pixels.like(REAL, FAKE).name == "pixels[8x8]"
    assert Pixels.like(REAL, COLOUR).name == Pixels.like(COLOUR, REAL).name == "pixels[8x8x3]"
    assert Pixels.like(COLOUR).name == "pixels[12x10x3]"
    assert Pixels.like([np.repeat(image[..., None], 3, 2) for image in REAL]).name == "pixels[8x8]"
    assert Pixels.like([np.zeros((200, 100), np.uint8)]).name == "pixels[64x32]"
    mixed = Pixels.like(REAL, COLOUR)
    assert mixed.extract(COLOUR).shape == (30, mixed.width) == (30, 192)
    assert len({Pixels(side=8).digest, Pixels(side=9).digest, Pixels(side=8, colour=True).digest}) == 3


def test_pca_is_the_pca_of_balanced_sides() -> None:
    # Repeating each side to equal length gives every side the weight one half.
    pca = Pca(5)
    pca.fit(REAL, FAKE)
    x, y = (Pixels(side=8).extract(side).astype(float) for side in (REAL, FAKE))
    reference = PCA(5, svd_solver="full").fit(np.concatenate([np.repeat(x, 3, 0), np.repeat(y, 2, 0)]))
    signs = np.sign((reference.components_.T * pca._directions).sum(0))
    np.testing.assert_allclose(pca._directions * signs, reference.components_.T, atol=1e-9)
    expected = reference.transform(x) * signs
    np.testing.assert_allclose(pca.extract(REAL), expected, atol=1e-6)
    largest = np.abs(pca._directions).argmax(0)
    assert (pca._directions[largest, range(5)] > 0).all()


def test_neither_order_nor_exchanged_sides_change_a_bit() -> None:
    fits = []
    for real, fake in ((REAL, FAKE), (FAKE, REAL), (REAL[::-1], FAKE[3:] + FAKE[:3])):
        pca = Pca()
        pca.fit(real, fake)
        fits.append((pca.digest, pca.extract(REAL)))
    assert len({digest for digest, _ in fits}) == 1
    assert all((rows == fits[0][1]).all() for _, rows in fits)


def test_small_images_get_fewer_components_than_pixels() -> None:
    pca = Pca()
    assert pca.name == "pca[64]"
    pca.fit(REAL, FAKE)
    assert (pca.name, pca.width) == ("pca[32]", 32)
    pca.fit(REAL[:3], FAKE[:2])  # five images span four directions around their mean
    assert pca.width == 4
    constant = [np.full((8, 8), 7, np.uint8)] * 4
    pca.fit(constant, constant)
    assert pca.width == 1
    assert (pca.extract(constant) == 0).all()


def test_colour_on_either_side_makes_it_colour_of_at_most_16_pixels() -> None:
    large = list(DRAWS.integers(0, 256, (6, 64, 10, 3), dtype=np.uint8))
    pca = Pca()
    pca.fit(large, large[:3])
    assert pca._pixels is not None
    assert pca._pixels.name == "pixels[16x2x3]"
    one, other = Pca(), Pca()
    one.fit(COLOUR, REAL)
    other.fit(REAL, COLOUR)
    assert one._pixels is not None
    assert one._pixels.colour
    assert one.digest == other.digest


def test_rows_do_not_depend_on_their_neighbours() -> None:
    pca = Pca()
    pca.fit(REAL, FAKE)
    alone = np.concatenate([pca.extract([image]) for image in REAL])
    np.testing.assert_allclose(alone, pca.extract(REAL), atol=1e-6)


def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(UserError, match="fitted on the images of both sides"):
        Pca().extract(REAL)
    with pytest.raises(UserError, match="at least one image of each"):
        Pca().fit(REAL, [])
    with pytest.raises(UserError, match="at least 1 component, not 0"):
        Pca(0)
    with pytest.raises(UserError, match="from 1 to 1,024, not 0 x 4"):
        Pixels(side=(0, 4))
    with pytest.raises(UserError, match=r"write pixels\[28x28\]"):
        Pixels.like([], [])


def test_neither_is_kept_in_the_cache() -> None:
    assert not Pixels(side=8).reusable
    assert not Pca().reusable
    assert Pca().fits


def test_what_pca_has_learned_makes_the_same_rows_elsewhere() -> None:
    images = list(np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8))
    fitted, told = Pca(6), Pca(6)
    fitted.fit(images[:20], images[20:])
    told.learn(fitted.learned())
    assert (told.name, told.digest, told.width) == (fitted.name, fitted.digest, fitted.width)
    assert told.extract(images).tobytes() == fitted.extract(images).tobytes()
