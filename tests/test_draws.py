"""Streams: pure functions of their arguments, distinct from each other, with the distributions they promise."""

from __future__ import annotations

import hashlib
import itertools

import pytest
import torch
from scipy import stats

from uncollapse.draws import Draw, stream

N = 50_000
# Outside this range a correct stream falls once in 5,000 fixed-seed tests.
LOW, HIGH = 1e-4, 1 - 1e-4


def test_equal_arguments_give_equal_numbers() -> None:
    for first, second in [(stream(3, "latent", 2), stream(3, "latent", block=2)), (stream(3, "x"), stream(3, "x", 0))]:
        assert torch.equal(first.normal(50), second.normal(50))
        assert torch.equal(first.uniform(50), second.uniform(50))
        assert torch.equal(first.integers(1000, 50), second.integers(1000, 50))
        assert torch.equal(first.permutation(50), second.permutation(50))
        assert torch.equal(first.choice(torch.ones(9), 50), second.choice(torch.ones(9), 50))


def test_seeds_purposes_and_blocks_give_different_numbers() -> None:
    arguments = list(itertools.product((0, 1, 2, 10**12), ("latent", "critic batches", "sampling"), (0, 1, 63)))
    rows = torch.stack([stream(*one, dtype=torch.float64).uniform(1000) for one in arguments])
    assert len(rows.unique()) == rows.numel()
    correlations = torch.corrcoef(rows) - torch.eye(len(rows))
    # The correlation of independent rows is normal with deviation 1 / sqrt(1000).
    assert 3 < correlations.abs().max().item() * 1000**0.5 < 5


def test_arguments_are_not_run_together() -> None:
    one, other = stream(1, "a", 11).uniform(9), stream(11, "a", 1).uniform(9)
    assert not torch.equal(one, other)
    assert not torch.equal(stream(1, "a|1", 1).uniform(9), stream(1, "a", 11).uniform(9))


def test_the_generator_is_seeded_by_the_hash_of_the_arguments() -> None:
    digest = hashlib.blake2b(b"7|latent|3", digest_size=8).hexdigest()
    number = int.from_bytes(bytes.fromhex(digest), "little") // 2
    expected = torch.randn(5, generator=torch.Generator().manual_seed(number))
    assert torch.equal(stream(7, "latent", 3).normal(5), expected)


def test_a_stream_moves_on_and_leaves_the_global_one_alone() -> None:
    before, draw = torch.get_rng_state(), stream(1, "latent")
    assert not torch.equal(draw.normal(5), draw.normal(5))
    draw.uniform(2), draw.integers(3, 2), draw.permutation(3), draw.choice(torch.ones(2), 2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_types_shapes_and_device(dtype: torch.dtype) -> None:
    draw = stream(1, "latent", dtype=dtype)
    assert draw.device == torch.device("cpu")
    assert draw.normal(2, 3).dtype == draw.uniform(2, 3).dtype == dtype
    assert draw.normal(2, 3).shape == draw.uniform(2, 3).shape == draw.integers(9, 2, 3).shape == (2, 3)
    assert draw.integers(9, 4).dtype == draw.permutation(4).dtype == draw.choice(torch.ones(2), 4).dtype == torch.int64
    assert Draw(torch.Generator()).dtype == torch.float32


def test_normal_is_standard_normal() -> None:
    values = stream(2, "law").normal(N)
    assert LOW < stats.kstest(values.numpy(), "norm").pvalue < HIGH


def test_uniform_is_uniform_from_zero_to_below_one() -> None:
    values = stream(2, "law").uniform(N)
    assert 0 <= values.min() < 1e-3
    assert 1 - 1e-3 < values.max() < 1
    assert LOW < stats.kstest(values.numpy(), "uniform").pvalue < HIGH


def test_integers_fill_their_range_evenly() -> None:
    counts = torch.bincount(stream(2, "law").integers(7, N))
    assert len(counts) == 7
    assert LOW < stats.chisquare(counts.numpy()).pvalue < HIGH


def test_permutations_are_orders_of_all_numbers_evenly() -> None:
    draw = stream(2, "law")
    assert draw.permutation(100).sort().values.tolist() == list(range(100))
    orders = [tuple(draw.permutation(3).tolist()) for _ in range(3000)]
    counts = [orders.count(order) for order in itertools.permutations(range(3))]
    assert sum(counts) == 3000
    assert LOW < stats.chisquare(counts).pvalue < HIGH


@pytest.mark.parametrize("scale", [1.0, 40.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_choice_follows_the_weights(scale: float, dtype: torch.dtype) -> None:
    weights = torch.tensor([0.0, 0.5, 0.0, 0.25, 0.125, 0.125, 0.0], dtype=dtype)
    counts = torch.bincount(stream(2, "law").choice(weights * scale, N), minlength=7)
    assert counts[weights == 0].tolist() == [0, 0, 0]
    expected = [N / 2, N / 4, N / 8, N / 8]
    assert LOW < stats.chisquare(counts[weights > 0].numpy(), expected).pvalue < HIGH


@pytest.mark.parametrize(("number", "expected"), [(0.0, 1), (0.2499, 1), (0.25, 3), (1 - 1e-16, 3)])
def test_choice_at_the_edges_never_takes_what_has_no_weight(
    number: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "rand", lambda shape, dtype, **_: torch.full(shape, number, dtype=dtype))
    assert stream(1, "law").choice(torch.tensor([0.0, 0.25, 0.0, 0.75, 0.0]), 2).tolist() == [expected] * 2


def test_choice_of_one_thing_is_that_thing() -> None:
    assert stream(1, "law").choice(torch.tensor([3.0]), 4).tolist() == [0, 0, 0, 0]
