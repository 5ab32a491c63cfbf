from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from uncollapse import metrics
from uncollapse.errors import UserError
from uncollapse.metrics.inputs import (
    Features,
    as_features,
    both,
    check_count,
    check_level,
    check_neighbours,
    chunks,
    common_keys,
    is_number,
    row_keys,
    seeded,
)

ROWS = np.random.default_rng(0).normal(size=(50, 3))


def test_what_was_given_is_kept_and_odd_types_are_widened() -> None:
    kept = torch.from_numpy(ROWS)
    assert Features(kept, name="real").x.data_ptr() == kept.data_ptr()
    assert Features(ROWS.astype(np.float32), name="real").x.dtype == torch.float32
    assert Features(ROWS.astype(np.float16), name="real").x.dtype == torch.float32
    assert Features(np.arange(6).reshape(3, 2), name="real").x.dtype == torch.float64
    assert Features([[1, 2], [3, 4]], name="real").x.tolist() == [[1, 2], [3, 4]]


def test_arrays_that_step_backwards_or_are_read_only_are_read() -> None:
    assert torch.equal(Features(ROWS[::-1], name="real").x, torch.from_numpy(ROWS).flip(0))
    frozen = ROWS.copy()
    frozen.flags.writeable = False
    assert Features(frozen, name="real").x.tolist() == ROWS.tolist()


def test_rows_in_another_order_of_bytes_are_read() -> None:
    x = np.random.default_rng(0).normal(size=(5, 2))
    for kind in (">f8", ">f4", "<f8"):
        assert torch.equal(as_features(x.astype(kind), name="real").x, torch.tensor(x.astype(kind[1:])))


def test_tensors_in_a_list_that_cannot_be_read_are_no_unequal_rows() -> None:
    rows = [torch.ones(2, requires_grad=True), torch.ones(2)]
    with pytest.raises(UserError, match=r"real cannot be read as a matrix of numbers \(n, d\): .*requires grad"):
        as_features(rows, name="real")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"real must be a matrix of numbers .* not equally long"):
        as_features([[1.0], [1.0, 2.0]], name="real")  # type: ignore[arg-type]


def test_a_number_may_be_an_array_or_a_tensor_of_one() -> None:
    for given in (1, 0.5, np.float32(1), np.int64(2), np.array(1.0), torch.tensor(2.0), torch.median(torch.ones(3))):
        assert is_number(given)
    for other in (True, np.True_, torch.tensor(True), np.array(False), "1", None, torch.ones(2), 1j, np.array(1j)):
        assert not is_number(other)


def test_the_order_depends_on_content_alone() -> None:
    shuffled = ROWS[np.random.default_rng(1).permutation(50)]
    assert torch.equal(Features(ROWS, name="real").ordered, Features(shuffled, name="real").ordered)
    assert not torch.equal(Features(ROWS, name="real").ordered, torch.from_numpy(ROWS))


def test_identical_rows_share_a_key_and_others_do_not() -> None:
    x = torch.from_numpy(np.concatenate([ROWS, ROWS[:10]]))
    keys = row_keys(x)
    assert torch.equal(keys[:10], keys[50:])
    assert len(keys.unique()) == 50
    # Rows of a coarse grid differ in few bits, the hardest case for a linear hash.
    grid = torch.cartesian_prod(*[torch.arange(12.0)] * 4)
    assert len(row_keys(grid).unique()) == len(grid)


def test_minus_zero_is_zero() -> None:
    assert torch.equal(row_keys(torch.tensor([[-0.0, 1.0]])), row_keys(torch.tensor([[0.0, 1.0]])))


def test_identical_rows_stand_together_in_the_order() -> None:
    x = torch.from_numpy(np.concatenate([ROWS, ROWS, ROWS]))
    ordered = Features(x, name="fake").ordered.reshape(50, 3, 3)
    assert torch.equal(ordered[:, 0], ordered[:, 1])
    assert torch.equal(ordered[:, 0], ordered[:, 2])


def test_centred_rows_and_the_mean_are_those_of_float64() -> None:
    far = ROWS.astype(np.float32) + np.float32(1000)
    side = Features(far, name="real")
    truth = far.astype(np.float64).mean(0)
    np.testing.assert_allclose(side.mean.numpy(), truth, rtol=1e-14)
    expected = far.astype(np.float64)[side.order.numpy()] - truth
    np.testing.assert_allclose(side.centred(side.mean, torch.float64).numpy(), expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(side.exact(torch.tensor([3])).numpy()[0], far[side.order[3]].astype(np.float64))


def test_chunks_cover_all_rows_once() -> None:
    parts = chunks(10, 2**20)
    assert [(part.start, part.stop) for part in parts] == [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]
    assert chunks(3, 2**40) == [slice(0, 1), slice(1, 2), slice(2, 3)]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (np.zeros(4), r"real must be a matrix \(n, d\) of feature rows, not of shape \(4,\)"),
        (np.zeros((4, 0)), r"not of shape \(4, 0\)"),
        (np.zeros((1, 2)), "real has 1 row, but this needs at least 2"),
        (np.zeros((4, 2), complex), "complex"),
        (
            [["a", "b"]],
            r"real must be a matrix of numbers \(n, d\) of at most 64 bits, not entries of type <U1; convert it",
        ),
        (np.zeros((4, 2), object), "not entries of type object; convert it, as by numpy.asarray"),
        (np.zeros((4, 2), np.longdouble), "not entries of type (float128|longdouble|float96)"),
        ([[1.0, 2.0], [3.0]], r"^real must be a matrix of numbers \(n, d\), and its rows are not equally long\.$"),
        ("photos/", r"^real must be a matrix .*, not a path; uncollapse\.evaluate reads files\.$"),
        (None, r"^real must be a matrix of numbers \(n, d\) of at most 64 bits, not NoneType\.$"),
        ([[0, 1], [np.nan, 1], [np.inf, 0]], "real has 2 rows that are not finite, the first at index 1"),
        ([[0, 1], [0, 1], [np.inf, -np.inf]], "real has 1 row that is not finite, the first at index 2"),
    ],
)
def test_bad_rows_get_one_sentence(rows: object, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Features(rows, name="real")


def test_large_finite_rows_are_accepted() -> None:
    assert len(Features(np.full((4, 2), 3e38, np.float32), name="real")) == 4


def test_two_sides_must_lie_in_one_space() -> None:
    with pytest.raises(UserError, match="real has 3 features a row and fake has 2"):
        both(ROWS, ROWS[:, :2])
    real, fake = both(ROWS, ROWS[:9])
    assert (len(real), len(fake), real.width) == (50, 9, 3)


@pytest.mark.parametrize("level", [0, 1, 1.5, -0.1, "0.95"])
def test_a_level_outside_0_to_1_is_refused(level: float) -> None:
    with pytest.raises(UserError, match="level must be between 0 and 1"):
        check_level(level)
    check_level(None)
    check_level(np.float32(0.9))  # type: ignore[arg-type]


def test_a_side_needs_more_rows_than_neighbours() -> None:
    check_neighbours(49, Features(ROWS, name="real"))
    with pytest.raises(UserError, match="real has 50 rows, too few for k = 50 neighbours; give at least 51"):
        check_neighbours(50, Features(ROWS, name="real"))
    with pytest.raises(UserError, match="k must be a whole number of at least 1, not 0"):
        check_neighbours(0, Features(ROWS, name="real"))


@pytest.mark.parametrize("count", [1, 2.0, 2.5, "3", None, True, torch.tensor(2.0)])
def test_what_is_no_whole_number_or_too_small_is_refused(count: int) -> None:
    with pytest.raises(UserError, match=r"bins must be a whole number of at least 2, for example 9, not "):
        check_count(count, "bins", least=2, more=", for example 9")
    for whole in (2, np.int32(7), torch.tensor(3)):
        check_count(whole, "bins", least=2)  # type: ignore[arg-type]


def test_without_a_generator_draws_are_the_same_every_time() -> None:
    assert torch.equal(torch.rand(3, generator=seeded(None)), torch.rand(3, generator=seeded(None)))
    own = torch.Generator().manual_seed(5)
    assert seeded(own) is own


DRAWING = [
    name for name in metrics.__all__ if "generator" in inspect.signature(getattr(metrics, name)).parameters
    and name != "path_length"
]  # fmt: skip


@pytest.mark.parametrize("name", DRAWING)
@pytest.mark.parametrize("generator", [0, np.random.default_rng(0)])
def test_whatever_draws_refuses_what_is_no_generator_of_torch(name: str, generator: object) -> None:
    taken = inspect.signature(getattr(metrics, name)).parameters
    given = {side: ROWS for side in ("real", "fake", "other", "train") if side in taken}
    given |= {"probabilities": np.full((9, 2), 0.5)} if "probabilities" in taken else {}
    given |= {"effect": 0.1} if "effect" in taken else {}
    metric = ("coverage",) if "metric" in taken else ()
    with pytest.raises(UserError, match=r"^generator must be a torch\.Generator on the CPU, as torch\.Generator\(\)\."):
        getattr(metrics, name)(*metric, **given, generator=generator)


def test_all_that_draws_was_asked() -> None:
    assert {"coverage", "kernel_distance", "inception_score", "diversity", "difference", "required_n"} <= set(DRAWING)
    with pytest.raises(UserError, match=r"^draws must be a torch\.Generator on the CPU, .* not 0\.$"):
        metrics.path_length(generator=torch.nn.Linear(2, 2), latent=2, draws=0)  # type: ignore[arg-type]


def test_a_checked_side_is_not_checked_again() -> None:
    side = Features(ROWS, name="real")
    assert both(side, ROWS)[0] is side
    with pytest.raises(UserError, match="real has 50 rows, but this needs at least 51"):
        as_features(side, name="real", least=51)


@pytest.mark.parametrize("values", [(-1.0, 1.0), (0.0, 1.0), (0.0, 255.0)])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_rows_of_two_values_have_keys_of_their_own(values: tuple[float, float], kind: torch.dtype) -> None:
    chosen = torch.randint(2, (150_000, 64), generator=torch.Generator().manual_seed(0))
    keys = row_keys(torch.tensor(values, dtype=kind)[chosen])
    assert len(torch.unique(keys)) == len(keys)
    for bit in range(64):  # each bit is set in half of the keys
        assert float((keys >> bit & 1).double().mean()) == pytest.approx(0.5, abs=0.01)


def test_equal_numbers_have_equal_common_keys_whatever_their_precision() -> None:
    rows = np.array([[0.5, 3.0], [1.0, -2.0], [0.0, 7.0]])
    sides = [Features(rows.astype(kind), name="real") for kind in (np.float32, np.float64)]
    sides.append(Features(np.array([[1, -2], [4, 5]]), name="fake"))
    one, two, three = common_keys(*sides)
    assert torch.equal(one, two)
    assert three[0] == one[1]
    assert not torch.isin(three[1], one)
    alike = common_keys(sides[0], sides[0])
    assert alike[0] is sides[0].keys
