"""What optuna-dashboard shows beside a study's numbers: notes, plots and files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta, upload_artifact
from optuna.study import Study
from optuna.trial import Trial

from search.storage import translated

NOTE_MARK = "*Written by lorasearch; an edited note is kept.*"
"""Last line of a note that may be written anew."""
PICTURE = "{picture}"
"""In a note, stands for the address of the newest artifact."""


class Board:
    """Writes them; raises `StorageError` when the database fails and `KeyError` for an unknown trial.

    Args:
        study: that is shown.
        url: of its storage, for messages.
        artifact_folder: where attached files are copied to.
        trial_of: the trial of a number.
    """

    def __init__(
        self, study: Study, url: str, artifact_folder: Path, trial_of: Callable[[int], Trial]
    ) -> None:
        self._study = study
        self._url = url
        self._artifacts = FileSystemArtifactStore(artifact_folder)
        self._trial_of = trial_of

    def attach(self, number: int | None, path: str | Path) -> str:
        """Copies a file to the artifacts of a running trial, or of the study (None), and returns its id."""
        with translated(self._url):
            return upload_artifact(
                artifact_store=self._artifacts, file_path=str(path), study_or_trial=self._owner(number)
            )

    def note(self, markdown: str, number: int | None = None) -> bool:
        """Writes the dashboard's note of the study or of a trial, which may have ended.

        A note that a person has edited is left alone: ours end with `NOTE_MARK`.

        Args:
            markdown: the text; `PICTURE` in it stands for the address of the trial's newest artifact.
            number: of the trial; None for the study.

        Returns:
            Whether it was written; not if it stands there already.

        Raises:
            KeyError: there is no such trial.
        """
        from optuna_dashboard import get_note, save_note

        with translated(self._url):
            owner = self._owner(number)
            before = get_note(owner).strip()
            text = f"{markdown.replace(PICTURE, self._picture(owner)).rstrip()}\n\n{NOTE_MARK}"
            if before == text or (before and not before.endswith(NOTE_MARK)):
                return False
            save_note(owner, text)
            return True

    def plot(self, name: str, figure: Any) -> None:
        """Shows a figure on the dashboard's page of the study, in place of the one of that name.

        Args:
            name: letters, digits and hyphens.
            figure: a ``plotly.graph_objects.Figure``.
        """
        from optuna_dashboard import save_plotly_graph_object

        with translated(self._url):
            save_plotly_graph_object(self._study, figure, graph_object_id=name)

    def artifact_count(self, number: int) -> int:
        """How many files were attached to a trial."""
        with translated(self._url):
            return len(get_all_artifact_meta(self._owner(number), storage=self._study._storage))

    def _owner(self, number: int | None) -> Study | Trial:
        return self._study if number is None else self._trial_of(number)

    def _picture(self, owner: Study | Trial) -> str:
        from optuna_dashboard.artifact import get_artifact_path

        found = get_all_artifact_meta(owner, storage=self._study._storage)
        return str(get_artifact_path(owner, found[-1].artifact_id)) if found else ""
