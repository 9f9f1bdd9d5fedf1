"""optuna-dashboard over one workspace, and the notes that it shows."""

from __future__ import annotations

import errno
import os
import socket
import socketserver
import sys
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from search.address import is_server
from search.storage import open_storage
from studies import databases, plots
from studies.canvas import Figure
from studies.glance import PROMPTS, Glance
from studies.notes import study_note
from studies.noting import note_trial
from studies.problems import StudyError
from studies.visitors import guarded
from studies.workspace import Workspace

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from studies.study import Study

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
        url = databases.url_of(workspace)
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


def annotate(study: Study | Glance, verdict: Mapping[str, Any] | None) -> None:
    """Writes the verdict and the plots into the study, diagnosis, scores and contact sheet into trials' notes.

    Args:
        study: opened.
        verdict: the content of selection.json; None before there is one.
    """
    memory = study.memory
    records = memory.records()
    if verdict is not None:
        memory.board.note(study_note(verdict, records))
        for name, figure in plots.draw(study.spec, memory, verdict, records).items():
            if name in TITLES:
                memory.board.plot(name, _titled(figure, TITLES[name]))
    prompts = memory.recall(PROMPTS) or []
    for record in records:
        note_trial(memory, record, verdict, prompts)


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
