from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from uncollapse.report.evaluation_exhibits import Gallery, Tile, Whole
from uncollapse.report.evaluation_tiles import DETAILS, Thumbs, group

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (40, 16, 16, 3)).astype(np.uint8)


def tile(row: int, side: str = "real", label: str = "", note: str = "", thumb: int | None = 0) -> Tile:
    return Tile(side=side, row=row, name=f"{row}.png", thumb=thumb, label=label, note=note)


def gallery(rows: Sequence[Sequence[Tile]], kind: str = "uncovered", wholes: Sequence[Whole] = ()) -> Gallery:
    shown = tuple(tuple(row) for row in rows)
    return Gallery(key="k", kind=kind, title="t", sentence="s", rows=shown, wholes=tuple(wholes))


def decoded(uri: str) -> Image.Image:
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(body)))


def test_thumbnails_keep_every_pixel_and_grey_ones_are_stored_grey() -> None:
    assert (np.asarray(decoded(Thumbs(COLOUR).uri(3))) == COLOUR[3]).all()
    grey = np.repeat(COLOUR[..., :1], 3, -1)
    picture = decoded(Thumbs(grey).uri(3))
    assert picture.mode == "L"
    assert (np.asarray(picture) == grey[3, ..., 0]).all()


@pytest.mark.parametrize("place", [None, 40, 1000])
def test_a_thumbnail_that_is_not_there_is_left_out(place: int | None) -> None:
    assert Thumbs(COLOUR).uri(place) == ""
    found = group(gallery([[tile(1), tile(2, thumb=place)]]), Thumbs(COLOUR), DETAILS[0])
    assert len(found.rows[0].shots) == 1
    assert found.rows[0].more == 1


def test_words_say_what_a_sample_is() -> None:
    found = group(gallery([[tile(12, label="7", note="0.31"), tile(13, side="fake")]]), Thumbs(COLOUR), DETAILS[0])
    first, second = found.rows[0].shots
    assert first.alt == "real sample 12.png (row 12), label 7, 0.31"
    assert second.alt == "generated sample 13.png (row 13)"
    assert (first.caption, first.side, second.side) == ("0.31", "real", "fake")
    assert found.rows[0].lead == ""  # of two sides


def test_a_label_that_all_share_is_said_once() -> None:
    found = group(gallery([[tile(i, label="7") for i in range(40)]]), Thumbs(COLOUR), DETAILS[0]).rows[0]
    # A file of old does not say of how many rows these are a part.
    assert (found.labelled, found.label) == ("those in the file are all labelled", "7")
    assert (found.lead, found.side) == ("real", "real")
    assert [shot.caption for shot in found.shots] == [""] * 32
    assert found.more == 8
    mixed = group(gallery([[tile(1, label="7"), tile(2, label="8")]]), Thumbs(COLOUR), DETAILS[0]).rows[0]
    assert mixed.label == ""
    assert [shot.caption for shot in mixed.shots] == ["7", "8"]


def test_less_detail_shows_fewer() -> None:
    rows = [[tile(i) for i in range(40)]]
    shown = [len(group(gallery(rows), Thumbs(COLOUR), detail).rows[0].shots) for detail in DETAILS]
    assert shown == sorted(shown, reverse=True)
    assert (shown[0], shown[-1]) == (32, 3)


def test_small_thumbnails_are_shown_with_sharp_pixels() -> None:
    assert Thumbs(COLOUR).sharp
    assert not Thumbs(np.zeros((1, 64, 64, 3), np.uint8)).sharp
    assert not Thumbs(None).sharp


@pytest.mark.parametrize(
    ("labels", "said", "label"),
    [
        ((("7", 98),), "all labelled", "7"),
        ((("7", 90), ("8", 8)), "those shown and 90 of all 98 labelled", "7"),
        # Even where another label is more frequent in the whole group, what is said of "7" is true.
        ((("8", 58), ("7", 40)), "those shown and 40 of all 98 labelled", "7"),
    ],
)
def test_what_is_said_of_a_label_is_said_of_the_whole_group(
    labels: tuple[tuple[str, int], ...], said: str, label: str
) -> None:
    whole = Whole(rows=98, labels=labels, kinds=len(labels))
    found = group(gallery([[tile(i, label="7") for i in range(28)]], wholes=[whole]), Thumbs(COLOUR), DETAILS[0])
    row = found.rows[0]
    assert (row.labelled, row.label, row.more) == (said, label, 70)


def test_most_of_a_mixed_group_and_none_of_an_even_one_have_a_label() -> None:
    tiles = [[tile(1, label="7"), tile(2, label="8")]]

    def said(*labels: tuple[str, int]) -> tuple[str, str]:
        whole = Whole(rows=sum(count for _, count in labels), labels=labels, kinds=len(labels))
        row = group(gallery(tiles, wholes=[whole]), Thumbs(COLOUR), DETAILS[0]).rows[0]
        assert [shot.caption for shot in row.shots] == ["7", "8"]
        return row.labelled, row.label

    assert said(("7", 60), ("8", 38)) == ("60 of 98 labelled", "7")
    assert said(("7", 49), ("8", 49)) == ("", "")


def test_of_samples_chosen_at_random_the_title_says_of_how_many() -> None:
    rows = [[tile(i) for i in range(28)]]
    for kind, more in (("sample", 0), ("uncovered", 872)):
        found = group(gallery(rows, kind=kind, wholes=[Whole(rows=900)]), Thumbs(COLOUR), DETAILS[0])
        assert found.rows[0].more == more


def test_vectors_are_listed_by_their_rows() -> None:
    rows = [[tile(1_234, note="0.2", thumb=None), tile(5, thumb=None)]]
    found = group(gallery(rows, wholes=[Whole(rows=30)]), Thumbs(None), DETAILS[0])
    assert [line.text for line in found.lines] == ["real rows 1234 (0.2), 5 and 28 more"]
    pairs = [[tile(3, side="fake", thumb=None), tile(8, note="0.31", thumb=None), tile(9, thumb=None)]]
    found = group(gallery(pairs, kind="neighbours"), Thumbs(None), DETAILS[0])
    assert [line.text for line in found.lines] == ["generated row 3: real rows 8 (0.31), 9"]
    assert found.rows == ()
    assert group(gallery(pairs), Thumbs(COLOUR), DETAILS[0], "Of it.").also == "Of it."
