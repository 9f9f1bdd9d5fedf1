"""How a study measured, what with, and where its time went."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from studies.report import earlier_studies, findings, foresight
from studies.selection.document import Selection
from studies.spec.sections import JudgeSection
from studies.study import allowance
from studies.study.run_times import RunTimes
from studies.study.study import Study
from studies.text.format import duration
from studies.text.i18n import ENGLISH, Translator
from trainer.data.split import Split

_PACKAGES = ("lorasearch", "torch", "diffusers", "transformers", "peft", "optuna")


def measured(study: Study, selection: Selection, say: Translator) -> list[tuple[str, str]]:
    """Labels and texts: all that a reader needs to judge the figures.

    Args:
        study: opened.
        selection: its choice.
        say: the language.
    """
    spec, units = study.spec, selection.rule.units
    care = selection.confirmation.care if selection.confirmation else spec.confirm
    ways = [f"{findings.metric(name, say)} {unit:.2g}" for name, unit in units.items()]
    return [
        (say("Seed"), str(study.seed)),
        (say("Base model"), str(spec.plan["base"]["path"])),
        (say("Images"), _images(study.dataset.split, say)),
        *_folds(study, say),
        *judging(spec.judge, say),
        *_share(study, say),
        (say("Search"), _search(study, say)),
        *_forecasts(study, say),
        *_earlier(study, say),
        (
            say("Confirmation"),
            say(
                "{finalists} finalists, {timesteps} timesteps an image, {seeds} fresh seeds a prompt",
                finalists=care.finalists,
                timesteps=care.timesteps,
                seeds=care.seeds_per_prompt,
            ),
        ),
        (say("Counted as 1 in the objective"), say(", ").join(ways)),
    ]


def judging(judge: JudgeSection, say: Translator) -> list[tuple[str, str]]:
    """Labels and texts: what every checkpoint was judged by."""
    return [
        (
            say("Validation"),
            say(
                "{timesteps} timesteps an image with fixed noise; the mean of log(loss / base loss)",
                timesteps=judge.timesteps,
            ),
        ),
        (
            say("Pictures"),
            say(
                "{steps} steps, guidance {guidance}, the same prompts and seeds for all",
                steps=judge.steps,
                guidance=f"{judge.guidance:g}",
            ),
        ),
        (say("CLIP"), str(judge.clip or say("not used"))),
        (say("Image encoder"), str(judge.image_encoder or say("CLIP's"))),
    ]


def share(asked: JudgeSection | None, given: JudgeSection, say: Translator = ENGLISH) -> str:
    """What was lowered so that judging keeps to its share of the training; empty where nothing was.

    Args:
        asked: how the study file would have judged.
        given: how it is judged.
        say: the language.
    """
    cut = allowance.lowered(asked, given) if asked else {}
    if not cut:
        return ""
    parts = [
        say("judge.{field} {given:g} (of {asked:g})", field=name, given=after, asked=before)
        for name, (before, after) in cut.items()
    ]
    return say(
        "judging keeps to {share:.0%} of the training (judge.share): {parts}",
        share=given.share,
        parts=say(", ").join(parts),
    )


def _share(study: Study, say: Translator) -> list[tuple[str, str]]:
    told = share(study.asked, study.spec.judge, say)
    return [(say("Judging"), told)] if told else []


def _images(split: Split, say: Translator) -> str:
    return say(
        "{train} to train, {validation} to validate, {test} to test; near-duplicates are on one side",
        train=len(split.train),
        validation=len(split.validation),
        test=len(split.test),
    )


def _folds(study: Study, say: Translator) -> list[tuple[str, str]]:
    count = study.run_count
    if count < 2:
        return []
    told = say(
        "{count} folds: every trial is trained once without each, and scored on what it has not seen",
        count=count,
    )
    return [(say("Small set"), told)]


def _search(study: Study, say: Translator) -> str:
    spec = study.spec
    return say(
        "{sampler} sampler, {pruner} pruner (first look at {first} images), at most {most} images a trial",
        sampler=spec.search.sampler,
        pruner=spec.pruner.name,
        first=spec.pruner.min_images,
        most=spec.budget.images_per_trial,
    )


def _forecasts(study: Study, say: Translator) -> list[tuple[str, str]]:
    uses, outlook = foresight.uses(study.spec, say), foresight.outlook(study.memory, say)
    return (
        [(say("Forecast"), uses + (say(" {sentence}", sentence=outlook) if outlook else ""))] if uses else []
    )


def _earlier(study: Study, say: Translator) -> list[tuple[str, str]]:
    told = earlier_studies.of_study(study, say)
    return [(say("Earlier studies"), told)] if told else []


def time_shares(study: Study, say: Translator) -> list[tuple[str, str, float]]:
    """What the last run's time went to: label, duration, share of the whole; empty where it is unknown."""
    times = RunTimes.of(study.memory)
    if times is None or not times.wall:
        return []
    rest = max(0.0, times.wall - times.training - times.judging)
    parts = (
        (say("training"), times.training),
        (say("judging"), times.judging),
        (say("loading and writing"), rest),
    )
    return [(label, duration(seconds, say), seconds / times.wall) for label, seconds in parts]


def versions() -> str:
    """The packages that decide what comes out, with their versions."""
    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)
