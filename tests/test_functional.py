"""The parts as functions in a plain PyTorch loop, against closed forms and against the parts themselves."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.parts.staging import staged
from torch import Tensor, nn

from uncollapse import functional
from uncollapse.errors import UserError
from uncollapse.functional import critic_loss, dragan_penalty, generator_loss, gradient_penalty, zero_centred
from uncollapse.nn import MinibatchDiscrimination, MinibatchStddev, Packed, packed
from uncollapse.parts import generator_terms
from uncollapse.parts.generator_terms import DeterminantalPointProcess
from uncollapse.parts.losses import PARTS, Hinge, Loss, Minimax, Relativistic, TopK
from uncollapse.parts.penalties import Dragan
from uncollapse.parts.scene import Judgement

FROM_SCORES = [
    part
    for part in PARTS
    if part.__name__ not in ("EnergyMargin", "BoundaryEquilibrium", "TwoCritics", "WhoMadeIt", "TopK")
]


@pytest.mark.parametrize("size", [1, 2, 33])
def test_gradient_penalty_of_a_linear_critic(size: int) -> None:
    critic = nn.Linear(3, 1).double()
    real, fake = torch.randn(size, 3, dtype=torch.float64), torch.randn(size, 3, dtype=torch.float64)
    expected = 4.0 * (critic.weight.norm().item() - 1) ** 2
    assert gradient_penalty(critic, real=real, fake=fake, weight=4.0).item() == pytest.approx(expected, rel=1e-9)


def test_zero_centred_of_a_linear_critic() -> None:
    critic = nn.Linear(3, 1).double()
    at = torch.randn(5, 3, dtype=torch.float64)
    expected = 0.5 * 2.0 * critic.weight.square().sum().item()
    assert zero_centred(critic, at, weight=2.0).item() == pytest.approx(expected, rel=1e-12)


def test_no_gradient_reaches_the_fakes_and_the_critic_gets_its_own() -> None:
    critic, fake = nn.Linear(2, 1), torch.randn(4, 2, requires_grad=True)
    gradient_penalty(critic, real=torch.randn(4, 2), fake=fake).backward()
    assert fake.grad is None
    weight = critic.weight.detach()
    expected = 10 * 2 * (weight.norm() - 1) * weight / weight.norm()
    torch.testing.assert_close(critic.weight.grad, expected, rtol=1e-4, atol=1e-5)


def test_works_under_no_grad_callers_and_refuses_unpaired_batches() -> None:
    with torch.no_grad():
        assert zero_centred(nn.Linear(2, 1), torch.randn(3, 2)).item() > 0
    with pytest.raises(UserError, match=r"real \(3, 2\) and fake \(4, 2\) must have one shape to be paired"):
        gradient_penalty(nn.Linear(2, 1), real=torch.randn(3, 2), fake=torch.randn(4, 2))


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
@pytest.mark.parametrize("loss", FROM_SCORES, ids=lambda loss: loss.__name__)
def test_a_loss_of_scores_is_that_of_the_part(loss: type[Loss], shape: tuple[int, ...]) -> None:
    real, fake = torch.randn(4), torch.randn(4)
    judged = [Judgement(score=score, features=score[:, None]) for score in (real, fake)]
    nowhere: Any = SimpleNamespace()
    expected = loss().critic(judged[0], judged[1], {}, nowhere)
    assert torch.equal(critic_loss(loss(), real=real.reshape(shape), fake=fake.reshape(shape)), expected)
    expected = loss().generator(judged[0], judged[1], nowhere)
    assert torch.equal(generator_loss(loss(), real=real.reshape(shape), fake=fake.reshape(shape)), expected)
    if not loss.generator_sees_real:
        assert torch.equal(generator_loss(loss(), fake=fake.reshape(shape)), expected)


def test_a_column_beside_a_row_is_not_broadcast() -> None:
    """(batch, 1) - (batch,) would be a table of all pairs."""
    real, fake = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0])
    rows = critic_loss(Relativistic(), real=real, fake=fake)
    columns = critic_loss(Relativistic(), real=real[:, None], fake=fake[:, None])
    assert torch.equal(rows, columns)
    table = nn.functional.softplus(fake - real[:, None]).mean()
    assert table.item() != pytest.approx(rows.item(), rel=1e-2)
    with pytest.raises(UserError, match="must have one shape to be paired"):
        critic_loss(Relativistic(), real=real[:, None], fake=fake)
    with pytest.raises(UserError, match="must have one shape to be paired"):
        generator_loss(Relativistic(), real=torch.zeros(3), fake=fake)


@pytest.mark.parametrize("loss", [part for part in PARTS if part not in FROM_SCORES], ids=lambda loss: loss.__name__)
def test_losses_that_need_more_than_scores_say_so(loss: type[Loss]) -> None:
    sentence = f"{loss.__name__} needs more than scores; train a method with loss={loss.__name__}"
    with pytest.raises(UserError, match=sentence):
        generator_loss(loss(), fake=torch.randn(4), real=torch.randn(4))
    if loss is not TopK:  # whose critic is the ordinary one
        with pytest.raises(UserError, match=sentence):
            critic_loss(loss(), fake=torch.randn(4), real=torch.randn(4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: generator_loss(Minimax(), fake=torch.zeros(3)), "The generator of Minimax sees real samples"),
        (
            lambda: critic_loss(Hinge(), real=torch.zeros(3, 2), fake=torch.zeros(3)),
            r"real must be scores \(batch,\) or \(batch, 1\), not float32 of shape \(3, 2\); give one a sample",
        ),
        (lambda: critic_loss(Hinge(), real=torch.zeros(3), fake=torch.zeros(())), r"not float32 of shape \(\)"),
        (lambda: generator_loss(Hinge(), fake=[1.0, 2.0]), "fake must be scores .* not of type list"),
        (lambda: critic_loss(Hinge, real=torch.zeros(3), fake=torch.zeros(3)), r"uc\.Hinge\(\), not the class Hinge"),
        (lambda: generator_loss("hinge", fake=torch.zeros(3)), r"loss must be a loss .*uc\.Hinge\(\), not 'hinge'"),
        (lambda: functional.pulling_away(torch.zeros(1, 3)), "One code has no other"),
        (
            lambda: functional.pulling_away(torch.ones(8, 4, 2, 2)),
            r"codes must be rows \(N, d\), not float32 of shape \(8, 4, 2, 2\); of maps give codes\.flatten\(1\)",
        ),
        (
            lambda: functional.gdpp(real=torch.zeros(4, 3), fake=torch.zeros(4, 2)),
            "real has 3 features a row and fake has 2; both must come from one critic",
        ),
        (
            lambda: functional.bures_distance(real=torch.zeros(4, 3), fake=torch.zeros(4, 2)),
            "real has 3 features a row and fake has 2",
        ),
        (
            lambda: functional.gdpp(real=torch.zeros(4, 3), fake=torch.zeros(4, 3, 2, 2)),
            r"fake must be rows \(N, d\), not float32 of shape \(4, 3, 2, 2\); of maps give fake\.flatten\(1\)",
        ),
        (
            lambda: functional.mode_seeking(
                first=torch.zeros(2, 3),
                second=torch.zeros(2, 1),
                first_latent=torch.zeros(2),
                second_latent=torch.zeros(2),
            ),
            r"first \(2, 3\) and second \(2, 1\) must have one shape",
        ),
    ],
)
def test_refusals(call: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        call()


SLOPES: list[Callable[[Any, Any], Tensor]] = [
    lambda critic, x: gradient_penalty(critic, real=x, fake=x),
    lambda critic, x: dragan_penalty(critic, real=x),
    zero_centred,
]


@pytest.mark.parametrize("penalty", SLOPES)
def test_a_critic_that_does_not_score_each_sample_is_refused(penalty: Callable[[Any, Any], Tensor]) -> None:
    """Slopes of a mean are as many times too small as there are samples, and those of a row of scores are summed."""
    x = torch.randn(16, 3)
    sentence = r"critic must give one score a sample, \(16,\) or \(16, 1\), not "
    with pytest.raises(UserError, match=rf"{sentence}float32 of shape \(\)"):
        penalty(lambda at: at[:, 0].mean(), x)
    with pytest.raises(UserError, match=rf"{sentence}float32 of shape \(16, 5\)"):
        penalty(nn.Linear(3, 5), x)
    with pytest.raises(UserError, match=rf"{sentence}of type tuple"):
        penalty(lambda at: (at[:, 0], at), x)
    with pytest.raises(UserError, match=r"must be floats .* not uint8 of shape \(16, 3\); scale them first"):
        penalty(nn.Linear(3, 1), x.to(torch.uint8))
    row, column = (penalty(lambda at, shape=shape: (3 * at[:, 0]).reshape(shape), x) for shape in ((16,), (16, 1)))
    assert row.item() == column.item() == pytest.approx(4.5 if penalty is zero_centred else 40, rel=1e-5)


def test_a_packed_critic_is_asked_about_packs() -> None:
    """As in the methods, a slope is that of a pack; per sample it would be another number."""
    inner = nn.Linear(6, 1).double()
    real, fake = torch.randn(2, 8, 3, dtype=torch.float64)
    with pytest.raises(UserError, match=r"\(8,\) or \(8, 1\), not float64 of shape \(4, 1\)"):
        gradient_penalty(Packed(inner, 2), real=real, fake=fake)
    found = gradient_penalty(inner, real=packed(real, 2), fake=packed(fake, 2))
    assert found.item() == pytest.approx(10 * (inner.weight.norm().item() - 1) ** 2, rel=1e-9)


def test_dragan_is_that_of_the_part() -> None:
    real = torch.randn(6, 3, dtype=torch.float64)

    def critic(x: Tensor) -> Tensor:
        return x.square().sum(-1, keepdim=True)

    generator = torch.Generator().manual_seed(5)
    noise = {
        "direction": torch.rand(6, 3, generator=generator, dtype=torch.float64),
        "distance": torch.rand(6, generator=generator, dtype=torch.float64),
    }
    scene = staged(critic=lambda x: critic(x)[:, 0], real=real, fake=real, noise=noise)
    found = dragan_penalty(critic, real=real, weight=3.0, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(found, Dragan(weight=3.0)(scene), rtol=1e-12, atol=0)


def test_terms_are_those_of_the_parts() -> None:
    real, fake, z1, z2 = (torch.randn(8, 3, dtype=torch.float64) for _ in range(4))
    assert torch.equal(functional.pulling_away(fake), generator_terms.pulling_away(fake))
    assert torch.equal(
        functional.mode_seeking(first=real, second=fake, first_latent=z1, second_latent=z2),
        generator_terms.mode_seeking(real, fake, z1, z2),
    )
    assert torch.equal(functional.bures_distance(real=real, fake=fake), generator_terms.bures_distance(real, fake))
    judged = [Judgement(score=one[:, 0], features=one) for one in (real, fake)]
    scene = staged(real=real, fake=fake, real_judgement=judged[0], fake_judgement=judged[1])
    part = DeterminantalPointProcess(weight=2.0, top=2)
    assert torch.equal(functional.gdpp(real=real, fake=fake, weight=2.0, top=2), part(scene))


def test_a_plain_loop_equals_the_same_loop_with_torchs_own_loss() -> None:
    torch.manual_seed(3)
    real, fake, critic = torch.randn(16, 2), torch.randn(16, 2), nn.Linear(2, 1)
    from uncollapse.parts.losses import NonSaturating

    ours = critic_loss(NonSaturating(), real=critic(real), fake=critic(fake))
    entropy = nn.functional.binary_cross_entropy_with_logits
    theirs = entropy(critic(real), torch.ones(16, 1)) + entropy(critic(fake), torch.zeros(16, 1))
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        generator_loss(NonSaturating(), fake=critic(fake)), entropy(critic(fake), torch.ones(16, 1))
    )


def test_only_losses_of_pairs_need_as_many_of_both() -> None:
    real, fake = torch.tensor([1.0, -1.0, 0.0]), torch.tensor([0.5])
    expected = (nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean()).item()
    assert critic_loss(Minimax(), real=real, fake=fake).item() == pytest.approx(expected, rel=1e-6)
    assert generator_loss(Minimax(), real=real, fake=fake).item() == pytest.approx(-expected, rel=1e-6)
    with pytest.raises(UserError, match="paired"):
        critic_loss(Relativistic(), real=real, fake=fake)
    with pytest.raises(UserError, match="paired"):
        generator_loss(Relativistic(), real=real, fake=fake)


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(4), MinibatchDiscrimination(4, kernels=2)])
def test_a_network_that_judges_samples_together_has_no_slope_of_one(layer: nn.Module) -> None:
    """After a batch norm the scores of a linear critic sum to a constant, so that R1 would silently be 0."""
    critic = nn.Sequential(nn.Linear(2, 4), layer, nn.LazyLinear(1))
    real, fake = torch.randn(8, 2), torch.randn(8, 2)
    critic(real)
    sentence = rf"critic holds {type(layer).__name__} at '1', which judges a sample by the others of its batch"
    for penalty in (
        lambda: zero_centred(critic, real),
        lambda: gradient_penalty(critic, real=real, fake=fake),
        lambda: dragan_penalty(critic, real=real),
    ):
        with pytest.raises(UserError, match=sentence):
            penalty()


def test_a_fixed_norm_and_a_deviation_over_groups_have_slopes() -> None:
    real = torch.randn(8, 2)
    assert zero_centred(nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).eval(), real).item() > 0
    assert zero_centred(nn.Sequential(nn.Linear(2, 4), MinibatchStddev(4), nn.Linear(5, 1)), real).item() > 0
    forgetful = nn.BatchNorm1d(4, track_running_stats=False)
    with pytest.raises(UserError, match="BatchNorm1d"):
        zero_centred(nn.Sequential(nn.Linear(2, 4), forgetful, nn.Linear(4, 1)).eval(), real)
