"""Who may see the page: the gate that every request passes before anything else looks at it.

The page shows a user's results to that user's own browser only. A loopback address alone does not ensure that: other
accounts of the machine and any web page in the same browser can reach it. So a random token opens the page once and is
exchanged for a cookie; the names under which the server may be called, where requests come from, and the one allowed
method are checked first.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-store",
}
ONWARD = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/"><title>uncollapse</title>'


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The secrets of one server, new at every start.

    Attributes:
        token: What the printed address carries.
        session: What the cookie carries; another one, so that an address in a history is no cookie.
        cookie: Name of the cookie, so that two servers under one host name do not overwrite each other's.
    """

    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    cookie: str = field(default_factory=lambda: f"uncollapse-{secrets.token_hex(4)}")


def allowed_hosts(host: str) -> tuple[str, ...]:
    """The names (without port) under which a server that listens on `host` may be called.

    A name that an attacker's DNS points here is not among them. A tunnel may end at any port, so ports are free.
    """
    if is_loopback(host):
        return LOOPBACK
    named = f"[{host}]" if ":" in host else host
    if host in ("0.0.0.0", "::"):
        return (*LOOPBACK, *_own_names(), "*address*")
    return (*LOOPBACK, named.lower())


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on this address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _own_names() -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.lower() for name in (socket.gethostname(), socket.getfqdn()) if name))


def host_name(header: str) -> str:
    """The name in a Host header without its port; empty for one that is malformed.

    >>> host_name("localhost:8660"), host_name("[::1]:8660"), host_name("a b")
    ('localhost', '[::1]', '')
    """
    name, colon, port = header.rpartition(":")
    if not colon or header.endswith("]"):
        name, port = header, "0"
    plain = name[1:-1].replace(":", "") if name.startswith("[") and name.endswith("]") else name
    sound = plain and all(letter.isascii() and (letter.isalnum() or letter in ".-_") for letter in plain)
    return name.lower() if sound and port.isdigit() and port.isascii() else ""


class Gate:
    """The checks in front of the application.

    In order: the method (405), the Host (421), where the request comes from (403), then the token in the address
    (exchanged for the cookie by a redirect to an address without it) or the cookie (401).
    """

    def __init__(self, app: ASGIApp, *, keys: Keys, hosts: Iterable[str]) -> None:
        """Wraps an application.

        Args:
            app: What is behind the gate.
            keys: The secrets.
            hosts: What `allowed_hosts` gives.
        """
        self.app, self.keys, self.hosts = app, keys, frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self.judge(scope)
        await (self.app if answer is None else answer)(scope, receive, guarded)

    def judge(self, scope: Scope) -> Response | None:
        """The answer to a request that does not pass, None for one that does."""
        headers = Headers(scope=scope)
        if scope["method"] != "GET":
            return PlainTextResponse("Only GET is allowed here.\n", 405, {"Allow": "GET"})
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._known(host_name(hosts[0])):
            return PlainTextResponse("This server does not answer under that name.\n", 421)
        if not self._from_here(headers, hosts[0]):
            return PlainTextResponse("This server answers its own pages only.\n", 403)
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if "token" in query:
            return self._admit(query["token"], headers)
        if self._has_cookie(headers):
            return None
        return PlainTextResponse("Open the address that `uncollapse watch` has printed, with its token.\n", 401)

    def _known(self, name: str) -> bool:
        if name in self.hosts:
            return bool(name)
        # An address in numbers cannot be pointed elsewhere by a name server.
        return "*address*" in self.hosts and _is_address(name)

    def _from_here(self, headers: Headers, host: str) -> bool:
        """Whether the request is no other site's: by its Origin, and by what the browser says of its site."""
        if any(origin.lower() != f"http://{host.lower()}" for origin in headers.getlist("origin")):
            return False
        # A page on another port of this host is another origin, yet the same site: its requests carry our cookie.
        other = headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")
        visited = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        return visited or not other

    def _admit(self, tokens: list[str], headers: Headers) -> Response:
        if len(tokens) != 1 or not _equal(tokens[0], self.keys.token):
            return PlainTextResponse("This token is not the one of this server; it is new at every start.\n", 401)
        # A browser that comes from a link on another site does not send a strict cookie along a redirect, but it does
        # when our own page sends it on.
        direct = headers.get("sec-fetch-site", "none") in ("none", "same-origin")
        answer: Response = RedirectResponse("/", 303) if direct else HTMLResponse(ONWARD)
        answer.set_cookie(self.keys.cookie, self.keys.session, httponly=True, samesite="strict", path="/")
        return answer

    def _has_cookie(self, headers: Headers) -> bool:
        # Cookies of other programs on this host come along, and Python's parser stops at the first that breaks a rule.
        for cookie in ";".join(headers.getlist("cookie")).split(";"):
            name, _, value = cookie.strip().partition("=")
            if name == self.keys.cookie and _equal(value, self.keys.session):
                return True
        return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _equal(given: str, known: str) -> bool:
    """Compared in a time that does not tell how much of it is right."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), known.encode())
