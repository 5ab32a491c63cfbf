"""Views against hand-made packs, NumPy's deviations and images moved by hand; the layers themselves: test_nn.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from uncollapse.errors import UserError
from uncollapse.game import Clock
from uncollapse.lanes import sizes_of
from uncollapse.loop import Trainer
from uncollapse.methods import METHODS, VANILLA
from uncollapse.networks.mlp import MLP
from uncollapse.parts.losses import Relativistic
from uncollapse.parts.penalties import ZeroCentred
from uncollapse.parts.scene import Judgement, Sizes
from uncollapse.parts.views import PARTS, DiffAugment, MinibatchDiscrimination, MinibatchStddev, Packed, Plain
from uncollapse.run import make_spec
from uncollapse.trees import tree_map


def test_plain_changes_nothing() -> None:
    x = torch.randn(4, 2)
    assert Plain().pack(x) is x
    assert Plain().summarise(None, x) is x
    assert (Plain().group, Plain().extra, Plain().module(8)) == (1, 0, None)


def test_packs_of_vectors_by_hand() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])
    assert Packed(2).pack(x).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert Packed(4).pack(x).tolist() == [[1, 2, 3, 4, 5, 6, 7, 8]]
    assert torch.equal(Packed(1).pack(x), x)


def test_packs_of_images_stack_channels() -> None:
    x = torch.randn(6, 3, 4, 5)
    packed = Packed(3).pack(x)
    assert packed.shape == (2, 9, 4, 5)
    torch.testing.assert_close(packed[1, 3:6], x[4], rtol=0, atol=0)


def test_only_the_first_layer_is_wider() -> None:
    sizes = Sizes(shape=(2,), latent=2, batch=6, group=3)
    plain = MLP(width=5, depth=2).critic(VANILLA, Sizes(shape=(2,), latent=2, batch=6))
    packed = MLP(width=5, depth=2).critic(VANILLA.but(view=Packed(3)), sizes)
    shapes = [{name: tuple(value.shape) for name, value in net.named_parameters()} for net in (plain, packed)]
    different = {name for name in shapes[0] if shapes[0][name] != shapes[1][name]}
    assert different == {"body.0.weight"}
    assert shapes[1]["body.0.weight"] == (5, 6)


def test_a_conditional_pack_carries_the_label_of_every_member() -> None:
    method = METHODS["cgan"].but(view=Packed(2))
    critic = MLP(width=5, depth=1).critic(method, Sizes(shape=(2,), latent=2, classes=3, batch=4, group=2))
    x, labels = torch.randn(4, 2), torch.eye(3)[[0, 2, 1, 1]]
    judged = critic(method.view.pack(x), method.view.pack(labels)).score
    table, first, score = critic.embedding.weight, critic.body[0], critic.score
    for pack, (one, two) in enumerate([(0, 1), (2, 3)]):
        given = torch.cat([x[one], x[two], table[labels[one].argmax()], table[labels[two].argmax()]])
        expected = score(nn.functional.relu(first(given)))
        torch.testing.assert_close(judged[pack : pack + 1], expected)


def test_refusals() -> None:
    with pytest.raises(UserError, match=r"Packed\(0\) holds no sample; choose a pack size of 1 or more"):
        Packed(0)


# Equal packs and equal images.


def test_equal_packs_read_more_samples_and_equal_images_make_fewer_packs() -> None:
    sizes = {}
    for equal in ("packs", "images"):
        method = VANILLA.but(name=equal, view=Packed(3, equal=equal))  # type: ignore[arg-type]
        spec = make_spec(method, "ring-8", seeds=(0,), updates=5, batch=12, networks=MLP(width=4))
        trainer, sizes[equal] = Trainer(spec), sizes_of(spec)
        assert trainer.critic_blocks.batch(0).real.shape == (1, sizes[equal].batch, 2)
        trainer.advance(2)
        assert trainer.real_samples() == 2 * sizes[equal].batch
    assert (sizes["packs"].batch, sizes["packs"].packs) == (36, 12)
    assert (sizes["images"].batch, sizes["images"].packs) == (12, 4)
    assert all(METHODS[f"pacgan-{m}"].view == Packed(m, equal="packs") for m in (2, 3, 4))


def test_packs_are_independent_draws_of_one_kind() -> None:
    """Neighbours in a batch are no neighbours in the data: a sorted data set is shuffled before it is packed."""
    spec = make_spec("pacgan-2", "blobs-4", seeds=(0,), updates=5, batch=200, networks=MLP(width=4))
    trainer = Trainer(spec)
    batch = trainer.critic_blocks.batch(0)
    modes, _ = spec.task.assign(batch.real[0])
    pairs = modes.reshape(-1, 2)
    assert (pairs[:, 0] == pairs[:, 1]).double().mean().item() == pytest.approx(0.25, abs=0.13)
    seen: list[Tensor] = []
    trainer.game.critic.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    state, one = tree_map(lambda value: value[0], (trainer.lanes.state, batch))
    trainer.game.critic_objective(state.critic.parameters, state, one, Clock(torch.zeros(()), torch.ones(())))
    assert seen[0].shape == (400, 4)  # 200 packs of real samples, then 200 of fakes
    assert torch.equal(seen[0][:200], one.real.reshape(200, 4))


# Summaries of a batch.


def test_minibatch_stddev_equals_numpys() -> None:
    features = torch.randn(8, 5, dtype=torch.float64)
    seen = MinibatchStddev(size=4).summarise(None, features)
    deviations = [features[start : start + 4].numpy().std(0).mean() for start in (0, 4)]
    np.testing.assert_allclose(seen[:, 5], np.repeat(deviations, 4), rtol=1e-6)
    torch.testing.assert_close(seen[:, :5], features)
    whole = features.numpy().std(0).mean()
    assert abs(seen[0, 5].item() - whole) > 1e-3  # groups, not the batch


def test_real_and_fake_never_share_a_group() -> None:
    spec = make_spec(
        "minibatch-stddev", "ring-8", seeds=(0,), updates=5, batch=8, networks=MLP(width=6), dtype="float64"
    )
    trainer = Trainer(spec)
    state, batch = tree_map(lambda value: value[0], (trainer.lanes.state, trainer.critic_blocks.batch(0)))
    clock = trainer._clock(trainer.lanes)
    joint = trainer.game.critic_objective(state.critic.parameters, state, batch, clock)[0]
    fake = trainer.game.generate(state.generator.parameters, {}, batch)[0]
    weights = trainer.game.critic_layout.unpack(state.critic.parameters)
    scores = [torch.func.functional_call(trainer.game.critic, weights, (x,)).score for x in (batch.real, fake)]
    apart = nn.functional.softplus(-scores[0]).mean() + nn.functional.softplus(scores[1]).mean()
    torch.testing.assert_close(joint, apart, rtol=1e-12, atol=0)


def test_minibatch_discrimination_judges_real_and_fake_apart() -> None:
    method = METHODS["minibatch-discrimination"]
    spec = make_spec(method, "ring-8", seeds=(0,), updates=5, batch=8, networks=MLP(width=6), dtype="float64")
    trainer = Trainer(spec)
    state, batch = tree_map(lambda value: value[0], (trainer.lanes.state, trainer.critic_blocks.batch(0)))
    value = trainer.game.critic_objective(state.critic.parameters, state, batch, trainer._clock(trainer.lanes))[0]
    fake = trainer.game.generate(state.generator.parameters, {}, batch)[0]
    weights = trainer.game.critic_layout.unpack(state.critic.parameters)

    def score(x: Tensor) -> Judgement:
        return torch.func.functional_call(trainer.game.critic, weights, (x,))

    loss = nn.functional.softplus
    apart = loss(-score(batch.real).score).mean() + loss(score(fake).score).mean()
    mixed = score(torch.cat([batch.real, fake])).score
    torch.testing.assert_close(value, apart, rtol=1e-12, atol=0)
    assert not torch.allclose(mixed[:8], score(batch.real).score, rtol=1e-3)


def test_the_critic_starts_from_a_first_look_of_its_own_seed() -> None:
    method = METHODS["minibatch-discrimination"]
    networks = MLP(width=16, depth=2)
    trainers = [
        Trainer(make_spec(method, "ring-8", seeds=seeds, updates=5, batch=64, networks=networks))
        for seeds in ((1, 2), (2,))
    ]
    layout = trainers[0].game.critic_layout
    weights = layout.unpack(trainers[0].lanes.state.critic.parameters)
    assert not torch.equal(weights["summary.log_scale"][0], weights["summary.log_scale"][1])
    torch.testing.assert_close(
        layout.unpack(trainers[1].lanes.state.critic.parameters)["summary.bias"][0], weights["summary.bias"][1]
    )
    assert weights["summary.log_scale"].abs().min() > 0  # 0 is where the layer is built
    real = trainers[0].critic_blocks.batch(0).real[0]
    own = {name: value[0] for name, value in weights.items()}
    added = torch.func.functional_call(trainers[0].game.critic, own, (real,)).features[:, 16:]
    closeness = added - own["summary.bias"]
    assert 0.1 < closeness.mean().item() < 32  # of at most 63


# Augmentation.


SAMPLES = Sizes(shape=(8, 8), latent=2, batch=6)


def noise(images: Tensor, **given: float) -> dict[str, Tensor]:
    """Draws of an augmentation; 1/2 is no colour change and no shift."""
    rows = len(images)
    made = {
        name: torch.rand(rows, width, dtype=images.dtype)
        for name, width in (("colour", 3), ("shift", 2), ("cutout", 2))
    }
    return {name: torch.full_like(value, given[name]) if name in given else value for name, value in made.items()}


@pytest.mark.parametrize("shape", [(8, 8), (1, 6, 9), (3, 8, 8), (2, 8, 4)])
def test_no_strength_is_the_identity_and_the_shape_stays(shape: tuple[int, ...]) -> None:
    images = torch.randn(6, *shape, dtype=torch.float64)
    unaltered = DiffAugment(colour=0.0, shift=0.0, cutout=0.0).alter(images, noise(images))
    torch.testing.assert_close(unaltered, images)
    altered = DiffAugment().alter(images, noise(images))
    assert altered.shape == images.shape
    assert not torch.allclose(altered, images)


def test_shifts_by_hand() -> None:
    images = torch.arange(1.0, 17.0).reshape(1, 4, 4)
    part = DiffAugment(colour=0.0, shift=0.25, cutout=0.0)  # one pixel at most: -1, 0 or 1

    def moved(down: float, right: float) -> list[list[float]]:
        return part.alter(images, {**noise(images), "shift": torch.tensor([[down, right]])})[0].tolist()

    assert moved(0.5, 0.5) == images[0].tolist()
    assert moved(0.99, 0.5) == [[0, 0, 0, 0], *images[0, :3].tolist()]
    assert moved(0.0, 0.5) == [*images[0, 1:].tolist(), [0, 0, 0, 0]]
    assert moved(0.5, 0.99) == [[0, 1, 2, 3], [0, 5, 6, 7], [0, 9, 10, 11], [0, 13, 14, 15]]
    assert moved(0.0, 0.0) == [[6, 7, 8, 0], [10, 11, 12, 0], [14, 15, 16, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize(("side", "most"), [(8, 1), (20, 3), (28, 4), (32, 4), (36, 5)])
def test_the_largest_shift_is_rounded_half_up_as_in_the_authors_code(side: int, most: int) -> None:
    images = torch.zeros(1, side, side)
    images[:, 0, 0] = 1
    altered = DiffAugment(colour=0.0, cutout=0.0).alter(images, {**noise(images), "shift": torch.full((1, 2), 0.999)})
    assert altered.nonzero().tolist() == [[0, most, most]]


def test_every_shift_is_as_likely() -> None:
    part = DiffAugment(colour=0.0, shift=0.125, cutout=0.0)
    images = torch.zeros(999, 8, 8)
    images[:, 4, 4] = 1
    places = (torch.arange(999.0) + 0.5) / 999
    altered = part.alter(images, {**noise(images), "shift": torch.stack([places, places], 1)})
    rows = altered.sum(2).argmax(1)
    assert torch.bincount(rows)[3:6].tolist() == [333, 333, 333]


def test_colours_by_hand() -> None:
    images = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    drawn = torch.tensor([[0.9, 0.2, 0.7], [0.5, 0.5, 0.5]], dtype=torch.float64)
    altered = DiffAugment(shift=0.0, cutout=0.0).alter(images, {**noise(images), "colour": drawn}).numpy()
    expected = images.numpy()[0] + (0.9 - 0.5)
    grey = expected.mean(0, keepdims=True)
    expected = (expected - grey) * (2 * 0.2) + grey
    expected = (expected - expected.mean()) * (0.7 + 0.5) + expected.mean()
    np.testing.assert_allclose(altered[0], expected)
    np.testing.assert_allclose(altered[1], images[1])


def test_a_square_is_cut_out_and_may_reach_over_the_edge() -> None:
    images = torch.ones(2, 8, 8)
    places = torch.tensor([[0.5, 0.5], [0.0, 0.99]])
    altered = DiffAugment(colour=0.0, shift=0.0, cutout=0.5).alter(images, {**noise(images), "cutout": places})
    assert (altered[0] == 0).sum().item() == 16
    assert altered[0, 2:6, 2:6].abs().sum() == 0
    assert (altered[1] == 0).nonzero().tolist() == [[row, column] for row in (0, 1) for column in (6, 7)]


def test_the_gradient_reaches_the_unaltered_image() -> None:
    images = torch.randn(3, 8, 8, dtype=torch.float64, requires_grad=True)
    drawn = noise(images.detach())
    part = DiffAugment(colour=0.7)
    assert torch.autograd.gradcheck(lambda x: part.alter(x, drawn), images)
    (gradient,) = torch.autograd.grad(part.alter(images, drawn).sum(), images)
    assert (gradient != 0).flatten(1).any(1).all()


def test_real_and_fake_are_altered_by_draws_of_their_own_in_both_steps() -> None:
    wishes = DiffAugment().noise(SAMPLES)
    assert wishes == {"colour": ("uniform", (12, 3)), "shift": ("uniform", (12, 2)), "cutout": ("uniform", (12, 2))}
    method = METHODS["diffaugment"].but(
        name="seen", loss=Relativistic(), penalties=(ZeroCentred(), ZeroCentred(on="fake"))
    )
    trainer = Trainer(make_spec(method, "digits", seeds=(0,), updates=5, batch=6, networks=MLP(width=6, latent=2)))
    seen: list[Tensor] = []
    trainer.game.critic.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    clock = trainer._clock(trainer.lanes)
    state = tree_map(lambda value: value[0], trainer.lanes.state)
    for blocks, objective, player in (
        (trainer.critic_blocks, trainer.game.critic_objective, state.critic),
        (trainer.generator_blocks, trainer.game.generator_objective, state.generator),
    ):
        seen.clear()
        batch = tree_map(lambda value: value[0], blocks.batch(0))
        objective(player.parameters, state, batch, clock)
        fake = trainer.game.generate(state.generator.parameters, {}, batch)[0]
        drawn = {name.removeprefix("view."): value for name, value in batch.noise.items() if name.startswith("view.")}
        assert all(len(value.unique()) == value.numel() for value in drawn.values())
        both = method.view.alter(torch.cat([batch.real, fake]), drawn)
        torch.testing.assert_close(seen[0], both)
        assert not torch.allclose(both, torch.cat([batch.real, fake]))
        if len(seen) > 1:  # the penalties of the critic step: real as real, fakes as fakes
            torch.testing.assert_close(seen[1], both[:6])
            torch.testing.assert_close(seen[2], both[6:])


def test_what_each_view_asks_for() -> None:
    assert {part for part in PARTS if part.entangles} == {MinibatchDiscrimination}
    assert {part for part in PARTS if not part.joint} == {MinibatchDiscrimination}
    assert {part for part in PARTS if part.images_only} == {DiffAugment}
    assert MinibatchStddev(size=4).block == 4
    assert math.prod((Packed(3).samples, Packed(3, equal="packs").samples)) == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Packed(2, equal="both"), "is not one of 'images', 'packs'; 'images' is the usual value"),
        (lambda: MinibatchDiscrimination(kernels=0), "compares nothing"),
        (lambda: MinibatchStddev(size=1), "has no deviation"),
        (lambda: DiffAugment(colour=-1.0), "is not possible"),
        (lambda: DiffAugment(shift=1.0), "is not possible"),
    ],
)
def test_more_refusals(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize("task", ["ring-8", "digits"])
def test_the_first_look_sees_the_weights_that_a_constraint_lets_through(task: str) -> None:
    method = METHODS["minibatch-discrimination"].but(constraint=METHODS["sngan"].constraint)
    trainer = Trainer(make_spec(method, task, seeds=(0,), updates=5, batch=64, networks=MLP(width=16, depth=2)))
    critic = trainer.lanes.state.critic
    weights = {name: value[0] for name, value in trainer.game.critic_layout.unpack(critic.parameters).items()}
    used, _ = method.constraint.reparameterise(weights, {name: value[0] for name, value in critic.buffers.items()})
    real = trainer.critic_blocks.batch(0).real[0]
    added = torch.func.functional_call(trainer.game.critic, used, (real,)).features[:, 16:]
    # The bias takes the mean closeness off; of raw weights, which are longer, it would be off by two or three.
    assert added.mean().abs().item() < 0.5
    closeness = added - used["summary.bias"]
    assert 0.1 < closeness.mean().item() < 32
