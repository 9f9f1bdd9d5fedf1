"""Where a study's database is, fit to be shown, and what can be wrong with it."""

from __future__ import annotations

import re


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
