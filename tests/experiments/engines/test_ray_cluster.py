"""Joining Ray: tokens, what it leaves behind, and a cluster that is not there as a sentence.

Whatever starts a cluster does so in a process of its own, because Ray reads its settings once a process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.experiments.engines.on_ray import ENVIRONMENT

from uncollapse.errors import UserError
from uncollapse.experiments.engines.ray_cluster import _connect, _new_folder, _put_back, _token

# What listens, with what token, what a stranger gets to see, and what SIGUSR1 to all processes of a job does: nothing.
OWN = """
import os, signal, subprocess, sys, time
from pathlib import Path
from uncollapse.experiments.engines.ray_cluster import joined
with joined() as ray:
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    address = ray.get_runtime_context().gcs_address
    stranger = {**os.environ, "RAY_AUTH_TOKEN": "f" * 64}
    code = f"import ray; ray.init(address={address!r}, log_to_driver=False)"
    done = subprocess.run([sys.executable, "-c", code], env=stranger, capture_output=True, text=True, timeout=90)
    mine = [path for path in Path("/proc").glob("[0-9]*/stat")
            if path.read_text().rpartition(")")[2].split()[1] == str(os.getpid())]
    names = {path.read_text().split("(")[1].split(")")[0]: int(path.parent.name) for path in mine}
    task = ray.get(ray.remote(lambda: os.getpid()).remote())
    for pid in (names["raylet"], names["gcs_server"], task):
        os.kill(pid, signal.SIGUSR1)
    assert signal.SIGUSR1 not in signal.pthread_sigmask(signal.SIG_BLOCK, []), "the head hears it again"
    time.sleep(1)
    print(done.returncode, "uthenticat" in done.stderr, ray.get(ray.remote(lambda: 41 + 1).remote(), timeout=60))
print(sorted(key for key in os.environ if key.startswith("RAY_")))
"""


@pytest.mark.slow
def test_its_own_cluster_lets_nobody_in_without_its_token(tmp_path: Path) -> None:
    clean = {key: value for key, value in ENVIRONMENT.items() if not key.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", OWN], env={**clean, "HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.strip().splitlines()[-2:]
    code, refused, answer = first.split()
    assert (code != "0", refused, answer) == (True, "True", "42")
    assert second == "[]"
    assert not (tmp_path / ".ray").exists(), "no token is left in the home folder"


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\nimport sys\nfrom tests.experiments.engines.small import Recorder, job, never\n"
        "from uncollapse.experiments.engines import find_engine\n"
        "engine = find_engine('ray', jobs=1, device='cpu', threads=1, address='127.0.0.1:9')\n"
        "try:\n    engine.run([job(Path(sys.argv[1]), 'vanilla', 20)], board=Recorder(), stop=never)\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert "UserError Ray could not be reached at 127.0.0.1:9 (" in done.stdout, done.stderr


@pytest.mark.parametrize(("where", "place"), [(None, "on this machine"), ("10.0.0.1:6379", "at 10.0.0.1:6379")])
def test_a_ray_that_does_not_start_in_time_is_one_sentence(where: str | None, place: str) -> None:
    def late(**options: object) -> None:
        raise Exception("The current node timed out during startup.")

    with pytest.raises(UserError, match=rf"^Ray could not be reached {place} \(The current node timed out"):
        _connect(SimpleNamespace(init=late), where)


def test_who_asks_to_stop_while_ray_starts_is_heard() -> None:
    def interrupted(**options: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        _connect(SimpleNamespace(init=interrupted), None)
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_environment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "1")
    before = dict(os.environ)
    with _put_back():
        os.environ["KEPT"] = "2"
        os.environ["RAY_AUTH_TOKEN"] = _token()
    assert dict(os.environ) == before
    assert len(_token()) == 64
    assert _token() == _token()


def test_folders_of_killed_heads_are_cleared_away(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    gone, alive, other = (tmp_path / f"uncollapse-ray-{name}" for name in (f"{dead.pid}-a", f"{os.getppid()}-b", "x"))
    for folder in (gone, alive, other):
        folder.mkdir()
    made = Path(_new_folder(tmp_path))
    assert made.name.startswith(f"uncollapse-ray-{os.getpid()}-")
    assert set(tmp_path.iterdir()) == {made, alive, other}
