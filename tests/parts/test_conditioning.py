"""Conditioning: embeddings against torch's own, and labels that reach both players and nobody else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from uncollapse.errors import UserError
from uncollapse.game import Clock, Game
from uncollapse.loop import Trainer
from uncollapse.methods import METHODS
from uncollapse.networks.mlp import MLP
from uncollapse.parts.conditioning import AuxiliaryClassifier, Concat, JointPairs, LabelTable, Projection, Unconditional
from uncollapse.parts.scene import Sizes
from uncollapse.run import make_spec
from uncollapse.trees import tree_map

SIZES = Sizes(shape=(2,), latent=3, classes=4, batch=6)


def test_the_table_equals_torch_embedding() -> None:
    table = LabelTable(4, 5)
    labels = torch.tensor([3, 0, 0, 2])
    reference = nn.functional.embedding(labels, table.weight)
    torch.testing.assert_close(table(nn.functional.one_hot(labels, 4).float()), reference)


def test_concat_joins_latent_and_sample_with_the_embedded_label() -> None:
    part = Concat(width=5)
    table, labels = part.generator_module(SIZES), torch.eye(4)[[1, 3, 0, 0, 2, 1]]
    latent = torch.randn(6, 3)
    joined = part.generator_join(table, latent, labels)
    torch.testing.assert_close(joined, torch.cat([latent, labels @ table.weight], -1))
    assert part.generator_extra(SIZES) == part.critic_extra(SIZES) == 5
    assert part.context(labels, lambda: latent) is labels
    x = torch.randn(6, 2)
    critic_table = part.critic_module(SIZES)
    torch.testing.assert_close(
        part.critic_join(critic_table, x, labels), torch.cat([x, labels @ critic_table.weight], -1)
    )


def test_the_width_defaults_to_the_number_of_classes() -> None:
    assert Concat().generator_extra(SIZES) == 4
    assert Concat().generator_module(SIZES).weight.shape == (4, 4)


def test_unconditional_ignores_labels() -> None:
    part, latent = Unconditional(), torch.randn(2, 3)
    assert part.generator_join(None, latent, torch.eye(2)) is latent
    assert part.context(torch.eye(2), lambda: latent) is None
    assert not part.labelled


def test_critic_step_fakes_reuse_the_labels_of_the_real_batch() -> None:
    spec = make_spec("cwgan-gp", "blobs-4", seeds=[0, 1], updates=10, batch=8, networks=MLP(width=4, depth=1))
    trainer = Trainer(spec)
    batch = trainer.critic_blocks.batch(0)
    assert batch.real is not None
    assert batch.labels is not None
    nearest, _ = spec.task.assign(batch.real.reshape(-1, 2))
    assert (batch.labels.reshape(-1, 4).argmax(-1) == nearest).double().mean() > 0.97  # labels belong to the real rows
    given: list[tuple[str, torch.Tensor]] = []
    for name, network in (("generator", trainer.game.generator), ("critic", trainer.game.critic)):
        network.embedding.register_forward_hook(lambda _, inputs, __, name=name: given.append((name, inputs[0])))
    state, one = tree_map(lambda value: value[0], (trainer.lanes.state, batch))
    alone = Game.of(spec.method, trainer.game.generator, trainer.game.critic)
    clock = Clock(torch.zeros(()), torch.ones(()))
    alone.critic_objective(state.critic.parameters, state, one, clock)
    assert [name for name, _ in given] == ["generator", "critic", "critic"]  # fakes; real and fakes; the penalty
    torch.testing.assert_close(given[0][1], one.labels)
    torch.testing.assert_close(given[1][1], torch.cat([one.labels, one.labels]))
    torch.testing.assert_close(given[2][1], one.labels)


def test_the_label_moves_the_generator_and_the_score() -> None:
    method = METHODS["cgan"]
    generator, critic = MLP(latent=3).generator(method, SIZES), MLP(latent=3).critic(method, SIZES)
    latent, x = torch.randn(6, 3), torch.randn(6, 2)
    one, two = torch.eye(4)[[0] * 6], torch.eye(4)[[1] * 6]
    assert (generator(latent, one) - generator(latent, two)).abs().min() > 0
    assert (critic(x, one).score - critic(x, two).score).abs().min() > 0


def test_refusals() -> None:
    with pytest.raises(UserError, match=r"Concat\(width=-1\) is negative"):
        Concat(width=-1)


def test_projection_is_an_inner_product_with_the_labels_vector() -> None:
    method = METHODS["projection"]
    critic = MLP(width=5, depth=1, latent=3).critic(method, SIZES).double()
    x, chosen = torch.randn(6, 2, dtype=torch.float64), torch.tensor([1, 3, 0, 0, 2, 1])
    labels = torch.eye(4, dtype=torch.float64)[chosen]
    judged = critic(x, labels)
    features = torch.relu(critic.body[0](x))
    vectors = critic.score_context.weight.T  # (classes, width)
    by_hand = [
        (features[row] @ vectors[label] + critic.score(features[row])[0]).item()
        for row, label in enumerate(chosen.tolist())
    ]
    assert judged.score.tolist() == pytest.approx(by_hand, rel=1e-12)
    assert critic.embedding is None  # the label is nowhere in the critic's input
    other = critic(x, labels.roll(1, 0)).score
    assert not torch.allclose(other, judged.score)


def test_projection_of_a_pack_adds_the_vector_of_every_member() -> None:
    sizes = Sizes(shape=(2,), latent=3, classes=4, batch=6, group=2)
    part, features = Projection(), torch.randn(3, 5)
    module = part.score_module(sizes, 5)
    chosen = torch.tensor([[1, 3], [0, 0], [2, 1]])
    context = torch.eye(4)[chosen].flatten(1)
    added = part.score(module, torch.zeros(3), features, context)
    vectors = module.weight.T.unflatten(0, (2, 4))
    by_hand = [
        sum(vectors[member, label] @ features[row] for member, label in enumerate(pair))
        for row, pair in enumerate(chosen.tolist())
    ]
    torch.testing.assert_close(added, torch.stack(by_hand))


def test_ac_gan_tells_the_generator_and_asks_the_critic() -> None:
    part, labels, latent = AuxiliaryClassifier(), torch.eye(4)[[1, 3, 0, 0, 2, 1]], torch.randn(6, 3)
    assert part.generator_extra(SIZES) == 4
    assert part.context(labels, lambda: latent) is None  # a critic that knew the label would have nothing to find
    assert part.critic_extra(SIZES) == 0
    critic = MLP(width=5, depth=1).critic(METHODS["ac-gan"], SIZES)
    judged = critic(torch.randn(6, 2), None)
    assert judged.class_logits.shape == (6, 4)
    features = judged.features
    torch.testing.assert_close(judged.class_logits, critic.heads["class_logits"](features))
    assert not torch.allclose(judged.class_logits.sum(-1), torch.ones(6))  # logits, not probabilities


def test_joint_pairs_put_the_made_and_the_encoded_latent_beside_the_sample() -> None:
    part, x, latent = JointPairs(), torch.randn(6, 2), torch.randn(6, 3)
    assert part.context(None, lambda: latent) is latent
    torch.testing.assert_close(part.critic_join(None, x, latent), torch.cat([x, latent], -1))
    assert part.critic_extra(Sizes(shape=(2,), latent=3, batch=6, group=2)) == 6


def test_the_critic_of_joint_pairs_sees_fx_with_x_and_z_with_gz() -> None:
    spec = make_spec("veegan", "blobs-4", seeds=[0], updates=10, batch=8, networks=MLP(width=4, depth=1))
    trainer = Trainer(spec)
    state, one = tree_map(lambda value: value[0], (trainer.lanes.state, trainer.critic_blocks.batch(0)))
    given: list[tuple[torch.Tensor, torch.Tensor]] = []
    trainer.game.critic.register_forward_pre_hook(lambda _, inputs: given.append(inputs))
    clock = Clock(torch.zeros(()), torch.ones(()))
    trainer.game.critic_objective(state.critic.parameters, state, one, clock)
    ((inputs, context),) = given  # real and fake in one pass
    weights = trainer.game.generator_layout.unpack(state.generator.parameters)
    fake = torch.func.functional_call(trainer.game.generator, weights, (one.latent,))
    parts = {name.removeprefix("encoder."): value for name, value in weights.items() if name.startswith("encoder.")}
    encoded = torch.func.functional_call(trainer.game.generator.encoder, parts, (one.real,))
    torch.testing.assert_close(inputs, torch.cat([one.real, fake]))
    torch.testing.assert_close(context, torch.cat([encoded, one.latent]))
