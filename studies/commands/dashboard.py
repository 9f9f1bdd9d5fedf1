"""optuna-dashboard on this machine alone."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import socketserver
import sys
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from search.storage import open_storage
from search.storage_url import is_server
from studies.errors import StudyError
from studies.report import plots
from studies.report.notes import note_trial, study_note
from studies.report.plot_style import Figure
from studies.selection.document import Selection
from studies.study.open import PROMPTS, ReadOnlyStudy
from studies.study.storage import url_of
from studies.study.trial import read_trials
from studies.workspace import Workspace

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from studies.study.study import Study

HOST = "127.0.0.1"
"""The dashboard has delete buttons and no log-in."""


_STYLE = (
    b"<style>main p.MuiTypography-body1 { white-space: pre-wrap !important; overflow-wrap: anywhere }"
    b" main td, main th { padding-left: 12px !important; padding-right: 12px !important }"
    b" main td { overflow-wrap: anywhere }</style></head>"
)
"""Score cards are long lines of JSON, which would make the page some 7,000 pixels wide."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing of every request."""


def serve(workspace: Workspace, port: int, host: str = HOST) -> WSGIServer:
    """A server that listens already; ``serve_forever`` answers.

    Raises:
        StudyError: the port is taken or not allowed, or the address is not one of this machine.
    """
    from optuna.artifacts import FileSystemArtifactStore
    from optuna_dashboard import wsgi

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        url = url_of(workspace)
        storage = open_storage(url, create=False) if is_server(url) else url
        app = wsgi(storage, artifact_store=FileSystemArtifactStore(workspace.artifacts))
    warnings.filterwarnings("ignore", category=UserWarning, module="optuna")  # of importances with few trials
    try:
        answer = guarded(_readable(app), host)
        return make_server(host, port, answer, server_class=_Server, handler_class=_Quiet)
    except (OverflowError, UnicodeError, socket.gaierror) as error:
        raise StudyError(_not_here(host)) from error
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise StudyError(_not_here(host)) from error
        raise StudyError(
            f"Port {port} cannot be used ({error.strerror}); choose another, e.g. --port {_other(port)}."
        ) from error


def _not_here(host: str) -> str:
    return (
        f"--host {host[:80]} is no IPv4 address or name of this machine; give one, such as {HOST} or 0.0.0.0."
    )


def _readable(app: WSGIApplication) -> WSGIApplication:
    """The application with ``_STYLE`` in its page."""

    def styled(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer: dict[str, Any] = {}

        def remember(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            answer.update(status=status, headers=headers)

        parts = app(environ, remember)
        headers = answer["headers"]
        if dict(headers).get("Content-Type", "").startswith("text/html"):
            page = b"".join(parts).replace(b"</head>", _STYLE, 1)
            parts = [page]
            headers = [(k, str(len(page)) if k == "Content-Length" else v) for k, v in headers]
        start_response(answer["status"], headers)
        return parts

    return styled


def has_display() -> bool:
    """Whether a browser window could be seen here."""
    return sys.platform in ("darwin", "win32") or any(
        os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY")
    )


def annotate(study: Study | ReadOnlyStudy, selection: Selection | None) -> None:
    """Writes the verdict and the plots into the study, diagnosis, scores and contact sheet into trials' notes.

    Args:
        study: opened.
        selection: what was chosen; None before there is a verdict.
    """
    memory = study.memory
    trials = read_trials(memory)
    if selection is not None:
        memory.board.note(study_note(selection, trials))
        for name, figure in plots.draw(study.spec, memory, selection, trials).items():
            if name in TITLES:
                memory.board.plot(name, _titled(figure, TITLES[name]))
    prompts = memory.recall(PROMPTS) or []
    for trial in trials:
        note_trial(memory, trial, selection, prompts)


TITLES = {
    "curves": "Validation loss of all trials, against the base model",
    "importance": "Importance of the parameters, pruned trials counted",
    "parallel": "All parameters at once, best objective on the right",
    "pareto": "Pareto front of the checkpoints",
    "gap": "The chosen trial and its training images",
    "timesteps": "Validation loss of the chosen checkpoint by noise level",
}
"""Plots of the study's page, of which the dashboard has none of its own that reads checkpoints."""


_HEIGHT = 450


def _titled(figure: Figure, text: str) -> Figure:
    """The figure with a title above its legend, and room for both."""
    title = {"text": text, "x": 0.02, "y": 0.97, "yanchor": "top", "font": {"size": 16}}
    top = {"t": figure.layout.margin.t + 84}
    return figure.update_layout(title=title, margin=top, height=_HEIGHT)


def _other(port: int) -> int:
    return port + 1 if 1024 <= port < 65535 else 8090


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
