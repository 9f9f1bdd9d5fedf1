"""Reasons in words: why a trial ended, why a guard bars, why a checkpoint won and by what rule (pure)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

from evaluation.metrics.table import METRICS
from search.trial import Reason, Scalar
from studies.report.findings import metric
from studies.selection.rule import Rule
from studies.spec.guards import GuardsSection, Points
from studies.spec.sections import ConfirmSection
from studies.text.i18n import ENGLISH, Translator, marked

REASONS: Mapping[str, str] = {
    "loss_not_finite": marked("the loss became {value} after {images} images"),
    "gradient_not_finite": marked("the gradient became {value} after {images} images"),
    "loss_rose": marked(
        "the loss rose to {loss:.2f} after {images} images (predicting no noise at all scores {silence:.3g})"
    ),
    "not_finite": marked("its loss is not finite"),
    "memory_ran_out": marked("memory ran out"),
    "memory_full": marked("memory is full, the pack goes on smaller"),
    "folds_too_large": marked("its {folds} folds do not fit into memory together; set split.folds lower"),
    "ray_worker_died": marked("Ray worker {worker} died"),
    "validation_not_finite": marked("the validation loss is NaN or infinite"),
    "renders_broken": marked("{broken} of {renders} renders are black, constant or NaN"),
    "no_finite_objective": marked("No checkpoint had a finite objective."),
    "stalled": marked(
        "Its last {wait} checkpoints are no better than the one after {images} images, so it was trained no further."
    ),
    "taken_over_too_often": marked(
        "It was taken over from lost runners more than {times} times without a new checkpoint, so it may be what ends "
        "them."
    ),
    "search_stalled": marked(
        "The last {wait} trials did not beat the best before them ({best:.3f}) by more than its standard error "
        "({error:.3f})."
    ),
    "forecast_hopeless": marked(
        "It was ended because the curves of all trials give it a chance of {chance:.0%} to hold the best: "
        "{expected:.3f} is forecast for it ({low:.3f} to {high:.3f}), {best:.3f} was reached."
    ),
    "gain_below": marked(
        "One more trial is expected to add {gain:.4f} to the best objective, less than the {limit:g} of "
        "budget.until_gain_below."
    ),
    "prior_other_base": marked("it was trained on another base model"),
    "prior_other_resolution": marked("it was trained at {theirs} pixels"),
    "prior_other_objective": marked("other metrics weighed in it"),
    "prior_too_few": marked("only {trials} of its trials came to anything (at least {least} are needed)"),
    "trials_spent": marked("The budget of {limit} trials is spent."),
    "images_spent": marked("The budget of {limit} training images is spent ({used} seen)."),
    "minutes_spent": marked("The budget of {limit:g} minutes is spent ({used:.1f} used)."),
    "gpu_seconds_spent": marked("The budget of {limit:g} GPU-seconds is spent ({used:.0f} used)."),
    "copies": marked(
        "memorisation is {level:.1f} ± {level_error:.1f} points, {rise:.1f} ± {rise_error:.1f} above the base model's"
    ),
    "learnt_by_heart": marked(
        "the loss fell by {gap:.2f} ± {gap_error:.2f} (log ratio) further on training images than on held-out ones"
    ),
    "forgets": marked(
        "prompts outside the data set are followed {loss:.1f} ± {loss_error:.1f} points less well than by the base "
        "model"
    ),
    "embeddings_not_read": marked(
        "{file} bundles embeddings of its own (textual inversions: {names}); they are not read, so it is judged "
        "without them."
    ),
    "held_out_trained_on": marked(
        "The {count} held-out images were trained on, so a LoRA that learnt them by heart looks good here; give images "
        "that were never trained on with --held-out DIR."
    ),
    "held_out_maybe_trained_on": marked(
        "The {count} held-out images may have been trained on, so a LoRA that learnt them by heart looks good here; "
        "give images that were never trained on with --held-out DIR."
    ),
    "order_unknown": marked(
        "{run}: some files are named by epochs, others by steps, and none says how many steps an epoch has, so that "
        "their order is not known; epochs stand first."
    ),
    "held_out_alike": marked(
        "{names}: {count} held-out image(s) look like training images and are left out of the judgement."
    ),
    "held_out_listed": marked(
        "{names}: {count} held-out image(s) have tags that the LoRA files list, but no image of the training folder "
        "has; were they trained on after all?"
    ),
}
"""What each code of a reason or a trouble means; the places are its values."""


class Coded(Protocol):
    """A reason of the search's, a trouble of the trainer's or the judge's."""

    @property
    def code(self) -> str:
        """Names the kind."""

    @property
    def values(self) -> Mapping[str, Scalar]:
        """What the sentence needs."""


def sentence(reason: Coded, say: Translator = ENGLISH) -> str:
    """A reason in words; of a code that this version does not know, the bare facts."""
    values = figures(reason)
    match reason.code:
        case "told":
            return str(values["text"])
        case "barred":
            return say("a guard bars every checkpoint: {reason}", reason=sentence(barring(reason), say))
        case "copies_and_forgets":
            return say(" and ").join(say(REASONS[code], **values) for code in ("copies", "forgets"))
        case code if code in REASONS:
            return say(REASONS[code], **values)
        case code:
            return f"{code} ({', '.join(f'{name} {value}' for name, value in values.items())})"


def figures(reason: Coded) -> dict[str, Scalar]:
    """A reason's values; a number that is not finite is stored as None."""
    return {name: math.nan if value is None else value for name, value in reason.values.items()}


def barring(reason: Coded) -> Reason:
    """By which guard, with which figures, a trial is barred as a whole."""
    return Reason(str(reason.values["by"]), reason.values)


def clause(reason: Coded, say: Translator = ENGLISH) -> str:
    """A reason in words that can stand within a sentence: without its capital and full stop."""
    text = sentence(reason, say).strip().rstrip(".。")
    return text[:1].lower() + text[1:]


def margin(preference: float, say: Translator) -> str:
    """How much is given away for an earlier checkpoint, in words."""
    if preference in (0.5, 1.0):
        return say("one standard error") if preference == 1.0 else say("half a standard error")
    return say("{count} standard errors", count=f"{preference:g}")


def rule(by: Rule, say: Translator = ENGLISH) -> str:
    """The rule of selection in words."""
    directions = {+1: say("higher is better"), -1: say("lower is better")}
    metrics = say(", ").join(
        say(
            "{name} with weight {weight} ({direction})",
            name=name if say.language == "en" else metric(name, say),
            weight=f"{weight:g}",
            direction=directions[METRICS[name].direction],
        )
        for name, weight in by.weights.items()
        if weight > 0
    )
    text = say(
        "The objective is the weighted mean of how far each metric has gone from the base model (0) to your own "
        "images (1; of the loss, 1 is what captions gain): {metrics}. {choice} Finalists are measured again with "
        "fresh seeds before the choice.",
        metrics=metrics,
        choice=_chosen(by.confirm, say),
    )
    guarded = guard_rule(by.guards, say)
    return text + say(" {sentence}", sentence=guarded) if guarded else text


def _chosen(by: ConfirmSection, say: Translator) -> str:
    """Who wins among candidates."""
    if by.preference > 0:
        text = say(
            "Among all checkpoints of all trials, the winner is the earliest (fewest images seen, then smaller "
            "rank, then lower trial number) whose objective lies within {margin} of the best, the error of "
            "their difference on the same images and seeds.",
            margin=margin(by.preference, say),
        )
    else:
        text = say("Of all checkpoints of all trials, the one with the highest objective wins.")
    if by.recipe_margin == 0:
        return text
    return text + say(
        " A recipe that the study file gives, trained to its end, wins in its stead if it lies within {margin} of "
        "the best.",
        margin=margin(by.recipe_margin, say),
    )


def guard_rule(guards: GuardsSection, say: Translator = ENGLISH) -> str:
    """The guards in words; empty where all are off."""
    conditions = [
        *_copying(guards.memorisation, say),
        *_by_heart(guards.training_gap, say),
        *_forgetting(guards.flexibility, say),
    ]
    if not conditions:
        return ""
    return say(
        "A checkpoint is barred if {conditions}, each beyond {errors} standard errors; a barred one wins only "
        "where all are, which is said then.",
        conditions=say(", or if ").join(conditions),
        errors=f"{guards.standard_errors:g}",
    )


def _copying(points: Points, say: Translator) -> list[str]:
    if points == "off":
        return []
    if not points:
        return [say("its memorisation exceeds 0, and the base model's")]
    return [
        say(
            "its memorisation exceeds 0, and the base model's by more than {points} points",
            points=f"{points:g}",
        )
    ]


def _by_heart(gap: Points, say: Translator) -> list[str]:
    if gap == "off":
        return []
    return [
        say(
            "its loss fell further on training images than on held-out ones by more than {gap:g} (log ratio)",
            gap=gap,
        )
    ]


def _forgetting(points: Points, say: Translator) -> list[str]:
    if points == "off":
        return []
    if not points:
        return [
            say(
                "it follows prompts outside the data set less well than the base model (where measured: last "
                "checkpoints and finalists)"
            )
        ]
    return [
        say(
            "it follows prompts outside the data set less well than the base model by more than {points} "
            "points (where measured: last checkpoints and finalists)",
            points=f"{points:g}",
        )
    ]
