"""What is kept with a trial that ends, for people who look at it: a contact sheet, attributes and a note."""

from __future__ import annotations

from contextlib import suppress

from search.trial import End
from studies import images
from studies.report.notes import note_trial, short
from studies.study.study import Study
from studies.study.trial import Trial


def before_end(study: Study, trial: Trial) -> None:
    """Stores the contact sheet of a trial that still runs: an ended trial can't be edited."""
    workspace = study.workspace
    rows = [("base", workspace.base_renders)]
    rows += [(f"epoch {one.epoch}", workspace.renders(one.trial, one.epoch)) for one in trial.checkpoints]
    rows = [(label, path) for label, path in rows if path.exists()]
    if len(rows) < 2:
        return
    sheet = workspace.sheet(trial.number)
    images.save_png(sheet, images.sheet(rows, study.prompt_count))
    with suppress(OSError):
        study.memory.board.attach(trial.number, sheet)


def at_end(study: Study, trial: Trial, end: End) -> None:
    """Attributes of a trial that is about to end."""
    for key, text in short(trial, end).items():
        study.memory.annotate(trial.number, key, text)


def after_end(study: Study, trial: Trial) -> None:
    """The note of a trial that has ended."""
    note_trial(study.memory, trial, None, study.prompts)
