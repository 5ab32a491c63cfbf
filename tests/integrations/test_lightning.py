"""The callback in real trainers of both packages: counts, logs, stops, resumes, and changes no bit of the host."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import json
import pickle
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from uncollapse.errors import UserError
from uncollapse.integrations import lightning as ours
from uncollapse.integrations.lightning import CollapseCallback

if importlib.util.find_spec("lightning") is None or importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("lightning is not installed here", allow_module_level=True)

NAMES = ["lightning.pytorch", "pytorch_lightning"]
# The package itself uses what torch deprecates; its advice on workers and intervals comes as warnings, too.
FOREIGN = [
    r".*does not have many workers.*", r".*is smaller than the logging interval.*",
    r".*`isinstance\(treespec, LeafSpec\)`.*",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """Both packages, before anything is watched: they change the environment while they are imported."""
    for name in NAMES:
        importlib.import_module(name)


def points(n: int, modes: int = 4) -> Tensor:
    """Points (n, 2) around the corners of a square."""
    corners = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])[:modes]
    return corners[torch.randint(modes, (n,))] + 0.1 * torch.randn(n, 2)


def make_gan(package: str) -> Any:
    """A GAN of two optimisers whose `sample` is healthy until `broken`; its networks train beside it."""
    pl = importlib.import_module(package)

    class Gan(pl.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self, broken: int = 10**9) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.generator = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
            self.critic = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Dropout(0.2), nn.Linear(16, 1))
            self.broken, self.batches = broken, 0

        def sample(self, n: int) -> Tensor:
            made = self.generator(torch.randn(n, 4))
            return points(n, 4 if self.batches < self.broken else 2) + 0 * made

        def training_step(self, batch: list[Tensor], batch_idx: int) -> None:
            self.batches += 1
            for which, optimiser in enumerate(self.optimizers()):
                score = self.critic(self.generator(torch.randn(len(batch[0]), 4)))
                loss = softplus(-score) if which else softplus(-self.critic(batch[0])) + softplus(score)
                optimiser.zero_grad()
                self.manual_backward(loss.mean())
                optimiser.step()

        def configure_optimizers(self) -> list[torch.optim.Optimizer]:
            return [torch.optim.Adam(net.parameters(), 1e-2) for net in (self.critic, self.generator)]

    return Gan


def fit(package: str, module: Any, folder: Path, *callbacks: object, epochs: int = 1, **more: Any) -> Any:
    """Trains 20 batches an epoch."""
    pl = importlib.import_module(package)
    loggers = importlib.import_module(f"{package}.loggers")
    real = points(320)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(real), batch_size=16, shuffle=True)
    with warnings.catch_warnings():
        for message in FOREIGN:
            warnings.filterwarnings("ignore", message)
        trainer = pl.Trainer(
            max_epochs=epochs, accelerator="cpu", devices=1, enable_progress_bar=False, enable_model_summary=False,
            enable_checkpointing=False, logger=loggers.CSVLogger(folder, flush_logs_every_n_steps=1),
            callbacks=list(callbacks),
        )  # fmt: skip
        trainer.fit(module, loader, **more)
    return trainer


def reference() -> Tensor:
    return points(400)


@pytest.mark.parametrize("package", NAMES)
def test_both_packages_take_it_and_the_host_is_the_same_to_the_last_bit(package: str, tmp_path: Path) -> None:
    real = reference()
    weights, streams, global_steps = [], [], []
    for watched in (False, True):
        torch.manual_seed(3)
        module = make_gan(package)()
        callback = CollapseCallback(real, every=5) if watched else None
        trainer = fit(package, module, tmp_path / str(watched), *filter(None, [callback]))
        weights.append(module.state_dict())
        streams.append(torch.get_rng_state())
        global_steps.append(trainer.global_step)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert torch.equal(*streams)
    assert isinstance(callback, importlib.import_module(package).Callback)
    assert callback.step == 20
    assert global_steps == [40, 40], "which is why the callback counts for itself"
    assert [row["step"] for row in callback.monitor.history] == [0, 5, 10, 15]
    (file,) = (tmp_path / "True").rglob("metrics.csv")
    logged = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    assert [int(row["step"]) for row in logged] == [0, 5, 10, 15]
    for row, kept in zip(logged, callback.monitor.history, strict=True):
        assert float(row["collapse/coverage"]) == pytest.approx(kept["coverage"])
        assert float(row["collapse/alarm"]) == 0
        assert 0 < float(row["collapse/evidence/recall"]) <= 1
    assert trainer.callback_metrics["collapse/coverage"] == pytest.approx(callback.monitor.verdict.coverage)


def test_it_stops_the_trainer_goes_on_from_a_checkpoint_and_starts_where_it_was(tmp_path: Path) -> None:
    package, real = NAMES[0], reference()

    def watcher() -> CollapseCallback:
        return CollapseCallback(real, sampler="sample", every=2, on_alarm="stop", samples=200)

    module, callback = make_gan(package)(broken=30), watcher()
    trainer = fit(package, module, tmp_path / "first", callback)
    trainer.save_checkpoint(tmp_path / "kept.ckpt")
    state = torch.load(tmp_path / "kept.ckpt", weights_only=True)  # nothing pickled is needed
    assert state["callbacks"]["CollapseCallback"]["step"] == 20
    assert callback.monitor is not None
    assert callback.monitor.status == "healthy"
    kept = state["callbacks"]["CollapseCallback"]["monitor"]
    older = watcher()  # whose checkpoint held text
    older.load_state_dict({"step": 20, "monitor": {**kept, "json": json.dumps(kept["json"])}})
    assert older.state_dict() == {"step": 20, "monitor": kept}
    module.batches, again = 20, watcher()
    trainer = fit(package, module, tmp_path / "second", again, epochs=100, ckpt_path=tmp_path / "kept.ckpt")
    assert again.monitor is not None
    assert again.monitor.history[:10] == callback.monitor.history
    assert [row["step"] for row in again.monitor.history] == list(range(0, again.step, 2))
    assert again.monitor.history[-1]["alarm"]
    assert again.monitor.status == "collapsed"
    assert 30 <= again.step < 60, "found a few looks after batch 30"
    assert trainer.current_epoch < 4


def test_a_second_fit_goes_on(tmp_path: Path) -> None:
    module, callback = make_gan(NAMES[0])(), CollapseCallback(reference(), every=10, labels=None)
    fit(NAMES[0], module, tmp_path / "1", callback)
    prepared = callback.monitor.reference  # type: ignore[union-attr]
    fit(NAMES[0], module, tmp_path / "2", callback)
    assert callback.monitor is not None
    assert callback.monitor.reference is prepared
    assert [row["step"] for row in callback.monitor.history] == [0, 10, 20, 30]


def test_a_module_without_the_method_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Gan has no method 'draw'; write one that takes n and gives n fakes, or"):
        fit(NAMES[0], make_gan(NAMES[0])(), tmp_path, CollapseCallback(reference(), sampler="draw"))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [({"sampler": 3}, "sampler must be a function of n"), ({"on_alarm": "rollback"}, '"log", "stop" or a function')],
)
def test_what_cannot_be_is_told_at_once(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        CollapseCallback(reference(), **settings)


class Team:
    """A trainer of two processes as one of them sees it; the decision is what the first one wants."""

    world_size = 2

    def __init__(self, leads: bool, decide: Callable[[bool], bool]) -> None:
        self.is_global_zero, self.should_stop, self.asked = leads, False, 0
        self.strategy = types.SimpleNamespace(reduce_boolean_decision=self._reduce)
        self._decide = decide

    def _reduce(self, wanted: bool, all: bool) -> bool:
        assert not all, "one process that wants to stop is enough"
        self.asked += 1
        return self._decide(wanted)


def test_of_two_processes_one_looks_and_both_stop() -> None:
    real = reference()
    synced = nn.SyncBatchNorm(2)
    modes: list[bool] = []

    class Module(nn.Module):
        loggers: tuple[object, ...] = ()
        late = False

        def __init__(self) -> None:
            super().__init__()
            self.norm = synced

        def sample(self, n: int) -> Tensor:
            modes.append(self.norm.training)
            return points(n, 2 if self.late else 4)

        def log_dict(self, numbers: dict[str, float], **how: object) -> None:
            assert how["rank_zero_only"]

    module, wanted = Module(), []
    first = Team(True, lambda mine: wanted.append(mine) or mine)
    second = Team(False, lambda mine: wanted[-1])
    callbacks = [CollapseCallback(real, every=3, on_alarm="stop") for _ in range(2)]
    for trainer, callback in zip((first, second), callbacks, strict=True):
        callback.on_fit_start(trainer, module)  # type: ignore[arg-type]
    for batch in range(90):
        module.late = batch > 30
        for trainer, callback in zip((first, second), callbacks, strict=True):
            callback.on_train_batch_end(trainer, module, None, None, batch)  # type: ignore[arg-type]
        assert first.should_stop == second.should_stop
        if first.should_stop:
            break
    assert 31 < batch < 60
    assert first.asked == second.asked == batch // 3 + 1
    assert callbacks[1].monitor is None
    assert not any(modes), "a synchronised norm would wait for the process that does not sample"
    assert synced.training


def test_a_copy_in_another_process_is_a_callback_there() -> None:
    importlib.import_module(NAMES[0])
    copied = pickle.loads(pickle.dumps(CollapseCallback(reference(), every=7)))
    assert isinstance(copied, CollapseCallback)
    assert isinstance(copied, sys.modules[NAMES[0]].Callback)
    assert copied._every == 7


def test_without_the_package_one_sentence_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(ours.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'uncollapse\[lightning\]'"):
        CollapseCallback(reference())
