"""Resuming: every state that a method carries comes back to the last bit, and what is no checkpoint is named."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from uncollapse import checkpoint
from uncollapse.errors import UserError
from uncollapse.loop import Trainer
from uncollapse.methods import METHODS
from uncollapse.networks import FAMILIES
from uncollapse.networks.mlp import MLP
from uncollapse.parts.dynamics import Cosine
from uncollapse.resuming import resume, trained
from uncollapse.spec import RunSpec, make_spec
from uncollapse.trees import flatten

CPU = torch.device("cpu")


def state(trainer: Trainer) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in flatten(trainer.lanes).items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    """The names of what is not equal to the last bit."""
    assert list(one) == list(other)
    return [name for name in one if not torch.equal(one[name], other[name])]


def save(trainer: Trainer, spec: RunSpec, directory: Path, measure: tuple[float, float] | None = None) -> Path:
    return checkpoint.save(
        directory / "checkpoints", flatten(trainer.lanes), spec=spec.hash, update=trainer.update, rounds=trainer.rounds,
        history_bytes=0, measure=measure, best=None if measure is None else trainer.update,
    )  # fmt: skip


def check_resumed_equals_uninterrupted(spec: RunSpec, directory: Path, rounds: int = 3) -> None:
    """Trains, saves, trains on; takes the checkpoint up in a new trainer and arrives at the same bits."""
    whole, again = Trainer(spec), Trainer(spec)
    steps = spec.method.dynamics.critic_steps
    whole.advance(rounds * steps)
    save(whole, spec, directory)
    before = state(whole)
    assert same(before, state(again)), "nothing was trained, so that nothing can be lost"
    whole.advance(2 * rounds * steps)
    found, skipped = resume(again, spec, directory)
    assert found is not None
    assert (again.rounds, skipped) == (rounds, [])
    assert same(state(again), before) == []
    again.advance(2 * rounds * steps)
    assert same(state(again), state(whole)) == []
    assert same(state(whole), before), "nothing moved after the checkpoint"


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_resumes_to_the_last_bit(name: str, tmp_path: Path) -> None:
    task = "digits" if name == "diffaugment" else "blobs-4"  # it alters images
    spec = make_spec(name, task, seeds=(3, 5), updates=60, batch=12, networks=MLP(width=16, depth=2))
    check_resumed_equals_uninterrupted(spec, tmp_path)


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"mlp"}))
@pytest.mark.parametrize("method", ["vanilla", "began", "wgan-gp"])
def test_networks_for_images_resume_to_the_last_bit(method: str, family: str, tmp_path: Path) -> None:
    networks = dataclasses.replace(FAMILIES[family](), width=4, latent=4)
    spec = make_spec(method, "digits", seeds=(3, 5), updates=60, batch=8, networks=networks)
    check_resumed_equals_uninterrupted(spec, tmp_path, rounds=2)


def test_running_statistics_of_batch_norm_are_part_of_it(tmp_path: Path) -> None:
    networks = dataclasses.replace(FAMILIES["dcgan"](), width=4, latent=4)
    spec = make_spec("vanilla", "digits", seeds=(3, 5), updates=60, batch=8, networks=networks)
    trainer = Trainer(spec)
    trainer.advance(2)
    save(trainer, spec, tmp_path)
    found, _ = checkpoint.newest(tmp_path / "checkpoints")
    assert found is not None
    for player in ("state.generator.buffers", "average_buffers"):
        means = {name: value for name, value in found.tensors.items() if name.startswith(player) and "mean" in name}
        assert means, player
        assert all(value.abs().max() > 0 for value in means.values()), player
    again = trained(spec, tmp_path, CPU)
    for averaged in (True, False):
        assert torch.equal(again.samples(20, averaged=averaged), trainer.samples(20, averaged=averaged))
    assert not torch.equal(again.samples(20), Trainer(spec).samples(20))


def test_a_schedule_goes_on_where_it_was(tmp_path: Path) -> None:
    method = METHODS["vanilla"]
    method = method.but(dynamics=dataclasses.replace(method.dynamics, schedule=Cosine(final=0.1)))
    spec = make_spec(method, "blobs-2", seeds=(3,), updates=8, batch=8, networks=MLP(width=8, depth=1))
    check_resumed_equals_uninterrupted(spec, tmp_path)


# --- the newest and the best ----------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> tuple[RunSpec, dict[int, Tensor]]:
    """Checkpoints at 2 (the best), 4 and 6, and samples of each."""
    spec = make_spec("vanilla", "blobs-2", seeds=(3, 5), updates=6, batch=8, networks=MLP(width=8, depth=1))
    trainer, samples = Trainer(spec), {}
    for update, measure in ((2, (1.0, 0.5)), (4, None), (6, None)):
        trainer.advance(update)
        checkpoint.save(
            tmp_path / "checkpoints", state(trainer), spec=spec.hash, update=update, rounds=update, history_bytes=0,
            measure=measure, best=2,
        )  # fmt: skip
        samples[update] = trainer.samples(30)
    return spec, samples


def test_the_newest_and_the_best_are_told_apart(run: tuple[RunSpec, dict[int, Tensor]], tmp_path: Path) -> None:
    spec, samples = run
    assert torch.equal(trained(spec, tmp_path, CPU).samples(30), samples[6])
    assert torch.equal(trained(spec, tmp_path, CPU, best=True).samples(30), samples[2])
    assert not torch.equal(samples[2], samples[6])


def test_a_best_one_that_is_damaged_is_not_replaced_by_another(
    run: tuple[RunSpec, dict[int, Tensor]], tmp_path: Path
) -> None:
    (tmp_path / "checkpoints" / "step-000000002" / "lanes.safetensors").write_bytes(b"")
    sentence = (
        f"^{tmp_path} holds no best checkpoint: step-000000002 is damaged and was skipped .*; "
        r"choose averaged \(ema\) or live weights\.$"
    )
    with pytest.raises(UserError, match=sentence):
        trained(run[0], tmp_path, CPU, best=True)
    assert torch.equal(trained(run[0], tmp_path, CPU).samples(30), run[1][6])


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    spec = make_spec("vanilla", "blobs-2", seeds=(3,), updates=2, batch=8, networks=MLP(width=8, depth=1))
    sentence = f"{tmp_path} holds no intact checkpoint to sample from; train it again with --fresh."
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        trained(spec, tmp_path, CPU)
    save(Trainer(spec), spec, tmp_path)
    with pytest.raises(UserError, match=r"holds no best checkpoint: none was saved at a snapshot of a living seed; "):
        trained(spec, tmp_path, CPU, best=True)


def test_a_checkpoint_of_other_networks_is_refused(tmp_path: Path) -> None:
    spec = make_spec("vanilla", "blobs-2", seeds=(3,), updates=2, batch=8, networks=MLP(width=8, depth=1))
    folder = save(Trainer(spec), spec, tmp_path)
    assert folder.exists()
    wider = make_spec("vanilla", "blobs-2", seeds=(3,), updates=2, batch=8, networks=MLP(width=9, depth=1))
    checkpoint.save(
        tmp_path / "checkpoints", state(Trainer(wider)), spec=spec.hash, update=2, rounds=2, history_bytes=0
    )
    with pytest.raises(UserError, match=r"does not fit this version \(.* has shape .*\); train again with --fresh\.$"):
        trained(spec, tmp_path, CPU)
