"""Judgements split as they were joined; sizes by hand."""

from __future__ import annotations

import pytest
import torch

from uncollapse.parts.scene import Judgement, Part, Sizes, require_real


def test_split_gives_back_the_rows_of_every_field() -> None:
    whole = Judgement(score=torch.arange(5.0), features=torch.arange(10.0).reshape(5, 2), class_logits=torch.eye(5))
    head, tail = whole.split(2)
    assert head.score.tolist() == [0, 1]
    assert tail.score.tolist() == [2, 3, 4]
    assert tail.features.tolist() == [[4, 5], [6, 7], [8, 9]]
    assert head.class_logits is not None
    assert torch.equal(head.class_logits, torch.eye(5)[:2])
    assert head.second_score is None


def test_sizes_by_hand() -> None:
    sizes = Sizes(shape=(3, 8, 8), latent=4, batch=12, group=3)
    assert (sizes.data, sizes.packs) == (192, 4)
    assert Sizes(shape=(2,), latent=1).data == 2


def test_a_part_asks_for_nothing_by_default() -> None:
    sizes = Sizes(shape=(2,), latent=1)
    assert (Part().heads(sizes), Part().noise(sizes)) == ({}, {})


def test_a_part_that_looks_at_real_data_undeclared_is_told() -> None:
    with pytest.raises(RuntimeError, match="without declaring generator_sees_real"):
        require_real(None)
