"""Why a checkpoint wins, in words made from values."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest

from evaluation.intervals import Estimate
from evaluation.scorecard import Measured, ScoreCard
from search import objective
from search.selection import Candidate, Preference, decide
from search.trial import Reason
from studies.report.choice import answer, checkpoint, headline, named, reason, verdict
from studies.report.explanation import rule
from studies.selection.answer import answers
from studies.selection.confirmation import Confirmed
from studies.selection.document import Files, Run, Selection
from studies.selection.rule import Rule
from studies.selection.selection import Selector
from studies.spec.guards import GuardsSection
from studies.spec.sections import ConfirmSection
from studies.study.trial import Checkpoint, Origin
from studies.text.i18n import ENGLISH

CARD = ScoreCard(
    metrics={"validation": Measured(difference=Estimate(mean=-0.1, standard_error=0.01), cells=(-0.1, -0.1))},
    validation_by_timestep=(-0.1,),
    training=None,
    broken=0,
    renders=0,
)

SCORES = {"validation": objective.Measurement(-0.1, 0.01)}


def candidate(
    trial: int, epoch: int, mean: float, barred: Reason | None = None, error: float = 0.1
) -> Candidate:
    return Candidate(trial, epoch, 100 * epoch, 8, objective.Measurement(mean, error), SCORES, {}, barred)


def by_rule(
    weights: dict[str, float] | None = None,
    preference: float = 1.0,
    recipe_margin: float = 0.0,
    **guards: object,
) -> Rule:
    return Rule(
        weights=weights or {"validation": 1.0},
        guards=GuardsSection.model_validate(guards or {"memorisation": "off", "flexibility": "off"}),
        confirm=ConfirmSection(preference=preference, recipe_margin=recipe_margin),
        units={"validation": 0.01},
    )


def selected(
    candidates: Sequence[Candidate],
    preference: float = 1.0,
    runs: Sequence[str] = (),
    recipes: Collection[tuple[int, int]] = (),
) -> Selection:
    """What a study, or judged files, come to where finalists were measured so."""
    checkpoints = [
        Checkpoint(
            trial=one.trial,
            epoch=one.epoch,
            images_seen=one.images_seen,
            rank=8,
            file=f"{one.trial}-{one.epoch}",
            scores=CARD,
            origin=Origin(run=runs[i], label=str(one.epoch), unit="epoch") if runs else None,
        )
        for i, one in enumerate(candidates)
    ]
    by = by_rule(preference=preference, recipe_margin=0.5)
    baselines = [one for one in checkpoints if one.key in recipes]
    selector = Selector("x", 0, 9, by, checkpoints, baselines)
    decision = decide(candidates, preference=Preference(preference, 0.5, recipes))
    count = len(candidates)
    confirmed = Confirmed(decision, candidates, candidates, [CARD] * count, [1] * count, ConfirmSection())
    told = selector.told(candidates, decision.winner, confirmed)
    found = told.model_copy(update={"answers": answers(decision, None, (), images=10)})
    if not runs:
        return found
    files = Files(
        base="b",
        clip=None,
        resolution=64,
        runs=tuple(Run(run=run, files=runs.count(run)) for run in dict.fromkeys(runs)),
    )
    return found.model_copy(update={"files": files})


def test_a_clear_winner_is_told_with_the_best() -> None:
    found = selected([candidate(0, 2, 1.0), candidate(0, 1, 0.95), candidate(1, 1, 0.5)])
    assert reason(found) == (
        "Trial 0, epoch 1 (objective 0.950 ± 0.100 after 100 images) is the earliest of 3 confirmed "
        "checkpoints within one standard error of the best, trial 0, epoch 2 "
        "(objective 1.000 ± 0.100 after 200 images)."
    )


def test_the_best_is_told_without_a_margin_where_none_is_given_away() -> None:
    found = selected([candidate(0, 2, 1.0), candidate(0, 1, 0.95), candidate(1, 1, 0.5)], preference=0.0)
    assert reason(found).endswith("after 200 images) is the best of 3 confirmed checkpoints.")
    assert "the one with the highest objective wins" in rule(by_rule(preference=0.0))


def test_a_recipe_that_stands_is_told_with_the_best() -> None:
    better, recipe = candidate(1, 2, 1.0), candidate(0, 9, 0.97)
    found = selected([better, recipe], preference=0.0, recipes={recipe.key})
    assert found.winner.recipe
    assert reason(found).startswith(
        "Trial 0, epoch 9 (objective 0.970 ± 0.100 after 900 images) is a recipe of the study file, trained to its "
        "end; the best of 2 confirmed checkpoints, trial 1, epoch 2 (objective 1.000 ± 0.100 after 200 images), is "
        "less than half a standard error ahead of it."
    )
    assert [verdict(found, one) for one in found.candidates] == ["as good", "chosen"]
    alone = selected([candidate(0, 9, 1.2), better], preference=0.0, recipes={recipe.key})
    assert "a recipe of the study file trained to its end, is the best of 2 confirmed" in reason(alone)
    assert "wins in its stead if it lies within half a standard error" in rule(by_rule(recipe_margin=0.5))


def test_a_close_finalist_of_another_trial_is_named() -> None:
    text = reason(selected([candidate(0, 1, 1.0), candidate(1, 2, 0.95)]))
    assert "is the best of 2 confirmed checkpoints" in text
    assert "cannot be told apart from trial 1, epoch 2 (objective 0.950" in text


def test_who_is_passed_over_is_named_with_the_guard() -> None:
    text = reason(selected([candidate(0, 1, 9.0, Reason.told("it copies")), candidate(1, 2, 0.1)]))
    assert text.endswith(" Passed over: trial 0, epoch 1, because it copies.")
    assert "is the best of 1 confirmed checkpoints" in text


def test_where_all_are_barred_it_is_said() -> None:
    text = reason(selected([candidate(t, 1, float(t), Reason.told(f"reason {t}")) for t in range(2)]))
    assert "A guard bars every one of them" in text and "reason 1" in text


def test_the_margin_is_told_as_it_was_asked_for() -> None:
    everyone = [candidate(0, 1, 0.92), candidate(0, 2, 0.95), candidate(0, 3, 1.0)]
    assert "none within half a standard error is earlier" in reason(selected(everyone[2:], preference=0.5))
    assert "within 0.25 standard errors of the best" in rule(by_rule(preference=0.25))


def test_the_rule_is_told_in_words_with_its_weights_and_guards() -> None:
    text = rule(by_rule({"validation": 1, "clip_image": 0.5, "clip_text": 0}))
    assert "validation with weight 1 (lower is better), clip_image with weight 0.5 (higher is better)" in text
    assert "clip_text" not in text
    assert "within one standard error of the best" in text
    assert rule(by_rule(memorisation=0.0)).endswith("where all are, which is said then.")


@pytest.mark.parametrize(("runs", "name"), [(("a", "a"), "epoch 2"), (("a", "b"), "b, epoch 2")])
def test_files_are_called_by_their_run_where_there_are_several(runs: tuple[str, str], name: str) -> None:
    found = selected([candidate(0, 1, 0.5), candidate(1, 2, 1.0)], runs=runs)
    assert named(found, found.winner) == name
    assert [verdict(found, one) for one in found.candidates] == ["behind, judged again", "best"]
    assert (
        reason(found).lower().startswith(f"{name} (objective 1.00 ± 0.10) is the best of 2 that were judged")
    )


def test_a_file_no_better_than_the_base_is_said_to_be_so() -> None:
    found = selected([candidate(0, 1, -0.5)], runs=("a",))
    assert reason(found) == "Epoch 1 (objective -0.50 ± 0.10) is the only one that can be chosen."
    worse = "Nothing beats the base model: the best checkpoint found is -0.50 ± 0.10 against it."
    assert (answer(found), found.refused, headline(found, "Use it.")) == (worse, True, worse)


def test_a_clear_winner_is_to_be_used_and_said_to_beat_the_base() -> None:
    found = selected([candidate(0, 1, 1.0), candidate(1, 1, 0.5)])
    assert answer(found) == "It beats the base model by 1.00 ± 0.10."
    assert headline(found, "Use it.") == "Use it."


def test_what_fresh_seeds_cannot_tell_apart_is_answered_with_what_would() -> None:
    found = selected([candidate(0, 2, 1.0), candidate(1, 1, 0.95)])
    assert answer(found) == (
        "Cannot tell which of 2 is best: they differ by no more than noise. The cheapest of them is trial 1, epoch 1."
        " About 150 more held-out images would tell them apart."
    )  # 0.05 has to be two errors of 0.1: 16 times the images
    assert headline(found, "Use it.") == answer(found)


def test_a_recipe_that_nothing_clearly_beats_is_named_first() -> None:
    found = selected([candidate(0, 2, 1.0), candidate(1, 1, 0.95)])
    recipe = found.model_copy(update={"winner": found.winner.model_copy(update={"recipe": True})})
    assert answer(recipe) == (
        "Cannot tell whether anything beats the study file's own recipe, trial 1, epoch 1, which is handed over: 2 "
        "trials differ by no more than noise. The cheapest of them is trial 1, epoch 1. About 150 more held-out images "
        "would tell them apart."
    )


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            Reason("not_above_base", {"mean": 0.1, "error": 0.2, "tested": True}),
            "Nothing clearly beats the base model: the best checkpoint found is +0.10 ± 0.20 ahead of it, "
            "which may be noise.",
        ),
        (
            Reason("guard_on_test", {"by": "told", "text": "it copies"}),
            "Do not use it: on the test images it copies.",
        ),
        (
            Reason("recipe_better", {"trial": 1, "epoch": 2, "mean": 0.4, "error": 0.1}),
            "The search did not help: the study file's own recipe, trial 1, epoch 2, is 0.40 ± 0.10 better on the "
            "test images. Use that.",
        ),
        (
            Reason("cannot_ever_tell", {"rivals": 3, "trial": 0, "epoch": 1}),
            "Cannot tell which of 3 is best: they differ by no more than noise. The cheapest of them is trial 0, "
            "epoch 1. No number of held-out images in reach would tell them apart.",
        ),
    ],
)
def test_every_answer_has_its_sentence_and_several_are_joined(found: Reason, said: str) -> None:
    selection = selected([candidate(0, 1, 1.0)])
    better = selection.answers
    assert answer(selection.model_copy(update={"answers": (found,)})) == said
    assert answer(selection.model_copy(update={"answers": (found, *better)})).startswith(f"{said} It beats")


def test_figures_that_json_lacks_do_not_hide_an_answer() -> None:
    unknown = Reason("not_above_base", {"mean": None, "error": None, "tested": True})
    assert "+nan ± nan" in answer(selected([candidate(0, 1, 1.0)]).model_copy(update={"answers": (unknown,)}))


def test_a_checkpoint_has_one_name() -> None:
    assert checkpoint(3, 7, ENGLISH) == "trial 3, epoch 7"
