from __future__ import annotations

from collections import Counter

import numpy as np

from uncollapse.features.sampling import pick_images

MANY = [np.full((2, 3), value, np.uint8) for value in range(200)]


def values(images: list[np.ndarray]) -> list[int]:
    return [int(image[0, 0]) for image in images]


def test_the_choice_depends_on_content_alone() -> None:
    picked = values(pick_images(MANY, 50))
    assert len(set(picked)) == 50
    assert picked == values(pick_images(MANY[::-1], 50))
    assert picked != sorted(picked)
    # Fewer are the first ones of more.
    assert values(pick_images(MANY, 20)) == picked[:20]


def test_fewer_images_than_asked_for_are_all_kept_and_ordered_by_content() -> None:
    assert sorted(values(pick_images(MANY, 1000))) == list(range(200))
    assert values(pick_images(MANY, 1000)) == values(pick_images(MANY[::-1], 1000))
    assert pick_images([], 5) == []


def test_copies_have_the_chances_of_other_images() -> None:
    # Half of the images are one image: among 100 of 400 there are 50 of it, give or take four standard deviations.
    images = [*MANY, *[np.full((2, 3), 255, np.uint8)] * 200]
    share = Counter(values(pick_images(images, 100)))[255]
    assert 50 - 4 * 4.4 < share < 50 + 4 * 4.4


def test_the_shape_is_part_of_the_content_and_chunks_are_let_go() -> None:
    flat = [image.reshape(3, 2) for image in MANY]
    assert values(pick_images(MANY, 50)) != values(pick_images(flat, 50))
    chunk = np.stack(MANY)
    assert all(image.base is None for image in pick_images(list(chunk), 10))
