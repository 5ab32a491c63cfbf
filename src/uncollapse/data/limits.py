"""What a reader accepts at most, how a side is named in messages, and how many bad rows are too many.

The caps are far above honest data; what exceeds one is refused before it is read, because a small file can ask for
any amount of memory.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from uncollapse.data.source import Notes
from uncollapse.errors import UserError
from uncollapse.text import clean

MEGA, GIGA = 10**6, 10**9

MOST_PIXELS = 64 * MEGA
MOST_IMAGE_BYTES = 256 * MEGA  # encoded, one image
MOST_MEMBERS = 5_000_000
MOST_DIRECTORY_BYTES = 1 * GIGA  # the list of members at the end of a zip
MOST_RATIO = 200  # content per byte of archive; images hardly shrink, so an honest archive stays below 2
# Content that is small anyway may shrink by any factor: one image, or samples of a generator that draws one image only.
RATIO_FREE, RATIO_FREE_ARRAY, RATIO_FREE_TOTAL = 16 * MEGA, 2 * GIGA, 1 * GIGA
MOST_JSON_BYTES = 512 * MEGA  # dataset.json of five million images
MOST_LABEL_BYTES = 64 * 1024  # one .cls or .json member beside an image
MOST_CSV_BYTES = 1 * GIGA
MOST_ARRAY_BYTES = 1_000 * GIGA
CHUNK_BYTES = 64 * MEGA  # pixels or numbers of one chunk, unless one row alone has more
LISTED_BAD = 3
LONGEST_TEXT = 300
DIGEST_LETTERS = 12
MOST_LETTERS_TOLD_APART = 1_000_000  # of one label; many rows may name one that is far longer
EXAMINED_TEXT = 10 * LONGEST_TEXT  # letters that are looked at; some of them may be left out


class Fixed(float):
    """A largest share of bad rows that whoever gives the data cannot change, so that no message tells to change it."""


USUAL_BAD = 0.01


def where(side: str, given: object) -> str:
    """How messages call one side: ``real (photos.zip)``.

    Args:
        side: "real", "fake", ...
        given: A path or what an object in memory is.
    """
    return f"{clean(side)} ({short(given)})"


def is_made(place: str) -> bool:
    """Whether `where` called so a side that a generator made, which may be black because it has collapsed."""
    return place.startswith(("fake (", "other ("))


def short(text: object) -> str:
    """A text from a file, without control characters and not longer than a line or two."""
    whole = str(text)
    shown = clean(whole[:EXAMINED_TEXT])
    fits = len(whole) <= EXAMINED_TEXT and len(shown) <= LONGEST_TEXT
    return shown if fits else f"{shown[: LONGEST_TEXT - 3]}..."


def short_label(text: object) -> str:
    """A label as `short` has it, but a cut one ends in a digest of the whole, so that long ones that differ stay apart.

    Letters beyond the first `MOST_LETTERS_TOLD_APART` are not looked at.

    >>> short_label("cat"), short_label("a" * 300 + "b") == short_label("a" * 300 + "c")
    ('cat', False)
    """
    whole = str(text)[:MOST_LETTERS_TOLD_APART].strip()
    shown = clean(whole[:EXAMINED_TEXT])
    if len(whole) <= EXAMINED_TEXT and len(shown) <= LONGEST_TEXT:
        return shown
    content = (shown + whole[EXAMINED_TEXT:]).encode(errors="surrogatepass")
    digest = hashlib.sha256(content).hexdigest()[:DIGEST_LETTERS]
    return f"{shown[: LONGEST_TEXT - DIGEST_LETTERS - 3]}...{digest}"


def reason(error: BaseException) -> str:
    """What went wrong, for the end of a sentence: the system's own words for a file, else the kind and the message."""
    if isinstance(error, OSError) and error.strerror:
        return short(error.strerror.lower())
    return short(f"{type(error).__name__}: {error}") if str(error) else type(error).__name__


def check_bad(notes: Notes, tried: int, count: int | None, max_bad: float, place: str, *, finished: bool) -> None:
    """Refuses a source of which too many rows cannot be read.

    While reading, this is certain as soon as more than `max_bad` of a known count are bad; the refusal then waits for
    the fourth bad row, so that it can list some. At the end any share above `max_bad` is refused, and no readable row
    at all. A `max_bad` of 1 refuses nothing.

    Args:
        notes: What was met so far.
        tried: Rows tried so far, readable or not.
        count: Rows there are, None when unknown.
        max_bad: Largest share of bad rows, 0 to 1; `Fixed` where there is no way to ask for another.
        place: How messages call the source.
        finished: Whether all rows have been tried.

    Raises:
        UserError: Too many; the first ones are listed.
    """
    if max_bad >= 1 or not notes.bad_count:
        return
    certain = count is not None and notes.bad_count > max(max_bad * count, LISTED_BAD)
    if not certain and not (finished and notes.bad_count > max_bad * tried):
        return
    listed = "; ".join(f"{short(Path(name).name)} {short(why)}" for name, why in notes.bad[:LISTED_BAD])
    total = f"{notes.bad_count:,} of {tried if finished or count is None else count:,} rows" + (
        "" if finished else " or more"
    )
    more = ", as here no more are allowed" if isinstance(max_bad, Fixed) else ", or allow more with max_bad (--max-bad)"
    raise UserError(
        f"{place}: {total} cannot be read, more than the allowed share of {max_bad:.3g}: {listed}"
        f"{'; ...' if notes.bad_count > LISTED_BAD else ''}. Repair or remove them{more}."
    )
