from __future__ import annotations

import io

import numpy as np
from PIL import Image

from uncollapse.data.sheet import contact_sheet


def opened(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def plain(value: int, *size: int) -> np.ndarray:
    return np.full(size, value, np.uint8)


def test_a_square_without_titles_holds_every_image_in_reading_order() -> None:
    sheet = opened(contact_sheet([[plain(10 * k, 8, 8) for k in range(5)]], None))
    assert sheet.shape == (4 + 2 * 68, 4 + 3 * 68, 3)
    centres = [[int(sheet[4 + 68 * row + 32, 4 + 68 * column + 32, 0]) for column in range(3)] for row in range(2)]
    assert centres == [[0, 10, 20], [30, 40, 255]]


def test_small_images_grow_by_whole_factors_and_large_ones_shrink() -> None:
    sheet = opened(contact_sheet([[plain(0, 28, 28)]], None))
    assert (sheet[:, :, 0] == 0).sum() == 84 * 84
    sheet = opened(contact_sheet([[plain(0, 1000, 500)]], None))
    assert (sheet[:, :, 0] == 0).sum() == 128 * 64


def test_lines_have_titles_that_are_drawn() -> None:
    lines = [[plain(100, 64, 64)] * 2, [plain(200, 64, 64)]]
    with_title, without = (opened(contact_sheet(lines, titles)) for titles in (["cat", "dog"], ["", ""]))
    assert with_title.shape == without.shape == (4 + 2 * 68, 120 + 2 * 68, 3)
    assert (with_title[:, :120] != without[:, :120]).any()
    assert (with_title[:, 120:] == without[:, 120:]).all()
    assert (without[:, :120] == 255).all()


def test_titles_of_any_letters_and_length() -> None:
    contact_sheet([[plain(0, 9, 9)]], ["日本語" * 50])


def test_grey_and_colour_of_mixed_sizes_share_a_sheet() -> None:
    sheet = opened(contact_sheet([[plain(0, 70, 20), plain(90, 10, 10, 3)]], None))
    assert sheet.shape == (4 + 1 * 74, 4 + 2 * 74, 3)


def test_nothing_is_an_empty_sheet() -> None:
    assert opened(contact_sheet([], None)).size > 0
