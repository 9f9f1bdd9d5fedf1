"""What must not change while a study lasts: its seed, its images, its models, and all that enters a score."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from evaluation import encoders
from search.leases import Leases
from search.memory import Memory
from studies.errors import StudyError
from studies.spec.sections import EYES
from studies.spec.study_file import StudySpec
from studies.study import lasting
from trainer.bases import base_model
from trainer.data.dataset import Dataset
from trainer.lora_files import merging

_SEED = "seed"
_FINGERPRINTS = "fingerprints"
_SETTINGS = "settings"
_BASE = "base model"


def fixed(memory: Memory, leases: Leases, spec: StudySpec, dataset: Dataset) -> int:
    """Fixes them when the study begins, in one runner alone, and compares them later.

    Returns:
        The study's seed.

    Raises:
        StudyError: one of them has changed.
    """
    now = _fingerprints(spec, dataset)

    def begin() -> None:
        fixed_seed(memory, spec.study.seed)
        memory.remember(_SETTINGS, lasting.settings(spec))
        memory.remember(_FINGERPRINTS, now)

    leases.once("founding", lambda: memory.recall(_FINGERPRINTS) is not None, begin)
    seed = fixed_seed(memory, spec.study.seed)
    _check_unchanged(memory, spec, now)
    return seed


def fixed_seed(memory: Memory, asked: int) -> int:
    """The study's seed: recorded when it began, drawn then if the file says -1."""
    recorded = memory.recall(_SEED)
    if recorded is None:
        recorded = secrets.randbits(31) if asked == -1 else asked
        memory.remember(_SEED, recorded)
    if asked not in (-1, recorded):
        raise StudyError(
            f"study.seed is {asked}, but this study was begun with {recorded}; "
            "restore it, or start a new study under another name."
        )
    return int(recorded)


def base_of(memory: Memory) -> str | None:
    """The fingerprint of the base model that a study was begun with; None before that."""
    found: str | None = (memory.recall(_FINGERPRINTS) or {}).get(_BASE)
    return found


def _fingerprints(spec: StudySpec, dataset: Dataset) -> dict[str, str]:
    """Reads all weight files."""
    base = spec.shared_plan.base
    stamp = merging.fingerprint(base_model.fingerprint(base), base.loras)
    known = {"data set": dataset.fingerprint, _BASE: stamp}
    if first := spec.shared_plan.lora.start:
        known["LoRA to start from"] = merging.content(first).hex()
    eyes = {what: place for field, what in EYES.items() if (place := getattr(spec.judge, field))}
    return known | {what: encoders.fingerprint(place) for what, place in eyes.items()}


def _check_unchanged(memory: Memory, spec: StudySpec, now: Mapping[str, str]) -> None:
    before = memory.recall(_FINGERPRINTS)
    changed = [
        f"The {name} has changed since this study began, so its trials could no longer be compared; "
        "restore it, or start a new study under another name."
        for name, value in now.items()
        if before.get(name, value) != value
    ]
    changed += lasting.changes(memory.recall(_SETTINGS) or {}, spec)
    if changed:
        raise StudyError(changed)
