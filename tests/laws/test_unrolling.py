"""Unrolling: the generator's gradient against finite differences through real steps of torch.optim.Adam.

The first-order variant is the partial derivative at the foreseen critic, which is another number.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from uncollapse.game import Batch, Clock, Game, Player, State
from uncollapse.method import Method
from uncollapse.methods import METHODS, VANILLA
from uncollapse.networks.mlp import MLP
from uncollapse.optimiser import Moments
from uncollapse.parts.constraints import WeightClip
from uncollapse.parts.dynamics import Cosine, Dynamics, LookAhead
from uncollapse.parts.losses import Loss, Minimax, NonSaturating
from uncollapse.parts.penalties import ZeroCentred
from uncollapse.parts.scene import Sizes

RATE = 0.05


def smooth_game(method: Method) -> tuple[Game, State, Batch, Clock]:
    """A game with smooth activations, in float64, and a state whose critic moments are live."""
    sizes = Sizes(shape=(2,), latent=2, batch=6)
    networks = MLP(width=5, depth=2)
    generator, critic = networks.generator(method, sizes).double(), networks.critic(method, sizes).double()
    for network in (generator, critic):
        for module in network.modules():
            if isinstance(module, nn.Sequential):
                for position, layer in enumerate(module):
                    if isinstance(layer, nn.ReLU):
                        module[position] = nn.Tanh()

    def player(network: nn.Module) -> Player:
        flat = torch.cat([value.detach().flatten() for value in network.parameters()])
        return Player(flat, Moments(torch.randn_like(flat) * 0.1, torch.rand_like(flat) * 0.1), {})

    state = State(player(critic), player(generator), {})
    batch = Batch(torch.randn(6, 2, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64), None, None, {})
    clock = Clock(torch.zeros((), dtype=torch.float64), torch.tensor(4.0, dtype=torch.float64))
    return Game.of(method, generator, critic), state, batch, clock


def unrolled(steps: int, *, loss: Loss, first_order: bool = False) -> Method:
    foresight = {"foresight": LookAhead()} if first_order else {}
    return VANILLA.but(
        loss=loss, penalties=(ZeroCentred(weight=0.3),), dynamics=Dynamics(unroll=steps, lr_critic=RATE, **foresight)
    )


def foreseen_critic(game: Game, state: State, batch: Batch, clock: Clock, generator: Tensor) -> Tensor:
    """The critic after `unroll` steps of torch.optim.Adam from the same live moments."""
    critic = nn.Parameter(state.critic.parameters.clone())
    optimiser = torch.optim.Adam([critic], lr=RATE, betas=game.method.dynamics.betas)
    optimiser.state[critic] = {
        "step": clock.critic_step.float() - 1,
        "exp_avg": state.critic.moments.first.clone(),
        "exp_avg_sq": state.critic.moments.second.clone(),
    }
    now = state._replace(generator=state.generator._replace(parameters=generator))
    for _ in range(game.method.dynamics.unroll):
        optimiser.zero_grad()
        plain(game).critic_objective(critic, now, batch, clock)[0].backward()
        if game.method.dynamics.clip:
            nn.utils.clip_grad_norm_(critic, game.method.dynamics.clip)
        optimiser.step()
        with torch.no_grad():
            critic.copy_(game.project(critic))
    return critic.detach()


def plain(game: Game) -> Game:
    return Game.of(game.method.but(dynamics=Dynamics()), game.generator, game.critic)


def differences(function: Callable[[Tensor], float], at: Tensor, width: float = 1e-5) -> dict[int, float]:
    """Central differences at every seventh number."""
    found = {}
    for position in range(0, len(at), 7):
        nudge = torch.zeros_like(at)
        nudge[position] = width
        found[position] = (function(at + nudge) - function(at - nudge)) / (2 * width)
    return found


def gradient_of(game: Game, state: State, batch: Batch, clock: Clock) -> tuple[float, Tensor]:
    at = state.generator.parameters.clone().requires_grad_()
    value, _ = game.generator_objective(at, state, batch, clock)
    return value.item(), torch.autograd.grad(value, at)[0]


@pytest.mark.parametrize("loss", [NonSaturating(), Minimax()], ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("steps", [1, 3])
def test_the_gradient_equals_finite_differences_through_real_optimiser_steps(steps: int, loss: Loss) -> None:
    game, state, batch, clock = smooth_game(unrolled(steps, loss=loss))

    def through_torch(generator: Tensor) -> float:
        critic = foreseen_critic(game, state, batch, clock, generator)
        final = state._replace(critic=state.critic._replace(parameters=critic))
        return plain(game).generator_objective(generator, final, batch, clock)[0].item()

    value, gradient = gradient_of(game, state, batch, clock)
    assert value == pytest.approx(through_torch(state.generator.parameters), rel=1e-12)
    for position, difference in differences(through_torch, state.generator.parameters).items():
        assert gradient[position].item() == pytest.approx(difference, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("loss", [NonSaturating(), Minimax()], ids=lambda loss: type(loss).__name__)
def test_the_first_order_variant_is_the_partial_derivative_at_the_foreseen_critic(loss: Loss) -> None:
    game, state, batch, clock = smooth_game(unrolled(3, loss=loss, first_order=True))
    critic = foreseen_critic(game, state, batch, clock, state.generator.parameters)
    final = state._replace(critic=state.critic._replace(parameters=critic))

    def with_critic_fixed(generator: Tensor) -> float:
        return plain(game).generator_objective(generator, final, batch, clock)[0].item()

    value, gradient = gradient_of(game, state, batch, clock)
    assert value == pytest.approx(with_critic_fixed(state.generator.parameters), rel=1e-12)
    for position, difference in differences(with_critic_fixed, state.generator.parameters).items():
        assert gradient[position].item() == pytest.approx(difference, rel=1e-6, abs=1e-9)
    through = Game.of(unrolled(3, loss=loss), game.generator, game.critic)
    whole_value, whole = gradient_of(through, state, batch, clock)
    assert whole_value == pytest.approx(value, rel=1e-12)
    assert (whole - gradient).norm() > 0.01 * whole.norm()  # the two methods differ


def test_the_real_term_of_minimax_matters_only_through_the_unrolled_critic() -> None:
    """Moving the real batch moves the generator's gradient with foresight, and leaves it alone without."""
    moved = {}
    for name, steps, first_order in (("through", 2, False), ("none", 0, False)):
        game, state, batch, clock = smooth_game(unrolled(steps, loss=Minimax(), first_order=first_order))
        assert batch.real is not None
        other = batch._replace(real=batch.real + 0.5)
        moved[name] = (
            (gradient_of(game, state, batch, clock)[1] - gradient_of(game, state, other, clock)[1]).norm().item()
        )
    assert moved["none"] == 0
    assert moved["through"] > 1e-3


def test_minimax_with_foresight_is_not_the_saturating_loss_of_the_fakes_alone() -> None:
    game, state, batch, clock = smooth_game(unrolled(2, loss=Minimax()))
    critic = foreseen_critic(game, state, batch, clock, state.generator.parameters)
    final = state._replace(critic=state.critic._replace(parameters=critic))
    scores = []
    for samples in (batch.real, game.generate(state.generator.parameters, {}, batch)[0]):
        judgement = torch.func.functional_call(game.critic, game.critic_layout.unpack(critic), (samples, None))
        scores.append(judgement.score)
    by_hand = -(torch.log1p((-scores[0]).exp()).mean() + torch.log1p(scores[1].exp()).mean()).item()
    assert gradient_of(game, state, batch, clock)[0] == pytest.approx(by_hand, rel=1e-10)
    assert plain(game).generator_objective(final.generator.parameters, final, batch, clock)[0].item() == pytest.approx(
        by_hand, rel=1e-10
    )
    assert by_hand != pytest.approx(-torch.log1p(scores[1].exp()).mean().item(), rel=1e-2)


def test_the_critic_itself_takes_one_ordinary_step() -> None:
    """What was foreseen is thrown away: the critic's objective does not know of unrolling."""
    game, state, batch, clock = smooth_game(unrolled(3, loss=Minimax()))
    ordinary = plain(game).critic_objective(state.critic.parameters, state, batch, clock)[0]
    assert game.critic_objective(state.critic.parameters, state, batch, clock)[0].item() == ordinary.item()


def test_foreseen_critics_are_projected_as_real_ones_are() -> None:
    method = unrolled(2, loss=Minimax()).but(constraint=WeightClip(limit=0.1))
    game, state, batch, clock = smooth_game(method)
    critic = foreseen_critic(game, state, batch, clock, state.generator.parameters)
    assert critic.abs().max().item() == pytest.approx(0.1)
    foreseen = game._foreseen_critic(state.generator.parameters, state, batch, clock)
    torch.testing.assert_close(foreseen, critic, rtol=1e-9, atol=1e-12)


def test_foreseen_steps_are_clipped_as_real_ones_are() -> None:
    method = unrolled(2, loss=Minimax())
    clip = method.but(dynamics=Dynamics(unroll=2, lr_critic=RATE, clip=0.01))
    game, state, batch, clock = smooth_game(clip)
    critic = foreseen_critic(game, state, batch, clock, state.generator.parameters)
    foreseen = game._foreseen_critic(state.generator.parameters, state, batch, clock)
    torch.testing.assert_close(foreseen, critic, rtol=1e-6, atol=1e-7)  # torch's clipping adds 1e-6 to the norm
    free = Game.of(method, game.generator, game.critic)
    assert (free._foreseen_critic(state.generator.parameters, state, batch, clock) - critic).abs().max() > 1e-3


def test_foreseen_steps_have_the_rate_of_the_moment() -> None:
    fading = Dynamics(unroll=2, lr_critic=RATE / 0.75, schedule=Cosine(final=0.5))
    game, state, batch, clock = smooth_game(VANILLA.but(dynamics=fading))
    halfway = clock._replace(progress=torch.full_like(clock.progress, 0.5))  # where the factor is 0.75
    critic = foreseen_critic(game, state, batch, halfway, state.generator.parameters)
    foreseen = game._foreseen_critic(state.generator.parameters, state, batch, halfway)
    torch.testing.assert_close(foreseen, critic, rtol=1e-9, atol=1e-12)
    early = game._foreseen_critic(state.generator.parameters, state, batch, clock)
    assert (early - critic).abs().max() > 1e-3


def test_the_rows_are_what_their_names_say() -> None:
    both = METHODS["unrolled-5"].dynamics, METHODS["unrolled-5-first-order"].dynamics
    assert [dynamics.unroll for dynamics in both] == [5, 5]
    assert [type(dynamics.foresight).__name__ for dynamics in both] == ["ThroughSteps", "LookAhead"]
    assert METHODS["unrolled-5"].loss == Minimax()
