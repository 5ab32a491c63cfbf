from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets  # noqa: F401 - sets OpenMP's environment variables at its first import, which is no leak of a test
import torch
from PIL import Image
from tests.features.test_inception_network import drawn

from uncollapse.errors import UserError
from uncollapse.features import inception, inception_weights
from uncollapse.features.finding import choose, find_extractor
from uncollapse.tasks.digits import split

GREY = list(np.random.default_rng(0).integers(0, 256, (20, 9, 9), dtype=np.uint8))
COLOUR = list(np.random.default_rng(0).integers(0, 256, (20, 40, 40, 3), dtype=np.uint8))
Names = Callable[[str], list[np.ndarray]]


@pytest.fixture(autouse=True)
def _no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNCOLLAPSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UNCOLLAPSE_DATA", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def split_of(data_folder: Path) -> Names:
    def read(name: str) -> list[np.ndarray]:
        content = gzip.decompress((data_folder / name / "t10k-images-idx3-ubyte.gz").read_bytes())
        return list(np.frombuffer(content, np.uint8, offset=16).reshape(-1, 28, 28)[:400])

    return read


@pytest.fixture(scope="module")
def emoji(data_folder: Path) -> list[np.ndarray]:
    with zipfile.ZipFile(data_folder / "emoji" / "emoji-64.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")][:60]
        return [np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB")) for name in names]


@pytest.fixture(scope="module")
def digits() -> list[np.ndarray]:
    return list(((split().held_out.numpy() + 1) * 127.5).round().astype(np.uint8))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("identity", "identity"),
        ("pixels", "pixels[9x9]"),
        ("pixels[28x20]", "pixels[28x20]"),
        ("pixels[32x32x3]", "pixels[32x32x3]"),
        ("pca", "pca[64]"),
        ("pca[12]", "pca[12]"),
        ("classifier:digits", "classifier:digits"),
        ("classifier:fashion-mnist", "classifier:fashion-mnist"),
    ],
)
def test_a_name_becomes_its_extractor(name: str, found: str) -> None:
    extractor = find_extractor(name, example=GREY)
    assert extractor.name == found
    assert len(extractor.digest) == 64
    assert extractor.why.endswith(".")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("pixel", "no extractor 'pixel'; did you mean 'pixels'"),
        ("incepton", "did you mean 'inception'"),
        ("resnet", "There is no extractor 'resnet'"),
        ("identity[3]", "There is no extractor 'identity"),
        ("classifier:mnits", "did you mean 'mnist'"),
        ("pixels[28]", r"not of the form pixels\[HEIGHTxWIDTH\]"),
        ("pca[many]", r"not of the form pca\[COMPONENTS\]"),
        ("pca[0]", "at least 1 component"),
        ("inception[cubic]", "no way to resize 'cubic'"),
        ("inception", "`uncollapse data fetch inception`"),
        ("pretrained:", "wants a folder or a model"),
        ("no_such_module:factory", "no module 'no_such_module'"),
    ],
)
def test_a_wrong_name_is_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        find_extractor(name, example=GREY)


def test_weights_belong_to_inception_alone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Weights are for inception, not for pca"):
        find_extractor("pca", weights=tmp_path / "x.pth")
    with pytest.raises(UserError, match="cannot be read"):
        find_extractor("inception", weights=str(tmp_path / "x.pth"))


def test_rows_of_numbers_pass_as_they_are() -> None:
    rows = np.random.default_rng(0).normal(size=(30, 5))
    extractor, why = choose(rows, rows)
    assert (extractor.name, extractor.width) == ("identity", 5)
    assert "rows of numbers" in why
    for real, fake in ((rows, GREY), (GREY, rows)):
        with pytest.raises(UserError, match="give the same of both"):
            choose(real, fake)
    with pytest.raises(UserError, match="no real image"):
        choose([])


def test_the_classifier_that_knows_the_real_images_is_chosen(
    split_of: Names, digits: list[np.ndarray], emoji: list[np.ndarray]
) -> None:
    assert choose(digits)[0].name == "classifier:digits"
    for name in ("mnist", "fashion-mnist"):
        extractor, why = choose(split_of(name))
        assert extractor.name == f"classifier:{name}"
        assert "of the 400 real images looked at" in why
    assert choose([*split_of("mnist"), *COLOUR[:10]])[0].name == "classifier:mnist"  # a few strangers do no harm
    # Stored in three channels they are still grey.
    colour = [np.repeat(image[..., None], 3, 2) for image in split_of("mnist")]
    assert choose(colour)[0].name == "classifier:mnist"


def test_fakes_never_choose_their_judge(split_of: Names) -> None:
    mnist, noise = split_of("mnist"), list(np.random.default_rng(0).integers(0, 256, (90, 28, 28), dtype=np.uint8))
    assert choose(mnist, noise)[0].name == "classifier:mnist"
    assert choose(noise, mnist)[0].name == "pca[64]"


def test_other_images_go_to_pca_with_what_would_be_better(split_of: Names, emoji: list[np.ndarray]) -> None:
    for small in ([255 - image for image in split_of("mnist")], [image[:5, :5] for image in split_of("mnist")]):
        extractor, why = choose(small)
        assert (extractor.name, extractor.fits) == ("pca[64]", True)
        assert "too small for inception" in why
    extractor, why = choose(emoji)
    assert extractor.name == "pca[64]"
    assert "`uncollapse data fetch inception` gets its weights" in why
    large = [np.kron(image, np.ones((2, 2), np.uint8)) for image in split_of("mnist")]
    assert choose(large)[0].name == "pca[64]"


def test_inception_is_chosen_once_its_weights_are_here(
    emoji: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "cache" / inception_weights.WEIGHTS.path
    place.parent.mkdir(parents=True)
    torch.save(drawn(), place)
    content = place.read_bytes()
    taken = replace(inception_weights.WEIGHTS, sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    monkeypatch.setattr(inception, "WEIGHTS", taken)
    monkeypatch.setattr(inception_weights, "WEIGHTS", taken)
    extractor, why = choose(emoji, resize="legacy")
    assert (extractor.name, extractor.standard) == ("inception[legacy]", True)
    assert "its weights are here" in why
    assert choose([image[:20, :20] for image in emoji])[0].name == "pca[64]"
    assert find_extractor("inception").name == "inception[clean]"
