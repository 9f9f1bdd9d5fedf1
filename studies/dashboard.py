"""optuna-dashboard over one workspace, and the notes that it shows."""

from __future__ import annotations

import os
import socketserver
import sys
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from search.memory import PICTURE, Memory
from search.trial import TrialRecord
from studies import words
from studies.problems import StudyError
from studies.workspace import Workspace

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"
"""The dashboard has delete buttons and no log-in."""


_STYLE = (
    b"<style>main p.MuiTypography-body1 { white-space: pre-wrap !important; overflow-wrap: anywhere }"
    b" main td, main th { padding-left: 12px !important; padding-right: 12px !important }</style></head>"
)
"""Score cards are long lines of JSON, which would make the page some 7,000 pixels wide."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing of every request."""


def serve(workspace: Workspace, port: int) -> WSGIServer:
    """A server that listens already; ``serve_forever`` answers.

    Raises:
        StudyError: the port is taken or not allowed.
    """
    from optuna.artifacts import FileSystemArtifactStore
    from optuna_dashboard import wsgi

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        app = wsgi(workspace.storage_url, artifact_store=FileSystemArtifactStore(workspace.artifacts))
    try:
        return make_server(HOST, port, _readable(app), server_class=_Server, handler_class=_Quiet)
    except OSError as error:
        raise StudyError(
            f"Port {port} cannot be used ({error.strerror}); choose another, e.g. --port {_other(port)}."
        ) from error


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


def annotate(memory: Memory, verdict: Mapping[str, Any] | None) -> None:
    """Writes the verdict into the study's note, and checkpoints with the contact sheet into those of trials.

    Args:
        memory: the study.
        verdict: the content of selection.json; None before there is one.
    """
    if verdict is not None:
        memory.note(study_note(verdict))
    for record in memory.records():
        if record.cards:
            memory.note(trial_note(record, verdict, memory.artifact_count(record.number) > 0), record.number)


def study_note(verdict: Mapping[str, Any]) -> str:
    """The verdict in Markdown."""
    winner, confirmation = verdict["winner"], verdict["confirmation"]
    lines = [
        f"## {'Use' if confirmation else 'So far'}: trial {winner['trial']}, epoch {winner['epoch']}",
        winner["reason"],
        "",
        "| parameter | value |",
        "|---|---|",
        *(f"| {name} | {_cell(words.value(value))} |" for name, value in winner["params"].items()),
        "",
    ]
    if verdict["test"]:
        loss = words.estimate(verdict["test"]["validation"], 4)
        lines += [f"On test images: validation {loss} (log ratio to the base model, negative is better).", ""]
    if confirmation:
        lines += ["### Finalists, judged again", *_finalists(confirmation["finalists"]), ""]
    return "\n".join([*lines, words.ruling(verdict["shares_of_variance"]), "", verdict["rule"]])


def trial_note(record: TrialRecord, verdict: Mapping[str, Any] | None, has_sheet: bool) -> str:
    """A trial's checkpoints, its pictures and what the verdict says of it, in Markdown."""
    lines = []
    if verdict is not None and verdict["winner"]["trial"] == record.number:
        lines += [f"**The winner, at epoch {verdict['winner']['epoch']}.** {verdict['winner']['reason']}", ""]
    lines += ["| epoch | images | objective | validation |", "|---:|---:|---:|---:|"]
    for card in record.cards:
        validation = words.estimate(card["scores"]["validation"], 4)
        objective = words.signed(card["objective"], 2)
        lines.append(f"| {card['epoch']} | {card['images_seen']} | {objective} | {validation} |")
    if has_sheet:
        lines += ["", f"![contact sheet]({PICTURE})"]
    return "\n".join(lines)


def _finalists(finalists: list[Mapping[str, Any]]) -> list[str]:
    return [
        "| trial | epoch | objective in the search | judged again |",
        "|---:|---:|---:|---:|",
        *(
            f"| {f['trial']} | {f['epoch']} | {words.estimate(f['objective_before'], 2)} "
            f"| {words.estimate(f['objective'], 2)} |"
            for f in finalists
        ),
    ]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _other(port: int) -> int:
    return port + 1 if 1024 <= port < 65535 else 8090
