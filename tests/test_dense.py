from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import uncollapse as uc
from uncollapse.data.items import as_array
from uncollapse.dense import check_dense
from uncollapse.errors import UserError
from uncollapse.monitor.encoding import as_samples

X = np.random.default_rng(0).normal(size=(60, 2))
MASKED = np.ma.masked_greater(X, 1.0)
READERS: list[Callable[[Any], object]] = [
    lambda given: check_dense(given, "real"),
    lambda given: uc.metrics.coverage(real=given, fake=X),
    lambda given: as_array(given, "real"),
    lambda given: as_samples(given, name="real"),
]


@pytest.mark.parametrize("read", READERS, ids=["check", "metric", "evaluate", "monitor"])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (MASKED, rf"^real is a masked array of which {np.sum(X > 1)} entries are masked, and what is below"),
        (torch.tensor(X).to_sparse(), r"^real is a sparse tensor \(torch\.sparse_coo\); give its to_dense\(\)\.$"),
        (torch.tensor(X).to("meta"), r"^real is a tensor without numbers \(device meta\)"),
    ],
    ids=["masked", "sparse", "meta"],
)
def test_numbers_that_are_not_there_are_not_taken(read: Callable[[Any], object], given: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(given)


def test_a_mask_that_hides_nothing_and_what_is_no_array_pass() -> None:
    for given in (np.ma.masked_greater(X, 99.0), X, torch.tensor(X), X.tolist(), None, "photos/"):
        check_dense(given, "real")
    shown = uc.metrics.coverage(real=np.ma.masked_greater(X, 99.0), fake=X[::-1])
    assert shown.value == uc.metrics.coverage(real=X, fake=X[::-1]).value
