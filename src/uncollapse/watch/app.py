"""The web application: the page, its static files, the state as it changes, and the drawings of one run.

Behind the gate of `security`. Runs are asked for by their identifiers and snapshots by their numbers, never by a path.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from uncollapse.errors import UserError
from uncollapse.watch import page
from uncollapse.watch.gallery import Gallery
from uncollapse.watch.reading import WatchedDirectory, encode
from uncollapse.watch.security import Gate, Keys

MOST_VIEWERS = 64
MOST_LANES = 64  # of one request for points
EVERY_SECONDS, HEARTBEAT_SECONDS = 1.0, 15.0
RETRY_MILLISECONDS = 2_000
SMALL = 1_400  # bytes that are not worth compressing


class Application:
    """The pages and data of one watched directory."""

    def __init__(self, watched: WatchedDirectory, closing: Callable[[], bool]) -> None:
        """Answers from `watched`; streams end when `closing` is true."""
        self.watched, self.closing = watched, closing
        self.gallery = Gallery()
        self.viewers = 0

    def page(self, request: Request) -> Response:
        """The page with the state as it is now."""
        html, policy = page.render(self.watched.overview())
        return HTMLResponse(html, headers={"Content-Security-Policy": policy})

    def static(self, request: Request) -> Response:
        """A file of the package, by its place in a fixed list."""
        found = page.static_file(request.path_params["name"])
        if found is None:
            raise HTTPException(404)
        return Response(found[0], media_type=found[1])

    async def events(self, request: Request) -> Response:
        """The stream of changes: everything at first, then the rows that changed, at most once a second."""
        if self.viewers >= MOST_VIEWERS:
            return PlainTextResponse(f"{MOST_VIEWERS} pages are open already; close one.\n", 503)
        headers = {"X-Accel-Buffering": "no"}
        return StreamingResponse(self._changes(request), media_type="text/event-stream", headers=headers)

    async def _changes(self, request: Request) -> AsyncIterator[bytes]:
        self.viewers += 1
        try:
            yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
            seen, quiet = -1, 0.0
            while not self.closing() and not await request.is_disconnected():
                if self.watched.version != seen:
                    state = await asyncio.to_thread(self.watched.overview, max(seen, 0))
                    seen, quiet = state["version"], 0.0
                    yield b"event: state\ndata: " + encode(state) + b"\n\n"
                elif quiet >= HEARTBEAT_SECONDS:
                    quiet = 0.0
                    yield b": still here\n\n"
                await asyncio.sleep(EVERY_SECONDS)
                quiet += EVERY_SECONDS
        finally:
            self.viewers -= 1

    def run(self, request: Request) -> Response:
        """All that is drawn of one run but its samples."""
        found = self.watched.detail(request.path_params["run"])
        if found is None:
            raise HTTPException(404)
        return _json(request, found)

    def samples(self, request: Request) -> Response:
        """Which snapshots a run has and how they are drawn."""
        directory, seeds = self._run(request)
        return _json(request, encode({"samples": self.gallery.overview(directory), "seeds": seeds}))

    def points(self, request: Request) -> Response:
        """The points of some lanes of one snapshot."""
        directory, _ = self._run(request)
        first, count = request.path_params["first"], min(request.path_params["count"], MOST_LANES)
        return _json(request, encode(self.gallery.points(directory, request.path_params["update"], first, count)))

    def image(self, request: Request) -> Response:
        """The images of one lane of one snapshot."""
        directory, _ = self._run(request)
        found = self.gallery.image(directory, request.path_params["update"], request.path_params["lane"])
        return Response(found, media_type="image/png", headers={"Cache-Control": "private, max-age=60"})

    def _run(self, request: Request) -> tuple[Any, list[int]]:
        found = self.watched.run_directory(request.path_params["run"])
        if found is None:
            raise HTTPException(404)
        return found


def make_app(
    watched: WatchedDirectory, *, keys: Keys, hosts: tuple[str, ...], closing: Callable[[], bool] = lambda: False
) -> ASGIApp:
    """The application behind its gate.

    Args:
        watched: What it shows.
        keys: The secrets that open it.
        hosts: The names under which it answers.
        closing: Whether the server is about to end, so that open streams must.
    """
    it = Application(watched, closing)
    routes = [
        Route("/", it.page),
        Route("/events", it.events),
        Route("/static/{name}", it.static),
        Route("/runs/{run}", it.run),
        Route("/runs/{run}/samples", it.samples),
        Route("/runs/{run}/samples/{update:int}/points/{first:int}-{count:int}", it.points),
        Route("/runs/{run}/samples/{update:int}/images/{lane:int}", it.image),
    ]
    handlers: dict[Any, Any] = {UserError: _no_such_thing, HTTPException: _refused}
    inner = Starlette(routes=routes, exception_handlers=handlers)
    inner.router.redirect_slashes = False  # an address that is not in the list is no address
    return Gate(inner, keys=keys, hosts=hosts)


async def _no_such_thing(request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error}\n", 404)


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return PlainTextResponse("There is nothing here.\n" if status == 404 else "This cannot be answered.\n", status)


def _json(request: Request, content: bytes) -> Response:
    """JSON, compressed where the browser asks for it: over a tunnel a run's curves are the largest thing there is."""
    headers = {"Vary": "Accept-Encoding"}
    if len(content) > SMALL and "gzip" in request.headers.get("accept-encoding", ""):
        content, headers["Content-Encoding"] = gzip.compress(content, 4), "gzip"
    return Response(content, media_type="application/json", headers=headers)
