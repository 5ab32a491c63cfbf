from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from uncollapse.errors import UserError
from uncollapse.features.batches import Prepared, digest_of, in_batches

CPU = torch.device("cpu")
IMAGES = [np.full((2, 2), value, np.uint8) for value in range(11)]


def stack(images: Sequence[np.ndarray]) -> Prepared:
    return np.stack(images).astype(np.float32)


def test_every_image_gets_its_row_in_order_and_batches_have_one_size() -> None:
    seen = []

    def network(x: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(len(x))
        return x.sum((1, 2))[:, None], x.double()

    sums, same = in_batches(IMAGES, stack, network, size=4, device=CPU)
    assert sums[:, 0].tolist() == [4 * value for value in range(11)]
    assert same.shape == (11, 2, 2)
    assert same.dtype == np.float32
    assert seen == [4, 4, 4]


def test_rows_do_not_depend_on_what_stands_beside_them() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 36, 64))
    images = list(np.random.default_rng(0).normal(size=(21, 1, 8, 8)).astype(np.float32))

    def rows(part: list[np.ndarray]) -> np.ndarray:
        return in_batches(part, np.stack, lambda x: (network(x),), size=16, device=CPU)[0]

    whole = rows(images)
    assert np.abs(whole).max() > 0.1
    np.testing.assert_allclose(rows(images[::-1])[::-1], whole, atol=1e-6)
    np.testing.assert_allclose(np.concatenate([rows([image]) for image in images]), whole, atol=1e-6)


def test_a_batch_too_large_for_the_device_is_halved() -> None:
    seen = []

    def network(x: Tensor) -> tuple[Tensor]:
        if len(x) > 3:
            raise torch.OutOfMemoryError
        seen.append(len(x))
        return (x.flatten(1),)

    rows = in_batches(IMAGES, stack, network, size=8, device=CPU)[0]
    assert rows[:, 0].tolist() == list(range(11))
    assert set(seen) == {2}


def test_one_image_too_large_is_one_sentence() -> None:
    def network(x: Tensor) -> tuple[Tensor]:
        raise torch.OutOfMemoryError

    with pytest.raises(UserError, match=r"One image does not fit the memory of cpu; .*--device cpu"):
        in_batches(IMAGES, stack, network, size=4, device=CPU)


def test_no_gradients_are_kept() -> None:
    layer = nn.Linear(4, 1)
    kept = []

    def network(x: Tensor) -> tuple[Tensor]:
        kept.append(layer(x.flatten(1)))
        return (kept[0],)

    in_batches(IMAGES[:2], stack, network, size=2, device=CPU)
    assert not kept[0].requires_grad


def test_the_digest_depends_on_every_setting_and_not_on_their_order() -> None:
    assert digest_of(a=1, b="x") == digest_of(b="x", a=1)
    assert len({digest_of(a=1), digest_of(a=2), digest_of(b=1), digest_of(a="1"), digest_of(a=[1, 2])}) == 5
    assert len(digest_of(a=1)) == 64


def test_no_bit_depends_on_the_number_of_threads() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 36, 64))
    images = list(np.random.default_rng(0).normal(size=(50, 1, 8, 8)).astype(np.float32))
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(in_batches(images, np.stack, lambda x: (network(x),), size=16, device=CPU)[0].tobytes())
    torch.set_num_threads(1)
    assert found[0] == found[1] == found[2]


def test_a_callable_of_the_users_is_called_in_one_thread_after_the_other() -> None:
    seen = []

    def network(x: Tensor) -> tuple[Tensor]:
        seen.append(threading.current_thread().name)
        return (x.flatten(1),)

    torch.set_num_threads(3)
    rows = in_batches(IMAGES, stack, network, size=2, device=CPU, apart=False)[0]
    torch.set_num_threads(1)
    assert rows[:, 0].tolist() == list(range(11))
    assert set(seen) == {threading.current_thread().name}
