"""Which database holds a study: written in its file or on the command line, remembered by its workspace."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from search.address import redacted
from studies.problems import StudyError
from studies.workspace import Workspace

VARIABLE = "LORASEARCH_STORAGE"
"""The environment variable that the documentation advises for URLs with a password."""
_ENVIRONMENT = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
_SERVER = re.compile(r"(postgresql(\+psycopg)?|grpc)://")
_FORMS = "postgresql://USER@HOST/NAME, grpc://HOST:PORT, or env:NAME for a URL in an environment variable"


def problem(written: str) -> str | None:
    """What is wrong with a storage as it is written; None if nothing is. An empty one is SQLite."""
    if not written or _ENVIRONMENT.fullmatch(written):
        return None
    if redacted(written) != written:
        return (
            "holds a password, which would be kept in files and seen by others; leave it to ~/.pgpass or PGPASSWORD, "
            f'or put the whole URL into an environment variable and write "env:{VARIABLE}"'
        )
    if not _SERVER.match(written):
        return f"must be {_FORMS}; leave it out for SQLite in the workspace, but got {written!r}"
    return None


def secret_problem(url: str) -> str | None:
    """What is wrong with an fsspec URL; None if nothing is."""
    if redacted(url) == url:
        return None
    return "holds a password, which would be kept in files; leave it to the configuration of the storage"


def connected(workspace: Workspace, written: str, environment: Mapping[str, str] = os.environ) -> str:
    """The URL to connect to; it may hold a password and must not be shown.

    Raises:
        StudyError: the environment variable is not set, or holds no URL of a server.
    """
    if not written:
        return workspace.storage_url
    named = _ENVIRONMENT.fullmatch(written)
    if named is None:
        return written
    url = environment.get(named[1], "")
    if not _SERVER.match(url):
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
