"""The lines of a growing file, each read once: remembers how far it has read, and notices a file that was cut back.

A line counts when its newline is there, so a torn last line waits. A continued run cuts its history back to its newest
checkpoint; what was read of such a file is then void and it is read from its beginning.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from uncollapse.data.limits import MEGA
from uncollapse.watch.documents import open_regular, parse, whole

CHUNK = 1 * MEGA
LONGEST_LINE = 64 * MEGA
GUARD = 512  # bytes before the place reached that must still be the same
END = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class News:
    """What one look at a file brought.

    Attributes:
        lines: The new lines, parsed.
        restarted: Whether everything read before is void.
        more: Whether a further look would bring more at once.
    """

    lines: list[dict[str, Any]] = field(default_factory=list)
    restarted: bool = False
    more: bool = False


class Tail:
    """A file of JSON lines that grows.

    Attributes:
        offset: Bytes read so far, always the end of a line.
        size: Bytes that the file had at the last look.
        damaged: Whole lines that were no JSON object and are left out.
    """

    def __init__(self, path: Path) -> None:
        """Reads nothing yet."""
        self.path = path
        self.offset = self.size = self.damaged = 0
        self._guard = b""

    @property
    def behind(self) -> int:
        """Bytes that are not read yet, a torn last line among them."""
        return max(0, self.size - self.offset)

    def read(self) -> News:
        """Reads at most `CHUNK` bytes of what is new, or one line that is longer."""
        stream = open_regular(self.path)
        if stream is None:
            restarted = self.offset > 0
            self._begin()
            return News(restarted=restarted)
        with stream:
            self.size = os.fstat(stream.fileno()).st_size
            restarted = self.offset > 0 and not self._same(stream)
            if restarted:
                size = self.size
                self._begin()
                self.size = size
            block = self._block(stream)
        lines = [parse(line) for line in block.split(b"\n")[:-1]]
        known = [line for line in lines if line is not None]
        self.damaged += len(lines) - len(known)
        return News(lines=known, restarted=restarted, more=bool(block) and self.behind > 0)

    def newest_update(self) -> int:
        """The update in the last whole line, looked up at the end of the file, so that a long file is known at once."""
        stream = open_regular(self.path)
        if stream is None:
            return 0
        with stream:
            self.size = os.fstat(stream.fileno()).st_size
            stream.seek(max(0, self.size - END))
            ending = stream.read(END)
        numbers = re.findall(rb'^\{"update": ?(\d{1,15}),', ending[: ending.rfind(b"\n") + 1], re.MULTILINE)
        return whole(int(numbers[-1])) or 0 if numbers else 0

    def _begin(self) -> None:
        self.offset = self.size = self.damaged = 0
        self._guard = b""

    def _same(self, stream: BinaryIO) -> bool:
        """Whether the file still holds what was read last before the place reached."""
        if self.size < self.offset:
            return False
        stream.seek(self.offset - len(self._guard))
        return stream.read(len(self._guard)) == self._guard

    def _block(self, stream: BinaryIO) -> bytes:
        """Whole lines from the place reached on; moves that place behind them."""
        stream.seek(self.offset)
        block = stream.read(CHUNK)
        end = block.rfind(b"\n") + 1
        if not end and len(block) == CHUNK:
            block += stream.read(LONGEST_LINE - CHUNK)
            end = block.find(b"\n", CHUNK) + 1
            if not end and len(block) == LONGEST_LINE:  # no line of ours is so long; what follows may be
                self.damaged += 1
                self.offset += len(block)
                self._guard = block[-GUARD:]
                return b""
        block = block[:end]
        self.offset += end
        self._guard = (self._guard + block[-GUARD:])[-GUARD:]
        return block
