from __future__ import annotations

import json
import math

import pytest
import torch
from scipy.stats import chisquare

from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.tasks import Mixture, find, from_spec
from uncollapse.tasks.mixtures import blob_centres

NINE = [(0, 0), (5, 5), (5, -5), (-5, 5), (-5, -5), (0, 5), (5, 0), (-5, 0), (0, -5)]
# Written by hand: rings of equal distance, each walked counter-clockwise from +x.
RING_0, RING_5 = [(0, 0)], [(5, 0), (0, 5), (-5, 0), (0, -5)]
RING_50, RING_10 = [(5, 5), (-5, 5), (-5, -5), (5, -5)], [(10, 0), (0, 10), (-10, 0), (0, -10)]
RING_125 = [(10, 5), (5, 10), (-5, 10), (-10, 5), (-10, -5), (-5, -10), (5, -10), (10, -5)]
RING_200, RING_15 = [(10, 10), (-10, 10), (-10, -10), (10, -10)], [(15, 0), (0, 15), (-15, 0), (0, -15)]
RING_250_START = [(15, 5), (5, 15), (-5, 15)]
FIRST_13 = RING_0 + RING_5 + RING_50 + RING_10
HAND = {
    4: NINE[:4],
    8: NINE[:8],
    9: NINE,
    16: FIRST_13 + RING_125[:3],
    32: FIRST_13 + RING_125 + RING_200 + RING_15 + RING_250_START,
}


@pytest.mark.parametrize("count", HAND)
def test_blob_centres_are_the_hand_written_ones(count: int) -> None:
    assert [tuple(centre) for centre in blob_centres(count)] == HAND[count]


@pytest.mark.parametrize(("count", "reach"), [(4, 5), (8, 5), (16, 10), (32, 15)])
def test_blobs_have_one_scale_for_centres_and_sigma(count: int, reach: int) -> None:
    task = find(f"blobs-{count}")
    scale = 0.9 / (reach + 1.5)
    assert task.sigma == pytest.approx(0.5 * scale)
    torch.testing.assert_close(torch.tensor(task.centres), torch.tensor(HAND[count]) * scale)
    assert task.networks.bounded
    assert task.modes.names[1] == "({}, {})".format(*HAND[count][1])


def test_the_ring_has_eight_distinct_centres_on_the_unit_circle() -> None:
    task = find("ring-8")
    centres = torch.tensor(task.centres).double()
    apart = torch.cdist(centres, centres) + 9 * torch.eye(8)
    torch.testing.assert_close(centres.norm(dim=1), torch.ones(8).double())
    # Neighbours at 45 degrees are one chord apart; the known bug of linspace would make one distance 0.
    assert apart.min().item() == pytest.approx(2 * math.sin(math.pi / 8), rel=1e-6)
    assert (task.sigma, task.networks.bounded, len(task.modes)) == (0.01, False, 8)
    assert task.modes.names[:3] == ("(1, 0)", "(0.71, 0.71)", "(0, 1)")


@pytest.mark.parametrize(
    ("name", "count", "spacing", "sigma", "reach"), [("grid-25", 25, 2, 0.05, 4), ("grid-100", 100, 1, 0.03, 4.5)]
)
def test_grids(name: str, count: int, spacing: float, sigma: float, reach: float) -> None:
    task = find(name)
    centres = torch.tensor(task.centres)
    assert len(set(task.centres)) == count
    assert task.sigma == sigma
    assert (centres.min().item(), centres.max().item()) == (-reach, reach)
    assert (torch.cdist(centres, centres) + 99 * torch.eye(count)).min().item() == pytest.approx(spacing)


@pytest.mark.parametrize("name", ["ring-8", "blobs-5", "blobs-32", "unequal-8"])
def test_component_frequencies(name: str) -> None:
    task = find(name)
    n = 20_000
    x, labels = task.sample(n, stream(1, "test"))
    assert x.shape == (n, 2)
    counts = torch.bincount(labels, minlength=len(task.modes)).numpy()
    assert chisquare(counts, n * task.modes.weights.numpy()).pvalue > 0.001
    mode, good = task.assign(x)
    assert (mode == labels).double().mean() > 0.999
    # Within 3 sigma in the plane: 1 - exp(-4.5) = .98889, four standard errors of the share either way.
    assert good.double().mean().item() == pytest.approx(1 - math.exp(-4.5), abs=4 * math.sqrt(0.0111 * 0.9889 / n))


def test_unequal_weights_are_one_over_rank() -> None:
    # 1 + 1/2 + 1/3 + 1/4 = 25/12.
    assert find("unequal-4").modes.weights.tolist() == pytest.approx([12 / 25, 6 / 25, 4 / 25, 3 / 25])


def test_component_spread_is_sigma() -> None:
    task = find("grid-25")
    x, labels = task.sample(50_000, stream(2, "test", dtype=torch.float64))
    deviations = x - torch.tensor(task.centres).double()[labels]
    assert x.dtype == torch.float64
    assert deviations.std().item() == pytest.approx(0.05, rel=0.01)
    assert deviations.mean().abs().item() < 0.001


def test_a_stream_is_fresh_and_a_train_size_is_finite() -> None:
    fresh = find("ring-8").source(0)
    draw = stream(0, "real")
    assert not torch.equal(fresh(64, draw)[0], fresh(64, draw)[0])
    finite = find("ring-8", train_size=50).source(0)
    x, labels = finite(5000, draw)
    assert len(torch.unique(x, dim=0)) == 50
    assert torch.equal(find("ring-8").assign(x)[0], labels)
    again, _ = find("ring-8", train_size=50).source(0)(5000, stream(5, "real"))
    assert torch.equal(torch.unique(x, dim=0), torch.unique(again, dim=0))
    other, _ = find("ring-8", train_size=50).source(1)(5000, draw)
    assert not torch.equal(torch.unique(x, dim=0), torch.unique(other, dim=0))


def test_assign_is_exact_at_three_sigma_and_safe_for_what_is_not_finite() -> None:
    task = find("ring-8")
    x = torch.tensor([[1.0299, 0.0], [1.0301, 0.0], [0.0, -1.0], [math.nan, 0.0], [0.0, math.inf]], dtype=torch.float64)
    mode, good = task.assign(x)
    assert mode.tolist() == [0, 0, 6, -1, -1]
    assert good.tolist() == [True, False, True, False, False]


def test_a_mixture_of_ones_own_is_written_out_whole() -> None:
    task = Mixture(name="two", centres=((0, 0), (3, 4)), sigma=0.5, weights=(1, 3), train_size=7)
    spec = task.spec()
    assert spec["weights"] == [0.25, 0.75]
    assert from_spec(spec) == task
    assert from_spec(spec).modes.names == ("(0, 0)", "(3, 4)")
    impostor = Mixture(name="ring-8", centres=((0, 0), (3, 4)), sigma=0.5)
    assert impostor != find("ring-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"centres": ((0, 0),)}, "at least 2 distinct centres"),
        ({"centres": ((0, 0), (0, 0))}, "at least 2 distinct centres"),
        ({"centres": ((0, 0), (0, 0, 1))}, "equally many coordinates"),
        ({"sigma": 0.0}, "sigma of a mixture must be above 0, not 0.0"),
        ({"weights": (1.0,)}, "needs 2 weights above 0"),
        ({"weights": (1.0, 0.0)}, "needs 2 weights above 0"),
        ({"mode_names": ("a",)}, "needs 2 mode_names, not 1"),
    ],
)
def test_what_is_no_mixture_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Mixture(**{"name": "mine", "centres": ((0, 0), (1, 1)), "sigma": 0.1, **change})


@pytest.mark.parametrize("name", ["blobs-1", "blobs-0", "unequal-1", "blobs-10001"])
def test_the_number_of_blobs_has_limits(name: str) -> None:
    family = name.partition("-")[0]
    with pytest.raises(
        UserError, match=rf"{family}-K needs a K from 2 to 10000, not \d+; write for example {family}-8"
    ):
        find(name)


def test_a_scaled_mixture_is_the_same_picture_in_another_size() -> None:
    plain, scaled = find("ring-8"), find("ring-8", scale=3.0, measure_size=500)
    assert isinstance(plain, Mixture)
    assert isinstance(scaled, Mixture)
    draws = [task.sample(200, stream(1, "scale"))[0] for task in (plain, scaled)]
    torch.testing.assert_close(3 * draws[0], draws[1])
    assert (scaled.sigma, scaled.measure_size) == (0.03, 500)
    for one, other in zip(plain.assign(draws[0]), scaled.assign(draws[1]), strict=True):
        assert torch.equal(one, other)
    assert from_spec(json.loads(json.dumps(scaled.spec()))) == scaled
    assert scaled != plain
    assert plain.but(scale=1) == plain
    assert "scale" not in plain.spec()


@pytest.mark.parametrize("scale", [0, -1.0, float("inf"), "2", True])
def test_a_scale_that_is_none_is_refused(scale: object) -> None:
    with pytest.raises(UserError, match="scale must be a number above 0"):
        find("ring-8", scale=scale)


@pytest.mark.parametrize("size", [0, 2.5, True])
def test_a_number_of_judged_samples_that_is_none_is_refused(size: object) -> None:
    with pytest.raises(UserError, match="measure_size must be a whole number of at least 1"):
        find("ring-8", measure_size=size)
