"""Rule by rule: who may see the page. Each refusal differs in one thing from a request that passes."""

from __future__ import annotations

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from uncollapse.watch.security import HEADERS, Gate, Keys, allowed_hosts, host_name, is_loopback

KEYS = Keys(token="the-token", session="the-session", cookie="uncollapse-test")
HOST = "127.0.0.1:8660"
COOKIE = f"{KEYS.cookie}={KEYS.session}"


async def secret(scope: Scope, receive: Receive, send: Send) -> None:
    """What stands behind the gate."""
    await PlainTextResponse("the secret page", headers={"Cache-Control": "private"})(scope, receive, send)


@pytest.fixture
def client() -> TestClient:
    gate = Gate(secret, keys=KEYS, hosts=allowed_hosts("127.0.0.1"))
    return TestClient(gate, base_url=f"http://{HOST}", follow_redirects=False)


def get(client: TestClient, path: str = "/", **headers: str) -> tuple[int, str]:
    sent = {"cookie": COOKIE} | {name.replace("_", "-"): value for name, value in headers.items()}
    answer = client.get(path, headers={name: value for name, value in sent.items() if value})
    return answer.status_code, answer.text


def test_the_cookie_opens_the_page(client: TestClient) -> None:
    assert get(client) == (200, "the secret page")


@pytest.mark.parametrize(
    "other",
    ['prefs={"a": 1}', "a b", "x=a b", "_xsrf=2|1|2", "name=Zo\xeb", "=", "", f"{KEYS.cookie}=old", "a=\x01", 'b="'],
)
def test_cookies_of_other_programs_do_not_lock_the_user_out(client: TestClient, other: str) -> None:
    for cookie in (f"{other}; {COOKIE}", f"{COOKIE}; {other}", f"{other};{COOKIE};{other}"):
        assert client.get("/", headers={"cookie": cookie.encode("latin-1")}).text == "the secret page"
    assert client.get("/", headers=[("cookie", other.encode("latin-1")), ("cookie", COOKIE)]).status_code == 200


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "uncollapse-test=",
        "uncollapse-test=wrong",
        "uncollapse-test=the-sessio",
        "uncollapse-test=the-session2",
        "uncollapse-test=the-token",
        "other=the-session",
        "UNCOLLAPSE-TEST=the-session",
        "uncollapse-test",
        "uncollapse-test =the-session",
        "uncollapse-test==the-session",
        "xuncollapse-test=the-session",
        "other=uncollapse-test=the-session",
        "uncollapse-test=the-session, other=1",
        "\xff\xfe",
        "a" * 5_000,
    ],
)
def test_without_the_right_cookie_there_is_nothing(client: TestClient, cookie: str) -> None:
    for path in ("/", "/events", "/static/app.js", "/runs/x", "/nothing"):
        answer = client.get(path, headers={"cookie": cookie.encode("latin-1")} if cookie else {})
        assert answer.status_code == 401
        assert "secret" not in answer.text
        assert "uncollapse watch" in answer.text


def test_the_token_is_exchanged_for_a_cookie_and_leaves_the_address(client: TestClient) -> None:
    answer = client.get("/?token=the-token")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("uncollapse-test=the-session;")
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    assert "path=/" in cookie.lower()
    assert "domain" not in cookie.lower()
    assert "the-token" not in str(answer.headers) + answer.text
    assert client.get("/").text == "the secret page"


@pytest.mark.parametrize(
    "query",
    ["token=", "token=wrong", "token=the-toke", "token=the-token&token=the-token", "token=%ff%00", "token=the-session"],
)
def test_a_wrong_token_opens_nothing_even_beside_the_cookie(client: TestClient, query: str) -> None:
    answer = client.get(f"/?{query}", headers={"cookie": COOKIE})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_who_comes_from_a_link_elsewhere_is_sent_on_by_our_own_page(client: TestClient) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    answer = client.get("/?token=the-token", headers=headers)
    assert answer.status_code == 200
    assert 'content="0;url=/"' in answer.text
    assert "set-cookie" in answer.headers
    assert "the-token" not in answer.text


def test_secrets_are_compared_in_constant_time(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(given: bytes, known: bytes) -> bool:
        compared.append((given, known))
        return False

    monkeypatch.setattr("uncollapse.watch.security.hmac.compare_digest", compare)
    assert get(client)[0] == 401
    assert get(client, "/?token=the-token")[0] == 401
    assert compared == [(b"the-session", b"the-session"), (b"the-token", b"the-token")]


def test_secrets_are_long_and_new_at_every_start() -> None:
    first, second = Keys(), Keys()
    everything = [first.token, first.session, first.cookie, second.token, second.session, second.cookie]
    assert len(set(everything)) == 6
    assert min(len(first.token), len(first.session)) >= 43  # 256 bits
    assert first.token not in repr(first)
    assert first.session not in repr(first)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "get", "CONNECT"])
def test_only_get_is_answered(client: TestClient, method: str) -> None:
    answer = client.request(method, "/", headers={"cookie": COOKIE})
    if method == "get":  # the client itself writes it in capitals
        assert answer.status_code == 200
        return
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8660",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "127.0.0.2",
        "0.0.0.0",
        "192.168.0.5:8660",
        "[::2]:8660",
        "local host",
        "localhost:",
        "localhost:x",
        "",
        "127.0.0.1:8660@evil.example",
        "localhost/",
        "evil.example:127.0.0.1",
        "%6cocalhost",
    ],
)
def test_a_foreign_host_is_misdirected(client: TestClient, host: str) -> None:
    answer = client.get("/", headers={"cookie": COOKIE, "host": host})
    assert answer.status_code == 421
    assert client.get("/?token=the-token", headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8660", "localhost:8660", "LOCALHOST:9000", "[::1]:8660", "localhost", "127.0.0.1"]
)
def test_our_own_names_at_any_port_are_answered(client: TestClient, host: str) -> None:
    assert get(client, host=host)[0] == 200


def test_two_hosts_are_none(client: TestClient) -> None:
    answer = client.get("/", headers=[("cookie", COOKIE), ("host", HOST), ("host", "evil.example")])
    assert answer.status_code == 421


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "https://127.0.0.1:8660",
        "http://127.0.0.1",
        "http://127.0.0.1:3000",
        "http://localhost:8660",
        "",
        "http://127.0.0.1:8660.evil.example",
    ],
)
def test_a_foreign_origin_is_refused(client: TestClient, origin: str) -> None:
    answer = client.get("/", headers={"cookie": COOKIE, "origin": origin})
    assert answer.status_code == 403
    assert "secret" not in answer.text


def test_our_own_origin_passes_also_through_a_tunnel(client: TestClient) -> None:
    assert get(client, origin=f"http://{HOST}")[0] == 200
    assert get(client, host="localhost:9000", origin="http://localhost:9000")[0] == 200


def test_another_site_cannot_embed_or_fetch_but_a_person_may_come_from_it(client: TestClient) -> None:
    # A page on another port of this very host is the "same site", so its requests would carry the cookie.
    for site in ("cross-site", "same-site"):
        for mode, to in (("no-cors", "image"), ("cors", "empty"), ("navigate", "iframe"), ("no-cors", "script")):
            assert get(client, sec_fetch_site=site, sec_fetch_mode=mode, sec_fetch_dest=to)[0] == 403
        assert get(client, sec_fetch_site=site, sec_fetch_mode="navigate", sec_fetch_dest="document")[0] == 200
    assert get(client, sec_fetch_site="same-origin", sec_fetch_mode="cors", sec_fetch_dest="empty")[0] == 200


def test_every_answer_carries_the_headers_and_none_allows_other_origins(client: TestClient) -> None:
    answers = [
        client.get("/", headers={"cookie": COOKIE}),
        client.get("/", headers={"cookie": COOKIE, "origin": "http://evil.example"}),
        client.get("/", headers={"cookie": COOKIE, "host": "evil.example"}),
        client.get("/"),
        client.post("/"),
        client.get("/?token=the-token"),
    ]
    assert [answer.status_code for answer in answers] == [200, 403, 421, 401, 405, 303]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answers[0].headers["cache-control"] == "private"  # what the page itself says comes first
    assert answers[1].headers["cache-control"] == HEADERS["Cache-Control"] == "no-store"


def test_websockets_are_closed(client: TestClient) -> None:
    from starlette.websockets import WebSocketDisconnect

    with pytest.raises(WebSocketDisconnect) as refused, client.websocket_connect("/events", headers={"cookie": COOKIE}):
        pass
    assert refused.value.code == 1008


def test_only_loopback_is_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.0.0.5", "::1", "localhost")))
    assert not any(
        map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "192.168.1.2", "example.org", "localhost.example.org", ""))
    )


def test_a_server_for_others_answers_to_its_names_and_to_addresses_in_numbers() -> None:
    import socket

    gate = Gate(secret, keys=KEYS, hosts=allowed_hosts("0.0.0.0"))
    client = TestClient(gate, base_url=f"http://{HOST}")
    for host, expected in (
        ("192.168.0.5:8660", 200),
        ("[fe80::1]:8660", 200),
        (socket.gethostname(), 200),
        ("evil.example", 421),
    ):
        assert get(client, host=host)[0] == expected, host
    assert allowed_hosts("10.0.0.7") == ("127.0.0.1", "localhost", "[::1]", "10.0.0.7")
    assert allowed_hosts("fe80::1")[-1] == "[fe80::1]"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("localhost", "localhost"),
        ("A.b-c:1", "a.b-c"),
        ("[::1]", "[::1]"),
        ("[::1]:80", "[::1]"),
        ("::1", ""),
        ("a b", ""),
        ("", ""),
        ("a:", ""),
        ("a:1x", ""),
        ("[", ""),
        ("[]", ""),
        ("a\u0660:1", ""),
        ("a:\u0661", ""),
    ],
)
def test_names_in_host_headers(header: str, expected: str) -> None:
    assert host_name(header) == expected


def test_the_gate_lets_the_server_start_and_end() -> None:
    import anyio

    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing() -> Message:
        return {}

    async def drop(message: Message) -> None:
        return None

    anyio.run(Gate(app, keys=KEYS, hosts=()), {"type": "lifespan"}, nothing, drop)
    assert seen == ["lifespan"]
