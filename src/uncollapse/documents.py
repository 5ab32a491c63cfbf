"""The JSON documents of runs and comparisons, read back: whole, of a schema that is known here, with what is needed.

Everything that opens a directory of ours reads them through here, so that a damaged one, or one of another version, is
one sentence everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from uncollapse.errors import UserError
from uncollapse.parsing import MOST_BYTES, Beyond, read_json

SCHEMA = 1
# What readers go on from, a key within a key after a dot.
SPEC = ("method.name", "task.name")
IDENTITY = ("hash", "updates")
RESULT = (*IDENTITY, "lanes", "modes.names", "modes.weights")
COMPARISON = ("cells",)
TRAIN_AGAIN = "restore it, or train again with --fresh"
# A finished run judges its newest checkpoint once more.
JUDGE_AGAIN = "restore it, or remove it and run the same command again"
COMPARE_AGAIN = "restore it, or make it again with `uncollapse compare`"


def read_document(path: Path, *, needs: Sequence[str] = (), remedy: str, most: int = MOST_BYTES) -> dict[str, Any]:
    """The object in a JSON file.

    Args:
        path: The file.
        needs: Keys that it must have, those within another after a dot.
        remedy: What a user can do about another file, as a sentence goes on: ``restore it, or ...``.
        most: Bytes that it may have.

    Raises:
        UserError: It cannot be read, is too large or too deep, is of another schema, or lacks something.
    """
    try:
        found: Any = read_json(path, most=most)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}); {remedy}.") from error
    except Beyond as error:
        raise UserError(f"{path} {error}; {remedy}.") from error
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); {remedy}.") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} should hold a JSON object but holds a {type(found).__name__}; {remedy}.")
    schema = found.get("schema", SCHEMA)
    if schema != SCHEMA or isinstance(schema, bool):
        raise UserError(
            f"{path} has schema {str(schema)[:20]}, and this version of uncollapse reads schema {SCHEMA}; use the"
            f" version that wrote it, {remedy}."
        )
    if lacking := missing(found, needs):
        raise UserError(f"{path} lacks {lacking[0]!r}, so uncollapse did not write it or it was edited; {remedy}.")
    return found


def read_spec(path: Path) -> dict[str, Any]:
    """The spec of a run.

    Raises:
        UserError: As `read_document`, or its seeds are no list of whole numbers.
    """
    found = read_document(path, needs=SPEC, remedy=TRAIN_AGAIN)
    seeds = found.get("seeds", [])
    if not isinstance(seeds, list) or not all(type(seed) is int for seed in seeds):
        raise UserError(f"{path} has no list of whole numbers under 'seeds', so it was edited; {TRAIN_AGAIN}.")
    return found


def missing(document: object, needs: Sequence[str]) -> list[str]:
    """The keys that a document lacks.

    >>> missing({"modes": {"names": []}}, ("hash", "modes.names", "modes.weights"))
    ['hash', 'modes.weights']
    """

    def has(inner: object, key: str) -> bool:
        first, _, rest = key.partition(".")
        return isinstance(inner, Mapping) and first in inner and (not rest or has(inner[first], rest))

    return [key for key in needs if not has(document, key)]
