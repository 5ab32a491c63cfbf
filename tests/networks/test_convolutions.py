"""Both convolutional families: every method trains, seeds do not touch, and the shared pieces against plain torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from uncollapse.errors import UserError
from uncollapse.loop import Trainer
from uncollapse.methods import METHODS, VANILLA
from uncollapse.networks import DCGAN, Networks, Residual
from uncollapse.networks.convolutions import Convolutional, Picture, Reader, inputs_of_a_unit, started
from uncollapse.parts.scene import Sizes
from uncollapse.spec import make_spec
from uncollapse.tasks import Arrays, find
from uncollapse.tasks.task import Task

SMALL: dict[str, Convolutional] = {"dcgan": DCGAN(width=3, latent=4), "residual": Residual(width=3, latent=4, group=4)}


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    """Grey images, and colour ones that are made up; the larger ones bring batch norm into DCGAN's critic."""
    rows = np.random.default_rng(0)
    made_up = {
        name: Arrays(rows.uniform(-1, 1, (60, *shape)).astype(np.float32), np.arange(60) % 3)
        for name, shape in {"colour": (3, 8, 8), "larger": (16, 16)}.items()
    }
    return {"grey": find("digits"), **made_up}


def trained(
    method: str, task: Task | str, networks: Networks, seeds: tuple[int, ...], updates: int, **given: str
) -> Trainer:
    trainer = Trainer(make_spec(method, task, seeds=seeds, updates=updates, batch=4, networks=networks, **given))
    trainer.advance(updates)
    return trainer


@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize("family", sorted(SMALL))
def test_every_method_trains_on_grey_and_colour_images(family: str, name: str, tasks: dict[str, Task]) -> None:
    for task in tasks.values():
        trainer = trained(name, task, SMALL[family], (0,), 2)
        losses = [value for values in trainer.losses().values() for value in values]
        assert len(losses) == 2
        assert all(value is not None and math.isfinite(value) for value in losses)
        assert trainer.diverged() == {}
        before = Trainer(trainer.spec).lanes.state
        for player in ("critic", "generator"):
            assert not torch.equal(getattr(before, player).parameters, getattr(trainer.lanes.state, player).parameters)
        samples = trainer.samples(5)
        assert samples.shape == (1, 5, *task.shape)
        assert samples.abs().max() <= 1


@pytest.mark.parametrize("name", ["vanilla", "wgan-gp", "minibatch-discrimination", "began", "mgan-4"])
@pytest.mark.parametrize("family", sorted(SMALL))
def test_a_seed_alone_is_the_same_seed_among_others(family: str, name: str) -> None:
    steps = METHODS[name].dynamics.critic_steps
    alone, among = (Trainer(trained(name, "digits", SMALL[family], seeds, 1).spec) for seeds in ((8,), (7, 8, 9)))
    for rounds in range(1, 4):
        alone.advance(rounds * steps)
        among.advance(rounds * steps)
        one, other = alone.lanes, among.lanes
        assert torch.equal(one.critic_loss[0], other.critic_loss[1])
    for player in ("critic", "generator"):
        ours, theirs = getattr(one.state, player), getattr(other.state, player)
        assert torch.equal(ours.parameters[0], theirs.parameters[1])
        for label, buffer in ours.buffers.items():
            assert torch.equal(buffer[0], theirs.buffers[label][1])
    assert not torch.equal(other.state.critic.parameters[0], other.state.critic.parameters[1])


@pytest.mark.parametrize("family", sorted(SMALL))
def test_seeds_in_turn_are_seeds_in_one_stack(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeds take turns because that is faster; batch norm and memory layout would allow a stack."""
    turns = trained("vanilla", "digits", SMALL[family], (1, 2), 3, dtype="float64")
    monkeypatch.setattr(type(SMALL[family]), "lifts", True)
    stack = trained("vanilla", "digits", SMALL[family], (1, 2), 3, dtype="float64")
    assert (turns.in_turn, stack.in_turn) == (True, False)
    for player in ("critic", "generator"):
        one, other = getattr(turns.lanes.state, player), getattr(stack.lanes.state, player)
        torch.testing.assert_close(one.parameters, other.parameters, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(one.buffers, other.buffers, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("family", sorted(SMALL))
def test_samples_that_are_no_images_are_refused(family: str) -> None:
    sentence = rf"{family} networks draw images, and this task has samples of shape \[2\]; choose an image task"
    with pytest.raises(UserError, match=sentence):
        make_spec("vanilla", "ring-8", networks=SMALL[family])
    with pytest.raises(UserError, match=r"samples of shape \[2, 3, 4, 5\]"):
        SMALL[family].check(VANILLA, Sizes(shape=(2, 3, 4, 5), latent=4))


@pytest.mark.parametrize("family", sorted(SMALL))
@pytest.mark.parametrize(
    ("setting", "message"),
    [({"width": 0}, "networks.width = 0 is not a whole number of 1 or more"), ({"latent": 1.5}, "latent = 1.5 is not")],
)
def test_refused_settings(family: str, setting: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        type(SMALL[family])(**setting)  # type: ignore[arg-type]


def test_pictures_of_samples_and_packs() -> None:
    grey, colour = Picture.of((8, 9)), Picture.of((3, 8, 9), group=2)
    assert (grey.channels, grey.height, grey.width) == (1, 8, 9)
    assert (colour.channels, colour.height, colour.width) == (6, 8, 9)
    pack = torch.randn(5, 2, 8, 9)  # five packs of two grey samples, which come as (16, 9)
    images = Picture.of((8, 9), group=2).images(pack.flatten(1, 2))
    assert torch.equal(images, pack)


def test_sides_are_halved_down_to_four_to_seven_pixels() -> None:
    shortest = {side: Picture(channels=1, height=side, width=side).sides[-1][0] for side in range(4, 130)}
    assert {side: shortest[side] for side in (7, 8, 9, 14, 28, 32, 64, 65, 100)} == {
        7: 7, 8: 4, 9: 4, 14: 7, 28: 7, 32: 4, 64: 4, 65: 4, 100: 6,
    }  # fmt: skip
    assert set(shortest.values()) == {4, 5, 6, 7}
    assert Picture(channels=3, height=30, width=9).sides == ((30, 9), (15, 4))


@pytest.mark.parametrize("family", sorted(SMALL))
@pytest.mark.parametrize("shape", [(5, 5), (9, 13), (3, 28, 28), (2, 33, 31), (64, 64)])
def test_any_size_of_image(family: str, shape: tuple[int, ...]) -> None:
    sizes = Sizes(shape=shape, latent=4, batch=2)
    generator, critic = SMALL[family].generator(VANILLA, sizes), SMALL[family].critic(VANILLA, sizes)
    images = generator(torch.randn(2, 4))
    assert images.shape == (2, *shape)
    judged = critic(images)
    assert (judged.score.shape, judged.features.shape) == ((2,), (2, SMALL[family].features))
    (slope,) = torch.autograd.grad(judged.score.sum(), images)
    assert (slope != 0).all()  # every pixel is seen


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (nn.Linear(7, 3), 7),
        (nn.Conv2d(6, 4, 3, groups=2), 27),
        (nn.ConvTranspose2d(6, 4, 4, 2, 1), 24),
    ],
)
def test_fresh_weights_keep_the_size_of_what_goes_through(
    layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, inputs: int
) -> None:
    assert inputs_of_a_unit(layer) == inputs
    noise = torch.randn(100, 7) if isinstance(layer, nn.Linear) else torch.randn(100, 6, 8, 8)
    sizes = []
    for _ in range(40):
        out = started(layer, normalised=False, gain=2.0)(noise).detach()
        sizes.append((out if isinstance(layer, nn.Linear) else out[..., 2:-2, 2:-2]).square().mean().item())
    assert np.mean(sizes) == pytest.approx(4.0, rel=0.15)
    assert layer.bias is not None
    assert layer.bias.count_nonzero() == 0


def test_fresh_weights_beside_batch_norm_have_the_spread_of_dcgan() -> None:
    weights = started(nn.Linear(400, 400), normalised=True).weight
    assert weights.std().item() == pytest.approx(0.02, rel=0.01)


def test_told_numbers_are_constant_maps_beside_the_image() -> None:
    opening = nn.Conv2d(2, 5, 4, 2, 1)
    reader = Reader(opening, 5, 3, nn.Identity(), normalised=False)
    images, told = torch.randn(4, 2, 8, 8), torch.randn(4, 3)
    maps = told.reshape(4, 3, 1, 1).expand(4, 3, 8, 8)
    # Images are padded by zeros, constant maps by themselves; any kernel with these sums does the same.
    kernel = reader.told.weight.reshape(5, 3, 1, 1) * torch.softmax(torch.randn(16), 0).reshape(1, 1, 4, 4)
    beside = torch.cat([pad(images, (1, 1, 1, 1)), pad(maps, (1, 1, 1, 1), mode="replicate")], 1)
    expected = conv2d(beside, torch.cat([opening.weight, kernel], 1), opening.bias, stride=2)
    torch.testing.assert_close(reader(images, told), expected)


@pytest.mark.parametrize("family", sorted(SMALL))
def test_the_label_joins_the_latent(family: str) -> None:
    sizes = Sizes(shape=(8, 8), latent=4, classes=3, batch=6)
    generator = SMALL[family].generator(METHODS["cgan"], sizes).eval()
    latent, labels = torch.randn(6, 4), torch.eye(3)[[0, 1, 2, 0, 1, 2]]
    joined = torch.cat([latent, labels @ generator.embedding.weight], 1)
    hidden: Tensor = joined
    for layer in generator.body.layers:
        hidden = layer(hidden)
    torch.testing.assert_close(generator(latent, labels), hidden.squeeze(1))


@pytest.mark.parametrize("family", sorted(SMALL))
def test_an_encoder_judges_each_sample_by_itself(family: str) -> None:
    sizes = Sizes(shape=(3, 8, 8), latent=4, batch=6)
    generator = SMALL[family].generator(METHODS["veegan"], sizes)
    x = torch.randn(6, 3, 8, 8)
    codes = generator.encode(x)
    assert codes.shape == (6, 4)
    torch.testing.assert_close(generator.encode(x[:1]), codes[:1])
    assert not list(generator.encoder.buffers())  # the game hands it none
    with pytest.raises(RuntimeError, match="no encoder"):
        SMALL[family].generator(VANILLA, sizes).encode(x)


@pytest.mark.parametrize("family", sorted(SMALL))
def test_each_sample_of_a_mixture_comes_from_its_own_generator(family: str) -> None:
    sizes = Sizes(shape=(8, 8), latent=4, batch=6, generators=4)
    generator = SMALL[family].generator(METHODS["mad-gan-4"], sizes).eval()
    latent, index = torch.randn(1, 4).expand(4, 4), torch.eye(4)
    images = generator(latent, None, index)
    assert all((images[one] - images[other]).abs().max() > 1e-3 for one in range(4) for other in range(one))
    again = generator(latent[:2], None, index[[2, 1]])
    torch.testing.assert_close(again, images[[2, 1]])
