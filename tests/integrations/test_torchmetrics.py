"""In batches, in any order and in two processes: the value is that of the whole data, and reset forgets everything."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from sklearn.ensemble import ExtraTreesClassifier as ExtraTrees
from torch import Tensor

from uncollapse import metrics
from uncollapse.errors import UserError

if importlib.util.find_spec("torchmetrics") is None:
    pytest.skip("torchmetrics is not installed here", allow_module_level=True)

from uncollapse.integrations import torchmetrics as ours

# Class, its settings, the function's name, and whether the function takes real rows.
CASES: list[tuple[str, dict[str, Any], str, bool]] = [
    ("FrechetDistance", {}, "frechet_distance", True),
    ("FrechetDistanceFromMoments", {"width": 4}, "frechet_distance", True),
    ("FrechetInfinity", {}, "frechet_infinity", True),
    ("KernelDistance", {}, "kernel_distance", True),
    ("MmdRbf", {"sigma": 2.0}, "mmd_rbf", True),
    ("SlicedWasserstein", {"projections": 64}, "sliced_wasserstein", True),
    ("Precision", {"k": 2}, "precision", True),
    ("Recall", {}, "recall", True),
    ("Density", {"k": 4}, "density", True),
    ("Coverage", {}, "coverage", True),
    ("C2st", {"classifier": "neighbours"}, "c2st", True),
    ("Ndb", {"bins": 12}, "ndb", True),
    ("Diversity", {}, "diversity", True),
    ("VendiScore", {"order": 2.0}, "vendi_score", True),
    ("Duplicates", {"tolerance": 0.2}, "duplicates", True),
    ("Birthday", {"tolerance": 0.2}, "birthday", False),
]
IDS = [case[0] for case in CASES]

PROCESS = """
import json, sys
import torch
import torch.distributed.nn.functional  # keeps the group alive to the end, and its threads, unless it comes first
from torch import distributed
from uncollapse.integrations import torchmetrics as ours

rank, folder = int(sys.argv[1]), sys.argv[2]
told = json.load(open(folder + "/told.json", encoding="utf-8"))
distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
said = {}
for name, settings in told["cases"]:
    metric = getattr(ours, name)(**settings)
    for batch, real in told["batches"][rank]:
        metric.update(torch.tensor(batch), real=real)
    value, estimate = float(metric.compute()), metric.estimate()
    own = len(metric.real) if isinstance(metric.real, list) else -1
    said[name] = [value, estimate.value, estimate.low, estimate.high, estimate.n_real, estimate.n_fake, own]
if rank == 1:
    uneven = ours.Diversity()
    uneven.update(torch.ones(3, 2), real=False)
else:
    uneven = ours.Diversity()
    uneven.update(torch.ones(3, 4), real=False)
try:
    uneven.compute()
except ValueError as error:
    said["uneven"] = str(error)
json.dump(said, open(f"{folder}/said-{rank}.json", "w", encoding="utf-8"))
distributed.destroy_process_group()
"""


def sides() -> tuple[Tensor, Tensor]:
    """Real rows (150, 4) and fakes (90, 4) that lie closer together, aside, a tenth of them twice."""
    fake = 0.7 * torch.randn(90, 4) + 0.3
    fake[:9] = fake[9:18]
    return torch.randn(150, 4), fake


def whole(name: str, settings: dict[str, Any], takes_real: bool, real: Tensor, fake: Tensor) -> Any:
    given = {key: value for key, value in settings.items() if key != "width"}
    return getattr(metrics, name)(**({"real": real} if takes_real else {}), fake=fake, **given)


@pytest.mark.parametrize(("case", "settings", "name", "takes_real"), CASES, ids=IDS)
def test_batches_give_what_the_whole_gives_and_reset_forgets(
    case: str, settings: dict[str, Any], name: str, takes_real: bool
) -> None:
    real, fake = sides()
    metric = getattr(ours, case)(**settings)
    for _ in range(2):
        for start in range(0, 150, 40):
            metric.update(real[start : start + 40], real=True)
            if start < 90:
                metric(fake[start : start + 40], real=False)
        expected = whole(name, settings, takes_real, real, fake)
        found = metric.estimate()
        assert float(metric.compute()) == pytest.approx(expected.value, rel=1e-5)
        assert found.value == pytest.approx(expected.value, rel=1e-9, abs=1e-12)
        assert (found.n_real, found.n_fake) == (expected.n_real, expected.n_fake) == (150 if takes_real else None, 90)
        if case != "FrechetDistanceFromMoments":
            assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-6)
            assert found.level == 0.95
        metric.reset()
    with pytest.raises(UserError, match=f"{case} has no (real|fake) rows; call update"):
        metric.estimate()


def test_the_frechet_distance_is_that_of_scipy_and_not_symmetric_in_its_sides() -> None:
    real, fake = sides()
    metric = ours.FrechetDistanceFromMoments(4)
    metric.update(real, real=True)
    metric.update(fake.numpy(), real=False)
    covariances = [np.cov(side.double().numpy().T) for side in (real, fake)]
    shift = real.double().mean(0) - fake.double().mean(0)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = float(shift @ shift) + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-6)
    assert metric.estimate().low is None
    assert "the interval needs rows" in str(metric.estimate().reason)


def test_real_and_fake_are_not_exchanged() -> None:
    line, spot = torch.linspace(-9, 9, 100)[:, None].repeat(1, 2), 0.1 * torch.randn(100, 2)
    precision, recall = ours.Precision(), ours.Recall()
    for metric in (precision, recall):
        metric.update(line + 0.1 * torch.randn(100, 2), real=True)
        metric.update(spot, real=False)
    assert float(precision.compute()) > 0.9, "the spot lies on the line"
    assert float(recall.compute()) < 0.2, "and covers little of it"
    assert precision.higher_is_better
    assert ours.KernelDistance.higher_is_better is False
    assert ours.Diversity.higher_is_better is None


def test_a_collection_shares_one_update(recwarn: pytest.WarningsRecorder) -> None:
    from torchmetrics import MetricCollection

    real, fake = sides()
    together = MetricCollection([ours.Precision(), ours.Recall(), ours.Birthday(tolerance=0.2), ours.MmdRbf()])
    for rows, which in ((real, True), (fake[:50], False), (fake[50:], False)):
        together.update(rows, real=which)
    found = together.compute()
    assert float(found["Recall"]) == pytest.approx(metrics.recall(real=real, fake=fake).value, rel=1e-5)
    assert float(found["Birthday"]) == pytest.approx(metrics.birthday(fake=fake, tolerance=0.2).value, rel=1e-5)
    assert float(found["MmdRbf"]) == pytest.approx(metrics.mmd_rbf(real=real, fake=fake).value, rel=1e-5)


def test_double_precision_is_kept_where_it_is_asked_for() -> None:
    real, fake = (side.double() + 1e-9 * torch.randn(len(side), 4, dtype=torch.float64) for side in sides())
    metric = ours.KernelDistance().set_dtype(torch.float64)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    assert metric.estimate().value == pytest.approx(metrics.kernel_distance(real=real, fake=fake).value, rel=1e-12)


def test_moments_stay_exact_whatever_the_type() -> None:
    real, fake = sides()
    metric = ours.FrechetDistanceFromMoments(4).set_dtype(torch.float16)
    metric.half()
    metric.update(real, real=True)
    metric.update(fake, real=False)
    assert metric.real.dtype == torch.float64
    assert metric.estimate().value == pytest.approx(metrics.frechet_distance(real=real, fake=fake).value, rel=1e-9)


@pytest.mark.slow
def test_two_processes_say_what_the_whole_says_though_one_has_no_real_rows(tmp_path: Path) -> None:
    real, fake = sides()
    first = [(real[:70].tolist(), True), (fake[:25].tolist(), False), (real[70:].tolist(), True)]
    second = [(fake[25:65].tolist(), False), (fake[65:].tolist(), False)]
    told = {"cases": [(case, settings) for case, settings, _, _ in CASES], "batches": [first, second]}
    (tmp_path / "told.json").write_text(json.dumps(told))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(rank), str(tmp_path)], stderr=subprocess.PIPE, text=True,
            env=environment,
        )
        for rank in range(2)
    ]  # fmt: skip
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    said = [json.loads((tmp_path / f"said-{rank}.json").read_text()) for rank in range(2)]
    for case, settings, name, takes_real in CASES:
        expected = whole(name, settings, takes_real, real, fake)
        for rank in range(2):
            value, exact, low, high, n_real, n_fake, own = said[rank][case]
            assert value == pytest.approx(expected.value, rel=1e-5), case
            assert exact == pytest.approx(expected.value, rel=1e-9, abs=1e-12), case
            assert (n_real, n_fake) == (expected.n_real, expected.n_fake)
            if case != "FrechetDistanceFromMoments":
                assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-6)
                assert own == (0 if rank or not takes_real else 2), "each process has its own rows again"
    assert said[0]["uneven"] == "Processes hold rows of 2 and of 4 features; use one extractor in all."


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ours.Recall(level=2), "level must be between 0 and 1"),
        (lambda: ours.FrechetDistanceFromMoments(0), "width is the number of features"),
        (lambda: ours.Recall().update(torch.zeros(3), real=True), r"real must be a matrix \(n, d\)"),
        (lambda: ours.Recall().update(torch.full((3, 2), torch.nan), real=False), "fake"),
        (lambda: ours.FrechetDistanceFromMoments(3).update(torch.zeros(5, 2), real=True), "was made for 3"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told(make: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        make()


# The settings that no rows could make possible, and the same a little further on, which are kept.
OUT_OF_RANGE: list[tuple[str, str, list[Any], list[Any]]] = [
    ("Coverage", "k", [0, -1, 1.5, True, "3"], [1, np.int64(3), None]),
    ("Precision", "k", [0], [1]),
    ("Recall", "k", [0], [1]),
    ("Density", "k", [0], [1]),
    ("MmdRbf", "sigma", [0, -1.0, "a", math.nan, math.inf, True], [0.5, np.float32(2)]),
    ("SlicedWasserstein", "projections", [0, 1.5, "a"], [1]),
    ("C2st", "classifier", ["svm", None, 3, ExtraTrees], ["mlp", ExtraTrees()]),
    ("Ndb", "bins", [1, 2.5, "a"], [2]),
    ("VendiScore", "order", [-1.0, "a", math.nan, None], [0, math.inf]),
    ("Duplicates", "tolerance", [-1.0, "a", math.nan, math.inf, None], [0, 0.5]),
    ("Birthday", "tolerance", [-1.0], [0.0]),
]


@pytest.mark.parametrize(("name", "setting", "wrong", "right"), OUT_OF_RANGE, ids=[case[0] for case in OUT_OF_RANGE])
def test_a_setting_out_of_its_range_is_refused_at_construction_as_by_the_function(
    name: str, setting: str, wrong: list[Any], right: list[Any]
) -> None:
    function = getattr(metrics, next(case[2] for case in CASES if case[0] == name))
    sides = {"fake": torch.randn(9, 2)} | ({"real": torch.randn(9, 2)} if name not in ("Birthday",) else {})
    for value in wrong:
        with pytest.raises(UserError, match=rf"^{setting} must") as ours_says:
            getattr(ours, name)(**{setting: value})
        with pytest.raises(UserError) as function_says:
            function(**sides, **{setting: value})
        assert str(function_says.value) == str(ours_says.value)
    for value in right:
        assert getattr(getattr(ours, name)(**{setting: value}), setting) is value


@pytest.mark.parametrize("kind", [bool, np.bool_, np.array, torch.tensor])
def test_the_side_may_be_a_truth_value_of_numpy_or_torch(kind: Any) -> None:
    one, other = ours.Coverage(), ours.Coverage()
    for real in (True, False):
        rows = torch.randn(30, 2, generator=torch.Generator().manual_seed(int(real)))
        one.update(rows, real=real)
        other.update(rows, real=kind(real))
    assert one.compute() == other.compute()


@pytest.mark.parametrize("real", ["fake", "real", 1, 0, None, torch.tensor([True, False])], ids=str)
def test_the_side_is_true_or_false_and_no_text(real: Any) -> None:
    metric = ours.Coverage()
    with pytest.raises(UserError, match="real must be True for rows of real data or False for fakes, not"):
        metric.update(torch.randn(5, 2), real=real)
    assert (metric.real, metric.fake) == ([], [])
    metric.update(torch.randn(5, 2), real=np.bool_(False))
    assert (len(metric.real), len(metric.fake)) == (0, 1)


def test_another_width_is_told_and_changes_nothing() -> None:
    metric = ours.Diversity()
    metric.update(torch.randn(5, 2), real=False)
    with pytest.raises(UserError, match="These rows have 3 features, earlier ones 2"):
        metric.update(torch.randn(5, 3), real=False)
    assert metric.estimate().n_fake == 5


def test_without_the_package_one_sentence_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    monkeypatch.delitem(sys.modules, "uncollapse.integrations.torchmetrics")
    with pytest.raises(UserError, match=r"pip install 'uncollapse\[torchmetrics\]'"):
        importlib.import_module("uncollapse.integrations.torchmetrics")


def test_an_array_in_place_of_the_side_is_not_printed_and_numpys_widths_count() -> None:
    with pytest.raises(UserError, match=r"for fakes, not one ndarray\.$"):
        ours.Coverage().update(True, np.zeros((50, 2)))  # type: ignore[arg-type]
    metric = ours.FrechetDistanceFromMoments(np.int64(2))  # type: ignore[arg-type]
    assert type(metric.width) is int
    with pytest.raises(UserError, match="width is the number of features"):
        ours.FrechetDistanceFromMoments(2.0)  # type: ignore[arg-type]
