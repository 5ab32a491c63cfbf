from __future__ import annotations

import sklearn.neighbors  # noqa: F401 - sets OpenMP's environment variables at its first import, which is no leak of a test
import torch

from uncollapse.draws import stream
from uncollapse.tasks import find
from uncollapse.tasks.digits import split


def test_the_split_is_stratified_disjoint_and_whole() -> None:
    data = split()
    # Class counts of the UCI test set as published: 178 182 177 183 181 182 181 179 174 180, every fourth held out.
    published = torch.tensor([178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    assert torch.bincount(data.held_out_labels).tolist() == (published // 4).tolist()
    assert torch.bincount(data.train_labels).tolist() == (published - published // 4).tolist()
    train = {image.numpy().tobytes() for image in data.train}
    assert not any(image.numpy().tobytes() in train for image in data.held_out)
    assert (data.train.min().item(), data.train.max().item()) == (-1.0, 1.0)


def test_samples_are_training_digits_and_held_out_ones_are_not() -> None:
    task, data = find("digits"), split()
    train = {image.numpy().tobytes() for image in data.train}
    x, labels = task.sample(500, stream(0, "test"))
    held, _ = task.held_out(500, stream(0, "test"))
    assert x.shape == (500, 8, 8)
    assert all(image.numpy().tobytes() in train for image in x)
    assert not any(image.numpy().tobytes() in train for image in held)
    assert (task.assign(x)[0] == labels).double().mean() > 0.99


def test_high_quality_is_what_95_percent_of_unseen_digits_are() -> None:
    data = split()
    mode, good = find("digits").assign(data.held_out)
    assert abs(good.double().mean().item() - 0.95) < 0.005
    assert (mode == data.held_out_labels).double().mean() > 0.97


def test_flat_images_tensors_of_64_and_noise() -> None:
    task, draw = find("digits"), stream(0, "test")
    x, _ = task.sample(100, draw)
    assert torch.equal(task.assign(x)[0], task.assign(x.reshape(100, 64))[0])
    flat = torch.linspace(-1, 1, 9)[:, None].expand(9, 64)
    assert not task.assign(flat)[1].any()
    assert task.assign(draw.normal(500, 64).clamp(-1, 1))[1].double().mean() < 0.01
    held = split().held_out
    blends = (held + held[draw.permutation(len(held))]) / 2
    assert task.assign(blends)[1].double().mean() < 0.2


def test_what_is_not_finite_has_no_mode() -> None:
    x = torch.full((3, 8, 8), -1.0)
    x[0, 0, 0], x[1, 3, 3] = float("nan"), float("inf")
    mode, good = find("digits").assign(x)
    assert mode[:2].tolist() == [-1, -1]
    assert not good.any()


def test_a_train_size_limits_the_digits_of_a_seed() -> None:
    x, _ = find("digits", train_size=30).source(3)(3000, stream(0, "real"))
    assert len(torch.unique(x.reshape(-1, 64), dim=0)) == 30


def test_defaults() -> None:
    task = find("digits")
    assert (task.networks.latent, task.networks.bounded, task.batch, task.classes) == (16, True, 64, 10)
    assert task.modes.names[3] == "digit 3"
    assert float(task.modes.weights.sum()) == 1.0
