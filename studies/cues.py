"""What the judge needs before a metric can count, and where its prompts outside the data set come from (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from evaluation.outside import LISTS

if TYPE_CHECKING:
    from studies.sections import JudgeSection


def cues(judge: JudgeSection) -> Sequence[str]:
    """The study file's own prompts outside the data set, or the shipped list that it names."""
    chosen = judge.outside_prompts
    return LISTS[chosen] if isinstance(chosen, str) else chosen


def weight_needs(weights: Mapping[str, float], judge: JudgeSection) -> list[str]:
    """Metrics that count in the objective but would not be measured, as sentences."""
    weighed = {name for name, weight in weights.items() if weight}
    text, images = (
        weighed & {"clip_text", "flexibility"},
        weighed & {"clip_image", "diversity", "memorisation"},
    )
    problems = []
    if judge.clip is None and (text or (images and judge.image_encoder is None)):
        blind = text if judge.image_encoder else text | images
        problems.append(f"objective weighs {', '.join(sorted(blind))}, but judge.clip names no CLIP.")
    if "diversity" in weighed and judge.seeds_per_prompt < 2:
        problems.append(
            "objective weighs diversity, which needs judge.seeds_per_prompt of at least 2, but got "
            f"{judge.seeds_per_prompt}."
        )
    if "flexibility" in weighed and not (judge.outside_prompt_count and cues(judge)):
        problems.append(
            "objective weighs flexibility, which needs judge.outside_prompt_count of at least 1, but got "
            f"{judge.outside_prompt_count}."
        )
    return problems
