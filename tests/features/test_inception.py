from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.features.test_inception_network import by_hand, drawn
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.features import inception, inception_weights
from uncollapse.features.inception import Inception, load_inception
from uncollapse.features.inception_weights import WEIGHTS

CPU = torch.device("cpu")
IMAGES = [
    np.random.default_rng(0).integers(0, 256, (299, 299, 3), dtype=np.uint8),
    np.random.default_rng(1).integers(0, 256, (40, 30), dtype=np.uint8),
    np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8),
]
# Some features of the third image; by_hand on PyTorch's own antialiased resize gives the same.
STORED = {3: 0.68672, 388: 0.34398, 485: 0.21396, 776: 0.13371, 1067: 0.46273, 1649: 0.42766}


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return drawn()


@pytest.fixture(scope="module")
def file(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def extractor(state: dict[str, Tensor]) -> Iterator[Inception]:
    """An extractor of the drawn weights, which computes two images at a time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(inception, "BATCH_CPU", 2)
        yield Inception(state, sha256="0" * 64, device=CPU)


@pytest.fixture
def known(file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The drawn weights, taken for the published ones."""
    content = file.read_bytes()
    taken = replace(WEIGHTS, sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    monkeypatch.setattr(inception, "WEIGHTS", taken)
    monkeypatch.setattr(inception_weights, "WEIGHTS", taken)
    return file


def test_rows_are_those_of_the_network_on_x_minus_128_over_128(state: dict[str, Tensor], extractor: Inception) -> None:
    rows, soft = extractor.both(IMAGES[:1])
    x = (torch.from_numpy(IMAGES[0]).permute(2, 0, 1)[None].float() - 128) / 128
    expected = by_hand(state, x)
    np.testing.assert_allclose(rows, expected.numpy(), rtol=1e-4, atol=1e-4)
    # The published Inception score leaves the bias of the output layer out.
    unbiased = (expected @ state["fc.weight"].T).softmax(1)
    np.testing.assert_allclose(soft, unbiased.numpy(), atol=1e-5)
    assert np.abs(soft - (expected @ state["fc.weight"].T + state["fc.bias"]).softmax(1).numpy()).max() > 1e-3
    assert rows.shape == (1, extractor.width) == (1, 2048)
    assert soft.shape == (1, 1008)


def test_the_forward_value_is_the_stored_one(extractor: Inception) -> None:
    row = extractor.extract(IMAGES[2:])[0]
    assert [row[at] for at in STORED] == pytest.approx(list(STORED.values()), rel=1e-3)
    assert (row.mean(), row.std()) == pytest.approx((0.219147, 0.291739), rel=1e-4)


def test_rows_do_not_depend_on_their_neighbours(extractor: Inception) -> None:
    whole = extractor.extract(IMAGES)
    np.testing.assert_allclose(extractor.extract(IMAGES[1:])[::-1], whole[:0:-1], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(extractor.extract([IMAGES[1], IMAGES[1]]), whole[[1, 1]], rtol=1e-6, atol=1e-6)


def test_grey_is_repeated_and_the_two_resizes_differ(state: dict[str, Tensor], extractor: Inception) -> None:
    grey = IMAGES[1]
    rows = extractor.extract([grey, np.repeat(grey[..., None], 3, 2)])
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-6, atol=1e-6)
    legacy = Inception(state, sha256="0" * 64, resize="legacy", device=CPU)
    assert np.abs(legacy.extract([grey])[0] - rows[0]).max() > 0.01
    assert legacy.name == "inception[legacy, unverified weights]"
    assert legacy.digest != extractor.digest


def test_only_the_known_file_is_standard(file: Path) -> None:
    with pytest.raises(
        UserError, match=r"not the known file .* not 6726825d\.\.\.\); `uncollapse data fetch inception`"
    ):
        load_inception(file, device=CPU)
    unknown = load_inception(file, device=CPU, allow_unknown=True)
    assert unknown.name == "inception[clean, unverified weights]"
    assert not unknown.standard
    assert "unknown weights" in unknown.why


def test_the_known_file_is_standard_and_no_classifier_of_the_data(known: Path) -> None:
    extractor = load_inception(known, resize="legacy", device=CPU)
    assert extractor.name == "inception[legacy]"
    assert extractor.standard
    assert extractor.classes == ()
    assert extractor.reusable


def test_without_weights_one_sentence_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNCOLLAPSE_CACHE", str(tmp_path))
    monkeypatch.delenv("UNCOLLAPSE_DATA", raising=False)
    with pytest.raises(
        UserError, match=r"no weights here; `uncollapse data fetch inception` gets .*95.6 MB.*--weights"
    ):
        load_inception(None, device=CPU)


def test_weights_are_taken_from_the_cache(known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNCOLLAPSE_CACHE", str(tmp_path))
    monkeypatch.delenv("UNCOLLAPSE_DATA", raising=False)
    place = tmp_path / WEIGHTS.path
    place.parent.mkdir(parents=True)
    place.symlink_to(known)
    assert load_inception(None, device=CPU).name == "inception[clean]"


def test_weights_of_another_network_are_named(state: dict[str, Tensor]) -> None:
    def build(changed: dict[str, Tensor]) -> None:
        Inception(changed, sha256="0" * 64, device=CPU)

    with pytest.raises(UserError, match=r"fc\.weight must have shape \(1008, 2048\) and has shape \(1000, 2048\)"):
        build(state | {"fc.weight": torch.zeros(1000, 2048)})
    with pytest.raises(UserError, match=r"Mixed_5b\.branch1x1\.conv\.weight must have shape .* and is not there"):
        build({key: value for key, value in state.items() if key != "Mixed_5b.branch1x1.conv.weight"})
    with pytest.raises(UserError, match=r"has no 'AuxLogits\.fc\.weight'"):
        build(state | {"AuxLogits.fc.weight": torch.zeros(1)})


class Payload:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, ("never",)


def test_files_that_are_not_plain_tensors_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bad = tmp_path / "bad.pth"
    torch.save({"fc.weight": Payload()}, bad)
    with pytest.raises(UserError, match=r"no file of plain tensors .* could run code"):
        load_inception(bad, device=CPU, allow_unknown=True)
    bad.write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match="no file of plain tensors"):
        load_inception(bad, device=CPU, allow_unknown=True)
    torch.save({"epoch": 3}, bad)
    with pytest.raises(UserError, match="does not hold named tensors only"):
        load_inception(bad, device=CPU, allow_unknown=True)
    with pytest.raises(UserError, match=r"cannot be read .No such file"):
        load_inception(tmp_path / "missing.pth", device=CPU)
    (tmp_path / "bad.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(UserError, match="no file of plain tensors"):
        load_inception(tmp_path / "bad.safetensors", device=CPU, allow_unknown=True)
    monkeypatch.setattr(inception, "LARGEST_FILE", 10)
    with pytest.raises(UserError, match="far more than Inception weights"):
        load_inception(bad, device=CPU, allow_unknown=True)
    assert not (tmp_path / "never").exists()


def test_safetensors_are_read_too(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "copy.safetensors"
    save_file(state, path)
    assert load_inception(path, device=CPU, allow_unknown=True).width == 2048


def test_loading_draws_nothing(state: dict[str, Tensor], global_random_untouched: None) -> None:
    assert Inception(state, sha256="0" * 64, device=CPU).width == 2048
