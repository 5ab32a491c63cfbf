from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.evaluation.making import cloud, digits, pngs, side

from uncollapse.data.opening import open_source
from uncollapse.errors import UserError
from uncollapse.evaluation import sides as module
from uncollapse.evaluation.sides import FITTED, LOOKED_AT, Reading, draws, make_extractor, path_of, reduced
from uncollapse.features.pixels import Pca

IMAGES, LABELS = digits()


def test_a_side_knows_its_rows_ordered_by_content() -> None:
    rows = cloud(50, 0)
    order = np.random.default_rng(1).permutation(50)
    one, two = side(rows), side(rows[order])
    np.testing.assert_array_equal(rows[one.order], rows[order][two.order])
    assert sorted(one.order.tolist()) == list(range(50))
    assert len(one) == 50
    assert one.to_json()["rows"] == 50
    assert one.to_json()["labelled"] is False


def test_differences_are_taken_in_double_precision() -> None:
    # In float32, numbers near a billion are 64 apart.
    rows = cloud(20, 0) + 1e9
    centre = torch.from_numpy(rows.mean(0))
    found = side(rows).centred(np.arange(20)[::-1].copy(), centre, scale=2.0)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), ((rows - rows.mean(0)) / 2)[::-1], atol=1e-6)


def test_a_sampler_draws_as_many_as_there_are_real_rows_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRAWN", 70)
    reading = Reading()
    for count, drawn in ((30, 30), (90, 70)):
        real = reading.open(cloud(count, 0), "real")
        assert reading.open(lambda n: torch.randn(n, 4), "fake", like=real).count == drawn
        assert reading.open(cloud(80, 1), "fake", like=real).count == 80
    assert Reading(n=20).open(lambda n: torch.randn(n, 4), "fake").count == 20


def test_a_factory_of_data_is_read_whole_and_one_of_a_sampler_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_factories.py").write_text(
        "import numpy as np\nrows = lambda: np.ones((50, 4))\ndraw = lambda: lambda n: np.ones((n, 4))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for count in (30, 90):
        real = Reading().open(cloud(count, 0), "real")
        found = [Reading().open(f"my_factories:{name}", "fake", like=real).count for name in ("rows", "draw")]
        assert found == [50, count]
    assert Reading(n=20).open("my_factories:rows", "fake", like=Reading(n=20).open(cloud(30, 0), "real")).count == 20
    monkeypatch.delitem(sys.modules, "my_factories")


def test_two_samplers_draw_apart_and_a_seed_draws_the_same() -> None:
    def rows(role: str, seed: int) -> np.ndarray:
        source = Reading(n=5, seed=seed).open(lambda n: torch.randn(n, 2), role)
        return np.concatenate([chunk.features for chunk in source.chunks(5) if chunk.features is not None])

    np.testing.assert_array_equal(rows("fake", 0), rows("fake", 0))
    assert not np.array_equal(rows("fake", 0), rows("other", 0))


def test_against_statistics_a_sampler_draws_its_usual_number(tmp_path: Path) -> None:
    np.savez(tmp_path / "real.npz", mu=np.zeros(3), sigma=np.eye(3))
    reading = Reading()
    real = reading.open(str(tmp_path / "real.npz"), "real")
    assert reading.open(lambda n: torch.randn(n, 3), "fake", like=real).count == 10_000


def test_training_rows_are_read_whole() -> None:
    reading = Reading(n=10)
    assert reading.open(cloud(40, 0), "real").count == 10
    assert reading.open(cloud(40, 0), "train").count == 40


class Callable:
    def __init__(self, *, indexed: bool = False) -> None:
        if indexed:
            self.__class__ = type("Indexed", (Callable,), {"__getitem__": lambda self, row: row})

    def __call__(self, n: int) -> None: ...


def test_what_draws_on_demand(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "spec.json").write_text("{}")
    assert draws(tmp_path / "run")
    assert draws(str(tmp_path / "run"))
    assert draws("package.module:factory")
    assert draws(lambda n: None)
    assert draws(Callable())
    assert not draws(Callable(indexed=True))
    assert not draws(tmp_path)
    assert not draws("photos/")
    assert not draws(cloud(2, 0))
    assert not draws([1, 2])
    assert not draws(iter([1, 2]))


@pytest.mark.parametrize("odd", ["", "x" * 5_000, "a\0b", "~nobody-of-this-name/x", "no such file", 7, None])
def test_a_text_that_is_no_place_is_none(odd: object) -> None:
    assert path_of(odd) is None
    assert not draws(odd)


def test_a_place_is_the_same_under_each_of_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    assert path_of("data") == path_of(tmp_path / "link") == path_of("./data/") == (tmp_path / "data").resolve()


def test_the_look_reaches_all_of_a_side_and_stops_where_images_are_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dark, light = np.zeros((400, 8, 8), np.uint8), np.full((400, 8, 8), 255, np.uint8)
    both = np.concatenate([dark, light])
    names = [f"{number:04d}.png" for number in range(800)]
    for given in (both, pngs(tmp_path / "files", list(both), names)):
        source = open_source(given, side="real")
        seen = Reading().look(given, "real", source)
        assert len(seen) == LOOKED_AT
        assert 0.4 < np.mean([image.mean() > 100 for image in seen]) < 0.6
    monkeypatch.setattr(module, "LOOKED_BYTES", 640)
    assert 10 <= len(Reading().look(both, "real", open_source(both, side="real"))) <= 11


def test_the_look_passes_over_unreadable_files_that_are_few_in_all(tmp_path: Path) -> None:
    # 4 of 600 may be unreadable, also when all four happen to be among the 256 looked at.
    place = pngs(tmp_path / "files", list(IMAGES[:600]), [f"{number:04d}.png" for number in range(600)])
    chosen = np.sort(np.random.default_rng(0).choice(600, LOOKED_AT, replace=False))[:4]
    for number in chosen:
        (place / f"{number:04d}.png").write_bytes(b"no image")
    source = open_source(str(place), side="real")
    assert len(Reading().look(str(place), "real", source)) == LOOKED_AT - 4


@pytest.mark.parametrize("count", [40, LOOKED_AT + 44])
@pytest.mark.parametrize("features", ["auto", "pixels"])
def test_a_side_of_unreadable_files_alone_is_refused_by_a_sentence_that_lists_them(
    count: int, features: str, tmp_path: Path
) -> None:
    for number in range(count):
        (tmp_path / f"{number:04d}.png").write_bytes(b"no image")
    place = str(tmp_path)
    for reading, sentence in (
        (Reading(), f"{count} rows or more cannot be read, more than the allowed share of 0.01: 0000.png "),
        (Reading(max_bad=1.0), f"has no readable row ({count} unreadable); `uncollapse data inspect"),
    ):
        sources = {"real": reading.open(place, "real"), "fake": reading.open(IMAGES[:30], "fake")}
        with pytest.raises(UserError) as error:
            make_extractor(features, {"real": place, "fake": IMAGES[:30]}, sources, reading)
        assert sentence in str(error.value)


def test_an_extractor_that_is_fitted_learns_the_same_from_any_order() -> None:
    given = {"real": IMAGES[:300], "fake": IMAGES[300:600]}
    turned = {"real": IMAGES[:300][::-1].copy(), "fake": IMAGES[300:600][::-1].copy()}
    found = []
    for sides in (given, turned):
        sources = {role: open_source(images, side=role) for role, images in sides.items()}
        extractor, why = make_extractor("pca[5]", sides, sources, Reading())
        assert isinstance(extractor, Pca)
        assert why == extractor.why
        found.append(extractor.digest)
    assert found[0] == found[1]
    assert FITTED >= 600


def test_only_large_images_are_reduced_for_learning_and_each_block_is_its_mean() -> None:
    image = np.random.default_rng(0).integers(0, 256, (256, 390, 3), dtype=np.uint8)
    small = reduced(image)
    assert small.shape == (64, 98, 3)
    np.testing.assert_allclose(small[0, 0], image[:4, :4].reshape(-1, 3).mean(0), atol=1)
    strip = np.zeros((127, 4_000, 3), np.uint8)
    assert reduced(strip).shape == (12, 364, 3)
    assert reduced(strip.transpose(1, 0, 2)).shape == (364, 12, 3)
    assert reduced(image[:127, :128]).shape == (127, 128, 3)
    assert reduced(image[:128, :128, 0]).shape == (64, 64)


@pytest.mark.parametrize(
    ("name", "given", "weights", "sentence"),
    [
        ("pca", cloud(30, 0), None, "ndarray of shape (30, 4) holds features already, which pca does not take"),
        ("auto", IMAGES[:30], Path("weights.pth"), "--weights are for inception; say --features inception with them."),
        ("auto", cloud(30, 0), Path("weights.pth"), "--weights are for inception; say --features inception with them."),
        ("pca", IMAGES[:30], Path("weights.pth"), "Weights are for inception, not for pca; leave them out"),
        ("incption", IMAGES[:30], None, "There is no extractor 'incption'; did you mean 'inception'"),
        ("identity", IMAGES[:30], None, "ndarray of shape (30, 8, 8) holds images, which identity does not take"),
    ],
)
def test_an_extractor_that_does_not_suit_is_refused(
    name: str, given: np.ndarray, weights: Path | None, sentence: str
) -> None:
    sources = {role: open_source(given, side=role) for role in ("real", "fake")}
    reading = Reading(weights=weights, cache=False)

    def read() -> None:
        extractor, _ = make_extractor(name, {"real": given, "fake": given}, sources, reading)
        reading.rows(sources["real"], "real", extractor)

    with pytest.raises(UserError) as error:
        read()
    assert str(error.value).startswith(sentence)


def test_auto_chooses_by_the_real_side_alone() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    for real, fake, name in ((IMAGES[:60], noise, "classifier:digits"), (noise, IMAGES[:60], "pca[32]")):
        given = {"real": real, "fake": fake}
        sources = {role: open_source(images, side=role) for role, images in given.items()}
        extractor, why = make_extractor("auto", given, sources, Reading())
        assert extractor.name == name
        assert why
