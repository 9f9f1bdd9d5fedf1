"""Storage URLs: servers, hidden passwords, addresses (pure)."""

from __future__ import annotations

import re

from sqlalchemy import engine
from sqlalchemy.exc import ArgumentError


class StorageError(Exception):
    """The study's database is out of reach or unusable; the message is one sentence without passwords."""


class EndedError(StorageError):
    """The trial has ended already, so that nothing can be written to it."""


def is_server(url: str) -> bool:
    """Whether several machines can use the database of a URL at the same time."""
    return not url.startswith("sqlite:")


def redacted(url: str) -> str:
    """A storage URL with every password replaced by `***`, fit to be shown."""
    shown = re.sub(r"(://[^:@/?#]*):(.*)@", r"\1:***@", url)
    return re.sub(r"(?i)\b(password|passwd|pwd|sslpassword)=[^&\s]*", r"\1=***", shown)


def make_url(url: str) -> engine.URL:
    """SQLAlchemy's reading of an address.

    Raises:
        ArgumentError: it is none; the message quotes nothing of it.
    """
    try:
        return engine.make_url(url)
    except ValueError:
        raise ArgumentError(
            "what should be its port is no number; in a password write '@' as %40, ':' as %3A and '/' as %2F."
        ) from None
