"""How samples are judged: the classifier's memory and devices, the nearest image, components, splits, clusters."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.neighbors  # noqa: F401 - sets OpenMP's environment variables at its first import, which is no leak of a test
import torch

from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.features.classifier import digits_card, digits_classifier
from uncollapse.tasks import judging
from uncollapse.tasks.digits import split
from uncollapse.tasks.judging import Components, Nearest, as_floats, classified, held_out_fifth, k_means


def test_the_class_and_the_confidence_are_the_classifiers() -> None:
    held = split().held_out
    confidence, digit = digits_classifier().probabilities(held).max(1)
    seen, sure = classified("digits", held.double())
    assert torch.equal(seen, digit)
    assert torch.equal(sure, confidence >= digits_card().confidence_threshold)
    assert int((~sure).sum()) == pytest.approx(0.05 * len(held), abs=2)


def test_the_same_images_are_classified_once_and_changed_ones_again(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    real = judging._classify
    monkeypatch.setattr(judging, "_classify", lambda *given: passes.append(1) or real(*given))
    monkeypatch.setattr(judging, "_ANSWERS", {})
    x = split().train[:40].clone()
    first, _ = classified("digits", x)
    first[0] = 99  # a caller's own copy
    assert classified("digits", x.reshape(40, 64))[0][0] == split().train_labels[0]
    assert len(passes) == 1
    x[0] = x[39]
    assert classified("digits", x)[0][0] == split().train_labels[39]
    assert len(passes) == 2
    for k in range(10):
        classified("digits", x[k : k + 1])
    assert len(judging._ANSWERS) == judging.REMEMBERED


def test_what_is_not_finite_and_nothing_at_all() -> None:
    x = split().train[:3].clone()
    x[1, 4, 4] = float("inf")
    seen, sure = classified("digits", x)
    assert (seen[1].item(), bool(sure[1])) == (-1, False)
    assert torch.equal(seen[[0, 2]], split().train_labels[[0, 2]])
    assert [len(part) for part in classified("digits", x[:0])] == [0, 0]


def test_the_shared_classifier_stays_as_it_is() -> None:
    classified("digits", split().train[:4])
    assert digits_classifier().convolutions[0].weight.is_contiguous()
    assert digits_classifier() is not judging._placed("digits", "cpu")


@pytest.mark.gpu
def test_on_a_gpu_the_answers_are_the_same() -> None:
    held = split().held_out
    seen, sure = classified("digits", held.cuda())
    assert seen.is_cuda
    assert torch.equal(seen.cpu(), classified("digits", held)[0])
    assert (sure.cpu() == classified("digits", held)[1]).double().mean() > 0.99


def test_bytes_become_floats_from_minus_one_to_one() -> None:
    found = as_floats(torch.tensor([0, 51, 255], dtype=torch.uint8), torch.float64)
    assert found.tolist() == pytest.approx([-1, -0.6, 1], abs=1e-15)
    kept = torch.tensor([0.25], dtype=torch.float64)
    assert as_floats(kept, torch.float32).tolist() == [0.25]


def test_nearest_by_hand() -> None:
    rows = np.array([[0, 0], [10, 0], [0, 1], [10, 3], [4, 0]], dtype=np.float32)
    modes = np.array([0, 1, 0, 1, 1])
    out = np.array([False, False, True, True, True])
    judge = Nearest(rows, modes, out)
    # Distances of the held-out rows 1, 3 and 4; the last one lies nearer to the other mode.
    assert judge.reach == pytest.approx(np.quantile([1, 3, 4], 0.95))
    assert judge.accuracy == pytest.approx(2 / 3)
    asked = np.array([[1, 0], [9, 0], [-50, 0], [np.nan, 0]], dtype=np.float32)
    mode, good = judge.judge(asked)
    assert mode.tolist() == [0, 1, 0, -1]
    assert good.tolist() == [True, True, False, False]


def test_components_keep_distances_and_put_noise_far_away() -> None:
    draw = stream(0, "pictures")
    # Pictures on a plane of ten patterns: their components hold everything.
    patterns, weights = draw.uniform(10, 3, 12, 12), draw.uniform(300, 10)
    images = (torch.einsum("nk,kchw->nchw", weights, patterns) * 25).to(torch.uint8)
    components = Components(images)
    rows, flat = components.of(images), as_floats(images, torch.float64).flatten(1)
    apart = torch.cdist(flat, flat).numpy()
    ours = np.linalg.norm(rows[:, None].astype(float) - rows[None], axis=-1)
    assert rows.shape == (300, 65)
    assert (ours <= apart + 1e-3).all()  # never above those of the pixels
    np.testing.assert_allclose(ours, apart, rtol=0.02, atol=0.25)  # rounding to bytes is all that is lost
    noise = components.of(2 * draw.uniform(50, 3, 12, 12) - 1)
    to_noise = np.linalg.norm(noise[:, None] - rows[None], axis=-1).min(1)
    np.fill_diagonal(ours, np.inf)
    assert to_noise.min() > 2 * ours.min(1).max()


def test_a_fifth_of_every_mode_is_held_out_and_always_the_same() -> None:
    modes = np.repeat([0, 1, 2, 3], [100, 7, 2, 1])
    out = held_out_fifth(modes)
    assert [int(out[modes == mode].sum()) for mode in range(4)] == [20, 1, 1, 0]
    assert (out == held_out_fifth(modes)).all()
    assert out[:100].nonzero()[0].tolist() != list(range(20))


def test_k_means_finds_groups_and_refuses_too_few_rows() -> None:
    draws = np.random.default_rng(0)
    rows = np.concatenate([draws.normal(20 * k, 1, (50, 3)) for k in range(3)]).astype(np.float32)
    found = k_means(rows, 3, "mine")
    assert sorted(len(set(found[50 * k : 50 * k + 50])) for k in range(3)) == [1, 1, 1]
    assert len(set(found)) == 3
    with pytest.raises(UserError, match="mine has fewer than 4 distinct rows; choose a smaller clusters"):
        k_means(np.repeat(np.eye(3, dtype=np.float32), 9, axis=0), 4, "mine")
