"""What earlier studies told a study, and whether it helped, in words."""

from __future__ import annotations

from collections.abc import Sequence

from studies.report.explanation import clause
from studies.study.earlier import Prior, PriorStudy, remembered
from studies.study.probe import probed_recipes
from studies.study.study import Study
from studies.study.trial import Trial, read_trials
from studies.text.i18n import ENGLISH, Translator


def of_study(study: Study, say: Translator = ENGLISH) -> str:
    """The same of a study; empty where it asks for none."""
    if study.spec.search.learn_from == "off":
        return ""
    own = len(study.spec.first) + len(probed_recipes(study.spec, study.memory))
    return told(remembered(study.memory), read_trials(study.memory), own, say)


def told(prior: Prior | None, trials: Sequence[Trial], own: int, say: Translator = ENGLISH) -> str:
    """What was learnt, from whom, and what came of it; empty where a study learns from none.

    Args:
        prior: what the study began with.
        trials: all of it.
        own: how many of its first trials are recipes of the study file, and of its probe.
        say: the language.
    """
    if prior is None:
        return ""
    used = [one for one in prior.sources if one.left_out is None]
    texts = [_learnt(prior, used, say)] if used else [say("No earlier study could be learnt from.")]
    texts += [_helped(prior, trials, own, say)] if prior.recipes else []
    texts += [
        say("{name} is left out: {reason}.", name=one.name, reason=clause(one.left_out, say))
        for one in prior.sources
        if one.left_out is not None
    ]
    return " ".join(text for text in texts if text)


def _learnt(prior: Prior, used: Sequence[PriorStudy], say: Translator) -> str:
    return say(
        "Of {names} on the same base model, {recipes} recipe(s) were tried first and {trials} trials shown to the "
        "sampler.",
        names=say(", ").join(one.name for one in used),
        recipes=len(prior.recipes),
        trials=len(prior.lessons),
    )


def _helped(prior: Prior, trials: Sequence[Trial], own: int, say: Translator) -> str:
    """Their recipes beside the study's own and beside what it found itself."""
    end = own + len(prior.recipes)
    theirs, mine, found = _best(trials[own:end]), _best(trials[:own]), _best(trials[end:])
    if theirs is None:
        return ""
    rivals = [value for value in (mine, found) if value is not None]
    values = {"theirs": theirs, "rest": max(rivals, default=0.0)}
    if not rivals or theirs >= values["rest"]:
        return say(
            "It helped: the best of these recipes reached {theirs:.3f}, all else {rest:.3f}.", **values
        )
    if mine is None or theirs >= mine:
        return say(
            "Their best recipe reached {theirs:.3f}, more than the study file's own; the search found {rest:.3f}.",
            **values,
        )
    return say("It did not help: their best recipe reached {theirs:.3f}, all else {rest:.3f}.", **values)


def _best(trials: Sequence[Trial]) -> float | None:
    return max((one.objective for one in trials if one.objective is not None), default=None)
