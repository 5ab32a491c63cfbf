from __future__ import annotations

import numpy as np
import pytest
import torch

from uncollapse.verdict.mixture import Quota, choose, common_mixture, quotas_of


def test_a_common_mixture_keeps_as_many_rows_as_it_can() -> None:
    def kept(real: list[int], fake: list[int]) -> list[list[int]]:
        sides = (torch.arange(len(n)).repeat_interleave(torch.tensor(n)) for n in (real, fake))
        return [side.tolist() for side in common_mixture(*sides)]

    # One real row for one fake would keep 650 a side, which is less: 1 / (1/600 + 1/750) = 333 > 325.
    assert kept([600, 200, 100, 100], [250] * 4) == [[200, 200, 100, 100], [250, 250, 125, 125]]
    assert kept([250] * 4, [600, 200, 100, 100]) == [[250, 250, 125, 125], [200, 200, 100, 100]]
    assert kept([900, 900, 900], [90, 90, 90]) == [[900] * 3, [90] * 3]
    assert kept([50, 0, 30], [50, 40, 30]) == [[50, 0, 30], [50, 0, 30]]
    real, fake = kept([990, 99, 1], [10, 10, 10])
    assert [n / m for n, m in zip(real[:2], fake[:2], strict=True)] == pytest.approx([real[0] / fake[0]] * 2, rel=0.1)
    assert common_mixture(torch.tensor([0, 0]), torch.tensor([1, 1, 1]))[0].sum() == 0


def test_mixtures_of_many_classes_differ_by_chance_of_rounding_alone() -> None:
    have = np.random.default_rng(0).integers(1, 200, size=1_000)
    real, fake = torch.arange(1_000).repeat_interleave(torch.from_numpy(have)), torch.arange(1_000).repeat_interleave(3)
    kept = [side.double() for side in common_mixture(real, fake)]
    shares = [side / side.sum() for side in kept]
    assert float((shares[0] - shares[1]).abs().sum() / 2) < 0.02


def test_a_quota_keeps_the_first_of_each_class() -> None:
    quota = Quota(torch.tensor([0, 1, 0, 1, 0, 2]), torch.tensor([2, 1, 0]))
    assert quota.of(torch.tensor([4, 3, 5, 2, 1, 0])).tolist() == [4, 3, 2]


def test_rows_are_chosen_fairly_and_only_where_there_are_too_many() -> None:
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    assert choose(order, torch.Generator().manual_seed(0), most=40) is order
    few = choose(order, torch.Generator().manual_seed(0), most=10)
    assert len(set(few.tolist())) == 10
    classes = torch.arange(40) % 2
    real, _ = quotas_of(classes, torch.tensor([0] * 5 + [1] * 20))
    counts = np.zeros(2)
    for seed in range(200):
        chosen = choose(order, torch.Generator().manual_seed(seed), most=10, quota=real)
        counts += np.bincount(classes[chosen].numpy(), minlength=2)
    # Of 5 and 20 fakes with 20 real rows each, 5 and 20 are kept: a fifth of what is chosen is of the first class.
    assert counts[0] / counts.sum() == pytest.approx(0.2, abs=0.02)
