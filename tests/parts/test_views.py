"""Views against hand-made packs, and a packed critic against a critic that reads the packs directly."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from uncollapse.errors import UserError
from uncollapse.methods import METHODS, VANILLA
from uncollapse.networks.mlp import MLP
from uncollapse.parts.scene import Sizes
from uncollapse.parts.views import Packed, Plain


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
