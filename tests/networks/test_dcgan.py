"""DCGAN against plain torch modules with the same weights, parameter counts by hand, and where batch norm stands."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.loop import Trainer
from uncollapse.methods import METHODS, VANILLA
from uncollapse.networks import DCGAN, networks_from_json
from uncollapse.parts.scene import Sizes
from uncollapse.spec import make_spec
from uncollapse.tasks import Arrays

MNIST = Sizes(shape=(28, 28), latent=10, batch=6)


def count(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


def copied(plain: nn.Module, values: Iterable[Tensor]) -> nn.Module:
    """A plain network with the tensors of another, in order."""
    plain.load_state_dict(dict(zip(plain.state_dict(), values, strict=True)))
    return plain


def norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def test_parameter_counts_on_mnist() -> None:
    settings = DCGAN(width=16, latent=10)
    generator = 10 * 32 * 49 + 2 * 32 + 32 * 16 * 16 + 2 * 16 + 16 * 16 + 1
    critic = 16 * 16 + 16 + 16 * 32 * 16 + 2 * 32 + 32 * 49 * 64 + 64 + 64 + 1
    assert count(settings.generator(VANILLA, MNIST)) == generator
    assert count(settings.critic(VANILLA, MNIST)) == critic
    # Without batch norm the second convolution has a bias instead; the embedding of a label has a weight a channel.
    assert count(settings.critic(METHODS["wgan-gp"], MNIST)) == critic - 2 * 32 + 32
    conditional = settings.critic(METHODS["cwgan-gp"], dataclasses.replace(MNIST, classes=10))
    assert count(conditional) == critic - 2 * 32 + 32 + 10 * 10 + 10 * 16


def test_widths_double_at_coarser_levels() -> None:
    sizes = Sizes(shape=(3, 64, 64), latent=10)
    generator, critic = DCGAN(width=4).generator(VANILLA, sizes), DCGAN(width=4).critic(VANILLA, sizes)
    drawn = [(m.in_channels, m.out_channels) for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    read = [(m.in_channels, m.out_channels) for m in critic.modules() if isinstance(m, nn.Conv2d)]
    assert drawn == [(32, 16), (16, 8), (8, 4), (4, 3)]
    assert read == [(3, 4), (4, 8), (8, 16), (16, 32)]


@pytest.mark.parametrize("training", [True, False])
def test_the_generator_equals_plain_modules(training: bool) -> None:
    network = DCGAN(width=3, latent=10).generator(VANILLA, MNIST)
    plain = nn.Sequential(
        nn.Linear(10, 6 * 49, bias=False),
        nn.Unflatten(1, (6, 7, 7)),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.ConvTranspose2d(6, 3, 4, 2, 1, bias=False),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.ConvTranspose2d(3, 1, 4, 2, 1),
        nn.Tanh(),
    )
    copied(plain, network.state_dict().values())
    for _ in range(3):  # running statistics move
        latent = torch.randn(6, 10)
        torch.testing.assert_close(network(latent), plain(latent).reshape(6, 28, 28))
    network.train(training)
    plain.train(training)
    torch.testing.assert_close(network(latent), plain(latent).reshape(6, 28, 28))
    for ours, theirs in zip(network.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_critic_equals_plain_modules() -> None:
    network = DCGAN(width=3).critic(VANILLA, MNIST)
    plain = nn.Sequential(
        nn.Conv2d(1, 3, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(3, 6, 4, 2, 1, bias=False),
        nn.BatchNorm2d(6, track_running_stats=False),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(6 * 49, 12),
        nn.LeakyReLU(0.2),
        nn.Linear(12, 1),
    )
    copied(plain, network.state_dict().values())
    x = torch.randn(5, 28, 28)
    torch.testing.assert_close(network(x).score, plain(x.unsqueeze(1))[:, 0])
    torch.testing.assert_close(network(x).features, plain[:-1](x.unsqueeze(1)))


def test_batch_norm_stands_where_the_method_allows_it() -> None:
    sizes = Sizes(shape=(16, 16), latent=4, classes=10, batch=8)
    settings = DCGAN(width=2, latent=4)
    with_norm = {name for name, method in METHODS.items() if norms(settings.critic(method, sizes))}
    slopes = {"wgan-gp", "wgan-gp-one-sided", "dragan", "r1", "r3gan", "cwgan-gp"}
    assert set(METHODS) - with_norm == slopes | {"sngan", "projection", "ebgan", "ebgan-pt", "began"}
    for name, method in METHODS.items():
        assert settings.critic(method, sizes).mixes == (name in with_norm)
        assert norms(settings.generator(method, sizes))
        assert not norms(dataclasses.replace(settings, norm="none").generator(method, sizes))
        assert not norms(dataclasses.replace(settings, norm="none").critic(method, sizes))
    forced = dataclasses.replace(settings, norm="batch").critic(METHODS["began"], sizes)
    assert len(norms(forced)) == 3  # one that halves, the base map, and one that doubles
    assert forced.mixes
    assert not list(forced.buffers())


def test_weights_start_as_in_the_paper_beside_batch_norm_and_as_he_does_without() -> None:
    sizes = Sizes(shape=(32, 32), latent=64, batch=8)
    normalised, bare = (DCGAN(width=32).critic(METHODS[name], sizes) for name in ("vanilla", "wgan-gp"))
    for network, spread in ((normalised, 0.02), (bare, (2 / 1.04 / (32 * 16)) ** 0.5)):
        layer = next(m for m in network.modules() if isinstance(m, nn.Conv2d) and m.in_channels == 32)
        assert layer.weight.std().item() == pytest.approx(spread, rel=0.02)
    scales = torch.cat([layer.weight for layer in norms(DCGAN(width=64).generator(VANILLA, sizes))])
    assert scales.mean().item() == pytest.approx(1, abs=0.005)
    assert scales.std().item() == pytest.approx(0.02, rel=0.15)


def test_an_image_that_is_halved_once_meets_no_batch_norm_in_the_critic() -> None:
    critic = DCGAN(width=3).critic(VANILLA, Sizes(shape=(8, 8), latent=4))
    assert not norms(critic)
    assert not critic.mixes


def test_batch_norm_under_unrolling_moves_the_generators_statistics_and_nothing_else() -> None:
    images = Arrays(np.random.default_rng(0).uniform(-1, 1, (60, 16, 16)), clusters=2)
    spec = make_spec(
        "unrolled-5", images, seeds=(0,), updates=4, batch=6, networks=DCGAN(width=3, latent=4), dtype="float64"
    )
    trainer = Trainer(spec)
    assert norms(trainer.game.critic)
    before = {name: value.clone() for name, value in trainer.game.generator.state_dict().items()}
    trainer.advance(4)
    assert trainer.diverged() == {}
    for name, value in trainer.game.generator.state_dict().items():
        assert torch.equal(value, before[name])  # the skeleton is never written to
    buffers = trainer.lanes.state.generator.buffers
    assert [value.item() for name, value in buffers.items() if name.endswith("num_batches_tracked")] == [4, 4]
    mean = next(value for name, value in buffers.items() if name.endswith("running_mean"))
    assert mean.abs().min() > 0


def test_sampling_reads_running_statistics() -> None:
    trainer = Trainer(make_spec("vanilla", "digits", seeds=(0,), updates=4, batch=6, networks=DCGAN(width=3, latent=4)))
    trainer.advance(4)
    network = trainer.game.generator
    values = {**trainer.game.generator_layout.unpack(trainer.lanes.average[0]), **trainer.lanes.average_buffers}
    network.load_state_dict({name: values[name].reshape(value.shape) for name, value in network.state_dict().items()})
    latent = stream(0, "sampling", 0).latent("normal", 7, 4)
    alone = torch.cat([network.eval()(latent[place : place + 1]) for place in range(7)])
    torch.testing.assert_close(trainer.samples(7)[0], alone)
    assert (network.train()(latent) - alone).abs().max() > 1e-3


def test_uniform_latents() -> None:
    assert DCGAN().latent_law == "normal"
    settings = DCGAN(width=2, latent=50, uniform=True)
    assert settings.latent_law == "uniform"
    trainer = Trainer(make_spec("vanilla", "digits", seeds=(0,), updates=2, batch=64, networks=settings))
    latent = trainer.critic_blocks.batch(0).latent
    assert -1 <= latent.min() < -0.99
    assert 0.99 < latent.max() < 1
    assert latent.var().item() == pytest.approx(1 / 3, rel=0.05)


def test_a_critic_of_its_own_width() -> None:
    tiny, whole = DCGAN(width=16, latent=10, critic_width=4), DCGAN(width=4, latent=10)
    assert count(tiny.critic(VANILLA, MNIST)) == count(whole.critic(VANILLA, MNIST))
    assert count(tiny.generator(VANILLA, MNIST)) == count(DCGAN(width=16, latent=10).generator(VANILLA, MNIST))
    assert tiny.features == 16


def test_settings_lead_back_from_json() -> None:
    settings = DCGAN(width=5, latent=6, norm="none", uniform=True, critic_width=2)
    assert networks_from_json(settings.to_json()) == settings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"critic_width": -1}, "networks.critic_width = -1 is not a whole number of 0 or more"),
        ({"uniform": "yes"}, "networks.uniform = 'yes' is neither true nor false"),
        ({"norm": "batches"}, "There is no networks.norm 'batches'; did you mean 'batch'?"),
    ],
)
def test_refused_settings(given: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        DCGAN(**given)  # type: ignore[arg-type]


def test_batch_norm_under_slopes_of_single_samples_is_refused() -> None:
    sentence = "norm = batch lets the critic's samples see each other.* ZeroCentred asks for.*networks.norm = auto"
    with pytest.raises(UserError, match=sentence):
        make_spec("r3gan", "digits", networks=DCGAN(norm="batch"))
    make_spec("ac-gan", "digits", networks=DCGAN(norm="batch"))  # its penalty looks at no slope
