"""From samples of a loop to rows: what is read how, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from uncollapse.errors import UserError
from uncollapse.features.identity import Identity
from uncollapse.features.pixels import Pixels
from uncollapse.monitor.encoding import COMPONENTS, Encoder, Space, apply, as_samples


def pixels(**choices: object) -> Encoder:
    """Reads 4 x 4 images as 16 numbers from 0 to 1."""
    return Encoder(extractor=Pixels(side=4), width=16, **choices)  # type: ignore[arg-type]


def test_rows_of_numbers_pass_and_those_that_are_not_finite_are_told() -> None:
    x = torch.tensor([[1.0, 2.0], [float("nan"), 0.0], [3.0, float("inf")], [5.0, 6.0]])
    rows, classes, finite = Encoder(extractor=Identity(), width=2).features(x)
    assert rows.tolist() == [[1.0, 2.0], [5.0, 6.0]]
    assert classes is None
    assert finite.tolist() == [True, False, False, True]


def test_nothing_finite_is_no_row() -> None:
    rows, _, finite = pixels(low=-1.0).features(torch.full((3, 4, 4), float("nan")))
    assert rows.shape == (0, 16)
    assert not finite.any()


@pytest.mark.parametrize(("low", "expected"), [(-1.0, [0.0, 0.5, 1.0, 1.0]), (0.0, [0.0, 0.0, 1.0, 1.0])])
def test_images_are_read_as_the_reference_was_and_cut_at_black_and_white(low: float, expected: list[float]) -> None:
    values = torch.tensor([-1.0, 0.0, 1.0, 7.0])[:, None, None].expand(4, 4, 4)
    rows, _, _ = pixels(low=low).features(values)
    assert rows[:, 0].tolist() == pytest.approx(expected, abs=0.003)


def test_what_black_is_is_decided_once_by_the_first_fakes_where_the_reference_says_nothing() -> None:
    encoder = pixels()
    encoder.features(torch.full((2, 4, 4), -0.5))
    assert encoder.low == -1.0
    # Later fakes without a negative number are read alike.
    assert encoder.features(torch.zeros(1, 4, 4))[0][0, 0] == pytest.approx(0.5, abs=0.003)


@pytest.mark.parametrize("reference", [{}, {"negative": 0.0}, {"negative": 0.5}])
def test_floats_in_0_to_255_are_refused_beside_any_reference(reference: dict[str, float]) -> None:
    grey = torch.randint(256, (50, 4, 4))
    with pytest.raises(
        UserError, match=r"floats from 0 to 255, as of images in 0 \.\. 255; give uint8, or floats in \["
    ):
        pixels(**reference).features(grey.float())
    assert len(pixels(**reference).features(grey.to(torch.uint8))[0]) == 50


def test_fakes_in_another_range_than_a_reference_in_0_to_1_are_refused() -> None:
    signed = torch.tanh(3 * torch.randn(50, 4, 4))
    with pytest.raises(
        UserError, match=r"from -1 to 1 and the reference none below 0; give both in one scale \(0\.5 x"
    ):
        pixels(negative=0.0).features(signed)
    assert pixels(negative=0.5).features(signed)[0].mean() == pytest.approx(0.5, abs=0.05)
    # Nothing tells the range of bytes; the first fakes had nothing dark, and the next tell that -1 is black.
    encoder, told = pixels(), set[str]()
    encoder.features(torch.rand(50, 4, 4), told)
    assert encoder.low == 0.0
    encoder.features(signed, told)
    assert encoder.low == -1.0


@pytest.mark.parametrize("later", [255 * torch.rand(50, 4, 4), torch.tanh(3 * torch.randn(50, 4, 4))])
def test_only_the_first_fakes_are_refused_for_their_range(
    later: torch.Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    encoder, told = pixels(negative=0.0), set[str]()
    encoder.features(torch.rand(50, 4, 4), told)
    for _ in range(2):
        assert len(encoder.features(later, told)[0]) == 50
    (warning,) = caplog.messages
    assert "lie far outside of [0, 1] and are cut" in warning
    with pytest.raises(UserError, match=r"The fakes hold (floats|values) from"):
        encoder.features(later, set())  # of another generator beside the same reference


@pytest.mark.parametrize("negative", [0.0, 0.5])
def test_what_a_healthy_training_makes_is_never_refused(negative: float, caplog: pytest.LogCaptureFixture) -> None:
    """Untrained networks with and without a bound, and trained ones that go a little beyond black and white."""
    encoder, noise, warned = pixels(negative=negative), torch.randn(500, 4, 4), set[str]()
    trained = torch.rand(500, 4, 4) if negative == 0 else torch.rand(500, 4, 4) * 2 - 1
    for fakes in (
        torch.tanh(0.1 * noise),
        0.05 * noise,
        0.3 * noise,
        trained,
        1.1 * trained - 0.02,
        trained.clamp(0.2),
    ):
        encoder.features(fakes, warned)
    told = [message for message in caplog.messages if "reference's scale" in message]
    assert told == []
    encoder.features(50 * noise, warned)
    encoder.features(60 * noise, warned)
    (told,) = [message for message in caplog.messages if "reference's scale" in message]
    assert "of the fakes' values lie far outside of" in told


def test_fakes_without_a_negative_value_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    encoder, signed, warned = pixels(negative=0.4), torch.rand(50, 4, 4) * 2 - 1, set[str]()
    encoder.features(signed, warned)
    assert caplog.messages == []
    for _ in range(2):
        encoder.features(torch.rand(50, 4, 4), warned)
    (told,) = caplog.messages
    assert told.startswith("no value of the fakes is negative, but 40% of the reference's are")
    # A reference of bright images has few itself.
    pixels(negative=0.05).features(torch.rand(50, 4, 4))
    assert len(caplog.messages) == 1


def test_bytes_channels_and_flat_images() -> None:
    grey = torch.arange(16, dtype=torch.uint8).reshape(1, 4, 4) * 16
    expected = pixels().features(grey)[0]
    assert expected[0].tolist() == pytest.approx((grey.flatten() / 255).tolist())
    assert (pixels().features(grey[:, None])[0] == expected).all()
    assert (pixels(shape=(4, 4)).features(grey.flatten(1))[0] == expected).all()


def test_what_is_of_another_kind_than_the_reference_is_refused() -> None:
    with pytest.raises(UserError, match=r"reference holds rows of features and the fakes have the shape \(2, 4, 4\)"):
        Encoder(extractor=Identity(), width=2).features(torch.zeros(2, 4, 4))
    with pytest.raises(UserError, match=r"fakes have 3 features a row and the reference 2"):
        Encoder(extractor=Identity(), width=2).features(torch.zeros(2, 3))
    with pytest.raises(UserError, match=r"reference holds images and the fakes have the shape \(2, 5\)"):
        pixels(shape=(4, 4)).features(torch.zeros(2, 5))


def test_a_function_of_the_user_in_batches() -> None:
    sizes: list[int] = []

    def features(x: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        return x.flatten(1)[:, :3] * 2

    x = torch.rand(300, 2, 2)
    rows, _, _ = Encoder(extractor=features, width=3).features(x)
    assert rows == pytest.approx(2 * x.flatten(1)[:, :3].numpy())
    assert sizes == [256, 44]
    with pytest.raises(UserError, match=r"gives the shape \(4, 2, 2\) for 4 samples; it has to give one row"):
        apply(lambda x: x, x[:4])


def test_a_space_is_centred_and_of_unit_mean_square_and_keeps_distances() -> None:
    rows = 50 + 3 * torch.randn(200, 4)
    space = Space.of(rows)
    found = space.project(rows)
    assert found.mean(0).abs().max() < 1e-5
    assert float(found.square().sum(1).mean()) == pytest.approx(1.0, rel=1e-5)
    ratio = torch.pdist(found) / torch.pdist(rows)
    assert ratio.max() / ratio.min() < 1.001


@pytest.mark.parametrize("n", [400, 80])
def test_many_features_are_projected_on_their_leading_components(n: int) -> None:
    # Rows of many features that vary in few directions keep all distances; n above and below the number of features.
    basis = torch.randn(10, 150)
    rows = torch.randn(n, 10) @ basis
    found = Space.of(rows).project(rows)
    assert found.shape == (n, COMPONENTS)
    ratio = torch.pdist(found) / torch.pdist(rows)
    assert ratio.max() / ratio.min() < 1.01


def test_rows_that_do_not_vary_are_refused() -> None:
    with pytest.raises(UserError, match="All rows of the reference have the same features"):
        Space.of(torch.ones(60, 3))


def test_samples_of_any_kind_become_tensors() -> None:
    graph = torch.ones(2, 2, requires_grad=True) * 2
    assert not as_samples(graph, name="fake").requires_grad
    assert as_samples(torch.ones(2, 2, dtype=torch.bfloat16), name="fake").dtype == torch.float32
    assert as_samples(np.ones((3, 2)), name="fake").shape == (3, 2)
    assert as_samples([[1.0, 2.0]], name="fake").shape == (1, 2)


@pytest.mark.parametrize("wrong", [torch.ones(3), torch.ones(0, 2), torch.ones(2, 2) * 1j, "text", object()])
def test_what_is_no_batch_of_samples_is_refused(wrong: object) -> None:
    with pytest.raises(UserError, match=r"^fake must (be an array|hold samples)"):
        as_samples(wrong, name="fake")
