"""Saved and loaded runs: the same samples without the data, nothing pickled, nothing private, no other file read."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import uncollapse as uc
from uncollapse.errors import UserError
from uncollapse.integrations import hub
from uncollapse.run import Run

SMALL = {"updates": 20, "batch": 16, "seeds": (3, 5)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return uc.train("vanilla", "ring-8", **SMALL, out=tmp_path_factory.mktemp("runs") / "ring")  # type: ignore[arg-type]


@pytest.fixture
def saved(run: Run, tmp_path: Path) -> Path:
    return uc.hub.save(run, tmp_path / "saved", licence="cc-by-4.0")


def test_a_saved_run_makes_the_same_samples(run: Run, saved: Path) -> None:
    found = uc.hub.load(saved)
    for seed in (3, 5):
        for weights in ("averaged", "live"):
            for draw in (0, 4):
                expected = run.samples(50, seed=seed, weights=weights, draw=draw)
                assert torch.equal(found.samples(50, seed=seed, weights=weights, draw=draw), expected)
    assert not torch.equal(found.samples(50, seed=3), found.samples(50, seed=5))
    assert found.metrics == run.metrics
    assert found.seeds == (3, 5)
    assert sorted(path.name for path in saved.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "samples.png",
    ]
    assert all("critic" not in name and "moments" not in name for name in load_file(saved / "model.safetensors"))


@pytest.mark.parametrize(
    ("method", "task", "networks"),
    [
        ("cgan", "ring-8", uc.MLP(width=16, depth=2)),
        ("mad-gan-4", "ring-8", uc.MLP(width=16, depth=2)),
        ("ensemble-4", "ring-8", uc.MLP(width=16, depth=2)),
        ("sngan", "digits", None),
    ],
)
def test_labels_several_generators_members_and_buffers_come_along(
    method: str, task: str, networks: Any, tmp_path: Path
) -> None:
    original = uc.train(method, task, updates=4, batch=8, seeds=(1, 2), networks=networks)
    found = uc.hub.load(uc.hub.save(original, tmp_path / "saved"))
    assert torch.equal(found.samples(40, seed=2), original.samples(40, seed=2))
    if original.spec.method.labelled:
        labels = torch.arange(8).repeat(5)
        assert torch.equal(found.samples(40, seed=1, labels=labels), original.samples(40, seed=1, labels=labels))
        with pytest.raises(UserError, match="labels must be 40 whole numbers from 0 to 7"):
            found.samples(40, seed=1, labels=labels + 1)


def test_running_statistics_come_along(tmp_path: Path) -> None:
    networks = dcgan()
    original = uc.train("vanilla", "digits", updates=4, batch=8, seeds=(1,), networks=networks)
    folder = uc.hub.save(original, tmp_path / "saved")
    assert any("buffers." in name for name in load_file(folder / "model.safetensors"))
    assert torch.equal(uc.hub.load(folder).samples(9, seed=1), original.samples(9, seed=1))


def dcgan() -> Any:
    from uncollapse.networks import FAMILIES

    return FAMILIES["dcgan"](latent=4)


def test_data_and_paths_stay_at_home(tmp_path: Path) -> None:
    data = tmp_path / "secret place" / "rows.npz"
    data.parent.mkdir()
    np.savez(data, features=np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32))
    original = uc.train("vanilla", f"array:{data}", updates=4, batch=8, seeds=(1,), networks=uc.MLP(width=8, depth=1))
    folder = uc.hub.save(original, tmp_path / "saved")
    expected = original.samples(9, seed=1)
    shutil.rmtree(data.parent)
    assert torch.equal(uc.hub.load(folder).samples(9, seed=1), expected)
    for path in folder.iterdir():
        assert b"secret" not in path.read_bytes()
        assert str(tmp_path).encode() not in path.read_bytes()
    with pytest.raises(UserError, match="A saved run holds no data"):
        uc.hub.load(folder).spec.task.source(0)


class Own(nn.Module):
    """A generator of the user's."""

    def __init__(self, sizes: Any) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(sizes.latent, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.layers(z)


def test_networks_of_ones_own_are_given_again(tmp_path: Path) -> None:
    original = uc.train("vanilla", "ring-8", updates=4, batch=8, seeds=(1,), generator=Own)
    folder = uc.hub.save(original, tmp_path / "saved")
    with pytest.raises(UserError, match="generator"):
        uc.hub.load(folder)
    assert torch.equal(uc.hub.load(folder, generator=Own).samples(9, seed=1), original.samples(9, seed=1))


def test_saving_again_replaces_and_anything_else_is_left_alone(run: Run, saved: Path, tmp_path: Path) -> None:
    uc.hub.save(run.directory, saved)
    assert 'license: "unknown"' in (saved / "README.md").read_text()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "config.json").write_text("{}")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("work of years")
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "other")
    for name, sentence in (
        ("full", "not of a run"),
        ("other", "holds other files"),
        ("file", "is no folder"),
        ("link", "is no folder"),
    ):
        with pytest.raises(UserError, match=sentence):
            uc.hub.save(run, tmp_path / name)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["thesis.tex"]


def test_a_licence_is_a_name_and_an_unfinished_run_is_not_saved(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="licence must be a short name"):
        uc.hub.save(run, tmp_path / "x", licence="mit\ntags: [x]")
    unfinished = tmp_path / "unfinished"
    shutil.copytree(run.directory, unfinished)
    (unfinished / "result.json").unlink()
    with pytest.raises(UserError, match="is not finished"):
        uc.hub.save(unfinished, tmp_path / "y")
    assert not (tmp_path / "x").exists()
    assert not (tmp_path / "y").exists()


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c.update(format="x"), "not of a run of uncollapse"),
        (lambda c: c.update(schema=2), "another version"),
        (lambda c: c["weights"].update(sha256="0"), "is not what its config.json says"),
        (lambda c: c.update(weights=[]), "is not what its config.json says"),
        (lambda c: c.update(shape=[10**9, 10**9]), "10"),
        (lambda c: c.update(shape=[-1]), "where a number from 1"),
        (lambda c: c.update(shape=["../x"]), "where a number from 1"),
        (lambda c: c.update(shape=[3]), "not those of the networks"),
        (lambda c: c.update(shape=None), "no generators that fit together"),
        (lambda c: c.update(classes=10**12), "where a number from 0"),
        (lambda c: c.pop("result"), "no generators that fit together"),
        (lambda c: c["spec"]["networks"].update(width=10**12), "asks for 1,000,000,000,000 of something"),
        (lambda c: c["spec"]["networks"].update(width=60_000), "not those of the networks"),
        (lambda c: c["spec"]["networks"].update(family="os"), "There is no family of networks 'os'"),
        (lambda c: c["spec"]["method"]["loss"].update(part="os:system"), "os:system"),
        (lambda c: c["spec"].update(seeds=[3]), "not those of the networks"),
        (
            lambda c: c["spec"]["method"].update(view={"part": "Packed", "samples": 60_000}),
            "asks for a critic of|Packed",
        ),
        (lambda c: c["spec"].update(seeds="35"), "seeds"),
        (lambda c: c["spec"].update(dtype="save"), "dtype"),
        (lambda c: c["spec"].pop("networks"), "no generators that fit together"),
    ],
)
def test_an_edited_config_is_one_sentence(
    saved: Path, change: Callable[[dict[str, Any]], object], sentence: str
) -> None:
    edited(saved, change)
    with pytest.raises(UserError, match=sentence):
        uc.hub.load(saved)


def test_damaged_and_missing_files_are_one_sentence(saved: Path, tmp_path: Path) -> None:
    config = (saved / "config.json").read_text()
    (saved / "config.json").write_text(config[:-40])
    with pytest.raises(UserError, match="is no JSON"):
        uc.hub.load(saved)
    (saved / "config.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="is no JSON"):
        uc.hub.load(saved)
    (saved / "config.json").unlink()
    with pytest.raises(UserError, match=r"holds no config\.json"):
        uc.hub.load(saved)
    (saved / "config.json").write_text(config)
    (saved / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"holds no model\.safetensors"):
        uc.hub.load(saved)


def test_weights_are_no_pickle_and_only_of_the_one_name(saved: Path, tmp_path: Path) -> None:
    import hashlib

    torch.save({"a": torch.zeros(1)}, tmp_path / "evil.pt")
    content = (tmp_path / "evil.pt").read_bytes()
    (saved / "model.safetensors").write_bytes(content)
    edited(saved, lambda c: c["weights"].update(sha256=hashlib.sha256(content).hexdigest(), file="../evil.pt"))
    with pytest.raises(UserError, match="is damaged"):
        uc.hub.load(saved)
    save_file({"average": torch.zeros(2, 3)}, saved / "model.safetensors")
    content = (saved / "model.safetensors").read_bytes()
    edited(saved, lambda c: c["weights"].update(sha256=hashlib.sha256(content).hexdigest()))
    with pytest.raises(UserError, match="not those of the networks"):
        uc.hub.load(saved)


@pytest.mark.parametrize(
    "name", ["../etc/x", "a/../b", "nowhere", "a/b/c", "/etc/passwd", "a/b\n", "https://x.y/z", "-x/y", "a/b--c"]
)
def test_what_is_neither_folder_nor_repository_is_told(name: str) -> None:
    with pytest.raises(UserError, match=r"neither a folder nor a repository of the hub, as owner/name\."):
        uc.hub.load(name)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"n": 0, "seed": 3}, "n must be a whole number of 1 or more"),
        ({"n": 2, "seed": 4}, "has no seed 4; it has 3, 5"),
        ({"n": 2, "seed": 3, "weights": "best"}, "There are no 'best' weights"),
        ({"n": 2, "seed": 3, "labels": torch.zeros(2)}, "is not conditional"),
    ],
)
def test_samples_that_cannot_be_are_told(saved: Path, arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        uc.hub.load(saved).samples(**arguments)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub that is a folder, behind the three functions that talk to the network."""
    package = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed here")
    store = tmp_path / "hub"

    class Api:
        def __init__(self, token: str | None = None) -> None:
            assert token == "secret"

        def create_repo(self, name: str, *, repo_type: str, private: bool, exist_ok: bool) -> str:
            assert (repo_type, private, exist_ok) == ("model", True, True)
            if name == "me/forbidden":
                raise OSError("403 Forbidden\nmore")
            (store / name).mkdir(parents=True, exist_ok=True)
            return f"https://huggingface.co/{name}"

        def upload_folder(self, *, repo_id: str, folder_path: Path, allow_patterns: list[str], **rest: str) -> None:
            for name in allow_patterns:
                shutil.copy(folder_path / name, store / repo_id / name)

    def download(name: str, *, allow_patterns: list[str], revision: str | None, **rest: object) -> str:
        assert revision == "v1"
        assert sorted(allow_patterns) == ["config.json", "model.safetensors"], "nothing else is fetched"
        if not (store / name).is_dir():
            raise OSError("404 Not Found")
        return str(store / name)

    monkeypatch.setattr(package, "HfApi", Api)
    monkeypatch.setattr(package, "snapshot_download", download)
    return store


def test_a_run_goes_to_the_hub_and_back(run: Run, shelf: Path) -> None:
    address = hub.push_to_hub(run, "me/ring", licence="mit", token="secret")
    assert address == "https://huggingface.co/me/ring"
    card = (shelf / "me" / "ring" / "README.md").read_text()
    assert "uc.hub.load('me/ring')" in card
    assert card.startswith('---\nlicense: "mit"\n')
    found = uc.hub.load("me/ring", revision="v1")
    assert torch.equal(found.samples(9, seed=5), run.samples(9, seed=5))
    with pytest.raises(UserError, match=r"The hub did not take me/forbidden: 403 Forbidden$"):
        hub.push_to_hub(run, "me/forbidden", token="secret")
    with pytest.raises(UserError, match=r"me/nothing cannot be had from the hub: 404 Not Found$"):
        uc.hub.load("me/nothing", revision="v1")


def test_without_the_package_one_sentence_names_the_command(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"pip install 'uncollapse\[hub\]'"):
        uc.hub.load("me/ring")
    with pytest.raises(UserError, match=r"pip install 'uncollapse\[hub\]'"):
        hub.push_to_hub(run, "me/ring")
