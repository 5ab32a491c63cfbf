"""A user's networks as the game calls them: labels, shapes, and what a method's parts add, against sums by hand."""

from __future__ import annotations

import math

import pytest
import torch
from tests.networks.owned import Describer, LabelledMaker, Maker, Normed, Scorer
from torch import Tensor, nn
from torch.nn.functional import one_hot

from uncollapse.methods import METHODS
from uncollapse.networks.adapters import (
    Fit,
    OwnCritic,
    OwnGenerator,
    as_judgement,
    frozen_as_buffers,
    initialised,
    told,
)
from uncollapse.nn import MinibatchDiscrimination, batch_deviation
from uncollapse.parts.conditioning import Concat, JointPairs
from uncollapse.parts.scene import Judgement, Sizes

SIZES = Sizes(shape=(3, 2), latent=4, classes=5, batch=8)
DESCRIBED = Fit(packs=8, width=8)


def critic(method: str, network: nn.Module, fit: Fit = DESCRIBED, second: nn.Module | None = None) -> OwnCritic:
    return OwnCritic(network, METHODS[method], SIZES, fit, second=second)


def test_a_generator_sees_whole_labels_and_its_rows_get_the_tasks_shape() -> None:
    network, labels = LabelledMaker(SIZES), torch.tensor([4, 0, 2])
    latent = torch.randn(3, 4)
    samples = OwnGenerator(network, SIZES)(latent, one_hot(labels, 5).float(), None)
    torch.testing.assert_close(samples, network(latent, labels).reshape(3, 3, 2))
    assert OwnGenerator(Maker(SIZES), SIZES)(latent).shape == (3, 3, 2)


def test_labels_of_packs_come_side_by_side_and_codes_as_they_are() -> None:
    rows = one_hot(torch.tensor([[1, 4], [0, 3]]), 5).float().flatten(1)
    packed = Sizes(shape=(2,), latent=4, classes=5, batch=4, group=2)
    assert told(rows, Concat(), packed).tolist() == [[1, 4], [0, 3]]
    assert told(rows[:, 5:], Concat(), SIZES).tolist() == [4, 3]
    code = torch.randn(2, 4)
    assert told(code, JointPairs(), SIZES) is code


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 1, 1, 1)])
def test_a_score_of_any_shape_is_a_column(shape: tuple[int, ...]) -> None:
    score = torch.randn(shape)
    judged = as_judgement(score)
    assert torch.equal(judged.score, score.reshape(3))
    assert judged.features.shape == (3, 1)
    assert judged.features.isnan().all()  # so that a part which reads them cannot do so unnoticed


def test_a_judgement_keeps_what_it_says() -> None:
    features, logits = torch.randn(3, 2), torch.randn(3, 4)
    judged = as_judgement(
        Judgement(score=torch.ones(3, 1), features=features, class_logits=logits, second_score=torch.zeros(3, 1))
    )
    assert judged.score.shape == judged.second_score.shape == (3,)  # type: ignore[union-attr]
    assert judged.features is features
    assert judged.class_logits is logits
    bare = as_judgement(Judgement(score=torch.ones(3), features=None))  # type: ignore[arg-type]
    assert math.isnan(bare.features.sum())


def test_the_summary_of_a_view_joins_the_score_with_weights_of_its_own() -> None:
    network, samples = Describer(SIZES), torch.randn(8, 3, 2)
    own = critic("minibatch-stddev", network)
    judged, plain = own(samples), network(samples)
    spread = batch_deviation(plain.features, 4)
    torch.testing.assert_close(judged.features, torch.cat([plain.features, spread], 1))
    weight = own.summary_score.weight  # type: ignore[union-attr]
    torch.testing.assert_close(judged.score, plain.score.squeeze(-1) + weight[0, 0] * spread.squeeze(-1))


def test_a_projection_adds_the_features_in_the_direction_of_the_label() -> None:
    network, samples, labels = Describer(SIZES), torch.randn(8, 3, 2), torch.arange(8) % 5
    own = critic("projection", network)
    plain = network(samples)
    directions = own.score_context.weight.T[labels]  # type: ignore[union-attr]
    expected = plain.score.squeeze(-1) + (directions * plain.features).sum(1)
    torch.testing.assert_close(own(samples, one_hot(labels, 5).float()).score, expected)


def test_heads_that_are_missing_are_linear_in_the_features() -> None:
    network, samples = Describer(SIZES), torch.randn(8, 3, 2)
    own = critic("ac-gan", network)
    judged = own(samples)
    torch.testing.assert_close(judged.class_logits, own.heads["class_logits"](network(samples).features))
    given = critic("ac-gan", network, Fit(packs=8, width=8, gives=frozenset({"class_logits"})))
    assert len(given.heads) == 0


def test_a_second_score_comes_from_a_second_network() -> None:
    first, second, samples = Scorer(SIZES), Scorer(SIZES), torch.randn(8, 3, 2)
    judged = critic("d2gan", first, Fit(packs=8), second)(samples)
    torch.testing.assert_close(judged.score, first(samples).squeeze(-1))
    torch.testing.assert_close(judged.second_score, second(samples).squeeze(-1))
    assert judged.second_score is not None


def test_minibatch_discrimination_starts_from_data_without_moving_batch_norm() -> None:
    class Both(Describer):
        def __init__(self, sizes: Sizes) -> None:
            super().__init__(sizes)
            self.body = nn.Sequential(nn.Linear(sizes.data, 8), nn.BatchNorm1d(8))

    network, samples = Both(SIZES), torch.randn(8, 3, 2)
    own = critic("minibatch-discrimination", network)
    assert own.starts_from_data
    assert not critic("vanilla", Scorer(SIZES), Fit(packs=8)).starts_from_data
    own.start(samples, None)
    assert int(network.body[1].num_batches_tracked) == 0
    # As the layer promises: closeness less its mean over the first batch is what joins the features.
    extra = own(samples).features[:, 8:]
    torch.testing.assert_close(extra.mean(0), torch.zeros(16), atol=1e-5, rtol=0)


def test_a_network_that_starts_from_data_is_shown_a_batch() -> None:
    class Looking(nn.Module):
        starts_from_data = True

        def __init__(self) -> None:
            super().__init__()
            self.layer, self.close = nn.Linear(6, 3), MinibatchDiscrimination(3, 2)

        def start(self, samples: Tensor) -> None:
            self.close.initialise(self.layer(samples.flatten(1)))

        def forward(self, samples: Tensor) -> Tensor:
            return self.close(self.layer(samples.flatten(1))).sum(1)  # type: ignore[no-any-return]

    network = Looking()
    own = critic("vanilla", network, Fit(packs=8, mixes=True), Looking())
    own.start(torch.randn(8, 3, 2), None)
    assert own.mixes
    assert not (network.close.log_scale == 0).any()
    assert not (own.second.network.close.log_scale == 0).any()  # type: ignore[union-attr]


def test_frozen_parameters_become_buffers_and_give_the_same_samples() -> None:
    network = Normed(SIZES)
    network.net[1].requires_grad_(False)
    samples = torch.randn(8, 3, 2)
    before = network(samples)
    frozen = frozen_as_buffers(network)
    assert "net.1.weight" in dict(frozen.named_buffers())
    assert "net.1.weight" not in dict(frozen.named_parameters())
    torch.testing.assert_close(frozen(samples), before)


def test_lazy_layers_are_drawn_from_the_global_stream_and_training_goes_on() -> None:
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(initialised(nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d()).eval(), (torch.zeros(2, 4),)))
    first, again, other = (network[0].weight for network in made)  # type: ignore[index]
    assert first.shape == (3, 4)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert made[0].training
    assert int(made[0][1].num_batches_tracked) == 0  # type: ignore[index]
