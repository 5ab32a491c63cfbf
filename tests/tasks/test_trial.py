"""What a user's own task gives wrongly is said in one sentence before it trains; a right one is not touched."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import uncollapse as uc
from uncollapse.draws import Draw
from uncollapse.errors import UserError
from uncollapse.loop import Trainer
from uncollapse.spec import make_spec
from uncollapse.tasks import Mixture, find
from uncollapse.tasks.task import Batch, Modes, Source, Task
from uncollapse.tasks.trial import TRIED, check_declared, try_task

RING = find("ring-8")
SIZES: dict[str, Any] = {"seeds": [0], "updates": 4, "batch": 8, "settings": {"networks.width": 4}}


@dataclass(frozen=True, kw_only=True, eq=False)
class Ring(Task):
    """The ring, written as a user would: each member is that of the built-in one."""

    name: str = "my-ring"
    measure_size: int = 60

    @property
    def shape(self) -> tuple[int, ...]:
        return RING.shape

    @property
    def classes(self) -> int:
        return RING.classes

    @property
    def modes(self) -> Modes:
        return RING.modes

    def sample(self, n: int, draw: Draw) -> Batch:
        return RING.sample(n, draw)

    def held_out(self, n: int, draw: Draw) -> Batch:
        return RING.held_out(n, draw)

    def source(self, seed: int, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Source:
        return RING.source(seed, device=device, dtype=dtype)

    def assign(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return RING.assign(x)


def ring_with(**members: Any) -> Task:
    """The user's ring with other members: a function of the task and its arguments, or the value of a property."""
    properties = ("shape", "classes", "modes")
    made = {
        key: property(lambda _, value=value: value) if key in properties else value for key, value in members.items()
    }
    kind = type("Mine", (Ring,), {"__module__": "users_own", **made})
    return kind()  # type: ignore[no-any-return]


def judged(change: Callable[[Tensor, Tensor], Any]) -> Callable[[Any, Tensor], Any]:
    """An `assign` that gives the right answer changed."""
    return lambda _, x: change(*RING.assign(x))


def drawn(change: Callable[[Tensor, Any], Any]) -> Callable[[Any, int, Draw], Any]:
    """A `sample` that gives the right answer changed."""
    return lambda _, n, draw: change(*RING.sample(n, draw))


def sourced(change: Callable[[Tensor, Any], Any]) -> Callable[..., Source]:
    """A `source` whose batches are the right ones changed."""

    def source(_: Any, seed: int, *, device: Any, dtype: torch.dtype) -> Source:
        right = RING.source(seed, device=device, dtype=dtype)
        return lambda n, draw: change(*right(n, draw))

    return source


def weighted(weights: Any, names: Any = tuple("abcdefgh")) -> Modes:
    return Modes(names=names, weights=weights)


def broken(*arguments: Any, **named: Any) -> Any:
    raise RuntimeError("no such\n table.")


SHARES = torch.full((8,), 0.125, dtype=torch.float64)
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "int64 quality": (
        {"assign": judged(lambda mode, good: (mode, good.long()))},
        r"assign of task 'my-ring' gives quality of another kind, a Tensor of torch\.int64 and shape \(11,\); it must"
        r" give the pair of int64 modes \(11,\) from -1 to 7 and bool quality \(11,\)",
    ),
    "float modes": (
        {"assign": judged(lambda mode, good: (mode.float(), good))},
        r"assign of .* gives modes of another kind, a Tensor of torch\.float32",
    ),
    "one answer": ({"assign": judged(lambda mode, good: mode)}, "assign of .* gives a Tensor of torch.int64 and shape"),
    "column": (
        {"assign": judged(lambda mode, good: (mode[:, None], good))},
        r"assign of .* modes of another kind, a Tensor of torch\.int64 and shape \(11, 1\)",
    ),
    "arrays": (
        {"assign": judged(lambda mode, good: (mode.numpy(), good.numpy()))},
        r"assign of .* modes of another kind, an ndarray of int64 and shape \(11,\)",
    ),
    "from one": ({"assign": judged(lambda mode, good: (mode + 1, good))}, r"assign of .* gives modes from \d to 8; "),
    "assign fails": (
        {"assign": broken},
        r"assign of task 'my-ring' fails on a trial: .* no such table \(test_trial\.py, line \d+\); it must give",
    ),
    "NaN is mode 0": (
        {"assign": judged(lambda mode, good: (mode.clamp(min=0), good))},
        r"assign \(asked about a sample of NaN\) of task .* gives mode 0 and False of it; it must give -1 and False",
    ),
    "NaN fails": (
        {"assign": lambda _, x: RING.assign(x) if x.isfinite().all() else broken()},
        r"assign \(asked about a sample of NaN\) of task .* fails on a trial: .*-1 and False of a sample that is not",
    ),
    "counts": (
        {"modes": weighted(SHARES * 80)},
        r"modes\.weights of .* gives shares that sum to 80, the least of them 10; it must give shares above 0 that sum",
    ),
    "empty mode": ({"modes": weighted(torch.eye(8)[0])}, r"modes\.weights .* sum to 1, the least of them 0; it must"),
    "too few weights": (
        {"modes": weighted(SHARES[:4] * 2)},
        r"modes\.weights of .* gives a Tensor of torch\.float64 and shape \(4,\); it must give a float64 tensor of"
        r" shape \(8,\)",
    ),
    "listed weights": ({"modes": weighted([0.125] * 8)}, r"modes\.weights of .* gives a list of 8; it must"),
    "numbered names": ({"modes": weighted(SHARES, tuple(range(8)))}, r"modes\.names of .* gives \(0, 1, .* a text"),
    "no modes": ({"modes": None}, r"modes of task 'my-ring' gives None; it must give a Modes\("),
    "transposed": (
        {"sample": drawn(lambda x, labels: (x.T, labels))},
        r"sample of .* gives samples that are a Tensor of torch\.float32 and shape \(2, 11\); it must give a floating"
        r" tensor of shape \(11, 2\)",
    ),
    "samples alone": (
        {"held_out": drawn(lambda x, labels: x)},
        r"held_out of .* gives a Tensor of .* it must give the pair \(samples, labels\)",
    ),
    "whole samples": ({"held_out": drawn(lambda x, labels: (x.long(), labels))}, "held_out of .* torch.int64"),
    "NaN in samples": ({"sample": drawn(lambda x, labels: (x / 0, labels))}, "sample of .* gives samples with NaN or"),
    "label columns": (
        {"sample": drawn(lambda x, labels: (x, labels[:, None]))},
        r"sample of .* gives labels that are a Tensor of torch\.int64 and shape \(11, 1\); it must give int64 of shape"
        r" \(11,\) from 0 to 7",
    ),
    "short labels": ({"sample": drawn(lambda x, labels: (x, labels.int()))}, r"labels that are a Tensor of torch\.int"),
    "high labels": ({"sample": drawn(lambda x, labels: (x, labels + 1))}, r"sample of .* gives labels from \d to 8"),
    "no labels": ({"sample": drawn(lambda x, labels: (x, None))}, r"sample of .* labels that are None; it must"),
    "labels of none": ({"classes": 0}, r"source\(\.\.\.\)\(n, draw\) of .* it must give None, because `classes` is 0"),
    "double source": (
        {"source": sourced(lambda x, labels: (x.double(), labels))},
        r"source\(\.\.\.\)\(n, draw\) of .* gives a Tensor of torch\.float64 .* it must give samples of torch\.float32",
    ),
    "its own batch": (
        {"source": sourced(lambda x, labels: (x.repeat(8, 1)[:64], labels.repeat(8)[:64]))},
        r"source\(\.\.\.\)\(n, draw\) of .* shape \(64, 2\); it must give a floating tensor of shape \(11, 2\)",
    ),
    "chance of its own": (
        {"source": sourced(lambda x, labels: (x + torch.randn(11, 2), labels))},
        r"source\(\.\.\.\)\(n, draw\) of .* gives other samples when it was asked again with the same draw; .*take all",
    ),
    "no source": ({"source": lambda *_, **__: None}, r"source of .* gives None; it must give a function \(n, draw\)"),
    "source fails": ({"source": broken}, r"source of .* fails on a trial: .* table \(test_trial\.py, line \d"),
    "no measures": (
        {"further_measures": lambda *_: None},
        "further_measures of .* gives None; it must give a dict of names to finite numbers or None",
    ),
    "NaN measure": ({"further_measures": lambda *_: {"f": math.nan}}, "further_measures of .* gives 'f': nan; it must"),
    "tensor measure": ({"further_measures": lambda *_: {"f": torch.ones(())}}, "further_measures of .* 'f': a Tensor"),
    "measures fail": ({"further_measures": broken}, "further_measures of .* fails on a trial: RuntimeError"),
    "original": ({"to_original": lambda _, x: x.numpy()}, r"to_original of .* gives an ndarray of float32 and shape"),
}  # fmt: skip
DECLARED: dict[str, tuple[dict[str, Any], str]] = {
    "whole shape": ({"shape": 2}, r"shape of task 'my-ring' gives 2; it must give a tuple of whole numbers from 1"),
    "empty shape": ({"shape": ()}, r"shape of task 'my-ring' gives \(\); it must"),
    "shape of texts": ({"shape": ("2",)}, r"shape of task 'my-ring' gives \('2',\); it must"),
    "classes": ({"classes": None}, r"classes of task 'my-ring' gives None; it must give the number of labels"),
    "negative classes": ({"classes": -1}, "classes of task 'my-ring' gives -1; it must"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_a_member_gives_wrongly_is_one_sentence(case: str, tmp_path: Path) -> None:
    members, message = WRONG[case]
    task = ring_with(**members)
    with pytest.raises(UserError, match=message) as raised:
        uc.train("vanilla", task, **SIZES, out=tmp_path / "run")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run" / "spec.json").exists()


@pytest.mark.parametrize("case", DECLARED)
def test_what_is_declared_wrongly_is_refused_with_the_specification(case: str) -> None:
    members, message = DECLARED[case]
    with pytest.raises(UserError, match=message):
        make_spec("vanilla", ring_with(**members), seeds=[0])


def test_labels_to_ask_for_are_tried_where_the_method_asks() -> None:
    task = ring_with(balanced_labels=lambda _, n: torch.zeros(n))
    uc.train("vanilla", task, **SIZES)
    message = (
        r"balanced_labels of .* gives labels that are a Tensor of torch\.float32 .* int64 of shape \(11,\) from 0 to"
    )
    with pytest.raises(UserError, match=message):
        uc.train("cgan", task, **SIZES)


def test_a_right_task_trains_as_the_built_in_one_and_moves_no_stream() -> None:
    """Also where it draws from a global stream, as in `further_measures`."""

    def further(_: Any, x: Tensor, labels: Any) -> dict[str, float | None]:
        return {"mine": float(np.random.random() + random.random() + torch.rand(())), "none": None}  # noqa: NPY002

    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    try_task(ring_with(further_measures=further), labelled=True)
    assert random.getstate() == before[0]
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])
    mine = uc.train("cgan", Ring(), **SIZES)
    theirs = uc.train("cgan", find("ring-8").but(measure_size=60), **SIZES)
    assert torch.equal(mine.samples(20, seed=0), theirs.samples(20, seed=0))
    assert mine.metrics[0]["counts"] == theirs.metrics[0]["counts"]


def test_a_measure_may_need_as_many_samples_as_a_result_has() -> None:
    asked: list[int] = []

    def further(_: Any, x: Tensor, labels: Tensor | None) -> dict[str, float | None]:
        asked.append(len(x))
        assert labels is not None
        assert len(labels) == len(x)
        return {"mine": float(x[50, 0])}

    try_task(ring_with(further_measures=further), labelled=True)
    assert asked == [TRIED, 60]
    with pytest.raises(UserError, match=r"further_measures .* IndexError"):
        try_task(ring_with(further_measures=lambda _, x, labels: {"mine": float(x[60, 0])}))


def test_the_projects_tasks_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> object:
        raise AssertionError

    monkeypatch.setattr(Mixture, "assign", never)
    try_task(RING)
    check_declared(RING)
    with pytest.raises(UserError, match=r"assign of .* AssertionError"):
        try_task(Ring())


def test_a_finished_run_is_not_tried_again(tmp_path: Path) -> None:
    calls: list[int] = []

    def further(_: Any, x: Tensor, labels: Any) -> dict[str, float | None]:
        calls.append(len(x))
        return {}

    task = ring_with(further_measures=further)
    for _ in range(2):
        uc.train("vanilla", task, **SIZES, out=tmp_path / "run")
    assert calls == [TRIED, 60, 60]  # the trial, and both generators of the result


def test_pairs_and_names_may_be_lists() -> None:
    """They train to the same numbers, because all that is done with a pair is to take it apart."""
    names = list(RING.modes.names)
    lists = ring_with(
        modes=Modes(names=names, weights=RING.modes.weights),  # type: ignore[arg-type]
        source=lambda _, seed, **keys: lambda n, draw: list(RING.source(seed, **keys)(n, draw)),
        assign=lambda _, x: list(RING.assign(x)),
    )
    try_task(lists)
    one, other = (Trainer(make_spec("vanilla", task, **SIZES)) for task in (lists, RING))
    for trainer in (one, other):
        trainer.advance(4)
    assert torch.equal(one.lanes.state.generator.parameters, other.lanes.state.generator.parameters)
