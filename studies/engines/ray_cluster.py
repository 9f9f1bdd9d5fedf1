"""A Ray cluster: joined, or started on this machine as closed as Ray allows."""

from __future__ import annotations

import os
import secrets
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from studies.errors import StudyError

NAMESPACE = "lorasearch"
OBJECT_BYTES = 100 * 1024 * 1024
"""Room for what Ray's processes pass around; a report is a few kilobytes."""
REACH_SECONDS = 5.0
"""For how long a cluster's head may leave a connection unanswered."""
_SETTINGS = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""No part of a wider cluster, so that everything listens on 127.0.0.1 alone; workers with the priority of any process
(Ray's own choice is 15 lower); nothing sent to Ray's makers; no remark on how GPUs are hidden."""


@contextmanager
def cluster(address: str | None, workers: int | None) -> Iterator[None]:
    """Connects to a Ray cluster while the block lasts; one that was started for it ends with it.

    Ray must not be imported before: it reads then how it is to listen and whom it trusts. Where this process is
    connected already, that connection is used and left as it is.

    Args:
        address: HOST:PORT of the cluster's head, or "auto" for a cluster on this machine; None starts one.
        workers: at least so many find room on a cluster that is started here, on a machine without GPUs.

    Raises:
        StudyError: there is no cluster, or Ray does not start.
    """
    if address is None:
        close()
    else:
        _reach(address)
    import ray

    if ray.is_initialized():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(namespace=NAMESPACE, logging_level="critical", log_to_driver=False, **_how(address, workers))
    except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
        where = "on this machine" if address is None else f"at {address}"
        told = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
        raise StudyError(f"There is no Ray cluster to be had {where}: {told}.") from error
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    try:
        yield
    finally:
        ray.shutdown()


def _how(address: str | None, workers: int | None) -> dict[str, Any]:
    if address is not None:
        return {"address": address}
    return {
        "address": "local",
        "include_dashboard": False,
        "object_store_memory": OBJECT_BYTES,
        "num_cpus": max(workers or 1, os.cpu_count() or 1),
        "_node_ip_address": "127.0.0.1",
    }


def close() -> None:
    """Lets Ray, once it is imported, keep what it starts to the loopback and to who has a token drawn here."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _reach(address: str) -> None:
    """Says at once that nobody answers at an address; Ray itself tries for minutes."""
    if address == "auto":
        return
    if silence := silence_at(address):
        raise StudyError(
            f"--ray-address {address}: nobody answers there ({silence}); `ray start --head` prints a cluster's address."
        )


def silence_at(address: str) -> str | None:
    """Why nobody answers at HOST:PORT; None if somebody does."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        return str(error)
    return None
