"""Generator terms against hand-made cases, NumPy's and SciPy's decompositions and finite differences.

And their contract: a term is added to the generator's objective and to nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import scipy
import torch
from tests.parts.staging import staged
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.loop import Trainer
from uncollapse.methods import METHODS, VANILLA
from uncollapse.networks.mlp import MLP
from uncollapse.parts.generator_terms import (
    PARTS,
    BuresMetric,
    ClassLogits,
    DeterminantalPointProcess,
    GeneratorTerm,
    Identity,
    ModeSeeking,
    PullingAway,
    Reconstruction,
    bures_distance,
    distinct,
    mode_seeking,
    pulling_away,
    spectrum,
)
from uncollapse.parts.scene import Judgement, Scene, Sizes
from uncollapse.run import make_spec
from uncollapse.trees import tree_map


@dataclass(frozen=True, kw_only=True)
class Pull(GeneratorTerm):
    """weight x mean square of the samples."""

    weight: float = 2.0

    def __call__(self, scene: Scene) -> Tensor:
        return self.weight * scene.fake_samples.square().mean()


@dataclass(frozen=True, kw_only=True)
class Looks(GeneratorTerm):
    """The mean distance of fakes from real samples, which needs the real batch."""

    generator_sees_real: ClassVar[bool] = True

    def __call__(self, scene: Scene) -> Tensor:
        assert scene.real_samples is not None
        return (scene.fake_samples - scene.real_samples).square().mean()


def objectives(*terms: GeneratorTerm) -> tuple[float, float, Tensor, Trainer]:
    """Generator's value, critic's value, the samples, the trainer, at the first update."""
    method = VANILLA.but(name="with-terms", generator_terms=terms)
    spec = make_spec(method, "ring-8", seeds=[0], updates=5, batch=8, networks=MLP(width=8, depth=1), dtype="float64")
    trainer = Trainer(spec)
    state, batch, critic_batch = tree_map(
        lambda value: value[0], (trainer.lanes.state, trainer.generator_blocks.batch(0), trainer.critic_blocks.batch(0))
    )
    clock = trainer._clock(trainer.lanes)
    generator = trainer.game.generator_objective(state.generator.parameters, state, batch, clock)[0].item()
    critic = trainer.game.critic_objective(state.critic.parameters, state, critic_batch, clock)[0].item()
    return generator, critic, trainer.game.generate(state.generator.parameters, {}, batch)[0], trainer


def test_terms_add_to_the_generator_and_leave_the_critic() -> None:
    plain, critic, samples, _ = objectives()
    pulled, same, _, _ = objectives(Pull(), Pull(weight=0.5))
    assert pulled == pytest.approx(plain + 2.5 * samples.square().mean().item(), rel=1e-12)
    assert same == pytest.approx(critic, rel=1e-12)


def test_real_samples_reach_the_generator_step_only_where_asked_for() -> None:
    trainers = {name: objectives(*terms)[3] for name, terms in {"blind": (Pull(),), "sees": (Pull(), Looks())}.items()}
    assert trainers["blind"].generator_blocks.batch(0).real is None
    assert trainers["sees"].generator_blocks.batch(0).real.shape == (1, 8, 2)


def differences(function: Callable[[Tensor], Tensor], at: Tensor, width: float = 1e-6) -> Tensor:
    """Central finite differences of a scalar function, in float64."""
    found = torch.zeros_like(at)
    for place in range(at.numel()):
        nudge = torch.zeros_like(at)
        nudge.view(-1)[place] = width
        found.view(-1)[place] = (function(at + nudge) - function(at - nudge)).item() / (2 * width)
    return found


def gradient(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    point = at.clone().requires_grad_()
    return torch.autograd.grad(function(point), point)[0]


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


# Pulling away.


def test_orthogonal_codes_are_far_apart_and_codes_on_a_line_are_not() -> None:
    orthogonal = torch.diag(torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64))
    assert pulling_away(orthogonal).item() == pytest.approx(0, abs=1e-15)
    assert pulling_away(torch.ones(4, 3, dtype=torch.float64)).item() == pytest.approx(1, rel=1e-12)
    line = torch.tensor([[1.0, 2.0], [-3.0, -6.0], [0.5, 1.0]], dtype=torch.float64)
    assert pulling_away(line).item() == pytest.approx(1, rel=1e-12)  # a sign is no difference


def test_pulling_away_equals_the_double_loop() -> None:
    codes = normal(5, 3)
    rows = codes.numpy()
    cosines = [
        rows[i] @ rows[j] / np.linalg.norm(rows[i]) / np.linalg.norm(rows[j])
        for i in range(5)
        for j in range(5)
        if i != j
    ]
    assert pulling_away(codes).item() == pytest.approx(np.mean(np.square(cosines)), rel=1e-12)
    assert pulling_away(codes).item() != pytest.approx(np.mean(cosines), rel=1e-2)  # without the square
    columns = rows / np.linalg.norm(rows, axis=0)  # normalised over the batch, as a popular copy does
    assert pulling_away(codes).item() != pytest.approx(np.mean(np.square(columns @ columns.T)), rel=1e-2)


def test_descending_the_term_pulls_codes_apart() -> None:
    codes = torch.tensor([[1.0, 0.1], [1.0, -0.1]], dtype=torch.float64)
    further = codes - 0.1 * gradient(pulling_away, codes)
    assert pulling_away(further) < pulling_away(codes)
    torch.testing.assert_close(gradient(pulling_away, codes), differences(pulling_away, codes), rtol=1e-6, atol=1e-9)


def test_a_code_of_nought_counts_as_orthogonal_to_all() -> None:
    codes = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    assert pulling_away(codes).item() == pytest.approx(2 / 6)
    assert gradient(pulling_away, codes).isfinite().all()


def test_the_part_reads_the_codes_of_the_fakes() -> None:
    real, fake = normal(4, 3), normal(4, 3)
    scene = staged(real=real, fake=fake, fake_judgement=Judgement(score=fake[:, 0], features=real, code=fake))
    assert PullingAway(weight=0.1)(scene).item() == pytest.approx(0.1 * pulling_away(fake).item(), rel=1e-12)


# Classifiers and reconstruction.


def test_class_logits_and_identity_are_minimised_cross_entropies() -> None:
    logits, wanted = normal(2, 3), torch.eye(3, dtype=torch.float64)[[2, 1]]
    said = scipy.special.log_softmax(logits.numpy(), axis=1)
    expected = -(said[0, 2] + said[1, 1]) / 2
    judgement = Judgement(score=logits[:, 0], features=logits, class_logits=logits, generator_logits=logits)
    x = normal(2, 2)
    scene = staged(real=x, fake=x, fake_judgement=judgement, labels=wanted, generator_index=wanted)
    assert ClassLogits(weight=2.0)(scene).item() == pytest.approx(2 * expected, rel=1e-12)
    assert Identity(weight=0.01)(scene).item() == pytest.approx(0.01 * expected, rel=1e-12)
    sizes = Sizes(shape=(2,), latent=2, classes=3, generators=4)
    assert ClassLogits().heads(sizes) == {"class_logits": 3}
    assert Identity().heads(sizes) == {"generator_logits": 4}


def test_reconstruction_is_a_mean_over_samples_and_numbers() -> None:
    latent, x = torch.tensor([[1.0, 2.0], [0.0, -1.0]]), torch.zeros(2, 2)
    scene = staged(real=x, fake=x, latent=latent, encode=lambda samples: samples + 1)
    assert Reconstruction(weight=3.0)(scene).item() == pytest.approx(3 * (0 + 1 + 1 + 4) / 2 / 2)
    with pytest.raises(RuntimeError, match="reads an encoder"):
        Reconstruction()(staged(real=x, fake=x))


def test_the_encoder_learns_from_the_reconstruction_and_the_generator_from_both() -> None:
    spec = make_spec("veegan", "ring-8", seeds=(1,), updates=2, batch=8, networks=MLP(width=6), dtype="float64")
    trainer = Trainer(spec)
    state, batch = tree_map(lambda value: value[0], (trainer.lanes.state, trainer.generator_blocks.batch(0)))
    at = state.generator.parameters.clone().requires_grad_()
    clock, layout = trainer._clock(trainer.lanes), trainer.game.generator_layout
    (whole,) = torch.autograd.grad(trainer.game.generator_objective(at, state, batch, clock)[0], at)
    generator = trainer.game.generator
    weights = {name: value.detach().requires_grad_() for name, value in layout.unpack(at).items()}
    fake = torch.func.functional_call(generator, weights, (batch.latent,))
    parts = {name.removeprefix("encoder."): value for name, value in weights.items() if name.startswith("encoder.")}
    encoded = torch.func.functional_call(generator.encoder, parts, (fake,))
    error = (batch.latent - encoded).square().sum(-1).mean() / spec.networks.latent
    critic = trainer.game.critic_layout.unpack(state.critic.parameters)
    score = torch.func.functional_call(trainer.game.critic, critic, (fake, batch.latent)).score  # pairs (z, G(z))
    expected = torch.autograd.grad(error - score.mean(), list(weights.values()))
    for name, value in zip(weights, expected, strict=True):
        torch.testing.assert_close(layout.unpack(whole)[name], value, rtol=1e-9, atol=1e-12)


# Mode seeking.


def test_mode_seeking_by_hand() -> None:
    first, second = torch.tensor([[0.0, 0.0], [1.0, 3.0]]), torch.tensor([[0.5, -0.5], [1.0, 1.0]])
    z1, z2 = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [-1.0]])
    ratio = ((0.5 + 0.5 + 0 + 2) / 4) / ((1 + 3) / 2)
    assert mode_seeking(first, second, z1, z2).item() == pytest.approx(1 / (ratio + 1e-5), rel=1e-5)
    per_pair = np.mean([0.5 / 1, 1 / 3])  # a mean of ratios, as in the paper's text, is another number
    assert mode_seeking(first, second, z1, z2).item() != pytest.approx(1 / (per_pair + 1e-5), rel=1e-2)
    assert mode_seeking(first, 3 * first - 2 * second, z1, z2) < mode_seeking(first, second + 0.01, z1, z2)
    collapsed = torch.zeros(2, 2)
    assert mode_seeking(collapsed, collapsed, z1, z2).item() == pytest.approx(1e5, rel=1e-3)


def test_mode_seeking_compares_neighbours_and_keeps_their_labels() -> None:
    latent, fake = normal(4, 3), normal(4, 2)
    scene = staged(real=fake, fake=fake, latent=latent)
    expected = np.abs(latent.numpy() - np.roll(latent.numpy(), 1, 0)).mean()
    expected /= np.abs(fake.numpy() - np.roll(fake.numpy(), 1, 0)).mean()
    assert ModeSeeking(weight=2.0)(scene).item() == pytest.approx(2 * expected, rel=1e-4)
    asked: list[Tensor] = []

    def generate(given: Tensor) -> Tensor:
        asked.append(given)
        return fake + 5

    labelled = staged(real=fake, fake=fake, latent=latent, labels=torch.eye(4), generate=generate)
    distance = 5 / np.abs(latent.numpy() - np.roll(latent.numpy(), 1, 0)).mean()
    assert ModeSeeking()(labelled).item() == pytest.approx(1 / (distance + 1e-5), rel=1e-9)
    assert torch.equal(asked[0], latent.roll(1, 0))


# Spectra.


def symmetric(*values: float) -> Tensor:
    """A matrix with these eigenvalues along drawn directions."""
    directions = torch.linalg.qr(normal(len(values), len(values)))[0]
    return directions @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ directions.mT


def test_the_gradient_of_a_spectrum_equals_finite_differences() -> None:
    matrix, weights, toward = symmetric(0.3, 1.1, 2.0, 4.5), normal(4), normal(4, 4)

    def read(at: Tensor) -> Tensor:
        values, vectors = spectrum((at + at.mT) / 2, 1e-3)
        return (weights * values).sum() + (toward * vectors).sum(0).square().sum()  # whatever the sign of a vector

    torch.testing.assert_close(gradient(read, matrix), differences(read, matrix), rtol=1e-6, atol=1e-7)


def test_a_spectrum_is_that_of_torch() -> None:
    matrix = symmetric(0.3, 1.1, 2.0)
    values, vectors = spectrum(matrix, 1e-3)
    expected, directions = torch.linalg.eigh(matrix)
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(vectors, directions)


def test_equal_eigenvalues_have_finite_derivatives_where_those_of_eigh_are_not() -> None:
    matrix = torch.eye(3, dtype=torch.float64) * 2

    def read(values: Tensor, vectors: Tensor) -> Tensor:
        return values.sum() + vectors[0].square().sum() + vectors.sum()

    assert gradient(lambda at: read(*spectrum(at, 1e-3)), matrix).isfinite().all()
    assert not gradient(lambda at: read(*torch.linalg.eigh(at)), matrix).isfinite().all()


def test_a_matrix_that_is_not_finite_gives_nan_and_no_error() -> None:
    values, vectors = spectrum(torch.full((3, 3), float("nan"), dtype=torch.float64), 1e-3)
    assert values.isnan().all()
    assert vectors.isnan().any()


def test_eigenvalues_with_a_close_neighbour_are_not_distinct() -> None:
    values = torch.tensor([0.0, 1.0, 1.0005, 2.0, 3.0])
    assert distinct(values, 1e-3).tolist() == [True, False, False, True, True]
    assert distinct(torch.tensor([5.0]), 1e-3).tolist() == [True]


# GDPP.


def gdpp_by_numpy(real: np.ndarray, fake: np.ndarray, top: int, magnitude: float = 1e-4) -> float:
    spectra = []
    for features in (real, fake):
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        values, vectors = np.linalg.eigh(unit.T @ unit)
        spectra.append((values, vectors))
    (real_values, real_vectors), (fake_values, fake_vectors) = spectra
    scaled = (real_values - real_values.min()) / (real_values.max() - real_values.min())
    cosines = np.abs((real_vectors * fake_vectors).sum(0))
    structure = (scaled * (1 - cosines))[-top:].sum()
    return float(magnitude * ((real_values - fake_values) ** 2).mean() + structure)


def seen(real: Tensor, fake: Tensor) -> Scene:
    def judged(features: Tensor) -> Judgement:
        return Judgement(score=features[:, 0], features=features)

    return staged(real=real, fake=fake, real_judgement=judged(real), fake_judgement=judged(fake))


@pytest.mark.parametrize("top", [1, 2, 4, 9])
def test_gdpp_equals_numpys_decomposition(top: int) -> None:
    real, fake = normal(9, 4), normal(9, 4)
    part = DeterminantalPointProcess(weight=3.0, top=top, magnitude=0.01)
    expected = gdpp_by_numpy(real.numpy(), fake.numpy(), min(top, 4), 0.01)
    assert part(seen(real, fake)).item() == pytest.approx(3 * expected, rel=1e-9)
    exchanged = part(seen(fake, real)).item()
    assert top == 1 or exchanged != pytest.approx(3 * expected, rel=1e-3)  # the weights are the real eigenvalues


def test_gdpp_is_nought_for_equal_features_and_falls_as_fakes_spread_like_data() -> None:
    part = DeterminantalPointProcess()
    real = normal(30, 3) * torch.tensor([3.0, 1.0, 0.3], dtype=torch.float64)
    assert part(seen(real, real)).item() == pytest.approx(0, abs=1e-12)
    wrong = real.flip(1)  # varies along other directions
    assert part(seen(real, wrong)) > part(seen(real, wrong.lerp(real, 0.8))) > 0


def test_the_gradient_of_gdpp_equals_finite_differences() -> None:
    real, fake = normal(9, 4), normal(9, 4)
    part = DeterminantalPointProcess(magnitude=0.01, top=3, gap=1e-6)

    def value(at: Tensor) -> Tensor:
        return part(seen(real, at))

    torch.testing.assert_close(gradient(value, fake), differences(value, fake), rtol=1e-5, atol=1e-7)


def test_equal_eigenvalues_leave_gdpp_finite_and_uninformed() -> None:
    """Collapsed fakes span one direction: the others are arbitrary, and must not enter by chance."""
    real, part = normal(12, 4), DeterminantalPointProcess()
    collapsed = torch.ones(12, 4, dtype=torch.float64)
    assert gradient(lambda at: part(seen(real, at)), collapsed).isfinite().all()
    nudged = collapsed + 1e-9 * normal(12, 4)
    assert part(seen(real, nudged)).item() == pytest.approx(part(seen(real, collapsed)).item(), abs=1e-6)
    plane = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]] * 3, dtype=torch.float64)
    assert gradient(lambda at: part(seen(real, at)), plane).isfinite().all()


# Bures.


def bures_by_scipy(real: np.ndarray, fake: np.ndarray) -> float:
    covariances = []
    for features in (real, fake):
        centred = features - features.mean(0)
        unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        covariances.append(unit.T @ unit)
    first, second = covariances
    root = scipy.linalg.sqrtm(first)
    cross = scipy.linalg.sqrtm(root @ second @ root)
    return float(np.trace(first) + np.trace(second) - 2 * np.trace(cross).real)


def test_bures_equals_scipys_matrix_roots() -> None:
    for _ in range(5):
        real, fake = normal(20, 4), normal(20, 4) * torch.tensor([1.0, 2.0, 0.5, 0.1], dtype=torch.float64)
        expected = bures_by_scipy(real.numpy(), fake.numpy())
        assert expected > 0.01
        assert bures_distance(real, fake).item() == pytest.approx(expected, rel=1e-3)
        assert BuresMetric(weight=2.0)(seen(real, fake)).item() == pytest.approx(2 * expected, rel=1e-3)


def test_bures_of_equal_features_is_nought_and_of_collapsed_ones_the_whole_variance() -> None:
    real = normal(20, 3)
    assert bures_distance(real, real).item() == pytest.approx(0, abs=1e-5)
    collapsed = torch.ones_like(real)
    assert bures_distance(real, collapsed).item() == pytest.approx(20, rel=1e-3)  # one for each unit row
    assert gradient(lambda at: bures_distance(real, at), collapsed).isfinite().all()


@pytest.mark.parametrize("place", ["real", "fake"])
def test_the_gradient_of_bures_equals_finite_differences(place: str) -> None:
    real, fake = normal(12, 3), normal(12, 3)

    def value(at: Tensor) -> Tensor:
        return bures_distance(at, fake) if place == "real" else bures_distance(real, at)

    at = real if place == "real" else fake
    torch.testing.assert_close(gradient(value, at), differences(value, at), rtol=1e-5, atol=1e-7)


# What each asks for.


def test_what_each_term_asks_for() -> None:
    assert {part for part in PARTS if part.generator_sees_real} == {DeterminantalPointProcess, BuresMetric}
    assert {part for part in PARTS if part.eager} == {DeterminantalPointProcess, BuresMetric}
    assert {part for part in PARTS if part.reads_code} == {PullingAway}
    assert {part for part in PARTS if part.trains_encoder} == {Reconstruction}
    assert METHODS["ebgan-pt"].generator_terms == (PullingAway(weight=0.1),)
    assert METHODS["mgan-4"].generator_terms == (Identity(weight=0.01),)
    assert METHODS["msgan"].generator_terms == (ModeSeeking(weight=1.0),)


@pytest.mark.parametrize("part", PARTS)
def test_negative_weights_are_refused(part: Any) -> None:
    with pytest.raises(UserError, match=rf"{part.__name__}\(weight=-1.0\) rewards what it should punish"):
        part(weight=-1.0)


def test_comparing_no_direction_is_refused() -> None:
    with pytest.raises(UserError, match="compares nothing"):
        DeterminantalPointProcess(top=0)
    for wrong in ({"gap": -1e-3}, {"magnitude": -1.0}):
        with pytest.raises(UserError, match="is not possible; both are 0 or more"):
            DeterminantalPointProcess(**wrong)
