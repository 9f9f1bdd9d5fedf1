"""What a LoRA is of, and what follows for its judging (data)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Subject = Literal["style", "object", "character", "person"]


@dataclass(frozen=True, slots=True)
class Judging:
    """How checkpoints of LoRAs of one kind of subject are judged where the study file says nothing else."""

    weights: Mapping[str, float]
    """Of metrics in the objective, where a CLIP looks at pictures."""
    prompts: str
    """The list of prompts outside the data set."""


STYLE: Mapping[str, float] = {"style": 1.0, "clip_image": 0.25}
"""What agreed best with eyes that no rule uses (`benchmarks/truth.py`). The loss did not: it diagnoses where there are
pictures."""
LIKENESS: Mapping[str, float] = {"clip_image": 1.0, "style": 0.25}
"""What is in the pictures counts before how they are drawn. By reason, not by measurement: no truth has been measured
for subjects that are one thing."""
JUDGINGS: Mapping[Subject, Judging] = {
    "style": Judging(STYLE, "general"),
    "object": Judging(LIKENESS, "general"),
    "character": Judging(LIKENESS, "people"),
    "person": Judging(LIKENESS, "people"),
}
