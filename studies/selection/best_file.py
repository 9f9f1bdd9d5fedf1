"""The winner's file as it is handed over: its checkpoint, and when it was trained."""

from __future__ import annotations

from pathlib import Path

from search.trial import TrialRecord
from trainer.files import patiently, write_whole
from trainer.lora_files.file import read_metadata, relabelled
from trainer.lora_files.metadata import times


def write(source: Path, target: Path, trial: TrialRecord) -> None:
    """Writes a checkpoint anew with the times of its trial.

    Checkpoints themselves hold no time, so that equal training leaves equal files.

    Args:
        source: the checkpoint.
        target: the file that is handed over.
        trial: of the study's memory.
    """
    content = relabelled(source, read_metadata(source) | times(trial.started, trial.ended))
    patiently(target, lambda: write_whole(target, content))
