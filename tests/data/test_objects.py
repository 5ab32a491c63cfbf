from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image
from tests.data.making import encoded, everything, features, opened, pictures
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from uncollapse.errors import UserError

X = pictures(40, colour=True)
LABELS = [str(k % 4) for k in range(40)]


class Pairs(Dataset):  # type: ignore[type-arg]
    """A torch data set of (image, label) that counts how often it is asked."""

    def __init__(self, broken: tuple[int, ...] = (), error: type[Exception] = OSError) -> None:
        self.asked: list[int] = []
        self.broken, self.error = broken, error

    def __len__(self) -> int:
        return 40

    def __getitem__(self, row: int) -> tuple[Image.Image, int]:
        self.asked.append(row)
        if row in self.broken:
            raise self.error("image file is truncated")
        return Image.fromarray(X[row]), row % 4


class Rows:
    """Hugging Face's shape: rows that are dictionaries, and features that know names of labels."""

    class Names:
        names = ("cat", "dog", "eel", "fox")

    features = {"image": None, "label": Names()}  # noqa: RUF012

    def __len__(self) -> int:
        return 40

    def __getitem__(self, row: int) -> dict[str, object]:
        return {"image": Image.fromarray(X[row]), "label": row % 4}


def check(given: object, wanted: list[str] | None, **options: object) -> None:
    source = opened(given, **options)
    images, found, names = everything(source, 7)
    np.testing.assert_array_equal(np.stack(images), X)
    assert found == wanted
    assert names[5] == "row 5"
    for row, image in zip([39, 0, 7], source.fetch([39, 0, 7]), strict=True):
        np.testing.assert_array_equal(image, X[row])
    again, _, _ = everything(source, 11)  # and a second time
    np.testing.assert_array_equal(np.stack(again), X)


def test_torch_data_sets() -> None:
    check(Pairs(), LABELS)
    tensor = torch.from_numpy(X.copy()).permute(0, 3, 1, 2) / 255
    check(TensorDataset(tensor), None)
    check(TensorDataset(tensor, torch.arange(40) % 4), LABELS)


def test_a_loader_of_batches() -> None:
    tensor = torch.from_numpy(X.copy()).permute(0, 3, 1, 2) / 127.5 - 1
    check(DataLoader(TensorDataset(tensor, torch.arange(40) % 4), batch_size=16), LABELS)


@pytest.mark.parametrize("size", [1, 3])
def test_a_loader_that_gives_single_images_of_its_batches(size: int) -> None:
    """Of a batch of one a function of the user's may give the image itself, which was taken for three grey ones."""
    tensor = torch.from_numpy(X.copy()).permute(0, 3, 1, 2) / 255
    pairs = [(image, k % 4) for k, image in enumerate(tensor)]
    if size == 1:
        check(DataLoader(tensor, batch_size=1, collate_fn=lambda rows: rows[0]), None)  # type: ignore[arg-type]
        check(DataLoader(pairs, batch_size=1, collate_fn=lambda rows: rows[0]), LABELS)  # type: ignore[arg-type]
    rows = torch.rand(7, 4)
    source = opened(DataLoader(rows, batch_size=size))  # type: ignore[arg-type]
    assert source.kind == "features"
    assert sum(len(chunk) for chunk in source.chunks(4)) == 7


def test_a_data_set_that_can_only_be_gone_through() -> None:
    class Stream(IterableDataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 40

        def __iter__(self) -> Iterator[np.ndarray]:
            return iter(X)

    check(Stream(), None)


def test_hugging_face_data_sets_name_their_labels() -> None:
    check(Rows(), [("cat", "dog", "eel", "fox")[k % 4] for k in range(40)])


def test_lists_and_generators() -> None:
    check(list(X), None)
    check([(image, k % 4) for k, image in enumerate(X)], LABELS)
    check((Image.fromarray(image) for image in X), None)
    check(((encoded(image), k % 4) for k, image in enumerate(X)), LABELS)
    check((X[start : start + 15] for start in (0, 15, 30)), None)
    check(list(X), LABELS, labels=np.arange(40) % 4)
    check(iter(X), LABELS, labels=np.arange(40) % 4)


def test_an_endless_iterator_is_read_as_far_as_asked() -> None:
    source = opened(itertools.cycle(X), n=90)
    images, _, _ = everything(source)
    np.testing.assert_array_equal(images[85], X[5])
    assert (len(images), source.count) == (90, 90)


def test_a_choice_of_rows_asks_for_no_others() -> None:
    given = Pairs()
    source = opened(given, n=10, seed=3)
    _, labels, names = everything(source)
    assert len(set(given.asked)) == 10
    rows = sorted(set(given.asked))
    assert labels == [str(row % 4) for row in rows]
    assert len(names) == 10
    assert sorted(set(given.asked)) != list(range(10))


def test_vectors_are_features() -> None:
    rows = np.random.default_rng(0).random((40, 3))
    for given in (list(rows), iter(rows), TensorDataset(torch.from_numpy(rows))):
        source = opened(given)
        assert source.kind == "features"
        np.testing.assert_array_equal(features(source), rows)
        np.testing.assert_array_equal(features(source), rows)


def test_a_row_that_cannot_be_got_is_bad_and_the_others_keep_their_numbers() -> None:
    source = opened(Pairs(broken=(3, 39)), max_bad=0.1)
    images, labels, names = everything(source)
    assert names == [f"row {k}" for k in range(40) if k not in (3, 39)]
    assert labels == [LABELS[k] for k in range(40) if k not in (3, 39)]
    np.testing.assert_array_equal(source.fetch([3])[0], X[4])
    assert source.notes.bad == [(f"row {k}", "cannot be got (image file is truncated)") for k in (3, 39)]
    assert len(images) == 38
    with pytest.raises(UserError, match=r"2 of 40 rows cannot be read, more than the allowed share of 0.01"):
        everything(opened(Pairs(broken=(3, 39))))


class Vectors:
    """(feature row, label) by number, of which some cannot be got."""

    def __init__(self, *broken: int) -> None:
        self.broken = broken

    def __len__(self) -> int:
        return 40

    def __getitem__(self, row: int) -> tuple[np.ndarray, int]:
        if row in self.broken:
            raise OSError("gone")
        return np.full(3, float(row)), row % 4


@pytest.mark.parametrize("broken", [(0,), (7,), (0, 1, 39)])
def test_what_rows_are_does_not_hang_on_the_first_one(broken: tuple[int, ...]) -> None:
    good = [row for row in range(40) if row not in broken]
    source = opened(Vectors(*broken), max_bad=0.1)
    assert (source.kind, source.labelled) == ("features", True)
    np.testing.assert_array_equal(features(source)[:, 0], good)
    assert [label for chunk in source.chunks(9) for label in chunk.labels or ()] == [LABELS[row] for row in good]
    assert source.notes.bad == [(f"row {row}", "cannot be got (gone)") for row in broken]
    assert everything(opened(Pairs(broken), max_bad=0.1))[1] == [LABELS[row] for row in good]
    with pytest.raises(UserError, match=r"10 of 40 rows or more cannot be read|4 of 40 rows or more cannot be read"):
        list(opened(Vectors(*range(10))).chunks(9))


def test_a_data_set_without_a_single_readable_row() -> None:
    source = opened(Pairs(tuple(range(40))), max_bad=1)
    assert (list(source.chunks(9)), source.notes.bad_count, source.labelled) == ([], 40, False)


def test_rows_that_cannot_be_read_in_a_stream() -> None:
    given = (b"" if k in (0, 20) else encoded(image) for k, image in enumerate(X))
    source = opened(given, max_bad=0.1)
    images, _, names = everything(source)
    assert names == [f"row {k}" for k in range(40) if k not in (0, 20)]
    np.testing.assert_array_equal(source.fetch([19])[0], X[21])
    assert source.notes.bad[0] == ("row 0", "is empty")
    assert len(images) == 38


def test_a_mistake_in_the_data_set_itself_is_named() -> None:
    with pytest.raises(
        UserError, match=r"failed at asking for row 0 \(TypeError: image file is truncated; \S+\.py, line \d+\)"
    ):
        opened(Pairs(broken=(0,), error=TypeError))

    def broken() -> Iterator[np.ndarray]:
        yield X[0]
        raise KeyError("lost")

    with pytest.raises(UserError, match=r"failed at asking for the next item .KeyError: 'lost'"):
        everything(opened(broken()))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "gives no rows"),
        (iter([]), "gives no rows"),
        ([X[0], X[0][0, 0].astype(float)], "mixes images and feature rows"),
        ([X[0] / 255, X[1].astype(float)], r"has the value \d+ in row 1, outside of \[0, 1\]"),
        ([X[0].astype("u2"), X[1].astype("u2")], "16 bits with no value above 255"),
        ([(X[0] > 99).astype("u1"), X[1] * 0], "whole numbers with no value above 1"),
        ([Image.fromarray((image > 99).astype("u1")) for image in X], "whole numbers with no value above 1"),
        ([np.zeros(3), np.zeros(4)], "feature rows of 3 and of 4 numbers"),
        ([X[:3]], "gives 3 rows for one number; give an iterator of batches"),
    ],
)
def test_mixtures_are_refused(given: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        everything(opened(given))


def test_true_and_false_black_and_one_bit_are_images() -> None:
    bits = X[:, :, :, 0] > 127
    for given in (list(bits), [Image.fromarray(image) for image in bits]):
        np.testing.assert_array_equal(everything(opened(given))[0], bits * 255)
    assert not np.any(everything(opened([Image.fromarray(image * 0) for image in X]))[0])


def test_a_stream_of_another_length_than_its_labels_or_than_asked() -> None:
    with pytest.raises(UserError, match="40 rows and 50 labels"):
        everything(opened(iter(X), labels=range(50)))
    with pytest.raises(UserError, match="more rows than the 30 labels"):
        everything(opened(iter(X), labels=range(30)))
    with pytest.raises(UserError, match="ended after 40 of 50 rows"):
        everything(opened(iter(X), n=50))


def test_a_pass_that_stops_half_way_can_be_taken_up_again() -> None:
    source = opened(iter(X))
    first = next(source.chunks(5))
    np.testing.assert_array_equal(np.stack(first.images), X[:5])
    np.testing.assert_array_equal(np.stack(everything(source)[0]), X)


def test_a_stream_is_kept_on_the_disk_and_not_in_memory() -> None:
    large = np.zeros((200, 200), np.uint8)
    source = opened((large + k % 256 for k in range(2000)), n=2000)
    tracemalloc.start()
    for _ in source.chunks(10):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000 < 2000 * large.nbytes  # the first 256 images decide, a few are converted ahead
    assert int(source.fetch([1999])[0][0, 0]) == 1999 % 256


@pytest.mark.parametrize("labelled", [False, True])
def test_a_loader_of_feature_rows_gives_rows_and_no_grey_images(labelled: bool) -> None:
    rows, kinds = torch.rand(10, 3), torch.arange(10) % 2
    data = TensorDataset(rows, kinds) if labelled else TensorDataset(rows)
    source = opened(DataLoader(data, batch_size=4))
    assert source.kind == "features"
    np.testing.assert_array_equal(features(source), rows.numpy())
    images = opened(DataLoader(TensorDataset(torch.rand(10, 5, 3)), batch_size=4))
    assert (images.kind, len(everything(images)[0])) == ("images", 10)


def test_labels_beside_an_array_that_are_too_few_are_told_and_no_second_image() -> None:
    for labels in ([1, 2], np.arange(3), torch.arange(11), list("ab")):
        with pytest.raises(UserError, match=rf"has 10 rows and {len(labels)} labels; give one label a row"):
            opened((np.zeros((10, 3)), labels))
    assert opened((np.zeros((10, 3)), np.arange(10))).labelled
