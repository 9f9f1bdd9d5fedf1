"""How often the finalists are heard before one is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from studies.engines.engine import Exam
from studies.report.findings import earlier_tests
from studies.selection.confirmation import SHORTLISTS
from studies.selection.selection import conclude, provisional
from studies.study.study import Study
from studies.text.i18n import ENGLISH
from tests.studies.invented import Examiner, invent


@dataclass(frozen=True)
class Ranking(Examiner):
    """Measures checkpoints by what a test says of them, on four images that agree or not."""

    gain: float = 0.0
    """What each finalist is better than the next, in validation's own figure."""
    asked: list[list[tuple[int, int]]] = field(default_factory=list)

    def examine(self, checkpoints: Sequence[tuple[int, int]], exam: Exam) -> list[Mapping[str, Any]]:
        if exam.side == "validation":
            self.asked.append(list(checkpoints))
        cards = []
        for card, key in zip(super().examine(checkpoints, exam), checkpoints, strict=True):
            place = next(heard.index(key) for heard in self.asked if key in heard)
            mean = -0.1 + self.gain * place
            values = [mean + 0.01 * sign * place for sign in (1, -1, 1, -1)]
            figure = {"mean": mean, "standard_error": 0.005}
            cards.append(dict(card) | {"validation": figure, "validation_by_image": values})
        return cards


@pytest.fixture
def unfinished(tmp_path: Path) -> Study:
    return invent(tmp_path, clip=False, finished=False).study


def test_one_hearing_is_enough_for_a_clear_winner(unfinished: Study) -> None:
    engine = Ranking(unfinished, clip=False, gain=0.05)
    confirmation = conclude(unfinished, engine)["confirmation"]
    assert (len(engine.asked), confirmation["rounds"], confirmation["separable"]) == (1, 1, True)


def test_finalists_within_the_noise_are_heard_until_the_rounds_are_spent(unfinished: Study) -> None:
    engine = Ranking(unfinished, clip=False, gain=1e-4)
    confirmation = conclude(unfinished, engine)["confirmation"]
    assert (len(engine.asked), confirmation["rounds"]) == (unfinished.spec.confirm.rounds, 3)
    assert not confirmation["separable"]


def test_who_is_clearly_behind_is_not_heard_again(unfinished: Study) -> None:
    @dataclass(frozen=True)
    class LastBehind(Ranking):
        def examine(self, checkpoints: Sequence[tuple[int, int]], exam: Exam) -> list[Mapping[str, Any]]:
            cards = super().examine(checkpoints, exam)
            last = self.asked[0][-1]
            behind = {"validation": {"mean": 0.5, "standard_error": 0.005}, "validation_by_image": [0.5] * 4}
            return [
                card | behind if key == last else card for key, card in zip(checkpoints, cards, strict=True)
            ]  # type: ignore[operator]

    engine = LastBehind(unfinished, clip=False, gain=1e-4)
    conclude(unfinished, engine)
    first, *later = engine.asked
    assert later and all(first[-1] not in heard for heard in later)


def test_a_verdict_stands_until_the_rule_or_the_trials_change(unfinished: Study) -> None:
    engine = Ranking(unfinished, clip=False, gain=0.05)
    first = conclude(unfinished, engine)
    assert conclude(unfinished, engine) == first
    assert len(engine.asked) == 1
    other = unfinished.spec.confirm.model_copy(update={"preference": 0.0})
    changed = replace(unfinished, spec=unfinished.spec.model_copy(update={"confirm": other}))
    again = conclude(changed, engine)
    assert len(engine.asked) == 2
    assert again["rule"] != first["rule"]


def test_a_checkpoint_meets_the_test_images_once_and_a_second_one_says_so(unfinished: Study) -> None:
    tests: list[tuple[int, int]] = []

    @dataclass(frozen=True)
    class Counting(Ranking):
        def examine(self, checkpoints: Sequence[tuple[int, int]], exam: Exam) -> list[Mapping[str, Any]]:
            tests.extend(checkpoints if exam.side == "test" else ())
            return super().examine(checkpoints, exam)

    def told(preference: float, gain: float) -> dict[str, Any]:
        confirm = unfinished.spec.confirm.model_copy(update={"preference": preference})
        study = replace(unfinished, spec=unfinished.spec.model_copy(update={"confirm": confirm}))
        return conclude(study, Counting(study, clip=False, gain=gain))

    first, same, other = told(0.5, 0.05), told(0.6, 0.05), told(0.7, -0.05)
    assert first["winner"]["file"] == same["winner"]["file"] != other["winner"]["file"]
    assert len(tests) == 2
    assert first["test"] == same["test"]
    assert (same["tested_before"], other["tested_before"]) == ([], [list(tests[0])])
    assert earlier_tests(other, ENGLISH).startswith(
        f"Earlier choices met these images too: trial {tests[0][0]}"
    )


def test_where_guards_bar_every_finalist_those_who_come_next_are_heard(unfinished: Study) -> None:
    @dataclass(frozen=True)
    class Forgetful(Ranking):
        """Those of the first list forget other prompts."""

        def examine(self, checkpoints: Sequence[tuple[int, int]], exam: Exam) -> list[Mapping[str, Any]]:
            cards = super().examine(checkpoints, exam)
            flexibility = {"mean": -40.0, "standard_error": 1.0}
            return [
                card | {"flexibility": flexibility} if key in self.asked[0] else card
                for key, card in zip(checkpoints, cards, strict=True)
            ]  # type: ignore[operator]

    confirm = unfinished.spec.confirm.model_copy(update={"finalists": 2})
    study = replace(unfinished, spec=unfinished.spec.model_copy(update={"confirm": confirm}))
    engine = Forgetful(study, clip=False, gain=0.05)
    verdict = conclude(study, engine)
    barred = [f["barred"] is not None for f in verdict["confirmation"]["finalists"]]
    assert barred == [True, True, False, False]
    winner = verdict["winner"]["trial"], verdict["winner"]["epoch"]
    assert winner not in engine.asked[0]
    assert "Passed over: trial" in verdict["winner"]["reason"]


def test_the_studys_own_weights_choose_the_confirmed_winner_again(unfinished: Study) -> None:
    before = provisional(unfinished)
    confirmed = conclude(unfinished, Ranking(unfinished, clip=False, gain=-0.05))
    again = provisional(unfinished, unfinished.spec.objective)
    assert again["winner"]["file"] == confirmed["winner"]["file"] != before["winner"]["file"]
    assert again["winner"]["reason"] == confirmed["winner"]["reason"]


def test_where_guards_bar_all_who_are_heard_the_best_of_all_lists_wins(unfinished: Study) -> None:
    @dataclass(frozen=True)
    class AllForget(Ranking):
        """Each list is worse than the one before."""

        def examine(self, checkpoints: Sequence[tuple[int, int]], exam: Exam) -> list[Mapping[str, Any]]:
            figure = {"mean": -0.3 + 0.1 * len(self.asked), "standard_error": 0.005}
            forgets = {"flexibility": {"mean": -40.0, "standard_error": 1.0}, "validation": figure}
            return [card | forgets for card in super().examine(checkpoints, exam)]  # type: ignore[operator]

    confirm = unfinished.spec.confirm.model_copy(update={"finalists": 1, "rounds": 1, "preference": 0.0})
    study = replace(unfinished, spec=unfinished.spec.model_copy(update={"confirm": confirm}))
    engine = AllForget(study, clip=False)
    winner = conclude(study, engine)["winner"]
    assert len(engine.asked) == SHORTLISTS
    assert [(winner["trial"], winner["epoch"])] == engine.asked[0]
    assert "A guard bars every one of them" in winner["reason"]
