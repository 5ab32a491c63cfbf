"""The sentence of an unknown name, letter by letter."""

from __future__ import annotations

import errno

import pytest

from uncollapse.errors import UserError, system_sentence, unknown

KNOWN = " Known: a1, a2, a3, a4."


def test_a_user_error_is_a_value_error_with_its_sentence() -> None:
    with pytest.raises(ValueError, match=r"^one sentence$") as caught:
        raise UserError("one sentence")
    assert type(caught.value) is UserError


@pytest.mark.parametrize(
    ("name", "allowed", "sentence"),
    [
        ("vanila", ["wgan", "vanilla"], "There is no method 'vanila'; did you mean 'vanilla'? Known: vanilla, wgan."),
        ("zzz", ["wgan", "vanilla"], "There is no method 'zzz'. Known: vanilla, wgan."),
        # What starts like the name comes before what merely resembles it.
        ("wgan", ["wgan-gp", "lsgan"], "There is no method 'wgan'; did you mean 'wgan-gp'? Known: lsgan, wgan-gp."),
        ("VANILLA", ["vanilla"], "There is no method 'VANILLA'; did you mean 'vanilla'? Known: vanilla."),
        (7, ["1", "2"], "There is no method '7'. Known: 1, 2."),
        # Never more than three guesses.
        ("a", ["a4", "a3", "a2", "a1"], "There is no method 'a'; did you mean 'a1' or 'a2' or 'a3'?" + KNOWN),
    ],
)
def test_the_nearest_name_is_offered_and_a_short_list_is_shown(name: object, allowed: list[str], sentence: str) -> None:
    error = unknown("method", name, allowed)
    assert type(error) is UserError
    assert str(error) == sentence


def test_long_lists_are_not_shown() -> None:
    shown, hidden = ([f"name{i:02d}" for i in range(count)] for count in (16, 17))
    assert str(unknown("thing", "qqq", shown)) == f"There is no thing 'qqq'. Known: {', '.join(shown)}."
    assert str(unknown("thing", "qqq", hidden)) == "There is no thing 'qqq'."


def test_a_next_step_replaces_the_list() -> None:
    error = unknown("method", "vanila", ["vanilla"], see="`uncollapse methods` lists them")
    assert str(error) == "There is no method 'vanila'; did you mean 'vanilla'? `uncollapse methods` lists them."
    assert str(unknown("method", "q", ["vanilla"], see="Look there")) == "There is no method 'q'. Look there."


def test_the_allowed_names_may_be_any_iterable() -> None:
    error = unknown("axis", "los", (name for name in ("loss", "view")))
    assert str(error) == "There is no axis 'los'; did you mean 'loss'? Known: loss, view."


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            OSError(errno.EROFS, "Read-only file system", "runs"),
            "runs cannot be written: read-only file system; choose another folder by --out.",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/a/.g.csv.4922.tmp"),
            "/a/g.csv: permission denied; change its permissions, or choose another path.",
        ),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.npz"), "a.npz: no such file or directory."),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device."),
        (OSError("The disk is full, nothing is lost."), "The disk is full, nothing is lost."),
    ],
)
def test_what_the_system_refused_is_a_sentence(error: OSError, sentence: str) -> None:
    assert system_sentence(error) == sentence
