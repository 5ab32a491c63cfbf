"""What a saved run knows of its task, and what it refuses to build."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import uncollapse as uc
from uncollapse.errors import UserError
from uncollapse.integrations.saved import KEPT, Dataless, make_saved
from uncollapse.tasks.task import Modes


def test_a_task_without_data_knows_its_form_and_its_modes() -> None:
    modes = Modes(names=("a", "b"), weights=torch.tensor([0.75, 0.25], dtype=torch.float64))
    task = Dataless(name="x", of=(3, 4, 4), labels=2, shares=modes)
    assert (task.shape, task.classes, len(task.modes)) == ((3, 4, 4), 2, 2)
    assert task.balanced_labels(4).tolist() == [0, 0, 0, 1]
    for ask in (lambda: task.sample(1, None), lambda: task.assign(torch.zeros(1)), lambda: task.source(0)):  # type: ignore[arg-type]
        with pytest.raises(UserError, match="A saved run holds no data"):
            ask()


def saved(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    run = uc.train("vanilla", "ring-8", seeds=(1,), updates=2, batch=4, networks=uc.MLP(width=8, depth=1))
    place = uc.hub.save(run, folder / "saved")
    return json.loads((place / "config.json").read_text()), load_file(place / "model.safetensors")


def test_only_the_generators_are_needed_and_every_one_of_them_is(tmp_path: Path) -> None:
    config, tensors = saved(tmp_path)
    assert all(name.startswith(KEPT) for name in tensors)
    device = torch.device("cpu")
    assert make_saved(config, tensors, device=device, own=None).samples(3, seed=1).shape == (3, 2)
    for name in tensors:
        with pytest.raises((UserError, KeyError)):
            make_saved(config, {key: value for key, value in tensors.items() if key != name}, device=device, own=None)
    with pytest.raises(UserError, match="not those of the networks"):
        make_saved(config, tensors | {"average_buffers.x": torch.zeros(1)}, device=device, own=None)
