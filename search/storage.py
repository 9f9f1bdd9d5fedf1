"""Opening the database behind the memory, and turning its troubles into one sentence."""

from __future__ import annotations

import os
import random
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, GrpcStorageProxy, RDBStorage, get_storage
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from search.retry import Endurance, enduring, is_rpc_error, waiting_for_room
from search.storage_url import EndedError as EndedError
from search.storage_url import StorageError as StorageError
from search.storage_url import make_url
from search.storage_url import redacted as redacted

BUSY_SECONDS = 30
"""How long SQLite waits for another process, such as the dashboard, that holds the database."""


PROXY_PORT = 13000
"""Where Optuna's gRPC proxy listens unless told otherwise."""
_REACH_SECONDS = 5
_FIRST_ATTEMPTS = 8
_ALIVE = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""PostgreSQL's connection settings (seconds, the last in milliseconds): a silent network is found out."""


def open_storage(url: str, create: bool, endurance: Endurance | None = None) -> BaseStorage:
    """Connects to the database of a URL: `sqlite:///study.db`, `postgresql://user@host/name`, `grpc://host:port`.

    A SQLite file gets a busy timeout and write-ahead logging, so that a dashboard can read while a search
    writes.

    Args:
        url: in SQLAlchemy's form, or the address of Optuna's gRPC proxy.
        create: whether a missing SQLite file (and its folder) may be made.
        endurance: how long a server that is gone is waited for, once it was reached; None does not wait.

    Raises:
        StorageError: bad URL, missing driver or file, or no connection.
    """
    with translated(url):
        if url.startswith("grpc:"):
            storage: BaseStorage = _proxy(url)
        elif (parsed := make_url(url)).get_backend_name() == "sqlite":
            file = _sqlite(url, parsed.database, create)
            return waiting_for_room(get_storage(file), endurance.told) if endurance else file
        else:
            alive = {"connect_args": _ALIVE} if parsed.get_backend_name() == "postgresql" else {}
            storage = get_storage(_server(url, {"pool_pre_ping": endurance is None, **alive}))
        return enduring(storage, endurance) if endurance else storage


def _server(url: str, settings: dict[str, Any]) -> RDBStorage:
    """Connects; of several that make the tables at the same moment, all but one find them half made, and try again."""
    for _ in range(_FIRST_ATTEMPTS):
        try:
            return RDBStorage(url, engine_kwargs=dict(settings))
        except (IntegrityError, ProgrammingError):
            time.sleep(random.uniform(0.1, 0.5))
    return RDBStorage(url, engine_kwargs=dict(settings))


def _sqlite(url: str, database: str | None, create: bool) -> RDBStorage:
    _prepare_folder(database, create, url)
    storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": BUSY_SECONDS}})
    if database not in (None, "", ":memory:"):
        _write_ahead(storage.engine)
    return storage


def _proxy(url: str) -> GrpcStorageProxy:
    """Optuna's client of its gRPC proxy, once the proxy answers."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port or PROXY_PORT
    except ValueError:
        host, port = None, 0
    if not host or parts.username or parts.path.strip("/") or parts.query:
        raise StorageError(f"A gRPC storage is written grpc://HOST:PORT, but got {redacted(url)!r}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        proxy = GrpcStorageProxy(host=host, port=port)
    try:
        proxy.wait_server_ready(timeout=_REACH_SECONDS)
    except ConnectionError:
        raise StorageError(
            f"Cannot use the study database {url}: no gRPC proxy answers there; docs/scaling.md shows how to start one."
        ) from None
    return proxy


def reach(url: str) -> str:
    """Connects once, changes nothing, and says what is there.

    Args:
        url: in SQLAlchemy's form.

    Raises:
        StorageError: bad URL, missing driver, or no connection within five seconds.
    """
    with translated(url):
        if url.startswith("grpc:"):
            return "reached, holds studies" if _proxy(url).get_all_studies() else "reached, no study yet"
        parsed = make_url(url)
        kind = parsed.get_backend_name()
        database = parsed.database
        if kind == "sqlite" and database not in (None, "", ":memory:") and not Path(str(database)).exists():
            folder = next(place for place in Path(str(database)).resolve().parents if place.exists())
            if not os.access(folder, os.W_OK):
                raise StorageError(f"Cannot make {redacted(url)}: {folder} cannot be written.")
            return "will be made when a study begins"
        limit = {"connect_timeout": _REACH_SECONDS} if kind in ("postgresql", "mysql", "mariadb") else {}
        engine = sqlalchemy.create_engine(parsed, connect_args=limit)
        try:
            with engine.connect() as connection:
                tables = sqlalchemy.inspect(connection).get_table_names()
        finally:
            engine.dispose()
        return "reached, holds studies" if "studies" in tables else "reached, no study yet"


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turns the database's exceptions inside the block into a `StorageError`.

    The original is not chained: its text and parameters may hold the password.
    """
    try:
        yield
    except UpdateFinishedTrialError as error:
        raise EndedError(f"The trial in {redacted(url)} has already ended: {_first_line(error)}") from None
    except ImportError as error:
        raise StorageError(
            f"The driver for {redacted(url)} is not installed: {_first_line(error)}{_remedy(url)}"
        ) from None
    except (SQLAlchemyError, StorageInternalError) as error:
        raise StorageError(
            f"Cannot use the study database {redacted(url)}: {_first_line(error, url)}"
        ) from None
    except Exception as error:
        if not is_rpc_error(error):
            raise
        details = getattr(error, "details", lambda: None)() or type(error).__name__
        told = redacted(str(details).splitlines()[0])
        raise StorageError(
            f"Cannot use the study database {redacted(url)} through its gRPC proxy: {told}"
        ) from None


def _remedy(url: str) -> str:
    """What to install for a URL that has an extra of ours."""
    extra = re.match(r"postgresql|grpc", url)
    return f"; pip install 'lorasearch[{extra.group()}]'" if extra else ""


def make_folder(path: Path) -> None:
    """Makes a folder and those above it.

    Raises:
        StorageError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"Cannot make the folder {path}: {error.strerror}.") from error


def _prepare_folder(database: str | None, create: bool, url: str) -> None:
    if database in (None, "", ":memory:"):
        return
    path = Path(str(database))
    if create:
        make_folder(path.parent)
    elif not path.exists():
        raise StorageError(f"There is no study database at {redacted(url)}.")


def _write_ahead(engine: sqlalchemy.Engine) -> None:
    """Sets every connection to write-ahead logging; a killed process then loses no committed write."""

    @sqlalchemy.event.listens_for(engine, "connect")
    def pragmas(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()

    engine.dispose()


def _first_line(error: BaseException, url: str = "") -> str:
    cause = error.__cause__ or error
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    return redacted(lines[0].replace(url, redacted(url)) if url else lines[0])
