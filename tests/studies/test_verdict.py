"""How often the finalists are heard before one is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from studies.engine import Exam
from studies.study import Study
from studies.verdict import conclude
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
            mean = -0.1 + self.gain * self.asked[0].index(key)
            values = [mean + 0.01 * sign * self.asked[0].index(key) for sign in (1, -1, 1, -1)]
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
