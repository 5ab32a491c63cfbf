"""All metrics at once give what each gives alone, and one that fails does not take the others with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from uncollapse.errors import UserError
from uncollapse.metrics.metric import NAMES, find_metric
from uncollapse.metrics.pairs import Pair
from uncollapse.metrics.together import FEATURE_METRICS, feature_metrics

DRAWS = np.random.default_rng(0)
REAL = DRAWS.normal(size=(160, 3))
FAKE = 0.8 * DRAWS.normal(size=(120, 3)) + 0.3


@pytest.fixture(scope="module")
def found():
    return feature_metrics(real=REAL, fake=FAKE, train=REAL)


def test_all_metrics_of_features_come_in_the_order_of_the_list(found):
    assert tuple(found) == FEATURE_METRICS
    assert len(FEATURE_METRICS) == 16
    assert [name for name in NAMES if name in found] == list(found)
    assert "authenticity" not in feature_metrics(real=REAL[:30], fake=FAKE[:30], level=None)


@pytest.mark.parametrize("name", FEATURE_METRICS)
def test_each_is_exactly_what_its_own_function_gives(found, name):
    sides = {
        "authenticity": {"train": REAL}, "birthday": {}
    }.get(name, {"real": REAL})  # fmt: skip
    assert found[name].to_json() == find_metric(name).function(fake=FAKE, **sides).to_json()


def test_the_stream_reaches_every_metric_in_the_same_state_and_moves_on_once():
    names = ("sliced_wasserstein", "coverage")
    stream = torch.Generator().manual_seed(4)
    first = feature_metrics(real=REAL, fake=FAKE, metrics=names, generator=stream)
    for name in names:
        own = find_metric(name).function(real=REAL, fake=FAKE, generator=torch.Generator().manual_seed(4))
        assert first[name].to_json() == own.to_json()
    again = feature_metrics(real=REAL, fake=FAKE, metrics=names, generator=stream)
    assert again["sliced_wasserstein"].value != first["sliced_wasserstein"].value


def test_one_walk_serves_all_that_need_pairs(monkeypatch):
    walks = []
    walk = Pair.walk
    monkeypatch.setattr(Pair, "walk", lambda pair, visitors, **more: walks.append(1) or walk(pair, visitors, **more))
    names = ["precision", "recall", "density", "coverage", "kernel_distance", "mmd_rbf", "diversity", "authenticity"]
    feature_metrics(real=REAL, fake=FAKE, train=REAL, metrics=names, level=None)
    assert len(walks) == 1


def test_training_rows_of_their_own_are_used():
    train = np.concatenate([FAKE[:40], REAL[:40]])
    found = feature_metrics(real=REAL, fake=FAKE[:40], train=train, metrics=["authenticity"], level=None)
    # Every fake is a training row.
    assert found["authenticity"].value == 0


def test_what_cannot_be_computed_says_why_and_the_others_come():
    names = ["coverage", "precision", "ndb", "authenticity", "frechet_distance", "mmd_rbf"]
    found = feature_metrics(real=REAL[:5], fake=np.zeros((5, 3)), metrics=names, level=None)
    assert list(found) == [name for name in NAMES if name in names]
    assert found["coverage"].value is None
    assert "too few for k = 5 neighbours" in found["coverage"].reason
    assert "needs the rows the generator was trained on" in found["authenticity"].reason
    assert "real has 5 rows" in found["ndb"].reason
    assert found["mmd_rbf"].value is None
    assert (found["precision"].value, found["precision"].details["k"]) == (pytest.approx(found["precision"].value), 3)
    assert found["frechet_distance"].value > 0


def test_the_order_of_rows_and_the_library_do_not_matter():
    names = ["coverage", "kernel_distance", "c2st"]
    one = feature_metrics(real=REAL, fake=FAKE, metrics=names)
    other = feature_metrics(real=torch.from_numpy(REAL).flip(0), fake=torch.from_numpy(FAKE).flip(0), metrics=names)
    for name in names:
        assert other[name].value == pytest.approx(one[name].value, rel=1e-9)
        assert (other[name].low, other[name].high) == pytest.approx((one[name].low, one[name].high), rel=1e-6)


@pytest.mark.usefixtures("global_random_untouched")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": ["covrage"]}, "There is no metric 'covrage'; did you mean 'coverage'"),
        ({"metrics": ["path_length"]}, "path_length takes a generator; this works on metrics of features"),
        ({"metrics": "coverage"}, r"metrics must be a list of names, for example \['coverage'\]"),
        ({"fake": FAKE[:, :2]}, "real has 3 features a row and fake has 2"),
        ({"fake": FAKE * np.nan}, "fake has 120 rows that are not finite"),
        ({"train": FAKE[:, :2]}, "train has 2 features a row and fake has 3"),
        ({"level": 95}, "level must be between 0 and 1"),
    ],
)
def test_what_no_metric_can_use_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        feature_metrics(**({"real": REAL, "fake": FAKE, "metrics": ["authenticity"]} | changes))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_gpu_gives_the_numbers_of_the_cpu(dtype):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    draws = np.random.default_rng(1)
    real, fake = (torch.from_numpy(shift + draws.normal(size=(900, 12))).to(dtype) for shift in (0.0, 0.3))
    ours = feature_metrics(real=real.cuda(), fake=fake.cuda(), train=real.cuda())
    theirs = feature_metrics(real=real, fake=fake, train=real)
    for name in FEATURE_METRICS:
        on_gpu, on_cpu = ours[name], theirs[name]
        assert on_gpu.reason == on_cpu.reason, name
        for number, close in (("value", 1e-6), ("low", 1e-4), ("high", 1e-4)):
            expected = getattr(on_cpu, number)
            assert getattr(on_gpu, number) == (
                None if expected is None else pytest.approx(expected, rel=close, abs=close / 100)
            ), (name, number)
