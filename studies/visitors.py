"""Who may speak to the dashboard: it has no log-in, so strangers' web pages are kept from using it in a browser."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_READING = ("GET", "HEAD", "OPTIONS")
_REFUSAL = b"Refused: open the dashboard under the address that `lorasearch dashboard` printed.\n"


def local(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def guarded(app: WSGIApplication, host: str) -> WSGIApplication:
    """The application, closed to requests that a page of another site makes.

    On a loopback address the name in the request must be a loopback one, too: a site whose name is made to mean
    127.0.0.1 would else read everything (DNS rebinding). Elsewhere and here, what changes something must come
    from the dashboard's own pages.

    Args:
        app: answers.
        host: the address that it listens on.
    """

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if welcome(environ, local(host)):
            return app(environ, start_response)
        kind, size = ("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(_REFUSAL)))
        start_response("403 Forbidden", [kind, size])
        return [_REFUSAL]

    return answer


def welcome(environ: WSGIEnvironment, here: bool) -> bool:
    """Whether a request may be answered (pure).

    Args:
        environ: the request.
        here: whether the server listens on this machine alone.
    """
    asked = environ.get("HTTP_HOST", "")
    if here and not local(_name(f"//{asked}") or ""):
        return False
    origin = environ.get("HTTP_ORIGIN")
    if environ["REQUEST_METHOD"] in _READING or origin is None:
        return True
    return bool(urlsplit(origin).netloc == asked)


def _name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
