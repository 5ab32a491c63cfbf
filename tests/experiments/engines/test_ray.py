"""The Ray engine beyond the contract: two machines, the room of a cluster, and errors as sentences.

Whatever starts a cluster does so in a process of its own, because Ray reads its settings once a process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.experiments.engines.on_ray import ENVIRONMENT
from tests.experiments.engines.small import Recorder, content, job, never, perform_pair

from uncollapse.errors import UserError
from uncollapse.experiments.engines import find_engine
from uncollapse.experiments.engines.ray import RayEngine, RayOptions

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
