"""Batches: pure functions of (seed, update), independent lanes, labels that belong to their rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

from uncollapse.blocks import BLOCK, Blocks
from uncollapse.draws import Draw
from uncollapse.method import Method
from uncollapse.methods import METHODS, VANILLA
from uncollapse.parts.scene import Sizes
from uncollapse.parts.views import Packed
from uncollapse.tasks import find
from uncollapse.trees import flatten, tree_leaves

SEEDS = (3, 7, 11)
SIZES = Sizes(shape=(2,), latent=2, classes=3, batch=8)


def blocks(
    method: str | Method = "cwgan-gp",
    *,
    purpose: str = "critic",
    seeds: tuple[int, ...] = SEEDS,
    task: str = "unequal-3",
    sizes: Sizes = SIZES,
    with_real: bool = True,
    dtype: torch.dtype = torch.float64,
    **options: Any,
) -> Blocks:
    chosen = METHODS[method] if isinstance(method, str) else method
    learnt = find(task, **options)
    sources = [learnt.source(seed, dtype=dtype) for seed in seeds]
    cpu = torch.device("cpu")
    return Blocks(purpose, chosen, sizes, seeds, sources, with_real=with_real, device=cpu, dtype=dtype)


def assert_same(first: object, second: object) -> None:
    ours, theirs = tree_leaves(first), tree_leaves(second)
    assert len(ours) == len(theirs) > 1
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_a_block_is_64_updates() -> None:
    assert BLOCK == 64  # part of the definition of every run's numbers


@pytest.mark.parametrize("order", [(0, 63, 64, 65, 130), (130, 65, 64, 63, 0), (64, 0, 130, 63, 65, 64, 0)])
def test_a_batch_does_not_depend_on_what_was_asked_before(order: tuple[int, ...]) -> None:
    asked = blocks()
    for update in order:
        assert_same(asked.batch(update), blocks().batch(update))


def test_no_two_updates_share_a_number() -> None:
    asked = blocks()
    latents = torch.cat([asked.batch(update).latent.flatten() for update in (0, 1, 63, 64, 65, 128)])
    assert len(latents.unique()) == len(latents) == 6 * 3 * 8 * 2


def test_lanes_are_independent_of_their_company_and_of_each_other() -> None:
    together = blocks().batch(70)
    for lane, seed in enumerate(SEEDS):
        alone = blocks(seeds=(seed,)).batch(70)
        ours = [leaf[lane] for leaf in tree_leaves(together)]
        assert_same(ours, [leaf[0] for leaf in tree_leaves(alone)])
    assert len(together.latent.unique()) == together.latent.numel()
    assert together.real is not None
    assert len(together.real.unique()) == together.real.numel()


@pytest.mark.parametrize("train_size", [None, 40])
@pytest.mark.parametrize("update", [0, 63, 64])
def test_labels_are_those_of_the_real_rows(train_size: int | None, update: int) -> None:
    task = find("blobs-9", train_size=train_size)
    sizes = Sizes(shape=(2,), latent=2, classes=9, batch=32)
    batch = blocks(task="blobs-9", train_size=train_size, sizes=sizes).batch(update)
    assert batch.real is not None
    assert batch.labels is not None
    nearest, _ = task.assign(batch.real.reshape(-1, 2))  # at 5 sigma from the next centre this is the label
    assert torch.equal(batch.labels.argmax(-1).flatten(), nearest)
    assert torch.equal(batch.labels.sum(-1), torch.ones(3, 32, dtype=torch.float64))
    assert sorted(batch.labels.unique().tolist()) == [0, 1]


def test_label_frequencies_follow_the_weights() -> None:
    asked = blocks(sizes=Sizes(shape=(2,), latent=2, classes=3, batch=100))
    counts = sum(asked.batch(update).labels.sum((0, 1)) for update in range(10))  # type: ignore[union-attr]
    expected = [3000 * share / 11 for share in (6, 3, 2)]  # w_k proportional to 1 / (k + 1)
    assert 1e-3 < stats.chisquare(counts, expected).pvalue < 1 - 1e-3


def test_critic_and_generator_share_no_numbers() -> None:
    critic, generator = (blocks(purpose=purpose) for purpose in ("critic", "generator"))
    for update in (0, 64):
        for one, other in zip(tree_leaves(critic.batch(update)), tree_leaves(generator.batch(update)), strict=True):
            assert one.shape == other.shape
            if one.ndim != 3 or one.shape[-1] != 3:  # labels coincide, drawn numbers do not
                assert not torch.isin(one, other).any()


def test_seeds_draw_their_own_training_set() -> None:
    batch = blocks("vanilla", train_size=20, sizes=Sizes(shape=(2,), latent=2, classes=3, batch=200)).batch(0)
    assert batch.real is not None
    sets = [{tuple(row) for row in lane.tolist()} for lane in batch.real]
    assert [len(rows) for rows in sets] == [20, 20, 20]  # 200 draws miss one of 20 rows once in 1,000 lanes
    assert not sets[0] & sets[1] | sets[0] & sets[2]


def shapes(batch: Any) -> dict[str, tuple[int, ...]]:
    given = {name: value for name, value in batch._asdict().items() if value is not None}
    return {name: tuple(value.shape) for name, value in flatten(given).items()}


PACKED = METHODS["wgan-gp"].but(name="packed", view=Packed(2))


@pytest.mark.parametrize(
    ("method", "with_real", "expected"),
    [
        ("vanilla", True, {"latent": (3, 8, 2), "real": (3, 8, 2)}),
        ("vanilla", False, {"latent": (3, 8, 2)}),
        ("cgan", True, {"latent": (3, 8, 2), "real": (3, 8, 2), "labels": (3, 8, 3)}),
        ("cgan", False, {"latent": (3, 8, 2), "labels": (3, 8, 3)}),
        ("wgan-gp", True, {"latent": (3, 8, 2), "real": (3, 8, 2), "noise.penalties.0.between": (3, 8)}),
        (PACKED, True, {"latent": (3, 8, 2), "real": (3, 8, 2), "noise.penalties.0.between": (3, 4)}),
    ],
)
def test_a_batch_holds_what_the_method_needs_and_no_more(
    method: str | Method, with_real: bool, expected: dict[str, tuple[int, ...]]
) -> None:
    group = 2 if isinstance(method, Method) else 1
    sizes = Sizes(shape=(2,), latent=2, classes=3, batch=8, group=group)
    batch = blocks(method, with_real=with_real, sizes=sizes).batch(5)
    assert shapes(batch) == expected
    assert {leaf.dtype for leaf in tree_leaves(batch)} == {torch.float64}
    if "penalties.0.between" in batch.noise:
        assert 0 <= batch.noise["penalties.0.between"].min() < batch.noise["penalties.0.between"].max() < 1


def test_several_generators_take_turns_at_random() -> None:
    sizes = Sizes(shape=(2,), latent=2, classes=3, batch=100, generators=3)
    asked = blocks(VANILLA, sizes=sizes)
    index = torch.stack([asked.batch(update).generator_index for update in range(10)])  # type: ignore[misc]
    assert index.shape == (10, 3, 100, 3)
    assert torch.equal(index.sum(-1), torch.ones(10, 3, 100, dtype=torch.float64))
    assert 1e-3 < stats.chisquare(index.sum((0, 1, 2))).pvalue < 1 - 1e-3


def test_a_source_is_read_once_a_block_and_only_where_real_rows_or_labels_are_needed() -> None:
    read: list[int] = []

    def source(n: int, draw: Draw) -> tuple[Tensor, Tensor | None]:
        read.append(n)
        return draw.normal(n, 2), draw.integers(3, n)

    def asked(method: str, with_real: bool) -> list[int]:
        read.clear()
        like = {"device": torch.device("cpu"), "dtype": torch.float32}
        made = Blocks("critic", METHODS[method], SIZES, (1,), [source], with_real=with_real, **like)  # type: ignore[arg-type]
        for update in range(130):
            made.batch(update)
        return list(read)

    assert asked("vanilla", True) == [64 * 8] * 3
    assert asked("vanilla", False) == []
    assert asked("cgan", False) == [64 * 8] * 3  # for their labels
