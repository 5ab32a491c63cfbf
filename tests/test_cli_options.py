"""Options that verbs share: the same word is the same option wherever it stands."""

from __future__ import annotations

from typing import Annotated, get_args, get_origin

import typer

from uncollapse import cli_options
from uncollapse.cli import app

SHARED = {
    "--json": cli_options.AsJson,
    "--plugin": cli_options.Plugins,
    "--device": cli_options.Device,
    "--jobs": cli_options.Jobs,
    "--time-limit": cli_options.TimeLimit,
}


def test_each_is_an_option_with_a_sentence() -> None:
    for one in [*SHARED.values(), cli_options.OwnNetworks, cli_options.OutDirectory]:
        assert get_origin(one) is Annotated
        (info,) = get_args(one)[1:]
        assert info.help.endswith(".")


def test_a_shared_word_has_one_help_in_all_verbs() -> None:
    found: dict[str, set[str | None]] = {}
    for verb in typer.main.get_command(app).commands.values():  # type: ignore[attr-defined]
        for parameter in verb.params:
            for word in parameter.opts:
                if word in SHARED:
                    found.setdefault(word, set()).add(parameter.help)
    assert set(found) == set(SHARED)
    assert {word: len(helps) for word, helps in found.items()} == dict.fromkeys(SHARED, 1)
