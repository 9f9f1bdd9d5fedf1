"""What can be read of a study without its images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from search.memory import Memory
from search.selection import NothingToSelect
from search.storage import StorageError
from studies.errors import StudyError
from studies.spec import study_file
from studies.spec.study_file import StudySpec
from studies.study import storage
from studies.study.probe import as_remembered
from studies.workspace import Workspace

PROMPTS = "prompts"
"""Under which the memory holds the prompts of a strip of renders."""


@dataclass(frozen=True, slots=True)
class ReadOnlyStudy:
    """A study file, a workspace and a memory."""

    spec: StudySpec
    workspace: Workspace
    memory: Memory


@contextmanager
def reading() -> Iterator[None]:
    """Turns the troubles of reading a study into a ``StudyError``."""
    try:
        yield
    except NothingToSelect:
        raise StudyError(
            "No checkpoint has been scored yet, so there is nothing to choose; `lorasearch run` goes on."
        ) from None
    except StorageError as error:
        raise StudyError(str(error)) from error
    except OSError as error:
        raise StudyError(f"{error.filename}: {error.strerror}.") from error


def open_readonly(root: Path) -> ReadOnlyStudy:
    """Opens the study of a workspace for reading.

    Raises:
        StudyError: there is none, or its files cannot be read.
    """
    workspace = Workspace(root)
    if not workspace.database.exists() and not (workspace.source.exists() and storage.remembered(workspace)):
        raise StudyError(f"{root}: there is no study here; `lorasearch run STUDY.toml` makes one.")
    with reading():
        text = workspace.study_file.read_text(encoding="utf-8")
        spec = study_file.parse(text, workspace.original.parent, str(workspace.study_file))
        memory = Memory.open(storage.url_of(workspace), spec.study.name, workspace.artifacts, create=False)
        spec = as_remembered(spec, memory)
    return ReadOnlyStudy(spec, workspace, memory)
