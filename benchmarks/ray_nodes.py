"""A Ray cluster of several nodes that are simulated on this machine, one of which can die; for `chaos.py --nodes`."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ROOM = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


class Nodes:
    """A cluster, each of whose nodes has room for one run."""

    def __init__(self, cluster: Any, count: int) -> None:
        """Adds nodes until there are `count`, the one with the cluster's own services included."""
        self._cluster = cluster
        self._others = [cluster.add_node(**ROOM) for _ in range(count - 1)]

    @property
    def address(self) -> str:
        """For `--address`."""
        return str(self._cluster.address)

    def replace_one(self) -> None:
        """A node dies with all that it runs, and another one joins."""
        self._cluster.remove_node(self._others.pop(0), allow_graceful=False)
        self._others.append(self._cluster.add_node(**ROOM))


@contextmanager
def simulated(count: int) -> Iterator[Nodes]:
    """A cluster of `count` nodes, with a token that the processes which this one starts inherit."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_worker_niceness": "0"}
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**ROOM, "include_dashboard": False})
    try:
        yield Nodes(cluster, count)
    finally:
        cluster.shutdown()
