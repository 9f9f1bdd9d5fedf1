"""The files of finalists: brought from where they were trained, and averaged."""

from __future__ import annotations

from collections.abc import Sequence

from search.selection import Candidate
from studies.errors import StudyError
from studies.study.study import Study
from trainer.lora_files import file
from trainer.lora_files.averaging import averaged


def fetch(study: Study, candidates: Sequence[Candidate]) -> None:
    """Brings the files that other runners made."""
    if study.transfer:
        for one in candidates:
            study.transfer.fetch(study.workspace.trial(one.trial), _pattern(one))


def check_reach(study: Study, finalists: Sequence[Candidate]) -> None:
    """
    Raises:
        StudyError: a finalist's file is missing, and there is no way to it.
    """
    for finalist in finalists:
        folder = study.workspace.trial(finalist.trial)
        if study.memory.is_shared and not list(folder.glob(_pattern(finalist))):
            raise StudyError(
                f"{folder}: trial {finalist.trial} was trained by a runner whose folder this one cannot see; give all "
                "runners the same --workspace, or set storage.checkpoints in the study file, and run again."
            )


def average(study: Study, members: Sequence[Candidate], epoch: int) -> str | None:
    """Makes the file of an average, kept as an epoch of the first one's trial and with its settings.

    Returns:
        Its path in the workspace; None of trials that hold out folds, whose files are made when one wins, and of other
        algorithms than plain LoRA.
    """
    if study.run_count > 1:
        return None
    fetch(study, members)
    check_reach(study, members)
    loras = [file.read(study.workspace.lora(*one.key)) for one in members]
    try:
        tensors = averaged([one.tensors for one in loras])
    except file.LoraFileError:
        return None
    trial = members[0].trial
    path = study.workspace.lora(trial, epoch)
    file.write(path, tensors, loras[0].metadata, study.spec.save.precision)
    if study.transfer:
        study.transfer.push(study.workspace.trial(trial))
    return path.relative_to(study.workspace.root).as_posix()


def _pattern(candidate: Candidate) -> str:
    """Of its name in its trial's folder."""
    return f"*-{candidate.epoch:06d}.safetensors"
