"""MNIST and Fashion-MNIST as tasks, against the published files read by other means."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.features.classifier import load_card
from uncollapse.networks import DCGAN
from uncollapse.tasks import find, images
from uncollapse.tasks.images import LABEL_COUNTS, pool

NAMES = ("mnist", "fashion-mnist")


def published(folder: Path, name: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of a part, by the offsets of the IDX format."""
    pictures = gzip.decompress((folder / name / f"{part}-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((folder / name / f"{part}-labels-idx1-ubyte.gz").read_bytes())[8:]
    return np.frombuffer(pictures, np.uint8).reshape(-1, 28, 28), np.frombuffer(labels, np.uint8)


def as_bytes(x: torch.Tensor) -> list[bytes]:
    """Images as the bytes that they came from."""
    return [image.tobytes() for image in np.rint((x.double().numpy() + 1) * 127.5).astype(np.uint8)]


@pytest.fixture
def nothing_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A machine without data."""
    monkeypatch.setenv("UNCOLLAPSE_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("UNCOLLAPSE_CACHE", str(tmp_path / "cache"))
    pool.cache_clear()
    yield
    pool.cache_clear()


@pytest.mark.parametrize("name", NAMES)
def test_the_label_counts_are_those_of_the_files(name: str, data_folder: Path) -> None:
    for part, split in (("train", "train"), ("t10k", "test")):
        _, labels = published(data_folder, name, part)
        assert tuple(np.bincount(labels)) == LABEL_COUNTS[name][split]
    assert LABEL_COUNTS["mnist"]["train"] == (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
    assert find(name).available == 60_000


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_training_images_and_held_out_ones_are_not(name: str, data_folder: Path) -> None:
    pictures, labels = published(data_folder, name, "train")
    where = {image.tobytes(): label for image, label in zip(pictures, labels, strict=True)}
    tests = {image.tobytes() for image in published(data_folder, name, "t10k")[0]}
    assert not tests & where.keys()
    task = find(name)
    x, digits = task.sample(800, stream(0, "test"))
    assert (x.shape, x.dtype, x.min().item(), x.max().item()) == ((800, 28, 28), torch.float32, -1, 1)
    assert [where[image] for image in as_bytes(x)] == digits.tolist()
    assert set(as_bytes(task.held_out(800, stream(0, "test"))[0])) <= tests


def test_unseen_digits_get_their_own_labels_as_often_as_the_card_says(data_folder: Path) -> None:
    pictures, labels = published(data_folder, "mnist", "t10k")
    card = load_card("mnist")
    x = torch.from_numpy(pictures.copy()).float() / 127.5 - 1
    mode, good = find("mnist").assign(x)
    assert (mode.numpy() == labels).mean() == pytest.approx(card.accuracy, abs=2e-4)
    assert good.double().mean().item() == pytest.approx(card.recognised, abs=5e-4)


def test_unseen_clothes_get_their_own_labels_as_often_as_the_card_says(data_folder: Path) -> None:
    pictures, labels = published(data_folder, "fashion-mnist", "t10k")
    card = load_card("fashion-mnist")
    x = torch.from_numpy(pictures[:3000].copy()).float() / 127.5 - 1
    mode, good = find("fashion-mnist").assign(x.reshape(3000, 784))
    # Four standard deviations of a share of 3,000.
    assert (mode.numpy() == labels[:3000]).mean() == pytest.approx(card.accuracy, abs=0.02)
    assert good.double().mean().item() == pytest.approx(card.recognised, abs=0.016)


def test_noise_blank_and_broken_images_are_of_low_quality(data_folder: Path) -> None:
    task, draw = find("mnist"), stream(0, "test")
    assert task.assign(draw.normal(200, 28, 28).clamp(-1, 1))[1].double().mean() < 0.02
    broken = torch.full((2, 28, 28), -1.0)
    broken[1, 3, 3] = float("nan")
    mode, good = task.assign(broken)
    assert not good.any()
    assert mode[1] == -1


def test_images_lie_in_memory_once_as_bytes(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    real = images.dataset
    monkeypatch.setattr(images, "dataset", lambda *given: read.append(given) or real(*given))
    pool.cache_clear()
    task = find("mnist")
    sources = [task.source(seed) for seed in range(4)] + [task.but(train_size=100).source(0)]
    for source in sources:
        source(64, stream(0, "batch"))
    task.sample(5, stream(0, "test"))
    assert read == [("mnist", "train")]
    held = pool("mnist", "train")
    assert (held.images.dtype, held.images.numel()) == (torch.uint8, 60_000 * 784)
    assert held.to("cpu").images.data_ptr() == held.images.data_ptr()


def test_batches_are_a_function_of_the_draw_in_the_type_wanted(data_folder: Path) -> None:
    task = find("mnist")
    x, labels = task.source(0, dtype=torch.float64)(64, stream(5, "critic batches", 3))
    again, same = task.source(9)(64, stream(5, "critic batches", 3))
    assert x.dtype == torch.float64
    assert torch.equal(labels, same)
    torch.testing.assert_close(x.float(), again, atol=1e-6, rtol=0)
    other, _ = task.source(0)(64, stream(5, "critic batches", 4))
    assert not torch.equal(again, other)


def test_a_train_size_limits_the_images_of_a_seed(data_folder: Path) -> None:
    task = find("mnist", train_size=30)
    seen = [set(as_bytes(task.source(seed)(1500, stream(seed, "real"))[0])) for seed in (0, 1)]
    assert [len(each) for each in seen] == [30, 30]
    assert len(seen[0] & seen[1]) < 3
    with pytest.raises(UserError, match="train_size=60001 is more than the 60000 training rows of task 'mnist'"):
        find("mnist", train_size=60_001)


def test_real_images_measure_as_real_and_noise_does_not(data_folder: Path) -> None:
    task = find("mnist")
    x, labels = task.sample(1000, stream(0, "test"))
    real, noise = task.further_measures(x.flatten(1), labels), task.further_measures(torch.rand(1000, 28, 28), None)
    assert real["label_agreement"] > 0.99
    assert real["within_class_diversity"] == pytest.approx(1, abs=0.04)
    assert noise["label_agreement"] is None
    assert noise["frechet_distance"] > 20 * real["frechet_distance"]


@pytest.mark.usefixtures("nothing_there")
@pytest.mark.parametrize("name", NAMES)
def test_a_task_is_described_without_its_data_and_trained_on_with_a_sentence(name: str) -> None:
    task = find(name)
    assert (task.shape, task.classes, task.batch, task.measure_size) == ((28, 28), 10, 64, 10_000)
    assert task.networks == DCGAN(latent=64)
    assert float(task.modes.weights.sum()) == pytest.approx(1)
    assert task.modes.names[3] == {"mnist": "digit 3", "fashion-mnist": "Dress"}[name]
    message = rf"is not on this machine; run `uncollapse data fetch {name}`, or set UNCOLLAPSE_DATA to a folder"
    for ask in (
        lambda: task.source(0),
        lambda: task.sample(1, stream(0, "t")),
        lambda: task.held_out(1, stream(0, "t")),
    ):
        with pytest.raises(UserError, match=message):
            ask()
