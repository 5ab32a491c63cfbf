"""The convolutional critic: what joins where by hand, heads, batches that must not meet, and slopes by differences."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from uncollapse.game import Batch, Clock, Game, Player, State
from uncollapse.method import Method
from uncollapse.methods import METHODS, VANILLA
from uncollapse.networks import DCGAN, Residual
from uncollapse.networks.convolutions import Convolutional
from uncollapse.networks.image_critic import Critic
from uncollapse.optimiser import Moments
from uncollapse.parts.conditioning import Concat, JointPairs, Projection
from uncollapse.parts.losses import Loss
from uncollapse.parts.scene import Judgement, Scene, Sizes
from uncollapse.parts.views import Packed

FAMILIES: dict[str, Convolutional] = {
    "dcgan": DCGAN(width=3, latent=4),
    "residual": Residual(width=3, latent=4, group=4),
}
SIZES = Sizes(shape=(3, 8, 8), latent=4, classes=5, batch=6)
EVERY = pytest.mark.parametrize("family", sorted(FAMILIES))


def made(family: str, method: Method, sizes: Sizes = SIZES) -> Critic:
    critic = FAMILIES[family].critic(method, sizes).double()
    assert isinstance(critic, Critic)
    return critic


def moved(network: nn.Module) -> nn.Module:
    """The same network away from its start, where residual blocks do nothing yet."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    return network


def images(count: int = 6) -> Tensor:
    return torch.randn(count, 3, 8, 8, dtype=torch.float64)


@EVERY
def test_score_and_heads_read_the_hidden_layer(family: str) -> None:
    critic, x = made(family, METHODS["ac-gan"]), images()
    judged = critic(x)
    base = critic.features.reader(x).flatten(1)
    torch.testing.assert_close(judged.features, leaky_relu(critic.features.hidden(base), 0.2))
    torch.testing.assert_close(judged.score, critic.score(judged.features)[:, 0])
    torch.testing.assert_close(judged.class_logits, critic.heads["class_logits"](judged.features))
    assert judged.class_logits.shape == (6, 5)


@EVERY
def test_a_second_score_comes_from_a_critic_of_its_own(family: str) -> None:
    critic, x = made(family, METHODS["d2gan"]), images()
    judged = critic(x)
    torch.testing.assert_close(judged.second_score, critic.second(x).score)
    gradients = torch.autograd.grad(judged.score.sum(), list(critic.second.parameters()), allow_unused=True)
    assert all(value is None for value in gradients)
    plain = made(family, VANILLA)
    assert sum(p.numel() for p in critic.parameters()) == 2 * sum(p.numel() for p in plain.parameters())


@EVERY
def test_packs_are_channels_and_labels_of_all_members_are_told(family: str) -> None:
    method = VANILLA.but(view=Packed(2), conditioning=Concat(width=3))
    critic = made(family, method, Sizes(shape=(3, 8, 8), latent=4, classes=5, batch=6, group=2))
    x, labels = images(), torch.eye(5, dtype=torch.float64)[[0, 1, 2, 3, 4, 0]]
    judged = critic(method.view.pack(x), method.view.pack(labels))
    told = (labels @ critic.features.embedding.weight).reshape(3, 6)
    base = critic.features.reader(x.reshape(3, 6, 8, 8), told).flatten(1)
    torch.testing.assert_close(judged.features, leaky_relu(critic.features.hidden(base), 0.2))
    swapped = critic(method.view.pack(x), method.view.pack(labels.flip(0)))
    assert (swapped.score - judged.score).abs().min() > 1e-6


@EVERY
def test_a_code_joins_what_was_seen_before_the_hidden_layer(family: str) -> None:
    method = METHODS["veegan"]
    assert isinstance(method.conditioning, JointPairs)
    critic, x, code = made(family, method), images(), torch.randn(6, 4, dtype=torch.float64)
    seen = torch.cat([critic.features.reader(x).flatten(1), code], 1)
    torch.testing.assert_close(critic(x, code).features, leaky_relu(critic.features.hidden(seen), 0.2))
    assert critic.features.reader.told is None


@EVERY
def test_projection_adds_the_product_of_features_and_the_labels_vector(family: str) -> None:
    method = METHODS["projection"]
    assert isinstance(method.conditioning, Projection)
    critic, x, labels = made(family, method), images(), torch.eye(5, dtype=torch.float64)[[0, 1, 2, 3, 4, 0]]
    judged = critic(x, labels)
    vectors = labels @ critic.score_context.weight.T
    plain = critic.score(judged.features)[:, 0]
    torch.testing.assert_close(judged.score, plain + (vectors * judged.features).sum(1))
    assert critic.features.reader.told is None


@EVERY
def test_a_summary_of_the_batch_joins_the_features_and_starts_from_data(family: str) -> None:
    method = METHODS["minibatch-discrimination"]
    critic, x = made(family, method), images()
    assert critic.starts_from_data
    assert not made(family, VANILLA).starts_from_data
    width, kernels = FAMILIES[family].features, method.view.extra
    assert critic(x).features.shape == (6, width + kernels)
    critic.start(x, None)
    added = critic(x).features[:, width:]
    # Biases start at minus the mean closeness, so that what is added is centred on the first batch.
    torch.testing.assert_close(added.mean(0), torch.zeros(kernels, dtype=torch.float64))
    assert added.std(0).min() > 1e-3
    deviation = made(family, METHODS["minibatch-stddev"], Sizes(shape=(3, 8, 8), latent=4, batch=8))
    assert deviation(images(8)).features.shape == (8, width + 1)


@dataclass(frozen=True, kw_only=True)
class OnlyReal(Loss):
    """A critic that is asked about real samples alone."""

    def critic(self, real: Judgement, fake: Judgement, state: object, scene: Scene) -> Tensor:
        return real.score.square().sum()

    def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
        return fake.score.sum()


def played(method: Method, settings: Convolutional, sizes: Sizes) -> tuple[Game, State, Batch, Clock, Tensor]:
    """A game in double precision, its state and batch, and the critic's parameters away from their start."""
    generator = moved(settings.generator(method, sizes).double())
    critic = moved(settings.critic(method, sizes).double())
    game = Game.of(method, generator, critic)

    def player(network: nn.Module, flat: Tensor) -> Player:
        return Player(flat, Moments(torch.zeros_like(flat), torch.zeros_like(flat)), dict(network.named_buffers()))

    flat = [
        layout.pack(dict(network.named_parameters())).detach()
        for network, layout in ((critic, game.critic_layout), (generator, game.generator_layout))
    ]
    state = State(player(critic, flat[0]), player(generator, flat[1]), {})
    noise = {
        name: torch.rand(shape, dtype=torch.float64) if law == "uniform" else torch.randn(shape, dtype=torch.float64)
        for name, (law, shape) in method.noise(sizes).items()
    }
    real = torch.randn(sizes.batch, *sizes.shape, dtype=torch.float64)
    latent = torch.randn(sizes.batch, sizes.latent, dtype=torch.float64)
    clock = Clock(torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64))
    return game, state, Batch(latent, real, None, None, noise), clock, flat[0]


def test_with_batch_norm_what_real_samples_score_does_not_depend_on_the_fakes() -> None:
    method = VANILLA.but(name="only-real", loss=OnlyReal())
    settings = DCGAN(width=3, latent=4, norm="batch")
    game, state, batch, clock, parameters = played(method, settings, Sizes(shape=(16, 16), latent=4, batch=6))
    other = batch._replace(latent=torch.randn_like(batch.latent))
    assert game.critic.mixes
    one, two = (game.critic_objective(parameters, state, given, clock)[0] for given in (batch, other))
    assert torch.equal(one, two)
    game.critic.mixes = False  # one pass for both, in which batch norm would see the fakes
    one, two = (game.critic_objective(parameters, state, given, clock)[0] for given in (batch, other))
    assert (one - two).abs() > 1e-4 * one.abs()


def test_the_gradient_penalty_of_a_residual_critic_by_finite_differences() -> None:
    method = METHODS["wgan-gp"]
    sizes = Sizes(shape=(8, 8), latent=4, batch=3)
    game, state, batch, clock, parameters = played(method, Residual(width=2, latent=4, group=2), sizes)
    critic = game.critic

    def objective(at: Tensor) -> Tensor:
        return game.critic_objective(at, state, batch, clock)[0]

    fake = game.generate(state.generator.parameters, {}, batch)[0].detach()
    between = next(value for name, value in batch.noise.items() if name.endswith("between")).reshape(3, 1, 1)
    points, step = between * batch.real + (1 - between) * fake, 1e-6
    slopes = torch.zeros_like(points)
    with torch.no_grad():
        for row in range(8):
            for column in range(8):
                nudge = torch.zeros_like(points)
                nudge[:, row, column] = step
                slopes[:, row, column] = (critic(points + nudge).score - critic(points - nudge).score) / (2 * step)
        distance = critic(fake).score.mean() - critic(batch.real).score.mean()
        expected = distance + 10 * (slopes.flatten(1).norm(dim=1) - 1).square().mean()
    torch.testing.assert_close(objective(parameters).detach(), expected, rtol=1e-7, atol=0)

    leaf = parameters.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(leaf), leaf)
    for _ in range(3):
        direction = torch.randn_like(parameters)
        ahead, behind = (objective(parameters + sign * 1e-6 * direction).detach() for sign in (1, -1))
        torch.testing.assert_close(gradient @ direction, (ahead - behind) / 2e-6, rtol=1e-5, atol=1e-7)
