"""Addresses of databases, read without telling the password that may stand in them."""

from __future__ import annotations

from sqlalchemy import engine
from sqlalchemy.exc import ArgumentError


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
