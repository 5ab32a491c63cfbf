"""The Ray engine beyond the contract: two machines, tokens, what Ray leaves behind, and errors as sentences.

Whatever starts a cluster does so in a process of its own, because Ray reads its settings once a process.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.experiments.engines.small import Recorder, content, job, never, perform_pair

import uncollapse
from uncollapse.errors import UserError
from uncollapse.experiments.engines import find_engine
from uncollapse.experiments.engines.ray import RayEngine, RayOptions, _new_folder, _put_back, _token

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(Path(uncollapse.__file__).parents[1]), str(ROOT)]),
    "OMP_NUM_THREADS": "1",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
    "RAY_USAGE_STATS_ENABLED": "0",
}
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")

# Two machines that are two raylets of this one; each has room for one run.
TWO = """
import json, sys
from pathlib import Path
from ray.cluster_utils import Cluster
import ray
from tests.experiments.engines.small import Recorder, job, never
from uncollapse.experiments.engines import find_engine
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    try:
        engine = find_engine("ray", jobs=None, device="cpu", threads=1, address=cluster.address)
        jobs = [job(folder, name, 40) for name in ("vanilla", "lsgan")]
        outcomes = engine.run(jobs, board=Recorder(), stop=never)
        connected = ray.is_initialized()
        print(json.dumps([connected, {name: one.status for name, one in outcomes.items()}]))
    finally:
        cluster.shutdown()
"""


@needs_ray
@pytest.mark.slow
def test_a_cluster_of_two_machines_completes_a_sweep(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWO, str(tmp_path)],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    connected, outcomes = json.loads(done.stdout.strip().splitlines()[-1])
    assert not connected, "the engine leaves the cluster that it joined"
    assert outcomes == {"vanilla": "finished", "lsgan": "finished"}
    perform_pair(tmp_path / "alone", 40)
    for name in outcomes:
        assert content(tmp_path / name) == content(tmp_path / "alone" / name)


# What listens, with what token, and what a stranger gets to see.
OWN = """
import os, sys, subprocess
from uncollapse.experiments.engines.ray import RayEngine
with RayEngine(wanted=1).joined() as ray:
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    address = ray.get_runtime_context().gcs_address
    stranger = {**os.environ, "RAY_AUTH_TOKEN": "f" * 64}
    code = f"import ray; ray.init(address={address!r}, log_to_driver=False)"
    done = subprocess.run([sys.executable, "-c", code], env=stranger, capture_output=True, text=True, timeout=90)
    print(done.returncode, "uthenticat" in done.stderr, ray.get(ray.remote(lambda: 41 + 1).remote()))
print(sorted(key for key in os.environ if key.startswith("RAY_")))
"""


@needs_ray
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


@needs_ray
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


def test_its_options() -> None:
    found = find_engine("ray", jobs=None, device="cpu", threads=2, options=["gpus=0.5"], address="auto")
    assert found == RayEngine(wanted=None, threads=2, device="cpu", address="auto", options=RayOptions(gpus=0.5))
    assert found.jobs >= 1
    with pytest.raises(UserError, match="gpus = -1 is not possible"):
        RayOptions(gpus=-1)


class Ray:
    """A cluster as the engine sees it."""

    def __init__(self, **resources: float) -> None:
        self.resources = resources

    def cluster_resources(self) -> dict[str, float]:
        return self.resources


def test_the_room_of_a_cluster_is_its_cpus_and_where_runs_need_them_its_gpus() -> None:
    assert RayEngine(device="cpu")._room(Ray(CPU=7.0, GPU=2.0)) == 7
    assert RayEngine(device="cpu", threads=2)._room(Ray(CPU=7.0)) == 3
    assert RayEngine()._room(Ray(CPU=7.0, GPU=2.0)) == 2
    assert RayEngine(options=RayOptions(gpus=0.25))._room(Ray(CPU=70.0, GPU=2.0)) == 8
    assert RayEngine(options=RayOptions(gpus=0.25))._room(Ray(CPU=3.0, GPU=2.0)) == 3
    assert RayEngine(device="cpu", threads=9)._room(Ray(CPU=4.0)) == 1
    assert RayEngine(device="cpu")._gpus(Ray(GPU=2.0)) == RayEngine()._gpus(Ray()) == 0.0


def test_one_run_at_a_time_is_asked_for(tmp_path: Path) -> None:
    board = Recorder()
    with pytest.raises(UserError, match="trains on other machines"):
        RayEngine(wanted=1).run([job(tmp_path, "vanilla", 20, plugins=(1,))], board=board, stop=never)
    assert board.begun == []
