"""What ``judge`` is asked: files, a base model, images and how to judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from search.trial import Reason
from studies.selection.base_outline import Outline
from studies.selection.held_out import HeldOut
from studies.selection.lora_runs import LoraCheckpoint
from studies.spec.guards import GuardsSection
from studies.spec.sections import ConfirmSection, JudgeSection
from trainer.plans.base import BasePlan
from trainer.plans.compute import Precision


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """Everything that is judged and on what, checked; no weights are loaded yet."""

    files: Sequence[LoraCheckpoint]
    ranks: Sequence[int]
    """The largest rank of each file."""
    layers: Sequence[int]
    """How many layers each adapts."""
    base: BasePlan
    outline: Outline
    images: HeldOut
    resolution: int
    """Side of the renders in pixels."""
    judge: JudgeSection
    objective: dict[str, float]
    guards: GuardsSection
    confirm: ConfirmSection
    precision: Precision
    clip_skip: int | None
    """None takes what each file says of itself."""
    seed: int
    out: Path
    """Folder for report and JSON."""
    notes: Sequence[Reason] = ()
    """What of the files is not judged, or not known."""

    @property
    def warnings(self) -> tuple[Reason, ...]:
        """What their owner should know of the files and the images."""
        return *self.notes, *self.images.warnings

    @property
    def cache(self) -> Path:
        """Folder of latents and text embeddings."""
        return self.out / "cache"
