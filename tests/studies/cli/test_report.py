from __future__ import annotations

from tests.studies.cli.conftest import Run
from tests.studies.invented import Invented


def test_writes_the_page_and_prints_its_path(finished: Invented, run: Run) -> None:
    code, out, _ = run("report", finished.workspace.root)
    assert code == 0
    assert out == f"{finished.workspace.report}\n"
    assert finished.workspace.report.stat().st_size > 100_000


def test_unfinished_study_has_a_report_too(unfinished: Invented, run: Run) -> None:
    assert run("report", unfinished.workspace.root)[0] == 0
    assert "provisional" in unfinished.workspace.report.read_text(encoding="utf-8")
