"""Stored English sentences said anew: why a checkpoint won, by what rule, why a trial came to nothing (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.scorecard import ScoreCard
from search.objective import DIRECTIONS, Weights
from studies.report.findings import checkpoint, metric
from studies.spec.guards import GuardsSection
from studies.text.i18n import Translator, marked

ENDS = (
    marked("the loss became {value} after {images} images"),
    marked("the gradient became {value} after {images} images"),
    marked("the loss rose to {loss} after {images} images (predicting no noise at all scores {silence})"),
    marked("the validation loss is NaN or infinite"),
    marked("{broken} of {renders} renders are black, constant or NaN"),
    marked("no checkpoint had a finite objective"),
    marked("its loss is not finite"),
    marked(
        "its last {wait} checkpoints are no better than the one after {images} images, so it was trained no further"
    ),
)
"""What trainer, judge and search say of a trial's end, without its capital and full stop."""


def stored(reason: str, say: Translator) -> str:
    """A reason that was stored in English, in a language; as it was stored where it is none of ``ENDS``."""
    text = reason.strip().rstrip(".")
    return say.again(text[:1].lower() + text[1:], ENDS) or reason


def margin(preference: float, say: Translator) -> str:
    """How much is given away for an earlier checkpoint, in words."""
    if preference in (0.5, 1.0):
        return say("one standard error") if preference == 1.0 else say("half a standard error")
    return say("{count} standard errors", count=f"{preference:g}")


def rule(weights: Weights, guards: GuardsSection, preference: float, say: Translator) -> str:
    """The rule of selection in words, as ``selection.json`` has it in English."""
    directions = {+1: say("higher is better"), -1: say("lower is better")}
    metrics = say(", ").join(
        say(
            "{name} with weight {weight} ({direction})",
            name=name if say.language == "en" else metric(name, say),
            weight=f"{weight:g}",
            direction=directions[DIRECTIONS[name]],
        )
        for name, weight in weights.items()
        if weight > 0
    )
    text = say(
        "The objective is the weighted mean of each metric's difference from the base model without LoRA, in units "
        "of that metric's measurement noise: {metrics}. Among all checkpoints of all trials, the winner is the "
        "earliest (fewest images seen, then smaller rank, then lower trial number) whose objective lies within "
        "{margin} of the best, the error of their difference on the same images and seeds; finalists are "
        "measured again with fresh seeds before the choice.",
        metrics=metrics,
        margin=margin(preference, say),
    )
    guarded = guards.told(say)
    return text + say(" {sentence}", sentence=guarded) if guarded else text


def choice(verdict: Mapping[str, Any], guards: GuardsSection, preference: float, say: Translator) -> str:
    """Why the winner won, from the verdict's facts."""
    within = margin(preference, say)
    if verdict["confirmation"] is None:
        return _provisional(verdict, guards, within, say)
    finalists = verdict["confirmation"]["finalists"]
    winner = _finalist(verdict["winner"], finalists)
    close = sorted((f for f in finalists if f["close"]), key=lambda f: -f["objective"]["mean"])
    rivals = [f for f in close if f["trial"] != winner["trial"]]
    free = [f for f in finalists if f.get("barred") is None] or finalists
    text = _merit(winner, close[0], len(free), within, say)
    if rivals:
        others = say("; ").join(_with_figures(rival, say) for rival in rivals)
        text += say(
            " It cannot be told apart from {others}: the difference lies within one standard error.",
            others=others,
        )
    return text + _guarded(winner, finalists, guards, say)


def _provisional(verdict: Mapping[str, Any], guards: GuardsSection, within: str, say: Translator) -> str:
    text = say(
        "The earliest checkpoint within {margin} of the best so far; not yet confirmed.", margin=within
    )
    barred = _barred(verdict["winner"], guards, say)
    if barred is None:
        return text
    return text + say(" A guard bars every checkpoint so far; of this one, {reason}.", reason=barred)


def _merit(
    winner: Mapping[str, Any], best: Mapping[str, Any], count: int, within: str, say: Translator
) -> str:
    name = _with_figures(winner, say)
    name = name[0].upper() + name[1:]
    if winner is best:
        return say(
            "{name} is the best of {count} confirmed checkpoints; none within {margin} is earlier.",
            margin=within,
            name=name,
            count=count,
        )
    return say(
        "{name} is the earliest of {count} confirmed checkpoints within {margin} of the best, {best}.",
        margin=within,
        name=name,
        count=count,
        best=_with_figures(best, say),
    )


def _guarded(
    winner: Mapping[str, Any], finalists: Sequence[Mapping[str, Any]], guards: GuardsSection, say: Translator
) -> str:
    if winner.get("barred") is not None:
        return say(
            " A guard bars every one of them, so that none could be preferred; of this one, {reason}.",
            reason=_barred(winner, guards, say),
        )
    barred = [f for f in finalists if f.get("barred") is not None]
    if not barred:
        return ""
    told = [
        say("{name}, because {reason}", name=_named(f, say), reason=_barred(f, guards, say)) for f in barred
    ]
    return say(" Passed over: {names}.", names=say("; ").join(told))


def _barred(found: Mapping[str, Any], guards: GuardsSection, say: Translator) -> str | None:
    return guards.barred(ScoreCard.model_validate(found["scores"]), say)


def _finalist(winner: Mapping[str, Any], finalists: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return next(f for f in finalists if (f["trial"], f["epoch"]) == (winner["trial"], winner["epoch"]))


def _named(found: Mapping[str, Any], say: Translator) -> str:
    return checkpoint(found["trial"], found["epoch"], say)


def _with_figures(found: Mapping[str, Any], say: Translator) -> str:
    objective = found["objective"]
    return say(
        "{name} (objective {objective} after {images} images)",
        name=_named(found, say),
        objective=f"{objective['mean']:.3f} ± {objective['standard_error']:.3f}",
        images=found["images_seen"],
    )
