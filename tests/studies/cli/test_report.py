from __future__ import annotations

from tests.studies.cli.conftest import Run
from tests.studies.invented import Invented


def test_writes_the_page_and_prints_its_path(finished: Invented, run: Run) -> None:
    code, out, _ = run("report", finished.workspace.root)
    assert code == 0
    assert out == f"{finished.workspace.report}\n"
    assert finished.workspace.report.stat().st_size > 100_000


def test_the_page_can_be_chinese(finished: Invented, run: Run) -> None:
    assert run("report", finished.workspace.root, "--lang", "zh")[0] == 0
    text = finished.workspace.report.read_text(encoding="utf-8")
    assert '<html lang="zh-CN">' in text and "推荐使用试验" in text
    code, _, err = run("report", finished.workspace.root, "--lang", "de")
    assert code == 2 and "'en', 'zh'" in err


def test_unfinished_study_has_a_report_too(unfinished: Invented, run: Run) -> None:
    assert run("report", unfinished.workspace.root)[0] == 0
    assert "provisional" in unfinished.workspace.report.read_text(encoding="utf-8")
