"""What the functions for one's own loop refuse: each mistake is one sentence, and what it resembles still works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from uncollapse.errors import UserError
from uncollapse.functional import (
    bures_distance,
    critic_loss,
    dragan_penalty,
    gdpp,
    generator_loss,
    gradient_penalty,
    mode_seeking,
    pulling_away,
    zero_centred,
)
from uncollapse.functional_checks import check_types, check_weight
from uncollapse.parts.losses import Hinge, Relativistic

X = torch.linspace(-1, 1, 12).reshape(6, 2)
Y = X.flip(0) + 0.5
LINEAR = nn.Linear(2, 1)


def slope_of_three(x: Tensor) -> Tensor:
    return 3 * x[:, 0]


def on_meta(x: Tensor) -> Tensor:
    return x.to("meta")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: gradient_penalty(LINEAR, real=X.double(), fake=Y),
            r"^real is float64 and fake is float32; give both as the critic takes them, for example "
            r"real=real\.to\(fake\.dtype\)\.$",
        ),
        (lambda: gradient_penalty(LINEAR, real=X, fake=Y.half()), "real is float32 and fake is float16"),
        (
            lambda: gradient_penalty(LINEAR, real=X.double(), fake=Y.double()),
            r"critic has parameters of float32 and was given samples of float64; give it samples\.to\(torch\.float32\)",
        ),
        (lambda: zero_centred(LINEAR, X.double()), "critic has parameters of float32 and was given samples of float64"),
        (lambda: gradient_penalty(LINEAR, real=X, fake=on_meta(Y)), "real is on cpu and fake on meta; move one"),
        (lambda: bures_distance(real=on_meta(X), fake=Y), "real is on meta and fake on cpu"),
        (lambda: generator_loss(Relativistic(), fake=X[:, 0], real=on_meta(X)[:, 0]), "real is on meta and fake on"),
        (lambda: gradient_penalty(LINEAR, real=X, fake=Y, weight="10"), "weight must be a number of 0 .*not '10'"),
        (lambda: zero_centred(LINEAR, X, weight=-1.0), r"weight must be a number of 0 or more, .*not -1\.0"),
        (lambda: dragan_penalty(LINEAR, real=X, spread=float("nan")), "spread must be a number of 0 .*not nan"),
        (lambda: gradient_penalty(LINEAR, real=X, fake=Y, one_sided="no"), "one_sided must be True or False, not 'no'"),
        (lambda: gradient_penalty(LINEAR, real=X, fake=Y, generator=0), r"torch\.Generator\('cpu'\), not 0"),
        (lambda: dragan_penalty(LINEAR, real=X, generator=np.random.default_rng(0)), "must be a torch.Generator where"),
        (lambda: zero_centred(LINEAR, X[:0]), r"at must hold one row a sample, .*not float32 of shape \(0, 2\)"),
        (lambda: dragan_penalty(LINEAR, real=torch.tensor(1.0)), r"real must hold one row a sample.*shape \(\)"),
        (lambda: zero_centred(None, X), "critic must be a network or a function of samples .*not None"),
        (lambda: zero_centred(nn.Linear, X), "critic must be a network .*not the class Linear"),
        (lambda: zero_centred(lambda x: LINEAR(x).detach(), X), r"do not depend on its samples.*without detach\(\)"),
        (lambda: zero_centred(lambda x: LINEAR.bias.expand(len(x)), X), "do not depend on its samples"),
        (lambda: pulling_away((9 * X).int()), r"codes must be at least one row \(N, d\) of floats, not int32"),
        (lambda: gdpp(real=X[:0], fake=Y), r"real must be at least one row .*float32 of shape \(0, 2\)"),
        (
            lambda: mode_seeking(first=X.numpy(), second=Y, first_latent=X, second_latent=Y),
            "first must be floats as the critic is trained on, not of type ndarray",
        ),
        (
            lambda: mode_seeking(first=X, second=Y, first_latent=X[:3], second_latent=Y[:3]),
            "first has 6 samples and first_latent 3 latents; give one latent a sample",
        ),
        (
            lambda: critic_loss(Hinge(), real=X[:, 0] > 0, fake=Y[:, 0]),
            r"real must be at least one score as the critic gives it, a float, not bool of shape \(6,\)",
        ),
        (lambda: critic_loss(Hinge(), real=X[:, 0], fake=Y[:0, 0]), "fake must be at least one score"),
        (lambda: critic_loss(LINEAR, real=X[:, 0], fake=Y[:, 0]), "not one of type Linear"),
    ],
)
def test_a_mistake_is_one_sentence(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        call()


def test_a_failure_of_the_critic_itself_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as told:
        zero_centred(nn.Linear(3, 1), X)
    assert not isinstance(told.value, UserError)


def test_features_of_two_types_are_compared_in_the_wider_one() -> None:
    for distance in (bures_distance, gdpp):
        wide = distance(real=X.double(), fake=Y.double())
        torch.testing.assert_close(distance(real=X, fake=Y.double()), wide, check_dtype=False, rtol=1e-5, atol=1e-6)
    assert bures_distance(real=X, fake=Y.double()).dtype == torch.float64


def test_samples_of_one_type_and_weights_of_any_number_pass() -> None:
    for x, y in ((X, Y), (X.double(), Y.double())):
        check_types(x, y)
        drawn = gradient_penalty(slope_of_three, real=x, fake=y, generator=torch.Generator().manual_seed(0))
        assert drawn.item() == pytest.approx(40.0, rel=1e-5)  # 10 (3 - 1)^2
    for weight in (0, 2, np.float32(2.0), torch.tensor(2.0)):
        check_weight(weight)
        assert float(zero_centred(slope_of_three, X, weight=weight)) == pytest.approx(4.5 * float(weight))


def test_switches_and_weights_of_numpy_are_taken() -> None:
    drawn = [torch.Generator().manual_seed(0) for _ in range(2)]
    one = gradient_penalty(LINEAR, real=X, fake=Y, one_sided=True, weight=3.0, generator=drawn[0])
    other = gradient_penalty(
        LINEAR,
        real=X,
        fake=Y,
        one_sided=np.True_,
        weight=np.float32(3),
        generator=drawn[1],  # type: ignore[arg-type]
    )
    assert torch.equal(one, other)
