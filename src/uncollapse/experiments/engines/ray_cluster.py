"""Joining a Ray cluster, or making one of this machine: who may talk to it, and what is left behind (nothing).

Ray Core only: token authentication is on, there is no dashboard, and no statistics of use go to Ray's makers.
"""

from __future__ import annotations

import functools
import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from uncollapse.errors import UserError
from uncollapse.experiments.engines.local import default_jobs
from uncollapse.experiments.stopping import SIGNALS, deaf_children
from uncollapse.lease import is_running
from uncollapse.text import clean

# Ray keeps objects in memory that it shares between processes; ours are a few hundred bytes.
OBJECT_STORE = 80 * 2**20
KNOCK_SECONDS = 10.0
FOLDER = "uncollapse-ray-"


@contextmanager
def joined(address: str | None = None, *, cpus: int = 1) -> Iterator[Any]:
    """The module `ray`, connected, for as long as the context lasts.

    Args:
        address: Of a cluster; None = one that lives as long as the context, on this machine.
        cpus: That such a cluster has at least.

    Raises:
        UserError: Ray is not installed, there is no cluster, or it does not let us in.
    """
    with ExitStack() as stack:
        stack.enter_context(_put_back())
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        ray = _import_ray()
        if ray.is_initialized():  # the host program's own, which stays
            yield ray
            return
        if address is None:
            _start_own(ray, stack, cpus)
        else:
            _knock(address)
            stack.callback(ray.shutdown)
            _connect(ray, address, address=address)
        yield ray


def _start_own(ray: Any, stack: ExitStack, cpus: int) -> None:
    """A cluster of this machine alone, which only holders of a token that is made here may talk to."""
    if not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        os.environ["RAY_AUTH_TOKEN"] = _token()
    # Ray's workers give way to everything else on their machine by default, and training is no background work.
    os.environ.setdefault("RAY_worker_niceness", "0")
    folder = _new_folder()
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    stack.callback(ray.shutdown)
    _connect(
        ray,
        None,
        address="local",
        include_dashboard=False,
        num_cpus=max(default_jobs(1), cpus),
        object_store_memory=OBJECT_STORE,
        _node_ip_address="127.0.0.1",
        _temp_dir=folder,
    )


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UserError("The engine ray needs Ray, which is not installed; pip install 'uncollapse[ray]'.") from error
    return ray


def _knock(address: str) -> None:
    """Refuses an address where nobody listens, for which Ray would wait for minutes.

    Raises:
        UserError: There is nobody.
    """
    host, colon, port = address.rpartition(":")
    if not colon or "/" in host or not port.isdecimal():
        return  # "auto", or a form that only Ray knows
    try:
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(f"at {address}", error) from error


def _unreachable(place: str, error: Exception) -> UserError:
    what = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return UserError(
        f"Ray could not be reached {place} ({clean(what)}); check --address, and that RAY_AUTH_TOKEN or "
        "~/.ray/auth_token holds the cluster's token."
    )


def _connect(ray: Any, where: str | None, **options: Any) -> None:
    """Connects, and leaves the handlers of signals as they were: a request to stop is ours to answer.

    Raises:
        UserError: There is no cluster, or it does not let us in.
    """
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        with deaf_children():
            ray.init(log_to_driver=False, logging_level="ERROR", **options)
    except Exception as error:  # Ray raises it as such where its own processes do not start in time
        raise _unreachable("on this machine" if where is None else f"at {where}", error) from error
    finally:
        for number, handler in handlers.items():
            with suppress(ValueError):  # not in the main thread, where Ray has changed nothing either
                signal.signal(number, handler)


def _new_folder(home: Path | None = None) -> str:
    """Where Ray keeps its sockets and logs; what heads that were killed have left is cleared away.

    Its sockets need a short path, which the folder for temporary files is not everywhere.
    """
    home = home or (Path("/tmp") if Path("/tmp").is_dir() else Path(tempfile.gettempdir()))
    for old in home.glob(f"{FOLDER}*"):
        pid = old.name.removeprefix(FOLDER).partition("-")[0]
        if pid.isdecimal() and not is_running(int(pid)):
            shutil.rmtree(old, ignore_errors=True)
    return tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-", dir=home)


@functools.cache
def _token() -> str:
    """The token of this process's own clusters; Ray reads it once."""
    return secrets.token_hex(32)


@contextmanager
def _put_back() -> Iterator[None]:
    """The environment as it was, whatever Ray writes into it."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for key in set(os.environ) - set(before):
            del os.environ[key]
        os.environ.update(before)
