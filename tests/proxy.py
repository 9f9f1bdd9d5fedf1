"""Optuna's gRPC proxy in this process, for tests."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optuna.storages import get_storage


@contextmanager
def proxied(folder: Path) -> Iterator[str]:
    """The address of a proxy before a SQLite file in ``folder``, while the block lasts."""
    from optuna.storages._grpc.server import make_server

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = make_server(get_storage(f"sqlite:///{folder}/behind.db"), "127.0.0.1", port)
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        server.stop(0).wait()
