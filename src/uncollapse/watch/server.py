"""Starts the server of the live page: one thread that reads, one socket, and the address that opens it.

The verb `watch` ends here; without the extra it says which command installs it.
"""

from __future__ import annotations

import contextlib
import getpass
import importlib.util
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from uncollapse.errors import UserError
from uncollapse.text import clean

if TYPE_CHECKING:
    import uvicorn

    from uncollapse.watch.reading import WatchedDirectory

PORT = 8660
LOOK_SECONDS = 1.0
BREATH_SECONDS = 0.2  # between two stretches of a backlog: what is trained on this machine comes first
GRACE_SECONDS = 2


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the page is.

    Attributes:
        url: With the token that opens it.
        port: Of the server.
        ssh: What to type on another machine to reach it from there.
        warning: What is dangerous about it; empty when only this machine can reach it.
    """

    url: str
    port: int
    ssh: str
    warning: str = ""


class Reader:
    """Looks at a directory once a second in a thread of its own while the context is open; a backlog is read faster."""

    def __init__(self, watched: WatchedDirectory, every: float = LOOK_SECONDS) -> None:
        """Starts nothing yet."""
        self._watched, self._every = watched, every
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uncollapse watch", daemon=True)

    def _run(self) -> None:
        while True:
            behind = self._look()
            if self._end.wait(BREATH_SECONDS if behind else self._every):
                return

    def _look(self) -> bool:
        """One look; one that fails is told on the page and once on the terminal, and the next one may succeed."""
        from uncollapse.console import say

        error: Exception | None = None
        behind = False
        try:
            behind = self._watched.refresh()
        except Exception as found:  # the boundary of the thread: without it the page would stand still and say "Live"
            error = found
        if trouble := self._watched.report(error):
            with contextlib.suppress(OSError, ValueError):  # nobody may read the terminal any more
                say(f"Warning: {trouble}")
        return behind

    def __enter__(self) -> Reader:
        """Starts looking."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops looking."""
        self._end.set()
        self._thread.join(timeout=10)


def check_extra() -> None:
    """Makes sure that the server's packages are installed.

    Raises:
        UserError: They are not; names the command that installs them.
    """
    missing = [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"`uncollapse watch` needs {' and '.join(missing)}; `pip install 'uncollapse[watch]'`.")


def listen(host: str, port: int | None, *, i_know: bool) -> socket.socket:
    """A socket that listens.

    Args:
        host: Address to listen on; anything but a loopback address needs `i_know`.
        port: None = `PORT`, or any free one when that is taken.
        i_know: Whether the user knows that others can then try to reach the page, unencrypted.

    Raises:
        UserError: The address is not allowed or not ours, or the port is taken.
    """
    from uncollapse.watch.security import is_loopback

    if port is not None and not 0 <= port <= 65_535:
        raise UserError(f"--port {port} is not possible; give a number from 1 to 65535, or 0 for any free one.")
    if not is_loopback(host) and not i_know:
        raise UserError(
            f"--host {clean(host)} would let other machines try to reach the page over an unencrypted connection; use "
            "`ssh -L` instead (the printed line shows how), or add --i-know."
        )
    try:
        return _bound(host, PORT if port is None else port)
    except OSError as error:
        if port is None:
            return _bound(host, 0)
        raise UserError(
            f"Port {port} of {clean(host)} cannot be used ({error.strerror}); choose another --port."
        ) from error


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise UserError(
            f"--host {clean(host)} is not an address of this machine; leave it out for 127.0.0.1."
        ) from error
    found = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(place)
        found.listen(128)
    except OSError:
        found.close()
        raise
    return found


def address(host: str, port: int, token: str) -> Address:
    """What is printed: the address with its token, and the line that brings it to another machine."""
    from uncollapse.watch.security import is_loopback

    here = is_loopback(host)
    named = "127.0.0.1" if host in ("localhost", "0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "USER"
    ssh = f"ssh -N -L {port}:{named}:{port} {clean(user)}@{clean(socket.gethostname())}"
    warning = "" if here else (
        "Other machines can reach this server, and what they read travels unencrypted; whoever has the address can see "
        "the page."
    )  # fmt: skip
    return Address(url=f"http://{named}:{port}/?token={token}", port=port, ssh=ssh, warning=warning)


def watch(directory: Path, *, host: str, port: int | None, i_know: bool, as_json: bool) -> int:
    """Serves the page until it is interrupted.

    Args:
        directory: What is watched.
        host: Address to listen on.
        port: None = the usual one, or any free one when that is taken.
        i_know: Whether an address that others can reach is meant.
        as_json: Print the address as JSON.

    Returns:
        The exit code: 130 after Ctrl+C.

    Raises:
        UserError: The extra is missing, there is nothing to watch, or the address cannot be used.
    """
    check_extra()
    import uvicorn

    from uncollapse.watch.app import make_app
    from uncollapse.watch.reading import WatchedDirectory
    from uncollapse.watch.security import Keys, allowed_hosts

    watched, keys = WatchedDirectory(directory), Keys()
    with listen(host, port, i_know=i_know) as socket_, Reader(watched):
        app = make_app(watched, keys=keys, hosts=allowed_hosts(host), closing=lambda: server.should_exit)
        server = uvicorn.Server(configuration(app))
        tell(watched, address(host, socket_.getsockname()[1], keys.token), as_json=as_json)
        try:
            server.run(sockets=[socket_])
        except KeyboardInterrupt:
            return 130
    return 0


def configuration(app: object) -> uvicorn.Config:
    """How the server runs: HTTP only, no word of its own on the terminal, no trust in what a proxy claims."""
    import uvicorn

    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def tell(watched: WatchedDirectory, where: Address, *, as_json: bool) -> None:
    """Prints the address on stdout and everything else on stderr."""
    from uncollapse.console import say, show, show_json

    if as_json:
        show_json({"url": where.url, "port": where.port, "ssh": where.ssh, "directory": str(watched.directory)})
        return
    count = watched.overview()["count"]
    say(f"Watching {watched.directory} ({count} run{'' if count == 1 else 's'}); it is only read. Ctrl+C ends.")
    if where.warning:
        say(f"Warning: {where.warning}")
    show(where.url)
    say(f"From another machine: {where.ssh}")
