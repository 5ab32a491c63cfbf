from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sklearn.neighbors  # noqa: F401 - sets OpenMP's environment variables at its first import, which is no leak of a test
import torch

from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.metrics.modes import mode_measures
from uncollapse.tasks import Arrays, find, from_spec
from uncollapse.tasks.arrays import SUMMARY, load


def three_groups(rows: int = 100) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x = np.concatenate([generator.normal((100 * k, 7, -k), (1, 1, 0.01), (rows, 3)) for k in range(3)])
    return x, np.repeat(["low", "middle", "top"], rows)


def test_training_rows_are_standardised_and_brought_back() -> None:
    x, labels = three_groups()
    x[:, 1] = 7  # a constant feature
    task = Arrays(x, labels)
    # The three groups of 100 keep 80 training rows each.
    assert task.available == 240
    rows, _ = task.source(0)(20_000, stream(0, "real", dtype=torch.float64))
    assert rows.mean(0).tolist() == pytest.approx([0, 0, 0], abs=0.03)
    assert rows.std(0).tolist() == pytest.approx([1, 0, 1], abs=0.02)
    apart = torch.cdist(task.to_original(rows[:50]).double(), torch.from_numpy(x))
    assert apart.min(1).values.max() < 1e-3


def test_labels_are_the_modes() -> None:
    task = Arrays(*three_groups())
    assert task.modes.names == ("label low", "label middle", "label top")
    assert (task.classes, task.shape, task.networks.latent) == (3, (3,), 16)
    for drawn in (task.sample(600, stream(0, "test")), task.held_out(600, stream(0, "test"))):
        assert torch.equal(task.assign(drawn[0])[0], drawn[1])
    # 60 held-out rows, of which the farthest 5 % (3) are beyond the reach by definition.
    unique = torch.unique(task.held_out(6000, stream(0, "test"))[0], dim=0)
    assert len(unique) == 60
    assert int((~task.assign(unique)[1]).sum()) == 3
    assert not task.assign(torch.full((4, 3), 50.0))[1].any()


def test_training_and_held_out_rows_are_disjoint() -> None:
    task = Arrays(*three_groups())
    train = {row.numpy().tobytes() for row in task.sample(5000, stream(0, "test"))[0]}
    held = {row.numpy().tobytes() for row in task.held_out(5000, stream(0, "test"))[0]}
    assert not train & held


def test_without_labels_k_means_finds_the_groups() -> None:
    x, labels = three_groups()
    task = Arrays(x, clusters=3)
    assert (task.classes, task.modes.names) == (0, ("cluster 0", "cluster 1", "cluster 2"))
    assert task.modes.weights.tolist() == pytest.approx([1 / 3] * 3)
    sample, none = task.sample(300, stream(0, "test"))
    assert none is None
    # Clusters have no names, so they are compared through the groups they hold.
    group = np.searchsorted([50, 150], task.to_original(sample)[:, 0].numpy())
    mode = task.assign(sample)[0].numpy()
    assert sorted({(int(a), int(b)) for a, b in zip(group, mode, strict=True)})[::1] == sorted(
        {(g, int(mode[group == g][0])) for g in range(3)}
    )
    assert Arrays(x).clusters == 10
    assert Arrays(x[:70]).clusters == 7
    assert len(labels) == 300


def test_images_keep_their_shape_and_what_is_not_finite_has_no_mode() -> None:
    x = np.random.default_rng(0).integers(0, 255, (80, 4, 5, 3)).astype(np.uint8)
    task = Arrays(x, np.arange(80) % 2)
    assert task.shape == (3, 4, 5)
    sample, _ = task.sample(7, stream(0, "test"))
    assert sample.shape == (7, 3, 4, 5)
    sample[2, 0, 0, 0] = torch.nan
    mode, good = task.assign(sample)
    assert (mode[2].item(), good[2].item()) == (-1, False)
    assert (mode >= 0).sum() == 6
    assert Arrays(np.random.default_rng(0).random((60, 2)), clusters=2).networks.latent == 2


def test_measures_see_a_lost_label() -> None:
    task = Arrays(*three_groups())
    x, labels = task.sample(900, stream(0, "test"))
    measures = mode_measures(x[labels != 1], task)
    assert (measures["modes_hit"], measures["modes_solid"]) == (2, 2)
    assert measures["core_sigma_ratio"] is None
    assert measures["tutorial_coverage"] is None


def test_the_spec_holds_the_hash_of_the_data(tmp_path: Path) -> None:
    x, labels = three_groups()
    task = Arrays(x, labels)
    assert task != Arrays(x + 1, labels)
    assert task != Arrays(x)
    assert task == Arrays(x.copy(), labels.copy())
    with pytest.raises(UserError, match="given as arrays in memory"):
        from_spec(task.spec())
    file = tmp_path / "points of mine.npz"
    task.save(file)
    read = find(f"array:{file}", train_size=50)
    assert read.sha256 == task.sha256
    assert read.slug == "array-points-of-mine"
    assert from_spec(read.spec()) == read
    Arrays(x + 1, labels).save(file)
    with pytest.raises(UserError, match="have changed since this run"):
        from_spec(read.spec())


def changed(index: tuple[int, ...], value: float) -> np.ndarray:
    x = three_groups()[0]
    x[index] = value
    return x


@pytest.mark.parametrize(
    ("x", "labels", "options", "message"),
    [
        (np.zeros(60), None, {}, r"must be an array \(n, features...\), not of shape \(60,\)"),
        (np.zeros((60, 0)), None, {}, r"not of shape \(60, 0\)"),
        (np.zeros((49, 2)), None, {}, "arrays has 49 rows, too few to learn from; give at least 50"),
        (np.full((60, 2), "a"), None, {}, "must be real numbers, not <U1"),
        (changed((4, 1), np.nan), None, {}, r"NaN or infinity in 1 of 300 rows \(first in row 4"),
        (changed((7, 0), -np.inf), None, {}, r"NaN or infinity in 1 of 300 rows \(first in row 7"),
        (three_groups()[0], np.zeros(299), {}, r"labels of arrays must have shape \(300,\), one a row, not \(299,\)"),
        (three_groups()[0], np.r_[np.nan, np.zeros(299)], {}, "labels of arrays hold NaN"),
        (
            three_groups()[0],
            [None, *three_groups()[1][1:]],
            {},
            r"missing in 1 of 300 rows \(first in row 0, .*give every",
        ),
        (three_groups()[0], [*three_groups()[1][1:], np.nan], {}, r"missing in 1 of 300 rows \(first in row 299"),
        (three_groups()[0], np.r_[[" ", ""], three_groups()[1][2:]], {}, r"missing in 2 of 300 rows \(first in row 0"),
        (three_groups()[0], np.zeros(300), {}, r"need at least 2 values with 2 rows each, but '0.0' has 300 of 300"),
        (three_groups()[0], np.r_[9, np.arange(299) % 2], {}, "but '9' has 1 of 300 rows; merge rare labels"),
        (*three_groups(), {"clusters": 4}, "clusters=4 is for rows without labels"),
        (
            three_groups()[0],
            None,
            {"clusters": 31},
            r"clusters must be a whole number from 2 to 30 \(10 rows each\), not 31",
        ),
        (three_groups()[0], None, {"clusters": 1}, "from 2 to 30"),
        (*three_groups(), {"train_size": 241}, "train_size=241 is more than the 240 training rows"),
    ],
)
def test_refusals(x: np.ndarray, labels: np.ndarray | None, options: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Arrays(x, labels, **options)


def test_too_few_distinct_rows_for_clusters() -> None:
    task = Arrays(np.repeat(np.eye(3), 40, axis=0))
    with pytest.raises(UserError, match="fewer than 10 distinct rows"):
        task.sample(5, stream(0, "test"))


@pytest.mark.parametrize("tensor", [False, True])
def test_colours_are_learned_first_and_come_back_where_they_were(tensor: bool) -> None:
    images = np.random.default_rng(0).normal(size=(80, 6, 5, 3)).astype(np.float32)
    last = Arrays(torch.from_numpy(images) if tensor else images, clusters=2)
    first = Arrays(np.moveaxis(images, -1, 1), clusters=2)
    assert last.shape == first.shape == (3, 6, 5)
    one, other = (task.sample(16, stream(0, "colours"))[0] for task in (last, first))
    assert torch.equal(one, other)
    assert last.to_original(one).shape == (16, 6, 5, 3)
    assert torch.equal(last.to_original(one), first.to_original(one).movedim(1, -1))
    assert bool((torch.from_numpy(images)[:, None] - last.to_original(one)).abs().amax((2, 3, 4)).amin(0).max() < 1e-5)


def test_cubes_without_channels_stay_as_they_are() -> None:
    cubes = np.random.default_rng(0).normal(size=(80, 6, 5, 2))
    assert Arrays(cubes, clusters=2).shape == (6, 5, 2)


def test_the_summary_says_which_columns_are_no_features(tmp_path: Path) -> None:
    lines = [f"{i},{i % 7},{i % 5},{'ab'[i % 2]},1" for i in range(60)]
    (tmp_path / "a.csv").write_text("\n".join([",x,y,label,labels", *lines]))
    loaded = load(tmp_path / "a.csv")
    assert (loaded.shape, loaded.classes) == ((2,), 2)
    assert loaded.summary == (
        f"{SUMMARY} Column 'labels' left out, because it is headed as labels are and another holds them. "
        "Column '' left out, because it has no title of its own and only numbers the rows."
    )


def test_labels_of_two_kinds_are_refused() -> None:
    mixed = np.array([1, "one"] * 30, dtype=object)
    with pytest.raises(UserError, match=r"labels of arrays mix int and str; make all of them texts, or numbers\."):
        Arrays(np.zeros((60, 2)), mixed)


def test_numbers_below_a_mask_are_not_learnt_and_ragged_rows_are_told() -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    with pytest.raises(UserError, match=r"x of arrays is a masked array of which \d+ entries are masked"):
        Arrays(np.ma.masked_greater(x, 1.0))
    with pytest.raises(UserError, match="The rows of arrays are not equally long"):
        Arrays([[1.0, 2.0], [3.0]] * 30)  # type: ignore[arg-type]
    np.testing.assert_allclose(Arrays(np.ma.masked_greater(x, 99.0)).x, x, rtol=1e-6)
