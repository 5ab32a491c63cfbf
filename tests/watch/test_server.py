"""The server as a user starts it: the address, the refusals, ten viewers at once, and its end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import pytest
from tests.watch.making import append, loss_line, trained
from tests.watch.serving import serving
from typer.testing import CliRunner

from uncollapse.cli import app
from uncollapse.errors import UserError
from uncollapse.watch import server
from uncollapse.watch.reading import WatchedDirectory
from uncollapse.watch.server import address, check_extra, listen, tell

OPEN: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "i_know": False}


class Viewer:
    """A browser's worth of requests."""

    def __init__(self, url: str) -> None:
        self.base = url.partition("/?")[0]
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        with self.opener.open(url, timeout=60) as answer:
            assert answer.url == f"{self.base}/"  # the token has left the address
            self.html = answer.read().decode()

    def stream(self, wanted: int, found: list[Any]) -> None:
        """Takes so many states."""
        with self.opener.open(f"{self.base}/events", timeout=60) as stream:
            while len(found) < wanted:
                line = stream.readline()
                if not line:
                    return
                if line.startswith(b"data: "):
                    found.append(json.loads(line[6:]))


def test_ten_viewers_at_once_are_told_of_new_lines_and_the_files_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uncollapse.watch.app.EVERY_SECONDS", 0.05)
    folder = trained(tmp_path / "run", upto=500)
    looks = []
    refresh = WatchedDirectory.refresh
    monkeypatch.setattr(WatchedDirectory, "refresh", lambda self: (looks.append(time.monotonic()), refresh(self))[1])
    begun = time.monotonic()
    with serving(folder, every=0.2) as (url, _):
        states: list[list[Any]] = [[] for _ in range(10)]
        threads = [threading.Thread(target=Viewer(url).stream, args=(2, found)) for found in states]
        for thread in threads:
            thread.start()
        while not all(states) and time.monotonic() < begun + 60:
            time.sleep(0.02)
        append(folder, loss_line(600, [1.0, 1.0]))
        for thread in threads:
            thread.join(timeout=60)
        assert [found[-1]["rows"][0]["update"] for found in states] == [600] * 10
        assert len(looks) <= (time.monotonic() - begun) / 0.2 + 2  # one reader, however many look on


def test_the_reader_survives_a_look_that_fails_and_tells_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watched = WatchedDirectory(trained(tmp_path / "run", upto=100))
    told: list[str] = []
    refresh = watched.refresh

    def look() -> bool:
        told.append(watched.overview()["trouble"])
        if len(told) <= 3:
            raise RuntimeError("boom")
        return refresh()

    monkeypatch.setattr(watched, "refresh", look)
    end = time.monotonic() + 60
    with server.Reader(watched, every=0.01) as reader:
        while len(told) < 6 and time.monotonic() < end:
            time.sleep(0.01)
        assert reader._thread.is_alive()
    trouble = "The directory cannot be read: RuntimeError: boom"
    assert told[:5] == ["", trouble, trouble, trouble, ""]
    assert capsys.readouterr().err == f"Warning: {trouble}\n"


def test_the_server_says_nothing_of_itself_and_keeps_strangers_out(tmp_path: Path) -> None:
    with serving(trained(tmp_path / "run", upto=100)) as (url, _):
        viewer = Viewer(url)
        with viewer.opener.open(viewer.base) as answer:
            assert "server" not in {name.lower() for name in answer.headers}
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(viewer.base, timeout=60)
        assert refused.value.code == 401
        refused.value.close()
        request = urllib.request.Request(url, headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=60)
        assert refused.value.code == 421
        refused.value.close()


def test_only_this_machine_can_reach_the_socket() -> None:
    with listen("127.0.0.1", 0, i_know=False) as found:
        assert found.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "example.org"])
def test_an_address_that_others_reach_is_refused_without_i_know(host: str) -> None:
    with pytest.raises(UserError, match=rf"--host {host} would let other machines .* --i-know"):
        listen(host, 0, i_know=False)


def test_with_i_know_it_listens_and_warns() -> None:
    with listen("0.0.0.0", 0, i_know=True) as found:
        assert found.getsockname()[0] == "0.0.0.0"
    assert "unencrypted" in address("0.0.0.0", 8660, "t").warning
    assert address("127.0.0.1", 8660, "t").warning == ""


def test_a_port_that_is_taken_is_refused_when_it_was_asked_for_and_else_another_one_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with listen(**OPEN) as first:
        port = first.getsockname()[1]
        with pytest.raises(UserError, match=f"Port {port} of 127.0.0.1 cannot be used"):
            listen("127.0.0.1", port, i_know=False)
        monkeypatch.setattr(server, "PORT", port)
        with listen("127.0.0.1", None, i_know=False) as second:
            assert second.getsockname()[1] not in (0, port)


@pytest.mark.parametrize("port", [-1, 65_536])
def test_impossible_ports(port: int) -> None:
    with pytest.raises(UserError, match="is not possible"):
        listen("127.0.0.1", port, i_know=False)


def test_an_address_of_no_machine_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror("no such name")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    with pytest.raises(UserError, match=r"--host no\.such\.name\.invalid is not an address of this machine"):
        listen("no.such.name.invalid", 0, i_know=True)


def test_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "me\x1b[31m")
    monkeypatch.setattr("socket.gethostname", lambda: "host")
    where = address("localhost", 8660, "the-token")
    assert where.url == "http://127.0.0.1:8660/?token=the-token"
    assert where.ssh == "ssh -N -L 8660:127.0.0.1:8660 me[31m@host"
    assert address("::1", 1, "t").url == "http://[::1]:1/?token=t"
    tell(WatchedDirectory(trained(tmp_path / "run\x1b[2J", upto=100)), where, as_json=False)
    out, err = capsys.readouterr()
    assert out == "http://127.0.0.1:8660/?token=the-token\n"
    assert "(1 run); it is only read" in err
    assert where.ssh in err
    assert "\x1b" not in err


def test_without_the_extra_one_sentence_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    check_extra()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs starlette and uvicorn; `pip install 'uncollapse\[watch\]'`"):
        check_extra()


def test_mistakes_on_the_command_line_are_sentences(tmp_path: Path) -> None:
    runner = CliRunner()
    (tmp_path / "empty").mkdir()
    for arguments, expected in (
        ([str(tmp_path / "absent")], "There is no directory"),
        ([str(tmp_path / "empty")], "holds no run to watch"),
        ([str(trained(tmp_path / "run", upto=100)), "--host", "0.0.0.0"], "--i-know"),
    ):
        result = runner.invoke(app, ["watch", *arguments])
        assert isinstance(result.exception, UserError)
        assert expected in str(result.exception)


def test_from_the_start_to_ctrl_c_and_without_torch(tmp_path: Path) -> None:
    folder = trained(tmp_path / "run", upto=100)
    code = f"""
import atexit, sys
from uncollapse.cli import main
heavy = ("torch", "scipy", "matplotlib", "sklearn")
atexit.register(lambda: print([name for name in heavy if name in sys.modules], file=sys.stderr))
sys.argv = ["uncollapse", "watch", {str(folder)!r}, "--port", "0"]
main()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    with process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        viewer = Viewer(url)
        assert "vanilla on ring-8" in viewer.html
        found: list[Any] = []
        thread = threading.Thread(target=viewer.stream, args=(99, found))
        thread.start()  # an open stream does not hold the server back
        end = time.monotonic() + 60
        while not found and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        thread.join(timeout=60)
    assert process.returncode == 130
    assert (out, err.splitlines()[-1]) == ("", "[]")
    assert "Traceback" not in err


def test_the_socket_of_a_server_that_has_ended_is_free_again() -> None:
    with listen(**OPEN) as found:
        port = found.getsockname()[1]
    with listen("127.0.0.1", port, i_know=False) as again:
        assert again.getsockname()[1] == port
    with socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect(("127.0.0.1", port))
