"""How often the finalists are heard before one is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from evaluation.intervals import Estimate
from evaluation.scorecard import Measured, ScoreCard
from search.trial import Proposal, Reason
from studies.report.choice import earlier_tests, reason
from studies.selection.confirmation import SHORTLISTS
from studies.selection.document import Selection
from studies.selection.verdict import conclude, provisional
from studies.study.exam import Exam
from studies.study.study import Study
from studies.text.i18n import ENGLISH
from tests.studies.invented import ExaminingEngine, invent


def measured(card: ScoreCard, name: str, mean: float, error: float, cells: Sequence[float] = ()) -> ScoreCard:
    """The card with another figure."""
    found = Measured(difference=Estimate(mean=mean, standard_error=error), cells=tuple(cells))
    return card.model_copy(update={"metrics": {**card.metrics, name: found}})


@dataclass(frozen=True)
class Ranking(ExaminingEngine):
    """Measures checkpoints by what a test says of them, on four images that agree or not."""

    gain: float = 0.0
    """What each finalist is better than the next, in validation's own figure; who was not heard is as the first."""
    asked: list[list[tuple[int, int]]] = field(default_factory=list)

    def examine(self, checkpoints: Sequence[tuple[int, int]], exam: Exam) -> list[ScoreCard]:
        if exam.side == "validation":
            self.asked.append(list(checkpoints))
        cards = []
        for card, key in zip(super().examine(checkpoints, exam), checkpoints, strict=True):
            place = next((heard.index(key) for heard in self.asked if key in heard), 0)
            mean = -0.1 + self.gain * place
            values = [mean + 0.01 * sign * place for sign in (1, -1, 1, -1)]
            cards.append(measured(card, "validation", mean, 0.005, values))
        return cards


@dataclass(frozen=True)
class Counting(Ranking):
    """Notes who meets the test images."""

    tests: list[tuple[int, int]] = field(default_factory=list)

    def examine(self, checkpoints: Sequence[tuple[int, int]], exam: Exam) -> list[ScoreCard]:
        self.tests.extend(checkpoints if exam.side == "test" else ())
        return super().examine(checkpoints, exam)


@pytest.fixture
def unfinished(tmp_path: Path) -> Study:
    """Its judge may cost as much as the training, so that all rounds can be heard."""
    return invent(tmp_path, clip=False, finished=False, share=1.0).study


def changed(study: Study, section: str, **values: Any) -> Study:
    """The study with other values in a section of its file."""
    found = getattr(study.spec, section).model_copy(update=values)
    return replace(study, spec=study.spec.model_copy(update={section: found}))


def test_one_hearing_is_enough_for_a_clear_winner(unfinished: Study) -> None:
    engine = Ranking(unfinished, clip=False, gain=0.05)
    confirmation = conclude(unfinished, engine).confirmation
    assert confirmation is not None
    assert (len(engine.asked), confirmation.rounds, confirmation.separable) == (1, 1, True)


def test_finalists_within_the_noise_are_heard_until_the_rounds_are_spent(unfinished: Study) -> None:
    study = changed(unfinished, "confirm", seeds_per_prompt=1, outside_prompt_count=4)
    engine = Ranking(study, clip=False, gain=1e-4)
    confirmation = conclude(study, engine).confirmation
    assert confirmation is not None
    assert (len(engine.asked), confirmation.rounds) == (study.spec.confirm.rounds, 3)
    assert not confirmation.separable


def test_finalists_are_heard_no_more_often_than_the_judges_share_allows(unfinished: Study) -> None:
    frugal = changed(unfinished, "judge", share=0.15)
    engine = Ranking(frugal, clip=False)
    confirmation = conclude(frugal, engine).confirmation
    assert confirmation is not None
    assert (len(engine.asked), confirmation.rounds, confirmation.care.rounds) == (1, 1, 1)
    assert confirmation.care.timesteps < frugal.spec.confirm.timesteps


def test_the_winner_is_tested_beside_the_last_epoch_of_each_recipe_of_the_file(unfinished: Study) -> None:
    selection = conclude(unfinished, Ranking(unfinished, clip=False, gain=0.05))
    assert selection.test is not None
    (recipe,) = selection.baselines
    ahead = (recipe.scores.validation.mean - selection.test.validation.mean) / 0.01
    assert (recipe.key, recipe.images_seen) == ((0, 6), 480)
    assert recipe.lead.mean == pytest.approx(ahead)


def test_a_recipe_that_cannot_be_trained_on_all_folds_is_left_out_and_the_winner_stands(
    unfinished: Study,
) -> None:
    @dataclass(frozen=True)
    class Full(Ranking):
        def retrain_on_all(self, proposal: Proposal, epoch: int) -> Reason | None:  # type: ignore[override]
            return Reason("memory_ran_out") if proposal.number == 0 else None

    selection = conclude(unfinished, Full(unfinished, clip=False, gain=0.05))
    assert selection.winner.trial != 0 and selection.test is not None
    assert (selection.baselines, [one.code for one in selection.answers]) == ((), ["better"])


def test_who_is_clearly_behind_is_not_heard_again(unfinished: Study) -> None:
    @dataclass(frozen=True)
    class LastBehind(Ranking):
        def examine(self, checkpoints: Sequence[tuple[int, int]], exam: Exam) -> list[ScoreCard]:
            cards = super().examine(checkpoints, exam)
            last = self.asked[0][-1]
            return [
                measured(card, "validation", 0.5, 0.005, [0.5] * 4) if key == last else card
                for key, card in zip(checkpoints, cards, strict=True)
            ]

    engine = LastBehind(unfinished, clip=False, gain=1e-4)
    conclude(unfinished, engine)
    first, *later = engine.asked
    assert later and all(first[-1] not in heard for heard in later)


def test_a_verdict_stands_until_the_rule_or_the_trials_change(unfinished: Study) -> None:
    engine = Ranking(unfinished, clip=False, gain=0.05)
    first = conclude(unfinished, engine)
    assert conclude(unfinished, engine) == first
    assert len(engine.asked) == 1
    again = conclude(changed(unfinished, "confirm", preference=0.1), engine)
    assert len(engine.asked) == 2
    assert again.rule != first.rule


def test_a_checkpoint_meets_the_test_images_once_and_a_second_one_says_so(unfinished: Study) -> None:
    tests: list[tuple[int, int]] = []

    def told(preference: float, gain: float) -> Selection:
        study = changed(unfinished, "confirm", preference=preference)
        return conclude(study, Counting(study, clip=False, gain=gain, tests=tests))

    first, same, other = told(0.5, 0.05), told(0.6, 0.05), told(0.7, -0.05)
    assert first.winner.file == same.winner.file != other.winner.file
    recipe = (0, 6)
    assert tests == [first.winner.key, recipe, other.winner.key]
    assert first.test == same.test
    assert [[one.key for one in of.baselines] for of in (first, same, other)] == [[recipe]] * 3
    assert (same.tested_before, [(k.trial, k.epoch) for k in other.tested_before]) == ((), [tests[0]])
    assert earlier_tests(other, ENGLISH).startswith(
        f"Earlier choices met these images too: trial {tests[0][0]}"
    )


def test_who_met_the_test_images_with_other_seeds_meets_them_again_beside_a_new_one(
    unfinished: Study,
) -> None:
    conclude(unfinished, Ranking(unfinished, clip=False, gain=0.05))
    study = changed(unfinished, "confirm", seeds_per_prompt=1)
    engine = Counting(study, clip=False, gain=0.05)
    again = conclude(study, engine)
    assert engine.tests == [again.winner.key, (0, 6)]


def test_where_guards_bar_every_finalist_those_who_come_next_are_heard(unfinished: Study) -> None:
    @dataclass(frozen=True)
    class Forgetful(Ranking):
        """Those of the first list forget other prompts."""

        def examine(self, checkpoints: Sequence[tuple[int, int]], exam: Exam) -> list[ScoreCard]:
            cards = super().examine(checkpoints, exam)
            return [
                measured(card, "flexibility", -40.0, 1.0) if key in self.asked[0] else card
                for key, card in zip(checkpoints, cards, strict=True)
            ]

    study = changed(unfinished, "confirm", finalists=2)
    engine = Forgetful(study, clip=False, gain=0.05)
    selection = conclude(study, engine)
    assert [f.barred is not None for f in selection.finalists] == [True, True, False, False]
    assert selection.winner.key not in engine.asked[0]
    assert "Passed over: trial" in reason(selection)


def test_the_studys_own_weights_choose_the_confirmed_winner_again(unfinished: Study) -> None:
    before = provisional(unfinished)
    confirmed = conclude(unfinished, Ranking(unfinished, clip=False, gain=-0.05))
    again = provisional(unfinished, unfinished.spec.objective)
    assert again.winner.file == confirmed.winner.file != before.winner.file
    assert reason(again) == reason(confirmed)


def test_where_guards_bar_all_who_are_heard_the_best_of_all_lists_wins(unfinished: Study) -> None:
    @dataclass(frozen=True)
    class AllForget(Ranking):
        """Each list is worse than the one before."""

        def examine(self, checkpoints: Sequence[tuple[int, int]], exam: Exam) -> list[ScoreCard]:
            cards = [measured(c, "flexibility", -40.0, 1.0) for c in super().examine(checkpoints, exam)]
            return [measured(c, "validation", -0.3 + 0.1 * len(self.asked), 0.005) for c in cards]

    study = changed(unfinished, "confirm", finalists=1, rounds=1, preference=0.0)
    engine = AllForget(study, clip=False)
    selection = conclude(study, engine)
    assert len(engine.asked) == SHORTLISTS
    assert [selection.winner.key] == engine.asked[0]
    assert "A guard bars every one of them" in reason(selection)
