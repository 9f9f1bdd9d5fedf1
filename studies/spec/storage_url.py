"""What may stand as a storage in a study file (pure)."""

from __future__ import annotations

import re

from search.storage_url import redacted

VARIABLE = "LORASEARCH_STORAGE"
"""The environment variable that the documentation advises for URLs with a password."""


ENVIRONMENT = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")


SERVER = re.compile(r"(postgresql(\+psycopg)?|grpc)://")


_FORMS = "postgresql://USER@HOST/NAME, grpc://HOST:PORT, or env:NAME for a URL in an environment variable"


def problem(written: str) -> str | None:
    """What is wrong with a storage as it is written; None if nothing is. An empty one is SQLite."""
    if not written or ENVIRONMENT.fullmatch(written):
        return None
    if redacted(written) != written:
        return (
            "holds a password, which would be kept in files and seen by others; leave it to ~/.pgpass or PGPASSWORD, "
            f'or put the whole URL into an environment variable and write "env:{VARIABLE}"'
        )
    if not SERVER.match(written):
        return f"must be {_FORMS}; leave it out for SQLite in the workspace, but got {written!r}"
    return None


def secret_problem(url: str) -> str | None:
    """What is wrong with an fsspec URL; None if nothing is."""
    if redacted(url) == url:
        return None
    return "holds a password, which would be kept in files; leave it to the configuration of the storage"
