"""What checkpoints are judged on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from studies.spec.sections import ConfirmSection, JudgeSection


@dataclass(frozen=True, slots=True)
class Exam:
    """How thoroughly, on which images, with which seeds."""

    side: str
    """"validation" or "test"."""
    timesteps: int
    prompt_count: int
    """How many captions are taken where the study gives no prompts."""
    seeds_per_prompt: int
    label: str
    """Seeds everything drawn, so that another label measures afresh."""
    outside: int = 0
    """How many prompts outside the data set are rendered."""

    @classmethod
    def everyday(cls, judge: JudgeSection, label: str, outside: int = 0) -> Self:
        """What every checkpoint is judged on."""
        counts = judge.timesteps, judge.prompt_count, judge.seeds_per_prompt
        return cls("validation", *counts, label, outside)

    @classmethod
    def thorough(cls, confirm: ConfirmSection, side: str, label: str, care: int = 1) -> Self:
        """What finalists are judged on, with so many times the timesteps, seeds and other prompts."""
        return cls(
            side,
            care * confirm.timesteps,
            confirm.prompt_count,
            care * confirm.seeds_per_prompt,
            label,
            care * confirm.outside_prompt_count,
        )
