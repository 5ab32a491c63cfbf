"""A running server over a directory, in a thread of the test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from uncollapse.watch.app import make_app
from uncollapse.watch.reading import WatchedDirectory
from uncollapse.watch.security import Keys, allowed_hosts
from uncollapse.watch.server import Reader, address, configuration, listen


@contextmanager
def serving(
    folder: Path, every: float = 0.05, *, port: int = 0, keys: Keys | None = None
) -> Iterator[tuple[str, WatchedDirectory]]:
    """Gives the address with its token; looks at the directory every so many seconds."""
    watched, keys = WatchedDirectory(folder), keys or Keys()
    with listen("127.0.0.1", port, i_know=False) as place, Reader(watched, every):
        app = make_app(watched, keys=keys, hosts=allowed_hosts("127.0.0.1"), closing=lambda: running.should_exit)
        running = uvicorn.Server(configuration(app))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [place]})
        thread.start()
        try:
            yield address("127.0.0.1", place.getsockname()[1], keys.token).url, watched
        finally:
            running.should_exit = True
            thread.join(timeout=10)
            assert not thread.is_alive()
