"""Path length against closed forms of linear generators, and the outputs that no small step can measure."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad

from uncollapse.errors import UserError
from uncollapse.metrics.paths import lerp, path_length, slerp, trimmed

WIDTH = 5
MATRIX = torch.randn(7, WIDTH, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
FROBENIUS = float(MATRIX.square().sum())


def linear(z: torch.Tensor) -> torch.Tensor:
    return z.double() @ MATRIX.T


def measure(**changes):
    settings = {
        "generator": linear, "latent": WIDTH, "path": "lerp", "position": "start", "samples": 20_000, "batch": 1_000,
        "trim": None, "dtype": torch.float64,
    }  # fmt: skip
    return path_length(**(settings | changes))


@pytest.mark.parametrize("step", [1e-4, 1e-2])
@pytest.mark.parametrize("position", ["start", "full"])
def test_a_linear_generator_has_twice_its_squared_norm_on_straight_paths(step, position):
    found = measure(step=step, position=position)
    assert found.value == pytest.approx(2 * FROBENIUS, rel=0.03)
    assert found.low < 2 * FROBENIUS < found.high
    assert found.high - found.low < 0.05 * FROBENIUS
    assert (found.n_real, found.n_fake, found.metric) == (None, 20_000, "path_length")


def test_on_great_circles_the_mean_squared_angle_takes_the_place_of_two():
    # |velocity|^2 = |a|^2 angle^2 along a direction uniform on the sphere: E = E[angle^2] ||A||_F^2 for z ~ N(0, I).
    density = lambda angle: math.sin(angle) ** (WIDTH - 2)  # noqa: E731
    mean = quad(lambda a: a**2 * density(a), 0, math.pi)[0] / quad(density, 0, math.pi)[0]
    for position in ("start", "full"):
        found = measure(path="slerp", position=position)
        assert found.value == pytest.approx(mean * FROBENIUS, rel=0.03)
        assert found.holds(mean * FROBENIUS)


def test_slerp_turns_at_constant_length_and_lerp_is_straight():
    first, second = torch.tensor([[3.0, 0.0]]).double(), torch.tensor([[0.0, 5.0]]).double()
    third = torch.tensor([1 / 3]).double()
    expected = 3 * torch.tensor([[math.cos(math.pi / 6), math.sin(math.pi / 6)]]).double()
    torch.testing.assert_close(slerp(first, second, third), expected)
    torch.testing.assert_close(lerp(first, second, third), torch.tensor([[2.0, 5 / 3]]).double())


def test_latents_without_a_direction_between_them_stay_where_they_are():
    same = torch.tensor([[1.0, 2.0], [0.0, 0.0], [1.0, 1.0]]).double()
    moved = slerp(same, torch.stack([2 * same[0], same[1], -same[2]]), torch.full((3,), 0.5).double())
    assert bool(torch.isfinite(moved).all())
    torch.testing.assert_close(moved[:2], same[:2])


def test_the_trimmed_mean_and_its_error_are_those_of_scipy():
    lengths = np.random.default_rng(0).lognormal(size=201)
    mean, ends = trimmed(lengths, (10, 90), 0.95)
    # Percentiles fall on observed lengths, the 21st and 181st of 201, which are kept: 20 are cut off at each end.
    winsorised = np.asarray(stats.mstats.winsorize(lengths, limits=(20 / 201, 20 / 201)))
    error = winsorised.std(ddof=1) * math.sqrt(200 / (161 * 160))
    assert mean == pytest.approx(stats.trim_mean(lengths, 20 / 201), rel=1e-12)
    assert (ends[1] - ends[0]) / 2 == pytest.approx(stats.t.ppf(0.975, 160) * error, rel=1e-9)


def test_with_nothing_trimmed_it_is_students_interval():
    lengths = np.random.default_rng(1).normal(3, 1, size=50)
    mean, ends = trimmed(lengths, (0, 100), 0.9)
    expected = stats.t.interval(0.9, 49, loc=lengths.mean(), scale=stats.sem(lengths))
    assert (mean, *ends) == pytest.approx((lengths.mean(), *expected), rel=1e-9)


def test_both_numbers_are_told():
    found = measure(trim=(1, 99), samples=2_000)
    assert found.details["untrimmed"] == pytest.approx(measure(samples=2_000).value, rel=1e-12)
    assert found.value < found.details["untrimmed"]
    assert found.details["trim"] == (1, 99)
    assert found.details["rounding_share"] < 1e-3
    assert measure(samples=2_000).estimand == "the expected path length over pairs of latents"


def test_the_batch_does_not_change_the_number_nor_does_the_order_of_rows():
    whole, parts = measure(samples=2_000), measure(samples=2_000, batch=37)
    assert parts.value == pytest.approx(whole.value, rel=1e-9)
    rows = torch.randn(400, WIDTH, generator=torch.Generator().manual_seed(1))
    shuffled = rows[torch.randperm(400, generator=torch.Generator().manual_seed(2))]
    one, other = (measure(latent=z, samples=None).value for z in (rows.numpy(), shuffled))
    assert one == pytest.approx(other, rel=1e-12)


def test_given_rows_are_used_once_each():
    seen: list[torch.Tensor] = []

    def watching(z: torch.Tensor) -> torch.Tensor:
        seen.append(z)
        return linear(z)

    rows = torch.arange(12.0).reshape(12, 1).expand(12, WIDTH).contiguous()
    found = measure(generator=watching, latent=rows, samples=None, batch=64)
    firsts = seen[-2][:, 0]
    assert found.n_fake == 6
    assert len(set(firsts.tolist())) == 6


@pytest.mark.usefixtures("global_random_untouched")
def test_the_stream_decides_the_number():
    assert measure(samples=100).value == measure(samples=100).value
    other = measure(samples=100, draws=torch.Generator().manual_seed(9))
    assert other.value != measure(samples=100).value


def test_a_sampler_and_a_distance_of_ones_own_are_used():
    uniform = measure(
        latent=lambda n, draws: 2 * torch.rand(n, WIDTH, generator=draws, dtype=torch.float64) - 1,
        distance=lambda x, y: 3 * (x - y).square().sum(1),
    )
    # Uniform on [-1, 1] has variance 1/3.
    assert uniform.value == pytest.approx(3 * 2 / 3 * FROBENIUS, rel=0.03)
    assert uniform.details["distance"] == "<lambda>"


def test_a_generator_that_always_makes_the_same_has_length_zero_and_no_claim_of_certainty():
    found = measure(generator=lambda z: torch.ones(len(z), 3), samples=100)
    assert (found.value, found.low, found.high) == (0.0, None, None)
    assert "same length" in found.reason
    assert measure(generator=lambda z: torch.ones(len(z), 3), samples=100, level=None).reason is None


def test_float32_outputs_are_close_and_say_how_much_is_rounding():
    single = measure(generator=lambda z: linear(z).float() + 3, dtype=torch.float32)
    assert single.value == pytest.approx(measure().value, rel=1e-3)
    assert 0 <= single.details["rounding_share"] < 0.01


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator": lambda z: (linear(z) * 10).to(torch.uint8)}, "returns uint8 but path length needs floats"),
        ({"generator": lambda z: (linear(z) * 20).round() / 20}, r"distance / step\^2 falls from .* not rounded"),
        ({"distance": lambda x, y: (x - y).norm(dim=1)}, "a distance that is squared"),
        (
            {"generator": lambda z: linear(z) + torch.rand(len(z), 1)},
            "other outputs for the same latents .* fix its noise",
        ),
        ({"generator": lambda z: linear(z) - linear(z).mean(0)}, "evaluation mode"),
        ({"generator": lambda z: linear(z)[1:]}, "63 outputs for 64 latents"),
        ({"generator": lambda z: linear(z) / 0}, "64 outputs of 64 that are not finite"),
        (
            {"distance": lambda x, y: (x - y).sum()},
            r"one finite number a pair, of shape \(64,\), but returned shape \(\)",
        ),
        ({"latent": lambda n, draws: torch.zeros(n)}, r"latent must return a tensor \(200, z\) .* not \(200,\)"),
        ({"latent": 0}, "latent must be a width of at least 1"),
        ({"latent": None}, "latent must be a width of at least 1, a sampler or rows, not None"),
        ({"latent": True}, "latent must be a width of at least 1, a sampler or rows, not True"),
        ({"latent": np.zeros((10, 2))}, r"samples must be 2 to 5 \(half the latent rows given\), not 100"),
        ({"latent": np.full((10, 2), np.nan)}, "latent has 10 rows that are not finite"),
        ({"latent": 1, "path": "slerp"}, "at least 2 numbers; use path='lerp'"),
        (
            {"latent": lambda n: torch.randn(n, 2)},
            r"latent must be a function of n and a torch\.Generator, as lambda n, dr",
        ),
        ({"samples": 1}, "samples must be a whole number of at least 2, not 1"),
        ({"samples": 99.5}, r"samples must be a whole number of at least 2, not 99\.5"),
        ({"path": "straight"}, "path must be 'slerp' or 'lerp', not 'straight'"),
        ({"position": "end"}, "position must be 'start' or 'full', not 'end'"),
        ({"batch": 0}, "batch must be a whole number of at least 1, not 0"),
        ({"step": 0.0}, "step must be above 0"),
        ({"trim": (99, 1)}, r"trim must be two percentiles as \(1, 99\)"),
        ({"dtype": torch.float16}, "dtype must be torch.float32 or torch.float64"),
        ({"level": 95}, "level must be between 0 and 1"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(changes, message):
    with pytest.raises(UserError, match=message):
        measure(**({"samples": 100, "batch": 64} | changes))


@pytest.mark.slow
@pytest.mark.parametrize("trim", [None, (1.0, 99.0)])
def test_intervals_hold_the_expected_length_of_a_curved_generator(trim):
    def curved(z: torch.Tensor) -> torch.Tensor:
        return torch.tanh(linear(z)) * 3

    settings = {"generator": curved, "path": "slerp", "position": "full", "trim": trim}
    truth = measure(**settings, samples=400_000, batch=1_024, draws=torch.Generator().manual_seed(77)).value
    held = sum(
        measure(**settings, samples=500, draws=torch.Generator().manual_seed(seed)).holds(truth) for seed in range(400)
    )
    assert 0.92 * 400 <= held <= 0.98 * 400
