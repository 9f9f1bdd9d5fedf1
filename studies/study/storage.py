"""Which database holds a study: written in its file or on the command line, remembered by its workspace."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from search.memory import Memory
from search.retry import Endurance
from search.storage_url import StorageError, redacted
from studies.errors import StudyError
from studies.spec.storage_url import ENVIRONMENT, SERVER, problem
from studies.workspace import Workspace


def connected(workspace: Workspace, written: str, environment: Mapping[str, str] = os.environ) -> str:
    """The URL to connect to; it may hold a password and must not be shown.

    Raises:
        StudyError: the environment variable is not set, or holds no URL of a server.
    """
    if not written:
        return workspace.storage_url
    named = ENVIRONMENT.fullmatch(written)
    if named is None:
        return written
    url = environment.get(named[1], "")
    if not SERVER.match(url):
        state = "is not set" if not url else f"holds no storage URL ({redacted(url)!r})"
        raise StudyError(
            f"The study's database is named by the environment variable {named[1]}, which {state}; set it to "
            "postgresql://USER:PASSWORD@HOST/NAME or grpc://HOST:PORT."
        )
    return url


def chosen(workspace: Workspace, asked: str | None, in_file: str) -> str:
    """The storage of a run, as it is written: on the command line, in the study file, or where the study began.

    Raises:
        StudyError: it is no storage, or the study of this workspace lies elsewhere.
    """
    if asked and (found := problem(asked)):
        raise StudyError(f"--storage {found}.")
    written = asked or in_file
    if not workspace.source.exists():
        return written
    before = remembered(workspace)
    written = written or before
    if bool(before) != bool(written):
        raise StudyError(
            f"{workspace.root}: the study here is kept in {before or 'SQLite'}, not in {written or 'SQLite'}; restore "
            "that, or begin a new study with another --workspace."
        )
    return written


def remembered(workspace: Workspace) -> str:
    """The storage of the workspace's study, as it was written; empty for SQLite."""
    found: dict[str, Any] = json.loads(workspace.source.read_text(encoding="utf-8"))
    return str(found.get("storage", ""))


def url_of(workspace: Workspace) -> str:
    """The URL to connect to for the study of a workspace; it may hold a password and must not be shown.

    Raises:
        StudyError: it lies in an environment variable that is not set.
    """
    return connected(workspace, remembered(workspace) if workspace.source.exists() else "")


def opened(url: str, study: str, workspace: Workspace, endurance: Endurance | None = None) -> Memory:
    """The memory of a study; one that is not there is made.

    Args:
        url: to connect to.
        study: its name.
        workspace: where its pictures are.
        endurance: how long a server that goes away is waited for; None does not wait.

    Raises:
        StudyError: the database cannot be used.
    """
    try:
        return Memory.open(url, study, workspace.artifacts, endurance=endurance)
    except StorageError as error:
        raise StudyError(str(error)) from error


@contextmanager
def resumable() -> Iterator[None]:
    """Says of a database that failed how to go on once it works again."""
    try:
        yield
    except StorageError as error:
        raise StudyError(
            f"{str(error).rstrip('.')}. Once it works, run the same command again to go on."
        ) from None
