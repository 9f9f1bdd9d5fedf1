"""Opening the database behind the memory, and turning its troubles into one sentence."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from sqlalchemy.exc import SQLAlchemyError

from search.urls import make_url

BUSY_SECONDS = 30
"""How long SQLite waits for another process, such as the dashboard, that holds the database."""


class StorageError(Exception):
    """The study's database is out of reach or unusable; the message is one sentence without passwords."""


def redacted(url: str) -> str:
    """A storage URL with every password replaced by `***`, fit to be shown."""
    shown = re.sub(r"(://[^:@/?#]*):(.*)@", r"\1:***@", url)
    return re.sub(r"(?i)\b(password|passwd|pwd|sslpassword)=[^&\s]*", r"\1=***", shown)


def open_storage(url: str, create: bool) -> RDBStorage:
    """Connects to the database of a URL such as `sqlite:///study.db` or `postgresql://user@host/name`.

    A SQLite file gets a busy timeout and write-ahead logging, so that a dashboard can read while a search
    writes.

    Args:
        url: in SQLAlchemy's form.
        create: whether a missing SQLite file (and its folder) may be made.

    Raises:
        StorageError: bad URL, missing driver or file, or no connection.
    """
    with translated(url):
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
        _prepare_folder(parsed.database, create, url)
        storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": BUSY_SECONDS}})
        if parsed.database not in (None, "", ":memory:"):
            _write_ahead(storage.engine)
        return storage


def reach(url: str) -> str:
    """Connects once, changes nothing, and says what is there.

    Args:
        url: in SQLAlchemy's form.

    Raises:
        StorageError: bad URL, missing driver, or no connection within five seconds.
    """
    with translated(url):
        parsed = make_url(url)
        kind = parsed.get_backend_name()
        database = parsed.database
        if kind == "sqlite" and database not in (None, "", ":memory:") and not Path(str(database)).exists():
            folder = next(place for place in Path(str(database)).resolve().parents if place.exists())
            if not os.access(folder, os.W_OK):
                raise StorageError(f"Cannot make {redacted(url)}: {folder} cannot be written.")
            return "will be made when a study begins"
        limit = {"connect_timeout": 5} if kind in ("postgresql", "mysql", "mariadb") else {}
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
        raise StorageError(f"The trial in {redacted(url)} has already ended: {_first_line(error)}") from None
    except ImportError as error:
        raise StorageError(f"The driver for {redacted(url)} is not installed: {_first_line(error)}") from None
    except (SQLAlchemyError, StorageInternalError) as error:
        raise StorageError(
            f"Cannot use the study database {redacted(url)}: {_first_line(error, url)}"
        ) from None


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
