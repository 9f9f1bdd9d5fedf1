"""What is forecast of a study's learning curves, in words."""

from __future__ import annotations

from search.memory import Memory
from search.outlook import OUTLOOK
from studies.spec.study_file import StudySpec
from studies.text.i18n import ENGLISH, Translator


def uses(spec: StudySpec, say: Translator = ENGLISH) -> str:
    """For what a study uses forecasts, in one sentence; empty where it uses none."""
    parts = []
    if spec.pruner.name == "forecast":
        parts.append(say("a trial ends when its chance to hold the best is below 5 %"))
    if spec.search.counts == "forecast":
        parts.append(say("the sampler learns from the optima that are forecast"))
    if limit := spec.budget.until_gain_below:
        parts.append(
            say("the search ends when one more trial is expected to gain less than {limit:g}", limit=limit)
        )
    if not parts:
        return ""
    return say("By the learning curves of all trials together: {parts}.", parts=say("; ").join(parts))


def outlook(memory: Memory, say: Translator = ENGLISH) -> str:
    """What was forecast when the last trial ended, in one sentence; empty where nothing was."""
    found = memory.recall(OUTLOOK)
    if not found:
        return ""
    return say(
        "After {ended} trials, {best:.3f} ({low:.3f} to {high:.3f}) is forecast for trial {trial}, best at {images} "
        "images seen, and one more trial is expected to add {gain:.4f}.",
        **found,
    )
