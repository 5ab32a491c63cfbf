from __future__ import annotations

import json

import numpy as np

from uncollapse.data.source import Chunk, Notes


def test_the_length_of_a_chunk_is_its_rows() -> None:
    assert len(Chunk(first=0, images=[np.zeros((2, 2), np.uint8)] * 3)) == 3
    assert len(Chunk(first=0, features=np.zeros((5, 2)))) == 5


def test_notes_count_everything_and_list_the_first() -> None:
    notes = Notes()
    for number in range(150):
        notes.refuse(f"{number}.png", "is empty")
    notes.accept([np.zeros((3, 4), np.uint8), np.zeros((3, 4, 3), np.uint8), np.zeros((3, 4, 3), np.uint8)])
    document = json.loads(json.dumps(notes.to_json()))
    assert (document["bad_count"], len(document["bad"]), document["rows"]) == (150, Notes.MOST_LISTED, 3)
    assert document["sizes"] == {"3 x 4": 3}
    assert document["channels"] == {"grey": 1, "colour": 2}
    assert document["bad"][0] == {"name": "0.png", "reason": "is empty"}
