"""The trial of a user's networks: what fits, what a critic is found to be, and each refusal with its sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.networks.owned import (
    Autoencoder,
    CodeScorer,
    Describer,
    LabelledMaker,
    Maker,
    Normed,
    Reversible,
    Scorer,
)
from torch import Tensor, nn

from uncollapse.errors import UserError
from uncollapse.game import Clock, Game, Player
from uncollapse.lanes import sizes_of
from uncollapse.loop import Trainer
from uncollapse.method import Method
from uncollapse.methods import METHODS
from uncollapse.networks.adapters import Fit, OwnCritic
from uncollapse.networks.fitting import (
    critic_inputs,
    fit_critic,
    fit_generator,
    generator_inputs,
    reader_of_features,
    small_batch,
    within,
)
from uncollapse.networks.mlp import MLP
from uncollapse.nn import MinibatchStddev
from uncollapse.parts.population import OneGenerator
from uncollapse.parts.scene import Judgement, Sizes
from uncollapse.spec import make_spec
from uncollapse.trees import tree_map

SIZES = Sizes(shape=(2, 3), latent=4, classes=5, batch=8)


class Acting(nn.Module):
    """A network with one parameter that does what it is told."""

    def __init__(self, act: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.act = act

    def forward(self, inputs: Tensor) -> Any:
        return self.act(self.scale * inputs)


class Told(nn.Module):
    """A critic with two inputs that returns what it is told to."""

    def __init__(self, act: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.act = act

    def forward(self, inputs: Tensor, told: Tensor) -> Any:
        return self.act(self.scale * inputs)


def fitted(network: nn.Module, method: str | Method = "vanilla", sizes: Sizes = SIZES) -> Fit:
    chosen = METHODS[method] if isinstance(method, str) else method
    return fit_critic(network, chosen, sizes, "Your critic (X)")


def makes(network: nn.Module, method: str = "vanilla", sizes: Sizes = SIZES) -> None:
    fit_generator(network, METHODS[method], sizes, "Your generator (X)")


# --- what fits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(8, 2, 3), (8, 6), (8, 1, 2, 3), (8, 2, 3, 1)])
def test_samples_may_have_other_axes_of_length_one_or_be_rows(shape: tuple[int, ...]) -> None:
    makes(Acting(lambda latent: latent.new_zeros(shape)))


def test_what_is_found_of_a_critic() -> None:
    assert fitted(Scorer(SIZES)) == Fit(packs=8)
    assert fitted(Describer(SIZES)) == Fit(packs=8, width=8)
    assert fitted(Autoencoder(SIZES), "began") == Fit(packs=8, width=4, gives=frozenset({"code"}))
    assert fitted(Normed(SIZES)) == Fit(packs=8, mixes=True)
    assert fitted(nn.Sequential(nn.Flatten(), MinibatchStddev(4), nn.Linear(7, 1))).mixes
    assert not fitted(nn.Sequential(nn.Flatten(), nn.Linear(6, 9), nn.LayerNorm(9), nn.Linear(9, 1))).mixes
    assert fitted(CodeScorer(SIZES), "veegan") == Fit(packs=8)
    assert fitted(Scorer(Sizes(shape=(2, 3), latent=4, group=2)), "pacgan-2",
                  Sizes(shape=(2, 3), latent=4, batch=8, group=2)) == Fit(packs=4)  # fmt: skip


def test_samples_that_see_each_other_without_a_known_layer_are_found_out() -> None:
    assert fitted(Acting(lambda x: (x - x.mean(0)).flatten(1).sum(1))).mixes
    assert not fitted(Acting(lambda x: (x - x.mean((1, 2), keepdim=True)).flatten(1).sum(1))).mixes


def test_a_deviation_over_groups_is_allowed_under_slopes_of_single_samples() -> None:
    network = nn.Sequential(nn.Flatten(), MinibatchStddev(4), nn.Linear(7, 1))
    assert fitted(network, "wgan-gp").mixes


def test_a_deviation_over_groups_is_no_excuse_for_what_sees_the_whole_batch() -> None:
    class Centred(nn.Sequential):
        def forward(self, samples: Tensor) -> Tensor:
            scores: Tensor = super().forward(samples)
            return scores - scores.mean(0)

    network = Centred(nn.Flatten(), MinibatchStddev(4), nn.Linear(7, 1))
    assert fitted(network).mixes
    with pytest.raises(UserError, match="scores a sample by the others of its batch too, so the slope of one sample"):
        fitted(network, "wgan-gp")


def test_a_trial_leaves_the_network_as_it_was() -> None:
    network = Normed(SIZES)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fitted(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_small_batches_hold_whole_groups_and_no_more_than_a_batch() -> None:
    stddev = METHODS["minibatch-stddev"]
    assert small_batch(METHODS["vanilla"], Sizes(shape=(2,), latent=2, batch=64)) == 4
    assert small_batch(METHODS["vanilla"], Sizes(shape=(2,), latent=2, batch=3)) == 3
    assert small_batch(stddev, Sizes(shape=(2,), latent=2, batch=64)) == 4
    assert small_batch(stddev.with_setting("view.size", 3), Sizes(shape=(2,), latent=2, batch=63)) == 6


def test_inputs_are_what_the_method_gives() -> None:
    latent, labels = generator_inputs(METHODS["cgan"], SIZES)
    assert latent.shape == (8, 4)
    assert labels.dtype is torch.int64
    assert labels.shape == (8,)
    packs, told = critic_inputs(METHODS["veegan"], SIZES)
    assert packs.shape == (8, 2, 3)
    assert torch.equal(told, latent)
    assert len(critic_inputs(METHODS["ac-gan"], SIZES)) == 1
    assert not torch.equal(packs, critic_inputs(METHODS["veegan"], SIZES, 1)[0])


class Apart(nn.Module):
    """A critic whose score, features and code share no parameter."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({name: Scorer(sizes).net for name in ("score", "code", "features")})
        self.parts["features"][2] = nn.Linear(8, 6)

    def forward(self, samples: Tensor, told: Tensor | None = None) -> Judgement:
        return Judgement(**{name: part(samples.flatten(1)) for name, part in self.parts.items()})


@pytest.mark.parametrize("name", [name for name, row in METHODS.items() if row.population == OneGenerator()])
def test_the_parts_that_read_features_are_known(name: str) -> None:
    """Against gradients: features move an objective exactly where a part is said to read them, or a head is on them."""
    spec = make_spec(name, "digits", seeds=[0], batch=12, networks=MLP(width=6, depth=1, latent=3))
    method, sizes = spec.method, sizes_of(spec)
    critic = OwnCritic(Apart(sizes), method, sizes, Fit(packs=sizes.packs, width=6, gives=frozenset({"code"})),
                       second=Apart(sizes) if "second_score" in method.heads(sizes) else None)  # fmt: skip
    trainer = Trainer(spec)
    game = Game.of(method, trainer.game.generator, critic)
    if critic.starts_from_data:
        critic.start(torch.randn(sizes.batch, *sizes.shape), None)
    parameters = dict(critic.named_parameters())
    flat = game.critic_layout.pack(parameters).detach().requires_grad_()
    lane = tree_map(lambda value: value[0], trainer.lanes.state)
    player = Player(flat, lane.critic.moments, method.constraint.init_buffers(parameters))
    state, clock = lane._replace(critic=player), Clock(torch.zeros(()), torch.ones((), dtype=torch.float64))
    read = torch.zeros_like(flat)
    unrolled = method.dynamics.unroll > 0  # whose foreseen steps start from moments of the critic's own size
    for blocks, objective, at in (
        (trainer.critic_blocks, game.critic_objective, flat),
        (trainer.generator_blocks, game.generator_objective, state.generator.parameters),
    ):
        if not (unrolled and objective == game.generator_objective):
            value, _ = objective(at, state, tree_map(lambda item: item[0], blocks.batch(0)), clock)
            read = read + torch.autograd.grad(value, flat, allow_unused=True)[0].abs()
    moved = game.critic_layout.unpack(read)
    features = bool(moved["network.parts.features.0.weight"].any())
    heads = set(method.heads(sizes)) - {"second_score"}
    assert features == bool(reader_of_features(method) or heads)


def test_a_sentence_goes_on() -> None:
    assert within("Your critic (X)") == "your critic (X)"


# --- layers ---------------------------------------------------------------------------------------------------------


def with_tensor() -> nn.Module:
    network = Scorer(SIZES)
    network.net[0].table = torch.ones(3)
    return network


def compiled() -> nn.Module:
    network = Scorer(SIZES)
    network._orig_mod = None  # type: ignore[assignment]  # as torch.compile marks what it returns
    return network


class Counting(Scorer):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, samples: Tensor) -> Tensor:
        self.calls = self.calls + 1
        return super().forward(samples)


class CountingInPlace(Counting):
    def forward(self, samples: Tensor) -> Tensor:
        self.calls += 1
        return Scorer.forward(self, samples)


def noisy() -> nn.Module:
    numbers = torch.Generator().manual_seed(0)
    return Acting(lambda x: x.flatten(1).sum(1) + torch.randn(len(x), generator=numbers))


DRAWS = (
    "Your critic (X) draws inside, so a run could neither be resumed nor repeated; leave out dropout and noise, or"
    " feed noise through the latent."
)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(6, 3), nn.Dropout(0.5), nn.Linear(3, 1)), "Your critic (X) draws"
         " inside (Dropout with p = 0.5 at '2'), so a run could neither be resumed nor repeated; set p = 0 or leave the"
         " layer out."),
        (lambda: Acting(lambda x: nn.functional.dropout(x.flatten(1), 0.5).sum(1)), DRAWS),
        (lambda: Acting(lambda x: (x + torch.randn_like(x)).flatten(1).sum(1)), DRAWS),
        (noisy, DRAWS),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(6, 3), nn.RReLU(), nn.Linear(3, 1)), DRAWS),
        (with_tensor, "Your critic (X) holds the tensor 'net.0.table', which is neither parameter nor buffer and would"
         " be lost from a checkpoint; use self.register_buffer('table', ...) or nn.Parameter."),
        (compiled, "Your critic (X) is compiled, which loses gradients of gradients; give the network without"
         " compile()."),
        (lambda: Counting(SIZES), "Your critic (X) assigns its buffer 'calls' anew in forward, which would be lost;"
         " change it in place, as copy_() and add_() do."),
        (lambda: nn.Flatten(), "Your critic (X) has no parameter to train; give one whose parameters have"),
    ],
)  # fmt: skip
def test_layers_that_a_run_cannot_keep_are_refused(make: Callable[[], nn.Module], sentence: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}"):
        fitted(make())


def test_dropout_that_drops_nothing_state_in_place_and_spectral_norm_are_allowed() -> None:
    fitted(nn.Sequential(nn.Flatten(), nn.Linear(6, 1), nn.Dropout(0.0)))
    fitted(CountingInPlace(SIZES))
    fitted(nn.Sequential(nn.Flatten(), nn.utils.spectral_norm(nn.Linear(6, 1))))
    fitted(nn.Sequential(nn.Flatten(), nn.utils.parametrizations.spectral_norm(nn.Linear(6, 1))))


# --- generators -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "found"),
    [
        (Acting(lambda latent: latent), "[8, 4]"),
        (Acting(lambda latent: latent.new_zeros(8, 3, 2)), "[8, 3, 2]"),
        (Acting(lambda latent: latent.new_zeros(4, 6)), "[4, 6]"),
        (Acting(lambda latent: latent.new_zeros(8, 6).long()), "[8, 6] of int64"),
        (Acting(lambda latent: (latent,)), "a tuple"),
    ],
)
def test_samples_of_another_shape_are_refused(network: nn.Module, found: str) -> None:
    sentence = (
        f"Your generator (X) makes {found} of latents [8, 4], and the task has samples of shape [2, 3]; return"
        " (8, 2, 3) or rows of 6 numbers."
    )
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        makes(network)


class ShortMemory(Reversible):
    def encode(self, samples: Tensor) -> Tensor:
        return super().encode(samples)[:, 1:]


class Forgetful(Reversible):
    def encode(self, samples: Tensor) -> Tensor:
        code = super().encode(samples)
        return code + torch.randn_like(code)


class NoMemory(Reversible):
    def encode(self, samples: Tensor) -> Tensor:
        raise RuntimeError("size\nmismatch")


@pytest.mark.parametrize(
    ("network", "method", "sentence"),
    [
        (LabelledMaker(SIZES), "vanilla", "vanilla calls forward(latent), and that of your generator (X) is"
         " forward(latent, labels); change it, or choose a conditional method such as cgan."),
        (Maker(SIZES), "cgan", "cgan calls forward(latent, labels), and that of your generator (X) is forward(latent);"
         " change it, or choose a method without labels such as wgan-gp."),
        (Acting(lambda latent: latent @ torch.ones(3, 6)), "vanilla", "Your generator (X) fails on inputs [8, 4]:"
         " RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
        (Maker(SIZES), "veegan", "JointPairs needs encode(samples) -> (8, 4), which your generator (X) does not have;"
         " add it, or choose another method."),
        (ShortMemory(SIZES), "veegan", "JointPairs needs encode(samples) -> (8, 4), and that of your generator (X)"
         " gives [8, 3]; change its last layer."),
        (NoMemory(SIZES), "veegan", "The encode of your generator (X) fails on inputs [8, 2, 3]: RuntimeError:"
         " size mismatch (test_fitting.py, line "),
        (Forgetful(SIZES), "veegan", "The encode of your generator (X) draws inside, so a run could neither be resumed"
         " nor repeated;"),
    ],
)  # fmt: skip
def test_generators_that_cannot_play_are_refused(network: nn.Module, method: str, sentence: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}") as caught:
        makes(network, method)
    assert "\n" not in str(caught.value)


# --- critics --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "found"),
    [
        (Acting(lambda x: x), "[8, 2, 3]"),
        (Acting(lambda x: x.sum()), "[]"),
        (Acting(lambda x: x.flatten(1)[:, :2]), "[8, 2]"),
        (Acting(lambda x: x.flatten(1).sum(1).long()), "[8] of int64"),
        (Acting(lambda x: {"score": x}), "a dict"),
        (Acting(lambda x: Judgement(score=x, features=x)), "a Judgement with score [8, 2, 3]"),
    ],
)
def test_what_is_no_score_is_refused(network: nn.Module, found: str) -> None:
    sentence = (
        f"Your critic (X) returns {found} for 8 items, not a score of each; return (8,) or (8, 1), higher for more"
        " real, or a Judgement with such a score."
    )
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        fitted(network)


def row(x: Tensor) -> Tensor:
    return x.flatten(1).sum(1)


def judges(**fields: Callable[[Tensor], Tensor]) -> nn.Module:
    return Acting(lambda x: Judgement(**{name: make(x) for name, make in {"score": row, **fields}.items()}))


def no_features(part: str) -> str:
    return (
        f"{part} reads the critic's features, and your critic (X) returns none; return a Judgement(score=...,"
        " features=...) with features (8, width), or choose another method."
    )


@pytest.mark.parametrize(
    ("network", "method", "sentence"),
    [
        (Scorer(SIZES), "minibatch-discrimination", no_features("MinibatchDiscrimination")),
        (Scorer(SIZES), "minibatch-stddev", no_features("MinibatchStddev")),
        (Told(row), "projection", no_features("Projection")),
        (Scorer(SIZES), "ac-gan", no_features("LabelClassifier")),
        (Scorer(SIZES), "gdpp", no_features("DeterminantalPointProcess")),
        (Scorer(SIZES), "bures", no_features("BuresMetric")),
        (judges(features=lambda x: x), "vanilla", "Your critic (X) returns features [8, 2, 3]; return (8, width), or"
         " None if none are meant."),
        (judges(features=lambda x: x.flatten(1), class_logits=lambda x: x.flatten(1)), "ac-gan", "Your critic (X)"
         " returns class_logits [8, 6], and ac-gan reads [8, 5]."),
        (Scorer(SIZES), "began", "BoundaryEquilibrium scores a sample by how badly the critic reconstructs it, so your"
         " critic (X) must return a Judgement with score (minus the error) and code; it returns no code."),
        (Describer(SIZES), "ebgan", "EnergyMargin scores a sample by how badly"),
        (judges(score=lambda x: row(x).abs() + 1, features=lambda x: x.flatten(1), code=lambda x: x.flatten(1)),
         "began", "Your critic (X) returns scores above 0, and under BoundaryEquilibrium a score is minus an error;"
         " change its sign."),
        (Normed(SIZES), "wgan-gp", "Your critic (X) holds batch norm at 'net.2', so the slope of one sample that"
         " GradientPenalty asks for is not defined; use layer, group or instance norm, or a method without such a"
         " penalty."),
        (Normed(SIZES), "r1", "Your critic (X) holds batch norm at 'net.2', so the slope of one sample that ZeroC"),
        (Acting(lambda x: row(x - x.mean(0))), "wgan-gp", "Your critic (X) scores a sample by the others of its batch"
         " too, so the slope of one sample that GradientPenalty asks for is not defined"),
        (Scorer(SIZES), "cgan", "cgan calls forward(samples, labels), and that of your critic (X) is forward(samples);"
         " change it, or choose a method without labels such as wgan-gp."),
        (Scorer(SIZES), "veegan", "veegan calls forward(samples, code), and that of your critic (X) is"
         " forward(samples); change it, or choose another method."),
        (nn.Linear(6, 1), "vanilla", "Your critic (X) fails on inputs [8, 2, 3]: RuntimeError: mat1 and mat2"),
    ],
)  # fmt: skip
def test_critics_that_cannot_judge_are_refused(network: nn.Module, method: str, sentence: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}") as caught:
        fitted(network, method)
    assert "\n" not in str(caught.value)


def test_heads_that_are_given_need_no_features() -> None:
    network = Acting(
        lambda x: Judgement(score=row(x), features=None, class_logits=x.flatten(1)[:, :5])  # type: ignore[arg-type]
    )
    assert fitted(network, "ac-gan") == Fit(packs=8, gives=frozenset({"class_logits"}))


def test_a_critic_that_ends_in_a_sigmoid_is_refused_where_scores_are_wanted() -> None:
    """As old tutorials have it; the loss would flatten it once more, and nothing would say so."""
    bounded = nn.Sequential(nn.Flatten(), nn.Linear(6, 1), nn.Sigmoid())
    with pytest.raises(UserError, match=r"ends in a Sigmoid, and NonSaturating takes scores of any size, not prob"):
        fitted(bounded)
    gated = nn.Sequential(nn.Flatten(), nn.Linear(6, 2), nn.Sigmoid(), nn.Linear(2, 1))
    assert fitted(gated).packs == SIZES.packs

    class Gated(nn.Module):
        """Whose scores lie between 0 and 1 by chance, and whose gate is the last that it names."""

        def __init__(self) -> None:
            super().__init__()
            self.inner, self.head, self.gate = nn.Linear(6, 4), nn.Linear(4, 1), nn.Sigmoid()
            nn.init.constant_(self.head.bias, 0.5)
            nn.init.constant_(self.head.weight, 0.01)

        def forward(self, samples: Tensor) -> Tensor:
            return self.head(self.gate(self.inner(samples.flatten(1))))  # type: ignore[no-any-return]

    assert fitted(Gated()).packs == SIZES.packs
