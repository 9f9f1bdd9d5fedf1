"""What a run leaves for people: the dashboard's notes and the page."""

from __future__ import annotations

from studies.commands import dashboard
from studies.report import study_page
from studies.selection.document import Selection
from studies.study.study import Study

_NOTES = "notes_written"


def report(study: Study, selection: Selection) -> None:
    """Writes both."""
    _annotate(study, selection)
    study_page.write(study, selection)


def _annotate(study: Study, selection: Selection) -> None:
    """Writes the dashboard's notes; where runners share the study, one does."""

    def write() -> None:
        dashboard.annotate(study, selection)
        study.memory.remember(_NOTES, selection.trials)

    if study.memory.is_shared:
        study.leases.once("notes", lambda: study.memory.recall(_NOTES) == selection.trials, write)
    else:
        write()
