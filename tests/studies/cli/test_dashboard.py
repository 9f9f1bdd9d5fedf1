from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from optuna_dashboard import get_note

from studies.commands import dashboard
from studies.report.choice import reason
from studies.report.notes import escaped
from tests.studies.cli.conftest import Run
from tests.studies.invented import Invented


@pytest.fixture
def address(finished: Invented) -> Iterator[str]:
    server = dashboard.serve(finished.workspace, 0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_serves_the_study_with_readable_score_cards(address: str) -> None:
    with urllib.request.urlopen(f"{address}/dashboard/studies/1") as answer:
        page = answer.read()
        assert int(answer.headers["Content-Length"]) == len(page)
    assert b"overflow-wrap" in page
    with urllib.request.urlopen(f"{address}/api/studies") as answer:
        assert b"invented" in answer.read()


def test_taken_port_is_told_in_a_sentence(finished: Invented, run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = run("dashboard", finished.workspace.root, "--port", port, "--no-browser")
    assert code == 2
    assert f"error: Port {port} cannot be used" in err


def test_notes_show_the_verdict_and_the_contact_sheets(finished: Invented) -> None:
    memory = finished.study.memory
    dashboard.annotate(finished.study, finished.selection)
    study = memory._study
    assert escaped(reason(finished.selection)) in get_note(study)
    number = finished.selection.winner.trial
    note = get_note(memory._trial(number))
    assert "**The winner" in note
    assert "![contact sheet](/artifacts/" in note


def test_a_note_that_a_person_has_edited_is_kept(unfinished: Invented) -> None:
    memory = unfinished.study.memory
    assert memory.board.note("first", 0)
    assert not memory.board.note("first", 0)
    assert memory.board.note("second", 0)
    from optuna_dashboard import save_note

    save_note(memory._trial(0), "my own words")
    assert not memory.board.note("third", 0)
    assert get_note(memory._trial(0)) == "my own words"


def test_an_opened_dashboard_warns_and_a_closed_one_does_not(
    finished: Invented, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound: list[tuple[str, int]] = []

    def serve(self: dashboard._Server) -> None:
        bound.append(self.server_address[:2])
        raise KeyboardInterrupt

    monkeypatch.setattr(dashboard._Server, "serve_forever", serve)
    words = ("dashboard", finished.workspace.root, "--port", 0, "--no-browser")
    _, out, err = run(*words)
    assert "127.0.0.1" in out and "warning" not in err
    _, out, err = run(*words, "--host", "0.0.0.0")
    assert "warning: on 0.0.0.0" in err and "no log-in" in err and "delete studies" in err
    assert [host for host, _ in bound] == ["127.0.0.1", "0.0.0.0"]


def test_pages_of_other_sites_reach_nothing(address: str) -> None:
    port = int(address.rpartition(":")[2])
    for headers in ({"Host": f"evil.example:{port}"}, {"Origin": "https://evil.example"}):
        method = "DELETE" if "Origin" in headers else "GET"
        asked = urllib.request.Request(f"{address}/api/studies/1", headers=headers, method=method)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(asked)
        assert refused.value.code == 403
    with urllib.request.urlopen(f"{address}/api/studies") as answer:
        assert b"invented" in answer.read()
