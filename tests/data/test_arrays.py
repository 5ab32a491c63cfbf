from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.data.making import everything, features, opened, pictures

from uncollapse.data import arrays as module
from uncollapse.data.arrays import ArrayRows, check_numbers
from uncollapse.errors import UserError

GREY, COLOUR = pictures(30), pictures(30, colour=True)


@pytest.mark.parametrize(
    "given",
    [
        COLOUR,
        COLOUR.transpose(0, 3, 1, 2),
        COLOUR / 255,
        (COLOUR / 127.5 - 1).astype(np.float32),
        COLOUR.astype(np.int64),
        COLOUR.astype(np.uint16) * 257,
        torch.from_numpy(COLOUR.copy()).permute(0, 3, 1, 2) / 255,
        torch.from_numpy(COLOUR.copy()).permute(0, 3, 1, 2).to(torch.float64) / 127.5 - 1,
        np.concatenate([COLOUR, np.full((*COLOUR.shape[:3], 1), 255, np.uint8)], axis=-1),
    ],
)
def test_the_same_images_in_every_dress(given: object) -> None:
    images, labels, names = everything(opened(given), 7)
    np.testing.assert_array_equal(np.stack(images), COLOUR)
    assert labels is None
    assert names[3] == "row 3"


def test_grey_images_with_and_without_an_axis_for_it() -> None:
    for given in (GREY, GREY[..., None], GREY[:, None], torch.from_numpy(GREY.copy())[:, None]):
        np.testing.assert_array_equal(np.stack(everything(opened(given))[0]), GREY)


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [("f4", "f4"), ("f8", "f8"), (">f4", "f4"), ("f2", "f4"), ("i4", "f8"), ("?", "f8"), ("u1", "f8")],
)
def test_features_keep_their_numbers(dtype: str, kept: str) -> None:
    rows = np.random.default_rng(0).integers(0, 2, (10, 3)).astype(dtype)
    found = features(opened(rows))
    np.testing.assert_array_equal(found, rows.astype(float))
    assert found.dtype == np.dtype(kept)


def test_bfloat16_tensors_are_features_of_single_precision() -> None:
    rows = torch.randn(6, 3).bfloat16()
    found = features(opened(rows))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, rows.float().numpy())


def test_a_value_outside_names_its_row_even_after_a_choice_of_rows() -> None:
    given = np.zeros((1000, 2, 2))
    given[900, 0, 0] = 3.5
    with pytest.raises(UserError, match=r"the value 3.5 in row 900, outside of \[0, 1\]"):
        everything(opened(given))
    chosen = ArrayRows(given, name="x", form="array", place="real", picks=np.array([2, 900]))
    with pytest.raises(UserError, match="row 900"):
        list(chosen.chunks(1))


def test_what_floats_mean_does_not_depend_on_the_size_of_chunks() -> None:
    given = np.zeros((1000, 2, 2))
    given[200:] = -1
    for size in (1, 1000):
        assert everything(opened(given), size)[0][999][0, 0] == 0
    given = np.zeros((1000, 2, 2))
    given[300:] = -1
    for size in (1, 1000):
        with pytest.raises(UserError, match=r"the value -1 in row 300.*its first 256 images"):
            everything(opened(given), size)


def test_rows_are_never_views_on_the_users_array() -> None:
    given = GREY.copy()
    images, _, _ = everything(opened(given))
    images[0][:] = 0
    rows = np.ones((5, 2))
    features(opened(rows))[:] = 0
    np.testing.assert_array_equal(given, GREY)
    assert (rows == 1).all()


def test_images_can_be_fetched_again() -> None:
    source = opened(COLOUR / 255)
    everything(source)
    for row, image in zip([29, 0, 3], source.fetch([29, 0, 3]), strict=True):
        np.testing.assert_array_equal(image, COLOUR[row])


def test_chunks_are_short_where_rows_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 8 * 100 * 5)
    source = opened(np.random.default_rng(0).random((17, 100)))
    assert [len(chunk) for chunk in source.chunks(1000)] == [5, 5, 5, 2]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros(5), r"has shape \(5,\); give one row a sample"),
        (np.array(3.0), r"has shape \(\)"),
        (np.zeros((0, 3)), r"has no rows \(shape \(0, 3\)\)"),
        (np.zeros((5, 3), dtype=complex), "type complex128"),
        (np.array([["a", "b"]]), "of type <U1"),
        (np.zeros((5, 3), dtype=object), "of type object"),
        (np.zeros((5, 9, 9, 2)), "no axis of 1, 3 or 4 channels"),
        (np.zeros((2, 3, 4, 5, 6)), r"rows of shape \(3, 4, 5, 6\)"),
    ],
)
def test_arrays_without_a_meaning_are_refused(given: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        opened(given)


@pytest.mark.parametrize("dtype", ["u1", "i8"])
def test_images_of_0_and_1_are_refused_and_truth_values_are_not(dtype: str) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (30, 4, 4))
    with pytest.raises(UserError, match=r"real \(ndarray of shape \(30, 4, 4\)\) has images of whole .* multiply them"):
        opened(bits.astype(dtype))
    for fine in (bits.astype(bool), (bits * 255).astype(dtype), bits.astype("f4")):
        np.testing.assert_array_equal(everything(opened(fine))[0], bits * 255)
    assert not np.any(everything(opened(np.zeros((30, 4, 4), dtype)))[0])
    assert features(opened(bits.reshape(30, 16).astype(dtype))).max() == 1  # features may be anything


def test_numbers_of_more_than_64_bits_and_absurd_sizes_are_refused() -> None:
    with pytest.raises(UserError, match="at most 64 bits"):
        check_numbers(np.dtype(np.longdouble), (2, 2), "real")
    with pytest.raises(UserError, match=r"has 8.0 TB, more than"):
        check_numbers(np.dtype("f8"), (10**6, 10**6), "real")


def test_the_hash_follows_every_number_label_and_shape() -> None:
    rows = np.random.default_rng(0).random((20, 6))
    changed = rows.copy()
    changed[19, 5] += 1e-12
    variants = [
        opened(rows),
        opened(changed),
        opened(rows.reshape(20, 2, 3)),
        opened(rows.astype("f4")),
        opened(rows, labels=range(20)),
        opened(rows, n=19),
        opened(rows[::-1].copy()),
    ]
    assert len({source.content_hash() for source in variants}) == len(variants)
    assert opened(rows.copy()).content_hash() == opened(rows).content_hash()


@pytest.mark.parametrize("kind", ["<f2", ">f2", "<f4", ">f4"])
def test_short_floats_of_either_byte_order_become_float32(kind: str) -> None:
    rows = np.array([[0.5, -2.0], [np.float16(0.1), 3.0]]).astype(kind)
    found = module.as_features(rows)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, rows.astype(np.float64))


def test_pages_of_a_mapped_file_are_handed_back_and_changes_of_other_mappings_are_kept(tmp_path: Path) -> None:
    rows = np.arange(40, dtype=np.float32).reshape(20, 2)
    np.save(tmp_path / "x.npy", rows)
    changed = np.load(tmp_path / "x.npy", mmap_mode="c")
    changed[3] = 99
    for mapped in (np.load(tmp_path / "x.npy", mmap_mode="r"), changed):
        module._hand_back(mapped)
    assert changed[3].tolist() == [99, 99]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "HANDED_BACK", 1)
        np.testing.assert_array_equal(features(opened(tmp_path / "x.npy"), size=3), rows)
        expected = rows.copy()
        expected[3] = 99
        np.testing.assert_array_equal(features(opened(changed), size=3), expected)
