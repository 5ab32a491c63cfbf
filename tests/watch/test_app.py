"""The answers of the application behind its gate: pages, static files, changes, runs, samples, and nothing else."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import anyio
import numpy as np
import pytest
from starlette.testclient import TestClient
from tests.watch.making import append, cloud, loss_line, make_comparison, make_run, trained, write_samples

from uncollapse.watch.app import make_app
from uncollapse.watch.reading import WatchedDirectory
from uncollapse.watch.security import Keys

KEYS = Keys()
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}\u2028'\""


def opened(watched: WatchedDirectory, closing: Any = lambda: True) -> TestClient:
    app = make_app(watched, keys=KEYS, hosts=("127.0.0.1",), closing=closing)
    client = TestClient(app, base_url="http://127.0.0.1:8660")
    assert client.get(f"/?token={KEYS.token}").status_code == 200
    return client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = make_comparison(tmp_path / "comparison")
    trained(found / "runs" / "vanilla-ring-8")
    digits = make_run(found / "runs" / "wgan-gp-ring-8", method="wgan-gp")
    append(digits, loss_line(10, [1.0, 1.0]))
    write_samples(digits, 10, np.random.default_rng(0).random((2, 30, 8, 8)).astype(np.float32))
    return found


@pytest.fixture
def watched(folder: Path) -> WatchedDirectory:
    found = WatchedDirectory(folder)
    found.refresh()
    return found


@pytest.fixture
def client(watched: WatchedDirectory) -> TestClient:
    return opened(watched)


def raw(watched: WatchedDirectory, path: str) -> tuple[int, str]:
    """The answer to exactly this path, which a client would tidy up before it asks."""
    app = make_app(watched, keys=KEYS, hosts=("127.0.0.1",))
    cookie = f"{KEYS.cookie}={KEYS.session}".encode()
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:8660"), (b"cookie", cookie)],
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 8660),
        "root_path": "",
    }
    told: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        told.append(message)

    anyio.run(app, scope, receive, send)
    return told[0]["status"], b"".join(message.get("body", b"") for message in told[1:]).decode()


def identifiers(watched: WatchedDirectory) -> dict[str, str]:
    return {row["folder"]: row["id"] for row in watched.overview()["rows"]}


def state_of(html: str) -> Any:
    found = re.search(r'<script type="application/json" id="state">(.*?)</script>', html, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_page_holds_the_state_and_its_own_policy(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert [row["folder"] for row in state_of(answer.text)["rows"]] == ["vanilla-ring-8", "wgan-gp-ring-8"]
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    nonces = set(re.findall(r"'nonce-([\w-]+)'", policy))
    assert len(nonces) == 1
    assert re.findall(r'<script type="module" src="/static/app.js" nonce="([\w-]+)">', answer.text) == [*nonces]
    assert nonces.isdisjoint(re.findall(r"'nonce-([\w-]+)'", client.get("/").headers["content-security-policy"]))


def test_the_page_asks_nothing_from_outside(client: TestClient) -> None:
    texts = [
        client.get("/").text,
        *(
            client.get(f"/static/{name}").text
            for name in (
                "watch.css",
                "app.js",
                "build.js",
                "chart.js",
                "detail.js",
                "modes.js",
                "runs.js",
                "samples.js",
            )
        ),
    ]
    for text in texts:
        addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text)) - {"http://www.w3.org"}
        assert not addresses
        assert not re.search(r"@import|url\(", text)
        # Nothing that comes from the directory can become markup or code.
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|\bon\w+=", text
        )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("watch.css", "text/css; charset=utf-8"),
        ("app.js", "text/javascript; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ],
)
def test_static_files_come_with_their_types(client: TestClient, name: str, kind: str) -> None:
    answer = client.get(f"/static/{name}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/static//etc/passwd",
        "/static/page.html.jinja",
        "/static/app.js/",
        "/static/",
        "/runs/..%2f..%2fsecret",
        "/runs/%2e%2e",
        "/runs/../../etc/passwd",
        "/runs/vanilla-ring-8",
        "/runs/x/samples",
        "/runs/x/samples/0/images/0",
        "/runs/x/samples/0/points/0-5",
        "/etc/passwd",
        "/%00",
        "/runs/%00",
        "/spec.json",
        "/plan.lock.json",
        "/runs",
        "//evil.example/",
        "/..",
        "/report.html",
        "",
        "..",
        "/runs/x/samples/0/../../../etc/passwd",
    ],
)
def test_paths_lead_nowhere(watched: WatchedDirectory, path: str) -> None:
    assert raw(watched, path) == (404, "There is nothing here.\n")


def test_numbers_of_snapshots_and_seeds_lead_nowhere_else(client: TestClient, watched: WatchedDirectory) -> None:
    points, images = identifiers(watched).values()
    for path in (
        f"/runs/{points}/samples/7/points/0-5",
        f"/runs/{images}/samples/10/images/9",
        f"/runs/{points}/samples/0/images/0",
    ):
        answer = client.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"].startswith("text/plain")
    for path in (
        "samples/-1/points/0-5",
        "samples/0/points/-1-5",
        "samples/../spec.json",
        "samples/1e3/images/0",
        "samples/0/images/final.npz",
    ):
        assert client.get(f"/runs/{points}/{path}").status_code == 404


def test_a_run_comes_compressed_where_that_is_understood(client: TestClient, watched: WatchedDirectory) -> None:
    identifier = identifiers(watched)["vanilla-ring-8"]
    answer = client.get(f"/runs/{identifier}")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json()["curves"]["critic"]["x"][-1] == 1_000
    plain = client.get(f"/runs/{identifier}", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.json() == answer.json()
    assert len(gzip.compress(plain.content)) < len(plain.content)


def test_samples_as_points_and_as_images(
    client: TestClient, watched: WatchedDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    points, images = identifiers(watched).values()
    found = client.get(f"/runs/{points}/samples").json()
    assert found["samples"]["kind"] == "points"
    assert found["samples"]["updates"] == list(range(0, 1_001, 100))
    clouds = client.get(f"/runs/{points}/samples/500/points/1-9").json()
    assert len(clouds) == 1
    np.testing.assert_allclose(np.array(clouds[0]["xy"]).reshape(-1, 2), cloud(2, 500)[1], rtol=1e-3)
    monkeypatch.setattr("uncollapse.watch.app.MOST_LANES", 1)
    assert len(client.get(f"/runs/{points}/samples/500/points/0-99999999").json()) == 1
    assert client.get(f"/runs/{images}/samples").json()["samples"]["kind"] == "images"
    picture = client.get(f"/runs/{images}/samples/10/images/1")
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    assert picture.content.startswith(b"\x89PNG")


def counted(times: int) -> Any:
    """False so many times, then true."""
    answers: Iterator[bool] = iter([False] * times + [True] * 100)
    return lambda: next(answers)


def changes(text: str) -> list[Any]:
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


def test_the_stream_begins_with_everything_and_goes_on_with_what_changed(
    folder: Path, watched: WatchedDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uncollapse.watch.app.EVERY_SECONDS", 0.01)
    answers = iter([False, False, False, True])

    def closing() -> bool:
        answer = next(answers)
        append(folder / "runs" / "wgan-gp-ring-8", loss_line(20, [1.0, 1.0]))
        watched.refresh()
        return answer

    answer = opened(watched, closing).get("/events")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.text.startswith("retry: ")
    first, *later = changes(answer.text)
    assert len(first["rows"]) == 2
    assert later
    assert all([row["folder"] for row in state["rows"]] == ["wgan-gp-ring-8"] for state in later)


def test_a_quiet_stream_shows_that_it_is_alive(watched: WatchedDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uncollapse.watch.app.EVERY_SECONDS", 0.001)
    monkeypatch.setattr("uncollapse.watch.app.HEARTBEAT_SECONDS", 0.003)
    text = opened(watched, counted(12)).get("/events").text
    assert len(changes(text)) == 1
    assert text.count(": still here\n\n") >= 2


def test_too_many_viewers_are_told_so(watched: WatchedDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uncollapse.watch.app.MOST_VIEWERS", 0)
    answer = opened(watched).get("/events")
    assert answer.status_code == 503
    assert opened(watched).get("/").status_code == 200


@pytest.fixture
def hostile(tmp_path: Path) -> WatchedDirectory:
    """A comparison in which every text that the page shows is an attack."""
    folder = make_comparison(tmp_path / "comparison", [("vanilla", "ring-8")])
    lock = json.loads((folder / "plan.lock.json").read_text())
    lock["plan"] |= {"name": HOSTILE, "description": HOSTILE}
    lock["runs"][0] |= {"method": HOSTILE, "task": HOSTILE}
    (folder / "plan.lock.json").write_text(json.dumps(lock))
    run = make_run(folder / "runs" / "vanilla-ring-8")
    spec = json.loads((run / "spec.json").read_text())
    spec |= {"command": HOSTILE, "modes": {"names": [HOSTILE] * 8, "weights": [0.125] * 8}}
    (run / "spec.json").write_text(json.dumps(spec))
    append(run, {"update": 5, "alarm": {"status": HOSTILE, "sentence": HOSTILE, "seed": HOSTILE}})
    append(run, {"update": HOSTILE, "losses": {"critic": [HOSTILE, HOSTILE], HOSTILE: [1, 2]}})
    append(run, {"update": 6, "losses": {"critic": [HOSTILE, HOSTILE], "generator": [1, HOSTILE]}})
    append(
        run, {"update": 6, "snapshot": True, "measures": {"modes_solid": [HOSTILE] * 2}, "shares": [[HOSTILE] * 8] * 2}
    )
    append(run, {"update": 6, "from": 0, "seconds": HOSTILE, "warnings": [HOSTILE]}, name="timing.jsonl")
    (run / "error.log").write_text(HOSTILE)
    cell = {
        "method": HOSTILE,
        "task": HOSTILE,
        "seeds": [HOSTILE],
        "failed": [{"error": HOSTILE}],
        "measures": {HOSTILE: {"mean": HOSTILE}},
    }
    document = {"status": HOSTILE, "plan": {"headline": HOSTILE}, "cells": [cell]}
    (folder / "comparison.json").write_text(json.dumps(document))
    found = WatchedDirectory(folder)
    found.refresh()
    return found


def test_scripts_in_names_and_values_stay_text(hostile: WatchedDirectory) -> None:
    client = opened(hostile)
    html = client.get("/").text
    assert html.count("<script") == 2  # the state and the module
    assert "<img" not in html
    assert "alert(1)</script>" not in html
    assert "49" not in re.findall(r"<h1[^>]*>(.*?)</h1>", html)[0]
    assert state_of(html)["rows"][0]["method"].startswith("</script><script>alert(1)")  # the text itself is kept
    identifier = hostile.overview()["rows"][0]["id"]
    answer = client.get(f"/runs/{identifier}")
    # JSON that a browser will not sniff as anything else.
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    found = answer.json()
    assert found["alarms"][0]["sentence"].startswith("</script>")
    assert found["alarms"][0]["seed"] is None
    assert found["curves"] == {}


def test_the_stream_cannot_be_broken_by_line_ends_in_names(hostile: WatchedDirectory) -> None:
    text = opened(hostile, counted(1)).get("/events").text
    assert len(changes(text)) == 1
    assert all(re.match(r"(retry: \d+|event: state|data: \{.*\}|)$", line) for line in text.split("\n"))
