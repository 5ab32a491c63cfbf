from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from uncollapse.errors import UserError
from uncollapse.features import pretrained
from uncollapse.features.pretrained import load_pretrained

transformers = pytest.importorskip("transformers", reason="the extra [pretrained] is not installed here")
CPU = torch.device("cpu")
MEAN, SPREAD = np.array([0.5, 0.4, 0.3]), np.array([0.2, 0.25, 0.3])
IMAGES = [
    np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8),
    np.random.default_rng(1).integers(0, 256, (28, 28), dtype=np.uint8),
    np.random.default_rng(2).integers(0, 256, (90, 30, 3), dtype=np.uint8),
]
SMALL: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28,
    "patch_size": 7,
}  # fmt: skip


def save(model: Any, folder: Path) -> Path:
    talk = transformers.utils.logging
    talk.set_verbosity_error()
    talk.disable_progress_bar()
    model.eval().save_pretrained(folder)
    steps = {
        "image_processor_type": "BitImageProcessor", "do_resize": True, "size": {"shortest_edge": 28}, "resample": 3,
        "do_center_crop": True, "crop_size": {"height": 28, "width": 28}, "do_rescale": True,
        "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": MEAN.tolist(), "image_std": SPREAD.tolist(),
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(steps))
    return folder


@pytest.fixture(scope="module")
def dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = transformers.Dinov2Model(transformers.Dinov2Config(**SMALL, initializer_range=0.5))
    return save(model, tmp_path_factory.mktemp("models") / "dino")


def by_pillow(image: np.ndarray) -> torch.Tensor:
    """Shorter side to 28 by bicubic with antialiasing, the middle 28 x 28, mean and spread."""
    picture = Image.fromarray(image).convert("RGB")
    wide, high = picture.size
    scale = 28 / min(wide, high)
    picture = picture.resize((int(wide * scale), int(high * scale)), Image.Resampling.BICUBIC)
    left, top = (picture.width - 28) // 2, (picture.height - 28) // 2
    middle = np.asarray(picture.crop((left, top, left + 28, top + 28)))
    return torch.from_numpy((middle / 255 - MEAN) / SPREAD).permute(2, 0, 1).float()


def test_rows_are_the_class_token_of_the_preprocessed_images(dino: Path) -> None:
    extractor = load_pretrained(str(dino), device=CPU)
    rows = extractor.extract(IMAGES)
    model = transformers.Dinov2Model.from_pretrained(dino).eval()
    with torch.no_grad():
        expected = model(torch.stack([by_pillow(image) for image in IMAGES])).last_hidden_state[:, 0]
    assert expected.std() > 0.3
    np.testing.assert_allclose(rows, expected.numpy(), atol=1e-4)
    assert rows.shape == (3, extractor.width) == (3, 32)


def test_rows_do_not_depend_on_their_neighbours(dino: Path) -> None:
    extractor = load_pretrained(str(dino), device=CPU)
    whole = extractor.extract(IMAGES)
    alone = np.concatenate([extractor.extract([image]) for image in IMAGES])
    np.testing.assert_allclose(alone, whole, atol=1e-6)


def test_name_and_digest_record_source_weights_and_preprocessing(dino: Path, tmp_path: Path) -> None:
    extractor = load_pretrained(str(dino), device=CPU)
    assert extractor.name == f"pretrained:{dino}[transformers]"
    assert load_pretrained(extractor.name.removeprefix("pretrained:"), device=CPU).digest == extractor.digest
    assert not extractor.standard
    assert extractor.reusable
    copied = tmp_path / "copy"
    shutil.copytree(dino, copied)
    assert load_pretrained(str(copied), device=CPU).digest == extractor.digest
    steps = json.loads((copied / "preprocessor_config.json").read_text())
    (copied / "preprocessor_config.json").write_text(json.dumps(steps | {"resample": 2}))
    assert load_pretrained(str(copied), device=CPU).digest != extractor.digest


def test_models_of_images_and_texts_give_their_image_embedding(tmp_path: Path) -> None:
    torch.manual_seed(0)
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    tokens = {"vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    configuration = transformers.CLIPConfig(text_config=text | tokens, vision_config=SMALL, projection_dim=24)
    model = transformers.CLIPModel(configuration)
    extractor = load_pretrained(str(save(model, tmp_path / "clip")), device=CPU)
    x = torch.stack([by_pillow(image) for image in IMAGES])
    with torch.no_grad():
        expected = model.visual_projection(model.vision_model(pixel_values=x).pooler_output)
    assert extractor.width == 24
    np.testing.assert_allclose(extractor.extract(IMAGES), expected.numpy(), atol=1e-4)


def test_a_pooling_that_was_never_trained_is_not_used(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = transformers.ViTForImageClassification(transformers.ViTConfig(**SMALL))
    extractor = load_pretrained(str(save(model, tmp_path / "vit")), device=CPU)
    x = torch.stack([by_pillow(image) for image in IMAGES])
    with torch.no_grad():
        expected = model.vit(x).last_hidden_state[:, 0]
    np.testing.assert_allclose(extractor.extract(IMAGES), expected.numpy(), atol=1e-4)


def test_nothing_but_safetensors_and_no_foreign_code(dino: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    shutil.copytree(dino, pickled)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"lacks model\.safetensors; .* other formats are never loaded"):
        load_pretrained(str(pickled), device=CPU)
    foreign = tmp_path / "foreign"
    shutil.copytree(dino, foreign)
    settings = json.loads((foreign / "config.json").read_text()) | {"model_type": "mine"}
    settings["auto_map"] = {"AutoConfig": "code.Configuration", "AutoModel": "code.Model"}
    (foreign / "config.json").write_text(json.dumps(settings))
    (foreign / "code.py").write_text("from pathlib import Path\nPath(__file__).with_name('ran').touch()\n")
    with pytest.raises(UserError, match=r"cannot load .* without running code of its repository"):
        load_pretrained(str(foreign), device=CPU)
    assert not (foreign / "ran").exists()


def test_weights_that_do_not_fit_are_refused(dino: Path, tmp_path: Path) -> None:
    deeper = tmp_path / "deeper"
    shutil.copytree(dino, deeper)
    settings = json.loads((deeper / "config.json").read_text()) | {"num_hidden_layers": 3}
    (deeper / "config.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match="a part of the model would be random"):
        load_pretrained(str(deeper), device=CPU)


def test_models_of_the_hub_are_named_by_their_commit(
    dino: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = tmp_path / ("ab" * 20)
    shutil.copytree(dino, commit)
    asked = []
    monkeypatch.setattr(pretrained, "_fetch", lambda *where: (asked.append(where), commit)[1])
    assert load_pretrained("facebook/dinov2-base@main", device=CPU).name == (
        "pretrained:facebook/dinov2-base@abababababab[transformers]"
    )
    assert asked == [("facebook/dinov2-base", "main")]


def test_only_configuration_and_safetensors_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def refuse(repository: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        assert (repository, revision) == ("owner/model", None)
        assert set(allow_patterns) == {
            "config.json", "preprocessor_config.json", "model*.safetensors", "model.safetensors.index.json",
        }  # fmt: skip
        raise OSError("no connection\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(UserError, match=r"owner/model cannot be fetched .*\(no connection\); .* give a folder"):
        load_pretrained("owner/model", device=CPU)


def test_what_is_no_folder_and_no_model_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"There is no folder '\./nothing'"):
        load_pretrained("./nothing", device=CPU)
    with pytest.raises(UserError, match="wants a folder or a model"):
        load_pretrained("", device=CPU)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"pip install 'uncollapse\[pretrained\]'"):
        load_pretrained(str(tmp_path), device=CPU)
