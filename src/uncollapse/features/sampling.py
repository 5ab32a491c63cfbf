"""Some images of many, chosen by their content alone, so that the order of files never matters."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable

from uncollapse.data.source import Pixels, Source

CHUNK = 256


def pick_images(images: Iterable[Pixels], most: int) -> list[Pixels]:
    """At most so many images, in an order that depends on their content alone.

    Each image gets a number by a hash of its content and of how many identical ones came before; the lowest are kept.
    So every image, also each of many copies, has the same chance. Memory holds what is kept, and some 120 bytes for
    each different image, by which its copies are counted.

    Args:
        images: Any number, in any order.
        most: Images to keep, at least 1.
    """
    copies: Counter[bytes] = Counter()
    kept: list[tuple[int, int, Pixels]] = []  # the largest number first: heapq keeps the smallest first
    for serial, image in enumerate(images):
        content = hashlib.blake2b(f"{image.shape}".encode() + image.tobytes(), digest_size=16).digest()
        copies[content] += 1
        label = content + copies[content].to_bytes(8, "little")
        number = int.from_bytes(hashlib.blake2b(label, digest_size=8).digest(), "little")
        if len(kept) < most or -number > kept[0][0]:
            # A view would keep the whole chunk that it came in.
            item = (-number, serial, image if image.base is None else image.copy())
            heapq.heappush(kept, item) if len(kept) < most else heapq.heapreplace(kept, item)
    return [image for _, _, image in sorted(kept, key=lambda item: (-item[0], item[1]))]


def sample_images(source: Source, most: int) -> list[Pixels]:
    """At most so many images of a source, chosen by content; reads it once from its first row to its last."""
    return pick_images((image for chunk in source.chunks(CHUNK) for image in chunk.images), most)
