"""The loop against a textbook loop in plain PyTorch, and against hand counts; truths about lanes are in `laws`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.nn.functional import mse_loss
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from uncollapse.loop import Trainer, sizes_of
from uncollapse.method import Method
from uncollapse.methods import VANILLA
from uncollapse.networks.mlp import MLP
from uncollapse.parts.dynamics import Cosine, Dynamics
from uncollapse.parts.views import Packed
from uncollapse.spec import make_spec
from uncollapse.tasks import Mixture

SMALL = MLP(width=8, depth=2)
SEEDS = (3, 7)


def trainer(
    method: str | Method = "vanilla", *, seeds: tuple[int, ...] = SEEDS, updates: int = 20, **settings: Any
) -> Trainer:
    """A trainer on the unequal blobs in float64; settings are those of the dynamics."""
    sizes: dict[str, Any] = {"batch": 16, "networks": SMALL, "dtype": "float64", "updates": updates}
    dotted = {f"dynamics.{name}": value for name, value in settings.items()}
    return Trainer(make_spec(method, "unequal-3", seeds=seeds, settings=dotted, **sizes))


def filled(network: nn.Module, flat: Tensor) -> nn.Module:
    """A plain module with the weights of one lane."""
    network = network.double()
    vector_to_parameters(flat.detach().clone(), network.parameters())
    return network


class Textbook:
    """One lane played the usual way: modules, autograd and torch's own Adam."""

    RATES = {  # noqa: RUF012 (a table)
        "vanilla": (2e-4, (0.5, 0.999)), "cgan": (2e-4, (0.5, 0.999)), "lsgan": (2e-4, (0.5, 0.999)),
        "wgan": (5e-5, (0.0, 0.99)), "wgan-gp": (1e-4, (0.0, 0.9)), "cwgan-gp": (1e-4, (0.0, 0.9)),
    }  # fmt: skip

    def __init__(self, name: str, start: Trainer, lane: int) -> None:
        self.name, self.start, self.lane = name, start, lane
        state, sizes = start.lanes.state, start.sizes
        self.generator = filled(SMALL.generator(start.method, sizes), state.generator.parameters[lane])
        self.critic = filled(SMALL.critic(start.method, sizes), state.critic.parameters[lane])
        rate, betas = self.RATES[name]
        self.adams = [torch.optim.Adam(net.parameters(), lr=rate, betas=betas) for net in (self.critic, self.generator)]

    def fakes(self, batch: Any) -> tuple[Tensor, Tensor | None]:
        labels = None if batch.labels is None else batch.labels[self.lane]
        return self.generator(batch.latent[self.lane], labels), labels

    def critic_step(self, update: int) -> float:
        batch = self.start.critic_blocks.batch(update)
        (fake, labels), real = self.fakes(batch), batch.real[self.lane]
        fake = fake.detach()
        on_real, on_fake = self.critic(real, labels).score, self.critic(fake, labels).score
        ones, zeros = torch.ones_like(on_real), torch.zeros_like(on_real)
        if self.name in ("vanilla", "cgan"):
            loss = cross_entropy(on_real, ones) + cross_entropy(on_fake, zeros)
        elif self.name == "lsgan":
            loss = 0.5 * mse_loss(on_real, ones) + 0.5 * mse_loss(on_fake, zeros)
        else:
            loss = on_fake.mean() - on_real.mean()
        if self.name.endswith("-gp"):
            share = batch.noise["penalties.0.between"][self.lane].unsqueeze(1)
            between = (share * real + (1 - share) * fake).requires_grad_()
            (slope,) = torch.autograd.grad(self.critic(between, labels).score.sum(), between, create_graph=True)
            loss = loss + 10 * ((slope.norm(dim=1) - 1) ** 2).mean()
        self._step(0, loss)
        if self.name == "wgan":
            for parameter in self.critic.parameters():
                parameter.data.clamp_(-0.01, 0.01)
        return loss.item()

    def generator_step(self, update: int) -> float:
        fake, labels = self.fakes(self.start.generator_blocks.batch(update))
        score = self.critic(fake, labels).score
        if self.name in ("vanilla", "cgan"):
            loss = cross_entropy(score, torch.ones_like(score))
        elif self.name == "lsgan":
            loss = 0.5 * mse_loss(score, torch.ones_like(score))
        else:
            loss = -score.mean()
        self._step(1, loss)
        return loss.item()

    def _step(self, player: int, loss: Tensor) -> None:
        self.adams[player].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.adams[player].step()


@pytest.mark.parametrize("name", Textbook.RATES)
@pytest.mark.parametrize("seeds", [(7,), SEEDS], ids=["alone", "among others"])
def test_every_row_trains_as_a_textbook_loop_does(name: str, seeds: tuple[int, ...]) -> None:
    ours, steps = trainer(name, seeds=seeds), 1 if name in ("vanilla", "cgan", "lsgan") else 5
    book = Textbook(name, trainer(name, seeds=seeds), seeds.index(7))
    ours.advance(4 * steps)
    for round_ in range(4):
        critic_loss = [book.critic_step(round_ * steps + step) for step in range(steps)][-1]
        generator_loss = book.generator_step(round_)
    state, close = ours.lanes.state, {"rtol": 1e-9, "atol": 1e-11}
    for network, player in ((book.critic, state.critic), (book.generator, state.generator)):
        expected = parameters_to_vector(network.parameters()).detach()
        torch.testing.assert_close(player.parameters[book.lane], expected, **close)
    assert ours.losses()["critic"][book.lane] == pytest.approx(critic_loss, rel=1e-9)
    assert ours.losses()["generator"][book.lane] == pytest.approx(generator_loss, rel=1e-9)


def test_weights_are_clipped_before_the_first_update() -> None:
    assert trainer("wgan").lanes.state.critic.parameters.abs().max().item() == 0.01
    assert trainer("wgan-gp").lanes.state.critic.parameters.abs().max().item() > 0.3


@pytest.mark.parametrize(
    ("settings", "asked", "critic", "generator"),
    [
        ({}, 7, 7, 7),
        ({"critic_steps": 5}, 1, 5, 1),
        ({"critic_steps": 5}, 10, 10, 2),
        ({"critic_steps": 5}, 11, 15, 3),
        ({"critic_steps": 3, "generator_steps": 2}, 4, 6, 4),
        ({"generator_steps": 3}, 2, 2, 6),
    ],
)
def test_rounds_are_whole(settings: dict[str, int], asked: int, critic: int, generator: int) -> None:
    played = trainer(**settings)
    assert (played.update, played.generator_updates) == (0, 0)
    for _ in range(2):  # the second time nothing is left to do
        played.advance(asked)
        assert (played.update, played.generator_updates) == (critic, generator)
        counted = played.lanes.critic_updates.item(), played.lanes.generator_updates.item()
        assert counted == (critic, generator)


def test_several_generator_steps_use_a_batch_each(monkeypatch: pytest.MonkeyPatch) -> None:
    played = trainer(critic_steps=3, generator_steps=2)
    asked: dict[str, list[int]] = {"critic": [], "generator": []}
    for blocks in (played.critic_blocks, played.generator_blocks):
        note, given = asked[blocks.purpose].append, blocks.batch
        monkeypatch.setattr(blocks, "batch", lambda at, note=note, given=given: (note(at), given(at))[1])
    played.advance(6)
    assert asked == {"critic": [0, 1, 2, 3, 4, 5], "generator": [0, 1, 2, 3]}


@pytest.mark.parametrize(
    ("method", "updates", "blocks"),
    [
        ("vanilla", 64, 1), ("vanilla", 65, 2), ("wgan-gp", 60, 1), ("wgan-gp", 64, 2),
        ("cgan", 64, 2),  # one more for the labels of the generator's steps
        (VANILLA.but(dynamics=Dynamics(unroll=1)), 64, 2),  # foreseeing the critic needs real samples
    ],
)  # fmt: skip
def test_real_samples_are_read_in_blocks_of_64_batches(
    method: str | Method, updates: int, blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    made = Mixture.source

    def counting(task: Mixture, seed: int, **options: Any) -> Any:
        source = made(task, seed, **options)
        return lambda n, draw: (read.append((seed, n)), source(n, draw))[1]

    monkeypatch.setattr(Mixture, "source", counting)
    played = trainer(method)
    played._round = lambda lanes, *batches: lanes  # only the reading is looked at
    played.advance(updates)
    assert sorted(read) == [(seed, 64 * 16) for seed in SEEDS for _ in range(blocks)]


@pytest.mark.parametrize(("half_life", "ramp"), [(3.0, 0.0), (3.0, 0.5), (500.0, 0.05), (0.0, 0.0), (0.0, 0.5)])
def test_the_average_follows_its_recurrence(half_life: float, ramp: float) -> None:
    played = trainer(half_life=half_life, ramp=ramp, lr_generator=1e-2)
    average = played.lanes.average.numpy().copy()
    for step in range(1, 31):
        played.advance(step)
        life = max(min(half_life, ramp * step) if ramp else half_life, 1e-3)
        keep = 2 ** (-1 / life)
        average = keep * average + (1 - keep) * played.lanes.state.generator.parameters.numpy()
    np.testing.assert_allclose(played.lanes.average.numpy(), average, rtol=1e-11, atol=1e-13)
    apart = (played.lanes.average - played.lanes.state.generator.parameters).abs().max().item()
    assert (apart == 0) if half_life == 0 else (1e-4 < apart < 1)


def gradients(played: Trainer, beta: float) -> dict[str, Tensor]:
    """What Adam was given in the first update, read off its first moment (1 - beta) g."""
    state = played.lanes.state
    return {name: getattr(state, name).moments.first / (1 - beta) for name in ("critic", "generator")}


def test_clipping_shortens_each_lane_on_its_own() -> None:
    free, beta = trainer(), 0.5
    free.advance(1)
    raw = gradients(free, beta)["critic"]
    norms = raw.norm(dim=1).tolist()
    limit = sum(norms) / 2  # between the two lanes
    clipped = trainer(clip=limit)
    clipped.advance(1)
    found = gradients(clipped, beta)["critic"]
    longer = int(np.argmax(norms))
    torch.testing.assert_close(found[1 - longer], raw[1 - longer], rtol=1e-14, atol=1e-16)
    torch.testing.assert_close(found[longer], raw[longer] * limit / norms[longer], rtol=1e-12, atol=1e-15)
    assert norms[longer] > limit * 1.01


def test_clipping_holds_for_both_players() -> None:
    clipped = trainer(clip=1e-3)
    clipped.advance(1)
    for given in gradients(clipped, 0.5).values():
        torch.testing.assert_close(given.norm(dim=1), torch.full((2,), 1e-3, dtype=torch.float64), rtol=1e-10, atol=0)


def test_a_schedule_scales_both_rates_by_the_share_of_the_budget() -> None:
    # With both betas at 0 Adam's step is the rate in the direction of each gradient's sign.
    dynamics = Dynamics(schedule=Cosine(final=0.1), betas=(0.0, 0.0), lr_critic=1e-3, lr_generator=2e-3)
    played, updates = trainer(VANILLA.but(dynamics=dynamics), updates=8), 8
    for update in range(12):
        before = played.lanes.state
        played.advance(update + 1)
        # The critic moves before the count goes up, the generator after it.
        for name, rate, spent in (("critic", 1e-3, update), ("generator", 2e-3, update + 1)):
            moved = (getattr(played.lanes.state, name).parameters - getattr(before, name).parameters).abs().max().item()
            share = min(spent / updates, 1)
            assert moved == pytest.approx(rate * (0.1 + 0.9 * (1 + math.cos(math.pi * share)) / 2), rel=1e-4)


def test_parameters_are_counted() -> None:
    # Generator 2 -> 8 -> 8 -> 2, critic 2 -> 8 -> 8 -> 1, weights and biases.
    expected = {"generator": 16 + 8 + 64 + 8 + 16 + 2, "critic": 16 + 8 + 64 + 8 + 8 + 1}
    assert trainer().parameter_counts() == expected == {"generator": 114, "critic": 105}
    # With three labels each player has an embedding of 3 x 3 and three more inputs.
    assert trainer("cgan").parameter_counts() == {"generator": 114 + 9 + 24, "critic": 105 + 9 + 24}


def test_sizes_are_those_of_task_networks_and_view() -> None:
    spec = make_spec(VANILLA.but(view=Packed(4)), "digits", seeds=(1,), batch=20, networks=MLP(latent=5))
    sizes = sizes_of(spec)
    assert (sizes.shape, sizes.latent, sizes.classes, sizes.batch) == ((8, 8), 5, 10, 20)
    assert (sizes.group, sizes.packs, sizes.generators, sizes.data) == (4, 5, 1, 64)


@pytest.fixture(scope="module")
def vanilla() -> Trainer:
    played = trainer(lr_generator=1e-2)
    played.advance(10)
    return played


def test_nothing_has_diverged_and_no_loss_is_missing_after_ordinary_updates(vanilla: Trainer) -> None:
    assert vanilla.diverged() == {}
    for values in vanilla.losses().values():
        assert len(values) == 2
        assert all(value is not None and 0.1 < value < 10 for value in values)
