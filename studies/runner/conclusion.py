"""How a study is concluded: its choice is made, explained and written."""

from __future__ import annotations

from studies.engines.engine import Engine
from studies.errors import StudyError
from studies.report.choice import explained
from studies.report.explanation import sentence
from studies.selection import document
from studies.selection.document import Selection
from studies.selection.selection import RetrainingError
from studies.selection.verdict import conclude
from studies.study.study import Study


def concluded(study: Study, engine: Engine) -> Selection:
    """Selects, confirms, tests and writes the best file and the document.

    Raises:
        NothingToSelect: no checkpoint is usable.
        StudyError: the winner cannot be trained on all folds, or its files are out of reach.
    """
    try:
        selection = explained(conclude(study, engine))
    except RetrainingError as error:
        raise StudyError(
            f"Trial {error.trial} diverged when it was trained on all folds ({sentence(error.reason)}); "
            "lower the learning rate's range and run again."
        ) from error
    document.write(study.workspace, selection)
    return selection
