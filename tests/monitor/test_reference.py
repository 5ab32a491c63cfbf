"""Preparing real data: what they may be, what cells they get, and that the cache changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.data.making import Table, write_folder

from uncollapse.data import cache
from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.monitor import reference, statistics
from uncollapse.monitor.reference import Reference, make_reference
from uncollapse.tasks import find
from uncollapse.tasks.digits import split


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of this test alone, and ranges from few splits, which is faster."""
    monkeypatch.setenv("UNCOLLAPSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(statistics, "SPLITS", 5)


def points(n: int = 300) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of eight blobs with labels."""
    x, labels = find("blobs-8").held_out(n, stream(0, "reference"))
    assert labels is not None
    return x, labels


def test_points_become_clusters_and_digits_the_classes_of_their_classifier() -> None:
    plane = make_reference(points()[0], cache=False)
    assert (plane.cells.kind, len(plane.cells), len(plane)) == ("cluster", 8, 300)
    assert plane.why.startswith("identity")
    data = split()
    digits = make_reference(data.train[:400], cache=False)
    assert (digits.cells.kind, digits.cells.names) == ("class", tuple("0123456789"))
    assert "classifier:digits" in digits.why
    # Real digits that were held out lie in the cells that their labels name.
    encoded = digits.encode(data.held_out)
    found = digits.cells.assign(encoded.rows, encoded.classes)
    assert (found == data.held_out_labels.numpy()).mean() > 0.97


def test_a_fake_so_far_away_that_squares_overflow_lies_nowhere() -> None:
    rows, _ = points()
    reference = make_reference(rows, cache=False)
    fakes = rows[:6].clone()
    fakes[1] = 1e38
    fakes[3, 0] = float("nan")
    found = reference.encode(fakes)
    assert found.finite.tolist() == [True, False, True, False, True, True]
    assert found.rows.shape[0] == 4
    assert torch.equal(found.rows, reference.encode(rows[[0, 2, 4, 5]]).rows)


def test_labels_make_classes_given_beside_the_data_or_with_them() -> None:
    x, labels = points()
    names = [f"blob {label}" for label in labels.tolist()]
    beside, within = make_reference(x, labels=names, cache=False), make_reference((x, names), cache=False)
    assert beside.cells.names == within.cells.names == tuple(f"blob {number}" for number in range(8))
    assert (beside.cells.of_real == labels.numpy()).mean() > 0.99
    # One label for all tells nothing, so clusters are watched.
    assert make_reference(x, labels=[0] * len(x), cache=False).cells.kind == "cluster"


def test_rows_without_a_label_count_in_the_class_that_they_lie_in() -> None:
    draws = np.random.default_rng(3)
    x = np.concatenate([draws.normal(place, 0.2, (300, 2)) for place in (0.0, 5.0, 10.0)])
    truth = ["a"] * 300 + ["b"] * 300 + ["c"] * 300
    plain = make_reference(x, labels=truth, cache=False).cells
    narrow = torch.from_numpy(
        np.concatenate([draws.normal(place + 0.15, 0.05, (100, 2)) for place in (0.0, 5.0, 10.0)])
    )
    for missing in ([560], draws.choice(900, 180, replace=False)):
        labels = [None if row in set(np.asarray(missing).tolist()) else truth[row] for row in range(900)]
        reference = make_reference(x, labels=labels, cache=False)
        assert reference.cells.names == ("a", "b", "c")
        assert (reference.cells.of_real == plain.of_real).all()
        found = reference.cells.assign(reference.encode(narrow).rows)
        assert reference.cells.missing(found, reference.examples) == ()


def test_a_few_rows_without_a_label_far_away_are_in_no_cell() -> None:
    draws = np.random.default_rng(3)
    x = np.concatenate([draws.normal(place, 0.2, (200, 2)) for place in (0.0, 5.0)] + [np.full((10, 2), 20.0)])
    cells = make_reference(x, labels=["a"] * 200 + ["b"] * 200 + [None] * 10, cache=False).cells
    assert cells.names == ("a", "b")
    assert cells.of_real.tolist() == [0] * 200 + [1] * 200 + [-1] * 10
    np.testing.assert_allclose(cells.weights, 0.5)
    reach = make_reference(x[:400], labels=["a"] * 200 + ["b"] * 200, cache=False)
    assert float(cells.radius.max()) < 2 * float(reach.cells.radius.max())


def test_rows_without_a_label_that_lie_apart_are_a_cell_of_their_own() -> None:
    draws = np.random.default_rng(3)
    x = np.concatenate([draws.normal(place, 0.2, (200, 2)) for place in (0.0, 5.0, 10.0)])
    reference = make_reference(x, labels=["a"] * 200 + ["b"] * 200 + [None] * 200, cache=False)
    assert (reference.cells.kind, reference.cells.names) == ("class", ("a", "b", "(no label)"))
    # Fakes among them are where real data lie, and a class that is lost is seen to be lost.
    fakes = torch.from_numpy(np.concatenate([x[:100], x[400:500]]))
    cells = reference.cells.assign(reference.encode(fakes).rows)
    assert sorted(set(cells.tolist())) == [0, 2]
    assert [lost.mode for lost in reference.cells.missing(cells, reference.examples)] == ["b"]


def test_too_few_labels_make_no_classes_and_are_told() -> None:
    draws = np.random.default_rng(3)
    x = np.concatenate([draws.normal(place, 0.2, (200, 2)) for place in (0.0, 5.0)])
    for features in ("auto", lambda samples: samples):
        reference = make_reference(x, labels=["a", "b"] + [None] * 398, features=features, cache=False)
        assert reference.cells.kind == "cluster"
        assert reference.why.endswith("Too few rows have a label to judge by these, so clusters are watched.")
    # One name for all that have one says nothing either.
    assert make_reference(x, labels=["a"] * 300 + [None] * 100, cache=False).cells.kind == "cluster"


def test_a_table_in_memory_is_numbers_and_labels() -> None:
    draws = np.random.default_rng(3)
    x = np.concatenate([draws.normal(place, 0.2, (100, 2)) for place in (0.0, 5.0)])
    table = Table({"u": x[:, 0], "label": ["a"] * 100 + ["b"] * 100, "v": x[:, 1]})
    turned = Table({"u": x[::-1, 0], "label": ["b"] * 100 + ["a"] * 100, "v": x[::-1, 1]})
    for given in (table, turned, (table, ["a"] * 100 + ["b"] * 100), (x[::-1], ["b"] * 100 + ["a"] * 100)):
        for features in ("auto", lambda samples: samples):
            reference = make_reference(given, features=features, cache=False)
            assert (reference.cells.names, reference.encoder.shape) == (("a", "b"), (2,))
            assert reference.raw is not None
            assert reference.raw.shape[1:] == (2,)


def test_a_folder_and_a_data_set_are_read_as_evaluate_reads_them(tmp_path: Path) -> None:
    from PIL import Image

    images = ((split().train[:80] + 1) * 127.5).round().to(torch.uint8).numpy()
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number:03d}.png")
    folder = make_reference(str(tmp_path), features="pixels", cache=False)
    listed = make_reference(list(images), features="pixels", cache=False)
    assert len(folder) == len(listed) == 80
    assert folder.names[3] == "003.png"
    assert (folder.pictures([3])[0] == images[3]).all()
    fakes = torch.from_numpy(images[:5])
    assert torch.allclose(folder.encode(fakes).rows, listed.encode(fakes).rows, atol=1e-5)
    with pytest.raises(UserError, match="no pictures"):
        make_reference(points()[0], cache=False).pictures([0])


def test_a_loader_of_the_loop_serves_as_it_is() -> None:
    from torch.utils.data import DataLoader, TensorDataset

    data = split()
    loader = DataLoader(TensorDataset(data.train[:120, None], data.train_labels[:120]), batch_size=32, shuffle=True)
    found = make_reference(loader, cache=False)
    assert (len(found), found.cells.kind) == (120, "class")
    encoded = found.encode(data.held_out[:50, None])
    assert (encoded.classes == data.held_out_labels[:50].numpy()).mean() > 0.95


def test_features_by_a_function_see_samples_as_the_loop_makes_them() -> None:
    x, _ = points()
    found = make_reference(x, features=lambda batch: torch.cat([batch, batch.square()], 1), cache=False)
    assert found.space.mean.shape == (4,)
    assert found.encode(x[:5]).rows.shape == (5, 4)
    with pytest.raises(UserError, match="needs the reference as an array"):
        make_reference(iter([x]), features=lambda batch: batch, cache=False)
    with pytest.raises(UserError, match="not finite"):
        make_reference(x, features=lambda batch: batch / 0, cache=False)


def test_pca_learns_from_the_reference_alone() -> None:
    found = make_reference(split().train[:200], features="pca[8]", cache=False)
    assert found.cells.kind == "cluster"
    assert found.encode(split().held_out[:4]).rows.shape == (4, 8)


def test_the_cache_gives_the_same_and_saves_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    x, _ = points()
    first = make_reference(x)
    assert cache.load(first.digest) is not None
    for name in ("clusters", "ordinary"):
        monkeypatch.setattr(reference, name, None)  # would fail if it was called
    again = make_reference(x)
    assert again.digest == first.digest
    assert torch.equal(again.cells.centres, first.cells.centres)
    fakes = points(310)[0][:300]
    assert again.ordinary.signs(fakes) == first.ordinary.signs(fakes)


def test_ranges_that_an_older_version_kept_are_made_anew_beside_its_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    x, _ = points()
    first = make_reference(x)
    kept = cache.load(first.digest)
    assert kept is not None
    older = {name: array for name, array in kept.items() if name != "way"}
    cache.save(first.digest, {**older, "low": np.full(5, 7.0), "high": np.full(5, 9.0)})
    monkeypatch.setattr(reference, "clusters", None)  # would fail if it was called
    again = make_reference(x)
    assert torch.equal(again.cells.centres, first.cells.centres)
    assert again.ordinary.low.tolist() == first.ordinary.low.tolist()
    now = cache.load(first.digest)
    assert now is not None
    assert now["high"].tolist() == first.ordinary.high.tolist()


def test_a_saved_state_knows_its_reference_in_every_version() -> None:
    # By the digest, which is that of versions whose ranges were quantiles.
    x = torch.stack([torch.arange(120.0).remainder(8), torch.arange(120.0).remainder(7)], 1)
    digest = "42d3a8827fae88a26d4889a301c823971b7900d9000e8b29176ac1203d1867a8"
    assert make_reference(x, samples=100, cells=4, cache=False).digest == digest


def test_other_data_labels_or_settings_are_another_reference() -> None:
    x, labels = points()
    made = [
        make_reference(x, cells=5, cache=False), make_reference(x + 1, cells=5, cache=False),
        make_reference(x, cells=5, seed=1, cache=False), make_reference(x, cells=4, cache=False),
        make_reference((x, labels), cache=False),
    ]  # fmt: skip
    assert len({one.digest for one in made}) == len(made)


def test_rows_for_a_critic_are_kept_as_given() -> None:
    data = split().train
    kept = make_reference(data[:300], cache=False).raw
    assert kept is not None
    assert kept.shape == (256, 8, 8)
    assert {row.numpy().tobytes() for row in kept} <= {row.numpy().tobytes() for row in data[:300]}
    assert make_reference(list(data[:60].numpy()), features="pixels", cache=False).raw is None


def refused(given: object, **choices: object) -> Reference:
    """A reference that should not be made."""
    return make_reference(given, cache=False, **choices)  # type: ignore[arg-type]


def test_what_is_no_reference_is_refused_in_a_sentence(tmp_path: Path) -> None:
    x, labels = points(60)
    with pytest.raises(UserError, match="has 49 rows, but a monitor needs at least 50"):
        refused(x[:49])
    with pytest.raises(UserError, match="same features"):
        refused(torch.zeros(60, 2))
    with pytest.raises(UserError, match="leave it out"):
        refused(x, labels=labels, cells=4)
    with pytest.raises(UserError, match=r"reference.* does not exist"):
        refused(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"There is no extractor 'pixles'"):
        refused(split().train[:60], features="pixles")
    np.savez(tmp_path / "stats.npz", mu=np.zeros(3), sigma=np.eye(3))
    with pytest.raises(UserError, match="a mean and a covariance and no rows"):
        refused(str(tmp_path / "stats.npz"))
    write_folder(tmp_path / "bad", {f"{name}.png": b"no image" for name in "abcd"})
    with pytest.raises(UserError, match=r"4 of 4 rows or more cannot .*Repair or remove them, as here") as told:
        refused(str(tmp_path / "bad"))
    assert "max" not in str(told.value)
