"""Which family of base models a LoRA file says that it was made for (pure)."""

from __future__ import annotations

from collections.abc import Mapping

from trainer.bases.families import FAMILIES
from trainer.bases.family import Family


def family(metadata: Mapping[str, str]) -> Family | None:
    """By ``ss_base_model_version``, as it is written here; None where nothing is said, or something else."""
    said = metadata.get("ss_base_model_version")
    return next((each for each in FAMILIES.values() if said in each.lora.version.values()), None)
