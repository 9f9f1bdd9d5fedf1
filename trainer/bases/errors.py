"""What a base model's user is told."""

from __future__ import annotations


class BaseModelError(Exception):
    """The base model cannot be used; the message is one sentence with the remedy."""
