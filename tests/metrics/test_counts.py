from __future__ import annotations

import numpy as np
import pytest
import torch

from uncollapse.errors import UserError
from uncollapse.metrics.counts import Table, tabulate


def table(**given: object) -> Table:
    sides = {"real": None, "fake": None, "real_counts": None, "fake_counts": None}
    return tabulate(**(sides | given))  # type: ignore[arg-type]


def test_labels_of_any_container_give_the_same_counts() -> None:
    labels = [3, 1, 1, 2]
    for kind in (list, tuple, np.array, torch.tensor):
        found = table(real=kind(labels), fake=kind([2, 2, 5]))
        assert found.names == (1, 2, 3, 5)
        assert found.real.tolist() == [2, 1, 1, 0]
        assert found.fake.tolist() == [0, 2, 0, 1]
        assert (found.n_real, found.n_fake, found.exact) == (4, 3, False)


def test_labels_equal_counts() -> None:
    by_labels = table(real=["b", "a", "b"], fake=["a", "c"])
    by_counts = table(real_counts={"c": 0, "b": 2, "a": 1, "never": 0}, fake_counts={"c": 1, "a": 1})
    assert by_labels.names == by_counts.names == ("a", "b", "c")
    assert by_labels.real.tolist() == by_counts.real.tolist()
    assert by_labels.fake.tolist() == by_counts.fake.tolist()


def test_whole_numbers_are_counts_and_floats_that_sum_to_one_are_exact() -> None:
    assert table(real_counts=[0.25, 0.75], fake_counts=[3, 1]).exact
    assert not table(real_counts=[1, 0], fake_counts=[3, 1]).exact
    assert not table(real_counts=[10.0, 20.0], fake_counts=[3, 1]).exact
    assert table(real_counts=[0.25, 0.75], fake_counts=[3, 1]).n_real is None


def test_real_may_be_missing_only_where_it_is_not_needed() -> None:
    found = tabulate(real=None, fake=[1, 2], real_counts=None, fake_counts=None, need_real=False)
    assert found.real is None
    assert found.n_real is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"real": [1]}, "Give either fake= .labels. or fake_counts=; neither was given"),
        ({"fake": [1]}, "Give either real= .labels. or real_counts=; neither was given"),
        ({"real": [1], "fake": [1], "fake_counts": [1]}, "both were given"),
        ({"real": [1], "fake": []}, "fake has no labels"),
        ({"real": [[1]], "fake": [1]}, "one label a sample, not of shape"),
        ({"real": [1.5], "fake": [1]}, "real labels must be all whole numbers or all strings, not float64"),
        ({"real": [1, "a"], "fake": [1]}, "a mixture"),
        ({"real": ["1"], "fake": [1]}, "real and fake name their classes differently"),
        ({"real_counts": [1, 2], "fake_counts": [1, 2, 3]}, "real_counts has 2 classes and fake_counts 3"),
        ({"real_counts": [1, -2], "fake_counts": [1, 2]}, "real_counts must be numbers from 0 up, not -2"),
        ({"real_counts": [1, 2], "fake_counts": [1, float("nan")]}, "fake_counts must be numbers from 0 up, not nan"),
        ({"real_counts": [1, 2], "fake_counts": [0, 0]}, "fake_counts are all 0"),
        ({"real_counts": [0.5, 0.4], "fake_counts": [1, 2]}, "hold 0.5; exact shares must sum to 1"),
        ({"real_counts": [1, 2], "fake_counts": [0.5, 0.5]}, "fake_counts must be whole numbers, but hold 0.5"),
        ({"real_counts": "abc", "fake_counts": [1]}, "must be a mapping from class to count, or a list"),
        ({"real_counts": {1: 2, "a": 3}, "fake_counts": [1]}, "The classes of real_counts must be all"),
    ],
)
def test_what_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        table(**given)
