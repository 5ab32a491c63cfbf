"""Stacks of digits: what they are made of, how often, and what the task makes of real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sklearn.neighbors  # noqa: F401 - sets OpenMP's environment variables at its first import, which is no leak of a test
import torch
from scipy import stats

from uncollapse.blocks import Blocks
from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.methods import METHODS
from uncollapse.parts.scene import Sizes
from uncollapse.tasks import Stacked, find, from_spec
from uncollapse.tasks.digits import split
from uncollapse.tasks.images import pool
from uncollapse.tasks.stacked import confusion

LABELS = torch.tensor([100, 10, 1])


def channel_bytes(x: torch.Tensor) -> list[bytes]:
    """The single images of stacks."""
    return [image.numpy().tobytes() for image in x.flatten(0, 1)]


def digits_by_image() -> tuple[dict[bytes, int], set[bytes]]:
    """The digit of each built-in training image, and the held-out images."""
    data = split()
    train = {image.numpy().tobytes(): int(k) for image, k in zip(data.train, data.train_labels, strict=True)}
    return train, {image.numpy().tobytes() for image in data.held_out}


def test_each_channel_is_a_training_digit_and_the_label_reads_them() -> None:
    train, held = digits_by_image()
    task = find("stacked-digits")
    for x, labels in (task.sample(700, stream(0, "test")), task.source(3)(700, stream(0, "test"))):
        assert x.shape == (700, 3, 8, 8)
        channels = channel_bytes(x)
        assert not held & set(channels)
        assert torch.equal((torch.tensor([train[image] for image in channels]).view(-1, 3) * LABELS).sum(1), labels)
    assert set(channel_bytes(task.held_out(700, stream(0, "test"))[0])) <= held


def test_each_channel_of_stacked_mnist_is_a_training_digit(data_folder: Path) -> None:
    data, test = pool("mnist", "train"), pool("mnist", "test")
    train = {image.numpy().tobytes(): int(k) for image, k in zip(data.images, data.labels, strict=True)}
    task = find("stacked-mnist")
    x, labels = task.source(0)(300, stream(0, "test"))
    assert (x.shape, x.dtype) == ((300, 3, 28, 28), torch.float32)
    channels = channel_bytes(((x + 1) * 127.5).round().to(torch.uint8))
    assert torch.equal((torch.tensor([train[image] for image in channels]).view(-1, 3) * LABELS).sum(1), labels)
    tests = {image.numpy().tobytes() for image in test.images}
    held = channel_bytes(((task.held_out(300, stream(0, "test"))[0] + 1) * 127.5).round().to(torch.uint8))
    assert set(held) <= tests


def test_stacks_come_in_the_shares_of_independent_digits() -> None:
    task = find("stacked-digits")
    source = task.source(0)
    counts = sum(
        torch.bincount(source(5000, stream(0, "critic batches", block))[1], minlength=1000) for block in range(20)
    )
    shares = np.bincount(split().train_labels.numpy()) / 1352
    expected = np.einsum("a,b,c->abc", shares, shares, shares).ravel()
    np.testing.assert_allclose(task.modes.weights.numpy(), expected, rtol=1e-12)
    assert 0.001 < stats.chisquare(counts.numpy(), 100_000 * expected).pvalue < 0.999


def test_names_and_weights_of_stacked_mnist_need_no_data() -> None:
    task = find("stacked-mnist")
    weights = dict(zip(task.modes.names, task.modes.weights.tolist(), strict=True))
    assert list(weights)[73] == "073"
    assert weights["111"] == pytest.approx((6742 / 60_000) ** 3)
    assert weights["073"] == pytest.approx(5923 * 6265 * 6131 / 60_000**3)
    assert sum(weights.values()) == pytest.approx(1)
    everything = find("stacked-mnist", all_digits=True).modes.weights
    assert everything[111].item() == pytest.approx((7877 / 70_000) ** 3)
    assert (task.shape, task.classes, task.measure_size, task.batch) == ((3, 28, 28), 1000, 100_000, 64)


def blocks(seeds: tuple[int, ...] = (3, 4)) -> Blocks:
    task, sizes = find("stacked-digits"), Sizes(shape=(3, 8, 8), latent=2, batch=16)
    sources = [task.source(seed) for seed in seeds]
    cpu = torch.device("cpu")
    return Blocks("critic", METHODS["vanilla"], sizes, seeds, sources, with_real=True, device=cpu, dtype=torch.float32)


def test_the_stacks_of_an_update_are_a_function_of_seed_and_update() -> None:
    both, alone = blocks(), blocks((4,))
    for update in (70, 0, 3):
        assert torch.equal(both.batch(update).real, blocks().batch(update).real)
        assert torch.equal(both.batch(update).real[1], alone.batch(update).real[0])
    first = both.batch(0).real
    assert not torch.equal(first, both.batch(1).real)
    assert not torch.equal(first[0], first[1])


def test_a_train_size_fixes_stacks_once_for_each_seed() -> None:
    task = find("stacked-digits", train_size=20)
    sets = []
    for seed in (0, 1):
        source = task.source(seed, dtype=torch.float64)
        first, labels = source(400, stream(seed, "a"))
        second, _ = source(400, stream(seed, "b"))
        assert first.dtype == torch.float64
        assert (task.assign(first)[0] == labels).double().mean() > 0.95
        sets.append({stack.numpy().tobytes() for stack in first})
        assert sets[-1] == {stack.numpy().tobytes() for stack in second}
    assert [len(each) for each in sets] == [20, 20]
    assert not sets[0] & sets[1]


def test_the_legacy_protocol_stacks_test_digits_too_and_only_it() -> None:
    train, held = digits_by_image()
    legacy = find("stacked-digits", all_digits=True)
    channels = channel_bytes(legacy.source(0)(4000, stream(0, "test"))[0])
    # 445 of 1,797 digits are held out otherwise.
    assert np.mean([image in held for image in channels]) == pytest.approx(445 / 1797, abs=0.015)
    assert set(channels) <= held | train.keys()
    assert legacy.modes.weights[0].item() == pytest.approx((178 / 1797) ** 3)
    assert legacy.spec() == {"name": "stacked-digits", "all_digits": True}
    assert from_spec(legacy.spec()) == legacy != find("stacked-digits")
    with pytest.raises(UserError, match="all_digits must be true or false, not 'yes'"):
        find("stacked-digits", all_digits="yes")


def test_specs_hold_what_differs() -> None:
    task = find("stacked-mnist", train_size=128_000, measure_size=26_000)
    assert task.spec() == {"name": "stacked-mnist", "train_size": 128_000, "measure_size": 26_000}
    assert from_spec(task.spec()).measure_size == 26_000
    assert find("stacked-mnist").spec() == {"name": "stacked-mnist"}
    assert isinstance(task, Stacked)
    assert (task.snapshot_size, find("stacked-digits", measure_size=300).snapshot_size) == (5_000, 300)


def test_every_channel_decides_mode_and_quality() -> None:
    task = find("stacked-digits")
    x, labels = task.held_out(3000, stream(0, "test"))
    mode, good = task.assign(x)
    assert torch.equal(mode, labels)  # the classifier names every held-out digit correctly
    # 422 of 445 held-out digits are of high quality, and three independent ones have to be.
    assert good.double().mean().item() == pytest.approx((422 / 445) ** 3, abs=0.025)
    assert torch.equal(task.assign(x.flatten(1))[0], mode)
    x[0, 1, 2, 2], x[1, 2] = float("nan"), 0
    spoiled, doubtful = task.assign(x)
    assert (spoiled[0].item(), bool(doubtful[0]), bool(doubtful[1])) == (-1, False, False)
    assert spoiled[1] // 10 == labels[1] // 10


def test_confusion_is_that_of_held_out_digits(data_folder: Path) -> None:
    assert torch.equal(confusion("digits"), torch.eye(10, dtype=torch.float64))
    found = confusion("mnist")
    torch.testing.assert_close(found.sum(1), torch.ones(10, dtype=torch.float64))
    # Recalls as the classifier's card states them.
    recalls = [0.999, 0.9974, 0.9952, 0.999, 0.9959, 0.9922, 0.9937, 0.9951, 0.9969, 0.9941]
    torch.testing.assert_close(found.diagonal(), torch.tensor(recalls, dtype=torch.float64), atol=1.5e-3, rtol=0)


def test_real_stacks_cover_every_mode_and_a_lost_digit_loses_its_modes() -> None:
    task = find("stacked-digits")
    x, labels = task.held_out(26_000, stream(0, "test"))
    whole = task.further_measures(x, None)
    assert whole["modes_seen"] == whole["modes_five"] == whole["modes_five_corrected"] == 1000
    assert whole["kl_corrected"] == pytest.approx(0, abs=0.003)
    assert whole["kl_uniform"] == pytest.approx(0.0194, abs=0.004)
    assert whole["label_agreement"] is None
    digits = torch.stack([labels // 100, labels // 10 % 10, labels % 10], 1)
    kept = (digits != 7).all(1)
    assert task.further_measures(x[kept][:10_000], None)["modes_seen"] == 729


def test_a_labelled_generator_is_judged_on_samples_of_all_classes() -> None:
    task = find("stacked-digits")
    asked = task.balanced_labels(10_000)
    data = split()
    of = [data.train[data.train_labels == digit] for digit in range(10)]
    digits = torch.stack([asked // 100, asked // 10 % 10, asked % 10], 1)
    x = torch.stack([of[digit][k % len(of[digit])] for k, digit in enumerate(digits.flatten().tolist())])
    found = task.further_measures(x.view(-1, 3, 8, 8), asked)
    assert found["modes_five"] == 1000
    assert found["label_agreement"] > 0.99


@pytest.mark.gpu
def test_stacks_are_made_where_they_are_wanted() -> None:
    task = find("stacked-digits")
    x, labels = task.source(0, device="cuda")(64, stream(0, "batch", device="cuda"))
    assert x.is_cuda
    assert (task.assign(x)[0] == labels).double().mean() > 0.95
