"""What a LoRA is of, and what follows for its judging (data)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from evaluation.flexibility_prompts import ROLES, THINGS

Subject = Literal["style", "object", "character", "person"]


@dataclass(frozen=True, slots=True)
class Judging:
    """How checkpoints of LoRAs of one kind of subject are judged where the study file says nothing else."""

    weights: Mapping[str, float]
    """Of metrics in the objective, where a CLIP looks at pictures."""
    prompts: str
    """The list of prompts outside the data set."""
    scenes: Sequence[str] = ()
    """Into which the subject is put where prompts have a word for it."""


STYLE: Mapping[str, float] = {"style": 1.0, "clip_image": 0.25}
"""What agreed best with eyes that no rule uses (`benchmarks/truth.py`). The loss did not: it diagnoses where there are
pictures."""
LIKENESS: Mapping[str, float] = {"clip_image": 1.0, "style": 0.25}
"""What is in the pictures counts before how they are drawn. By reason, not by measurement: no truth has been measured
for subjects that are one thing."""
FLOW: Mapping[str, float] = {"validation": 1.0}
"""On flow-matching bases, whatever the subject: there held-out loss ranked checkpoints as the eyes did, by 0.53 in the
median of six studies, where style (0.21) and CLIP's likeness (0.33) failed in some (`benchmarks/signals.py`); on the
U-Net they did by 0.34, 0.53 and 0.43."""
JUDGINGS: Mapping[Subject, Judging] = {
    "style": Judging(STYLE, "general"),
    "object": Judging(LIKENESS, "general", THINGS),
    "character": Judging(LIKENESS, "people", ROLES),
    "person": Judging(LIKENESS, "people", ROLES),
}


def weights(subject: Subject, flows: bool) -> dict[str, float]:
    """How much each metric counts where a CLIP looks at pictures and nobody says otherwise.

    Args:
        subject: what the LoRA is of.
        flows: whether the base model matches a flow.
    """
    return dict(FLOW if flows else JUDGINGS[subject].weights)
