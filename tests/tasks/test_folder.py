"""The user's own images as a task: labels or clusters, the split, the nearest image, and changes that are noticed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import sklearn.neighbors  # noqa: F401 - sets OpenMP's environment variables at its first import, which is no leak of a test
import torch
from tests.data.making import encoded, png_files, write_folder, write_zip

from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.metrics.modes import mode_measures
from uncollapse.networks import DCGAN
from uncollapse.spec import RunSpec, make_spec
from uncollapse.tasks import Folder, find, from_spec

SIDE = 10
LABELS = ("bars", "dots", "rings")


def picture(kind: str, draws: np.random.Generator) -> np.ndarray:
    """A bright bar, dot or ring on a dark ground, moved a little and noisy."""
    down, across = np.mgrid[:SIDE, :SIDE] - 4.5 - draws.uniform(-0.5, 0.5, (2, 1, 1))
    distance = np.hypot(down, across)
    shown = {"bars": abs(down) < 1, "dots": distance < 2.5, "rings": abs(distance - 4) < 1}[kind]
    return np.clip(200 * shown + draws.normal(20, 8, shown.shape), 0, 255).astype(np.uint8)


def files(count: int = 30, *, labelled: bool = True) -> dict[str, bytes]:
    draws = np.random.default_rng(0)
    names = [f"{kind}/{k:02d}.png" if labelled else f"{kind}{k:02d}.png" for kind in LABELS for k in range(count)]
    return png_files(
        [picture(name[:4] + {"bars": "", "dots": "", "ring": "s"}[name[:4]], draws) for name in names], names
    )


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "shapes", files())


def images_of(x: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in ((x + 1) * 127.5).round().to(torch.uint8)}


def test_labels_are_the_modes_and_a_fifth_of_each_is_held_out(labelled: Path) -> None:
    task = find(f"folder:{labelled}")
    assert isinstance(task, Folder)
    assert (task.shape, task.classes, task.available) == ((SIDE, SIDE), 3, 72)
    assert task.modes.names == ("label bars", "label dots", "label rings")
    assert task.modes.weights.tolist() == pytest.approx([1 / 3] * 3)
    assert task.label_values.tolist() == list(LABELS)
    assert (task.networks, task.batch, task.slug) == (DCGAN(latent=64), 64, "folder-shapes")
    x, labels = task.sample(2000, stream(0, "test"))
    held, held_labels = task.held_out(600, stream(0, "test"))
    assert (len(images_of(x)), len(images_of(held))) == (72, 18)
    assert not images_of(x) & images_of(held)
    assert -1 <= x.min() < x.max() <= 1
    for drawn, digits in ((x, labels), (held, held_labels)):
        assert torch.equal(task.assign(drawn)[0], digits)
    assert task.accuracy == 1


def test_quality_is_what_95_percent_of_unseen_images_are(labelled: Path) -> None:
    task = find(f"folder:{labelled}")
    held = torch.unique(task.held_out(600, stream(0, "test"))[0], dim=0)
    assert int((~task.assign(held)[1]).sum()) == 1  # 5 % of 18
    noise = 2 * stream(0, "noise").uniform(200, SIDE, SIDE) - 1
    assert not task.assign(noise)[1].any()
    noise[3, 1, 1] = float("nan")
    assert task.assign(noise.flatten(1))[0][3] == -1


def test_without_labels_k_means_finds_the_shapes(tmp_path: Path, labelled: Path) -> None:
    task = find(f"folder:{write_zip(tmp_path / 'flat.zip', files(labelled=False))}", clusters=3)
    assert (task.classes, task.modes.names, task.slug) == (0, ("cluster 0", "cluster 1", "cluster 2"), "folder-flat")
    assert task.sample(5, stream(0, "test"))[1] is None
    true = find(f"folder:{labelled}")
    x, labels = true.sample(300, stream(0, "test"))
    mode, _ = task.assign(x)
    assert len({(int(a), int(b)) for a, b in zip(labels, mode, strict=True)}) == 3
    assert len(find(f"folder:{tmp_path / 'flat.zip'}").modes) == 9  # 90 images, ten a cluster
    regrouped = find(f"folder:{labelled}", clusters=4)  # in spite of its labels
    assert (regrouped.classes, len(regrouped.modes)) == (0, 4)


def test_measures_see_a_lost_label_and_repetition_inside_labels(labelled: Path) -> None:
    task = find(f"folder:{labelled}")
    x, labels = task.sample(900, stream(0, "test"))
    assert mode_measures(x[labels != 1], task)["modes_solid"] == 2
    found = task.further_measures(x, labels)
    assert found["label_agreement"] == pytest.approx(1, abs=0.02)
    assert task.further_measures(x, labels.roll(1))["label_agreement"] == pytest.approx(1 / 3, abs=0.08)
    real = found["within_class_diversity"]
    # With replacement from 24 images of a label, one pair in 24 is of an image with itself.
    assert real == pytest.approx(23 / 24, abs=0.08)
    copies = torch.stack([x[labels == label][0] for label in range(3)]).repeat(100, 1, 1)
    assert task.further_measures(copies, None)["within_class_diversity"] == pytest.approx(0, abs=1e-6)
    assert task.further_measures(copies, None)["label_agreement"] is None
    copies[0] = float("nan")
    assert task.further_measures(copies, None)["within_class_diversity"] == pytest.approx(0, abs=1e-6)


def test_images_lie_in_memory_once_as_bytes(labelled: Path) -> None:
    first, again = find(f"folder:{labelled}"), find(f"folder:{labelled}", train_size=40)
    held = first._pool("cpu").images
    assert (held.dtype, held.numel()) == (torch.uint8, 90 * SIDE * SIDE)
    assert again._pool("cpu").images.data_ptr() == held.data_ptr()
    x, _ = again.source(0, dtype=torch.float64)(1500, stream(0, "batch"))
    assert x.dtype == torch.float64
    assert len(images_of(x)) == 40
    assert images_of(x) != images_of(again.source(1)(1500, stream(0, "batch"))[0])


def test_a_run_on_changed_images_is_refused(labelled: Path) -> None:
    task = find(f"folder:{labelled}", size=16, grey=False)
    assert task.shape == (3, 16, 16)
    spec = json.loads(json.dumps(task.spec()))
    assert (spec["size"], spec["grey"], len(spec["sha256"])) == (16, False, 64)
    assert from_spec(spec) == task != find(f"folder:{labelled}")
    run = make_spec("wgan-gp", f"folder:{labelled}", seeds=[0], settings={"task.size": 16, "networks.family": "mlp"})
    assert RunSpec.from_json(run.to_json()).hash == run.hash
    (labelled / "dots/00.png").write_bytes(encoded(np.zeros((SIDE, SIDE), np.uint8)))
    with pytest.raises(UserError, match=r"The contents of folder:.*shapes have changed since this run; restore the im"):
        from_spec(spec)
    with pytest.raises(UserError, match="have changed since this run"):
        RunSpec.from_json(run.to_json())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 7}, "size must be a whole number from 8 to 256, not 7"),
        ({"size": 32.0}, "size must be a whole number from 8 to 256, not 32.0"),
        ({"grey": 1}, "grey must be true or false, not 1"),
        ({"clusters": 10}, r"clusters must be a whole number from 2 to 9 \(10 images each\), not 10"),
        ({"clusters": True}, "clusters must be a whole number from 2 to 9"),
        ({"train_size": 73}, "train_size=73 is more than the 72 training rows"),
        ({"sise": 8}, "no task option 'sise'; did you mean 'size'"),
    ],
)
def test_options_that_cannot_be(options: dict[str, object], message: str, labelled: Path) -> None:
    with pytest.raises(UserError, match=message):
        find(f"folder:{labelled}", **options)


def test_too_few_images_and_a_label_of_one(tmp_path: Path) -> None:
    few = write_folder(tmp_path / "few", files(count=16))
    with pytest.raises(UserError, match="few has 48 images, too few to learn from; give at least 50"):
        find(f"folder:{few}")
    lone = write_folder(tmp_path / "lone", {**files(), "arrows/0.png": files()["bars/00.png"]})
    with pytest.raises(UserError, match="has only one image of label 'arrows'; add another, leave it out, or set clus"):
        find(f"folder:{lone}")
    assert len(find(f"folder:{lone}", clusters=3).modes) == 3


@pytest.mark.slow
def test_the_emoji(data_folder: Path) -> None:
    task = find(f"folder:{data_folder / 'emoji' / 'emoji-64.zip'}")
    assert (task.shape, task.classes, task.slug) == ((3, 64, 64), 10, "folder-emoji-64")
    assert "label Food & Drink" in task.modes.names
    held, labels = task.held_out(1500, stream(0, "test"))
    mode, good = task.assign(held)
    assert good.double().mean().item() == pytest.approx(0.95, abs=0.02)
    # Ten kinds by pixels alone: far above the most frequent label, far from right.
    assert (mode == labels).double().mean().item() == pytest.approx(task.accuracy, abs=0.05)
    assert 0.5 < task.accuracy < 0.8
    assert task.assign(2 * stream(0, "noise").uniform(100, 3, 64, 64) - 1)[1].double().mean() < 0.1
