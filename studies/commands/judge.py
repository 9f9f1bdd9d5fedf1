"""Judges LoRA files of any trainer, and writes what is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from studies.report import checkpoint_table, files_page
from studies.report.choice import as_trial, explained
from studies.report.explanation import sentence
from studies.selection.document import Selection
from studies.selection.judge_request import JudgeRequest
from studies.selection.judged_files import JudgedFiles, judge_files
from studies.text.i18n import Translator
from studies.workspace import write_json


@dataclass(frozen=True, slots=True)
class JudgeFiles:
    """What is written of a judgement."""

    document: Path
    page: Path
    table: Path

    @classmethod
    def below(cls, folder: Path) -> Self:
        """Their names in a folder."""
        return cls(folder / "judgement.json", folder / "report.html", folder / "checkpoints.csv")


def notes(request: JudgeRequest) -> list[str]:
    """What the owner of files and images should know before they are judged, in sentences."""
    return [sentence(warning) for warning in request.warnings]


def judge(
    request: JudgeRequest, told: Callable[[str], None], say: Translator
) -> tuple[Selection, JudgeFiles]:
    """Judges, and writes JSON, table and page.

    Raises:
        NothingToSelect: no file renders or predicts anything usable.
    """
    judged = judge_files(request, told)
    judged = replace(judged, selection=explained(judged.selection))
    return judged.selection, write(judged, request, say)


def write(judged: JudgedFiles, request: JudgeRequest, say: Translator) -> JudgeFiles:
    """Writes JSON, table and page, each whole or not at all."""
    selection, files = judged.selection, JudgeFiles.below(request.out)
    write_json(files.document, selection.to_json())
    runs = selection.files.runs if selection.files else ()
    of_run = [[c for c in selection.candidates if c.origin and c.origin.run == run.run] for run in runs]
    trials = [replace(as_trial(of, i), values={"run": runs[i].run}) for i, of in enumerate(of_run)]
    checkpoint_table.write(files.table, trials, ["run"])
    files_page.write(files.page, judged, request, say)
    return files
