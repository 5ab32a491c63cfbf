from __future__ import annotations

import random
import sys
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.conftest import no_global_draws
from tests.data.making import everything, features, opened, pictures, png_files, write_folder

from uncollapse.data import generated
from uncollapse.data.items import pictures_of
from uncollapse.data.opening import open_source
from uncollapse.errors import UserError
from uncollapse.run import execute, make_spec
from uncollapse.tasks import Arrays


def test_a_function_draws_the_wanted_number_in_pieces() -> None:
    asked: list[int] = []

    def draw(n: int) -> torch.Tensor:
        asked.append(n)
        return torch.rand(n, 3, 4, 4)

    source = opened(draw, n=1100)
    images, labels, _ = everything(source, 300)
    assert (asked, len(images), source.count, labels) == ([500, 500, 100], 1100, 1100, None)
    assert opened(draw).count == 10_000


def test_the_same_seed_draws_the_same_and_the_size_of_chunks_does_not_matter() -> None:
    def draw(n: int) -> np.ndarray:
        return torch.rand(n, 2).numpy() + np.random.rand(n, 2) + random.random()  # noqa: NPY002 - as users do

    first = features(opened(draw, n=700, seed=1), 64)
    np.testing.assert_array_equal(features(opened(draw, n=700, seed=1), 700), first)
    assert not (features(opened(draw, n=700, seed=2)) == first).any()
    assert len(np.unique(first[:, 0])) == 700  # no piece repeats another


def test_drawing_leaves_the_programs_random_streams_and_gradients_alone() -> None:
    layer = torch.nn.Linear(3, 2)
    source = opened(lambda n: layer(torch.randn(n, 3)), n=600)
    with no_global_draws():
        rows = features(source)
    assert rows.shape == (600, 2)
    assert layer.weight.grad is None


def test_a_function_may_give_labels() -> None:
    source = opened(lambda n: (np.zeros((n, 2)), np.arange(n) % 3), n=7)
    assert [label for chunk in source.chunks(9) for label in chunk.labels or ()] == list("0120120")


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda n: np.zeros((n + 1, 2)), r"an array of shape \(8, 2\) when asked for 7 samples"),
        (lambda n: np.zeros(n), r"an array of shape \(7,\) when asked for 7"),
        (lambda n: 1 / 0, r"failed at drawing 7 samples \(ZeroDivisionError: division by zero; test_gen.*, line \d+\)"),
        (lambda n: sys.exit(3), r"failed at drawing 7 samples \(SystemExit: 3; test_generated\.py, line \d+\)"),
        (lambda n: None, "gives a NoneType"),
        (lambda n: np.full((n, 2, 2), 7.0), r"has the value 7 in row 0"),
    ],
)
def test_functions_that_fail_or_give_something_else(draw: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        everything(opened(draw, n=7))


MODULE = """
import numpy as np
from pathlib import Path
X = np.arange(12.0).reshape(6, 2)
def factory():
    return lambda n: np.ones((n, 2))
def direct(n):
    return np.zeros((n, 2))
def optional(n=3):
    return np.full((n, 2), 5.0)
def array():
    return X
def folder():
    return Path("pictures")
def few():
    return iter(X)
def endless():
    return (X[0] for _ in iter(int, 1))
def text():
    return "other:thing"
def broken():
    raise RuntimeError("no weights")
class Maker:
    def __call__(self, n):
        return np.full((n, 2), 4.0)
instance = Maker()
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_generator", raising=False)
    (tmp_path / "my_generator.py").write_text(MODULE)
    write_folder(tmp_path / "pictures", png_files(pictures()))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "value", "count"),
    [("factory", 1, 9), ("direct", 0, 9), ("instance", 4, 9), ("optional", 5, 3), ("array", None, 6), ("X", None, 6)],
)
@pytest.mark.usefixtures("here")
def test_module_and_factory(name: str, value: float | None, count: int) -> None:
    source = opened(f"my_generator:{name}", n=9 if count == 9 else None)
    rows = features(source)
    assert source.name == f"my_generator:{name}"
    assert rows.shape == (count, 2)
    assert value is None or (rows == value).all()


@pytest.mark.usefixtures("here")
def test_a_factory_may_give_a_path() -> None:
    assert len(everything(opened("my_generator:folder"))[0]) == 6


@pytest.mark.parametrize("drawn", [2, 50])
@pytest.mark.usefixtures("here")
def test_only_what_draws_has_as_many_rows_as_the_other_side(drawn: int) -> None:
    """What a factory gives has its own number of rows, unless it draws; an iterator may end before."""

    def count(name: str, **options: int) -> int:
        found = open_source(f"my_generator:{name}", side="fake", drawn=drawn, **options)
        return sum(len(chunk) for chunk in found.chunks(7))

    assert [count(name) for name in ("factory", "direct", "instance", "endless")] == [drawn] * 4
    assert [count(name) for name in ("array", "X", "folder")] == [6] * 3
    assert count("few") == min(drawn, 6)
    assert [count(name, n=3) for name in ("factory", "array", "X", "folder", "few", "endless")] == [3] * 6
    with pytest.raises(UserError, match=r"fake \(my_generator:array\) has 6 rows, fewer than the 9 asked for"):
        count("array", n=9)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("my_generator:gone", "no attribute of module 'my_generator', 'gone'"),
        ("no_such_module:f", r"real \(no_such_module:f\): no module 'no_such_module'"),
        ("my_generator:broken", "failed at calling it without arguments .RuntimeError: no weights"),
        ("my_generator:text", "gives a text; return samples"),
        ("my_broken:f", "importing it fails: SyntaxError.*my_broken.py, line 1"),
    ],
)
def test_references_that_lead_nowhere(here: Path, reference: str, message: str) -> None:
    (here / "my_broken.py").write_text("def f(:")
    with pytest.raises(UserError, match=message):
        opened(reference)


def test_samples_of_a_run_of_images(tmp_path: Path) -> None:
    run = execute(make_spec("vanilla", "digits", seeds=(5, 6), updates=4, batch=8), tmp_path / "run")
    source = opened(tmp_path / "run", n=30)
    images, labels, _ = everything(source)
    expected = run.samples(30, seed=5).numpy()
    np.testing.assert_array_equal(np.stack(images), np.rint((expected.clip(-1, 1) + 1) * 127.5).astype(np.uint8))
    assert (labels, source.form) == (None, "run of uncollapse")
    other = np.stack(everything(opened(tmp_path / "run", n=30, seed=1))[0])
    assert not (other == np.stack(images)).all()
    assert opened(tmp_path / "run", n=30).content_hash() == source.content_hash()
    assert opened(tmp_path / "run").count == 10_000


def test_a_run_of_arrays_in_memory_is_read_from_the_run_itself() -> None:
    rows = np.random.default_rng(0).normal(loc=50, size=(60, 2))
    run = execute(make_spec("vanilla", Arrays(rows), seeds=(4,), updates=4, batch=8))
    source = opened(run, n=20)
    np.testing.assert_array_equal(features(source), run.samples(20, seed=4).numpy())
    assert (source.name, source.form) == (str(run.directory), "run of uncollapse")
    with pytest.raises(UserError, match="given as arrays in memory"):
        opened(run.directory)
    with pytest.raises(UserError, match="takes no labels from outside"):
        opened(run, labels=[1] * 20)


def test_samples_of_vectors_are_in_the_users_units(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(loc=(1000, -500), scale=(3, 0.1), size=(200, 2))
    np.savez(tmp_path / "a.npz", x=rows, labels=np.arange(200) % 2)
    execute(make_spec("cgan", f"array:{tmp_path / 'a.npz'}", seeds=(0,), updates=4, batch=8), tmp_path / "run")
    source = opened(tmp_path / "run", n=40)
    drawn = features(source)
    assert abs(drawn.mean(0) - (1000, -500)).max() < 30
    labels = [label for chunk in source.chunks(50) for label in chunk.labels or ()]
    assert sorted(set(labels)) == ["0", "1"]


def test_a_run_without_a_living_seed_or_without_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    execute(make_spec("vanilla", "ring-8", seeds=(0,), updates=4, batch=8), tmp_path / "run")
    result = (tmp_path / "run" / "result.json").read_text()
    (tmp_path / "run" / "result.json").write_text(result.replace('"diverged_at": null', '"diverged_at": 3'))
    with pytest.raises(UserError, match=r"All seeds of .* diverged"):
        opened(tmp_path / "run")
    for content in ("{}", "[]", "{", '{"method": 3}'):
        (tmp_path / "run" / "spec.json").write_text(content)
        with pytest.raises(UserError, match=r"no intact run|not valid JSON|spec"):
            opened(tmp_path / "run")
    with pytest.raises(UserError, match="takes no labels from outside"):
        opened(tmp_path / "run", labels=[1])
    assert generated.is_run(tmp_path / "run")


def test_a_function_that_repeats_its_draws_is_refused_and_a_collapsed_generator_is_not() -> None:
    """As one with a seed of its own does, or one that cuts an array: it would be called a generator of copies."""
    fixed = np.random.default_rng(0).normal(size=(1_200, 2))
    for draw in (lambda n: fixed[:n], lambda n: np.random.default_rng(7).normal(size=(n, 2))):
        with pytest.raises(
            UserError, match=r"gives the same samples again when it is called again \(for 500 at a time\)"
        ):
            features(opened(draw, n=1_200))
        assert features(opened(draw, n=500)).shape == (500, 2)
    assert features(opened(lambda n: np.ones((n, 2)), n=1_200)).shape == (1_200, 2)
    assert features(opened(lambda n: np.arange(n).reshape(-1, 1) % 2, n=502)).shape == (502, 1)  # two are no evidence
    fresh = features(opened(lambda n: np.random.normal(size=(n, 2)), n=1_200))  # noqa: NPY002
    assert len(np.unique(fresh, axis=0)) == 1_200


class Output(OrderedDict):
    """As diffusion pipelines give: a dictionary whose entries are attributes, too."""

    def __init__(self, images: object) -> None:
        super().__init__(images=images)
        self.images = images


@pytest.mark.parametrize("wrap", [Output, lambda images: SimpleNamespace(images=images)])
@pytest.mark.parametrize(
    "kind",
    [
        list,
        lambda images: np.stack([np.asarray(image) for image in images]),
        lambda images: torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2),
    ],
)
def test_the_output_of_a_diffusion_pipeline_is_taken_by_its_images(wrap: Any, kind: Any) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(600, 8, 8, 3), dtype=np.uint8)
    given = iter([pixels[:500], pixels[500:]])
    drawn = opened(lambda n: wrap(kind([Image.fromarray(image) for image in next(given)])), n=600)
    assert np.array_equal(everything(drawn)[0], pixels)
    whole = opened(wrap(kind([Image.fromarray(image) for image in pixels])))
    assert np.array_equal(everything(whole)[0], pixels)


def test_what_gives_rows_itself_keeps_images_of_its_own() -> None:
    class Table(list[float]):
        images = (1, 2)

    class Sampler:
        def __init__(self) -> None:
            self.images: list[int] = []

        def __call__(self, n: int) -> np.ndarray:
            return np.random.normal(size=(n, 2))  # noqa: NPY002

    class Stream(Sampler):
        def __iter__(self) -> Any:
            return iter([(np.zeros((8, 8), np.uint8), 3)] * 5)

        __call__ = None  # type: ignore[assignment]

    table = Table([3.0])
    assert pictures_of(table) is table
    assert features(opened(Sampler(), n=20)).shape == (20, 2)
    assert everything(opened(Stream()))[1] == ["3"] * 5
    with pytest.raises(UserError, match="gives a SimpleNamespace; give an image"):
        opened(lambda n: SimpleNamespace(images="none"), n=3)


def test_a_dictionary_of_samples_is_told_what_to_give() -> None:
    with pytest.raises(UserError, match=r"gives a dict of image, label; it must give an array or a tensor"):
        opened(lambda n: {"image": np.zeros((n, 4, 4)), "label": [0] * n}, n=10)


def test_a_failing_function_has_its_line() -> None:
    def broken(n: int) -> np.ndarray:
        raise KeyError("missing")

    with pytest.raises(
        UserError, match=r"failed at drawing 10 samples \(KeyError: 'missing'; test_generated.py, line \d+\)"
    ):
        opened(broken, n=10)
