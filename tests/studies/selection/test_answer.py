"""What a choice comes to, told before anything else."""

from __future__ import annotations

import math
from typing import Any

import pytest

from evaluation.intervals import Estimate
from search.objective import Measurement
from search.selection import Candidate, Preference, clear, decide
from search.trial import Reason
from studies.selection.answer import MOST_IMAGES, answers
from studies.selection.document import REFUSALS, Baseline
from tests.studies.made import card
from tests.studies.report.test_choice import selected

CLEAR_WIN = [(0, 1.0), (1, 0.2)]


def candidate(trial: int, mean: float, error: float = 0.1, epoch: int = 2, **fields: Any) -> Candidate:
    return Candidate(trial, epoch, 100 * epoch, 8, Measurement(mean, error), **fields)


def decided(*means: tuple[int, float], preference: float = 1.0) -> Any:
    return decide([candidate(trial, mean) for trial, mean in means], preference=Preference(preference))


def baseline(trial: int, lead: float, error: float = 0.1) -> Baseline:
    ahead = Estimate(mean=lead, standard_error=error)
    return Baseline(trial=trial, epoch=6, images_seen=600, scores=card(-0.1), lead=ahead)


def codes(found: tuple[Reason, ...]) -> list[str]:
    return [one.code for one in found]


def test_a_clear_winner_is_better_than_the_base_by_what_the_test_images_say() -> None:
    (untested,) = answers(decided(*CLEAR_WIN), None, (), 10)
    assert untested == Reason("better", {"mean": 1.0, "error": 0.1, "tested": False})
    (tested,) = answers(decided(*CLEAR_WIN), candidate(0, 0.7, 0.2), [baseline(3, 0.5)], 10)
    assert tested == Reason("better", {"mean": 0.7, "error": 0.2, "tested": True})


@pytest.mark.parametrize(
    ("mean", "code"), [(-0.5, "worse_than_base"), (0.0, "worse_than_base"), (0.1, "not_above_base")]
)
def test_what_does_not_clearly_beat_the_base_is_refused(mean: float, code: str) -> None:
    alone = answers(decided((0, mean)), None, (), 10)
    tested = answers(decided(*CLEAR_WIN), candidate(0, mean), (), 10)
    assert alone == (Reason(code, {"mean": mean, "error": 0.1, "tested": False}),)
    assert tested == (Reason(code, {"mean": mean, "error": 0.1, "tested": True}),)


def test_a_gain_that_nobody_would_see_is_none_however_sharply_it_is_measured() -> None:
    small, seen = (answers(decided((0, mean)), candidate(0, mean, 0.001), (), 10) for mean in (0.05, 0.15))
    assert (codes(small), codes(seen)) == (["not_above_base"], ["better"])
    assert codes(answers(decided((0, 0.15)), candidate(0, 0.15, 0.1), (), 10)) == ["maybe_better"]


def test_the_base_is_beaten_cell_by_cell() -> None:
    """The candidate's own error may be told otherwise: what its cells say of their mean counts."""
    even, uneven = (
        candidate(0, 1.0, 0.1, cells={"validation": values})
        for values in ((1.0,) * 4, (5.0, -3.0, 4.0, -2.0))
    )
    assert codes(answers(decided(*CLEAR_WIN), even, (), 10)) == ["better"]
    assert codes(answers(decided(*CLEAR_WIN), uneven, (), 10)) == ["not_above_base"]


def test_a_guard_that_bars_the_winner_on_the_test_images_is_told_with_its_figures() -> None:
    copies = Reason("copies", {"level": 5.0})
    tested = candidate(0, 1.0, barred=copies)
    assert answers(decided(*CLEAR_WIN), tested, (), 10) == (
        Reason("guard_on_test", {"by": "copies", "level": 5.0}),
    )
    assert codes(answers(decide([tested]), None, (), 10)) == ["better"], (
        "of that the reason of the choice tells"
    )


def test_the_recipe_that_is_most_ahead_is_told_if_it_clearly_is() -> None:
    tested = candidate(0, 1.0)
    recipes = [baseline(3, -0.3), baseline(4, -0.6, 0.2), baseline(5, -0.9, 0.5), baseline(6, 2.0)]
    assert answers(decided(*CLEAR_WIN), tested, recipes, 10) == (
        Reason("recipe_better", {"trial": 4, "epoch": 6, "mean": 0.6, "error": 0.2}),
    )
    assert codes(answers(decided(*CLEAR_WIN), tested, [recipes[2]], 10)) == ["better"]


@pytest.mark.parametrize("lead", [0.02, 0.05, 0.1])
def test_so_many_more_images_would_make_the_lead_clear_and_no_fewer(lead: float) -> None:
    (found,) = answers(decided((0, 1.0), (1, 1.0 - lead)), None, (), 10)
    assert found.code == "cannot_tell"
    more = int(found.values["images"])  # type: ignore[arg-type]
    errors = [0.1 * math.sqrt(10 / (10 + images)) for images in (more + 1, more - 1)]
    assert [clear(Measurement(lead, error)) for error in errors] == [True, False]


def test_the_closest_rival_decides_how_many_images_it_takes_and_the_cheapest_is_named() -> None:
    best, near, early = candidate(0, 1.0), candidate(1, 0.98), candidate(2, 0.92, epoch=1)
    (found,) = answers(decide([best, near, early]), None, (), 10)
    assert found == Reason("cannot_tell", {"rivals": 3, "trial": 2, "epoch": 1, "images": 990})


@pytest.mark.parametrize("lead", [0.0, 0.2 / math.sqrt((MOST_IMAGES + 11) / 10)])
def test_where_nobody_has_so_many_images_none_are_promised(lead: float) -> None:
    found = answers(decided((0, 1.0), (1, 1.0 - lead)), None, (), 10)
    assert found == (Reason("cannot_ever_tell", {"rivals": 2, "trial": 0, "epoch": 2}),)


def test_an_earlier_winner_from_beyond_one_standard_error_is_itself_a_rival() -> None:
    decision = decide([candidate(0, 1.0), candidate(1, 0.85, epoch=1)], preference=Preference(2.0))
    assert (decision.winner.trial, [one.trial for one in decision.close]) == (1, [0])
    (found,) = answers(decision, None, (), 10)
    assert found == Reason("cannot_tell", {"rivals": 2, "trial": 1, "epoch": 1, "images": 8})


def test_several_doubts_are_told_refusals_first() -> None:
    tested = candidate(0, 0.1, barred=Reason("copies"))
    found = answers(decided((0, 1.0), (1, 0.95)), tested, [baseline(3, -1.0)], 10)
    assert codes(found) == ["not_above_base", "guard_on_test", "recipe_better", "cannot_tell"]


def test_a_choice_is_refused_by_the_base_and_by_guards_alone() -> None:
    whole = selected([candidate(0, 1.0, scores={"validation": Measurement(-0.1, 0.01)})])
    refused = {
        code: whole.model_copy(update={"answers": (Reason(code), Reason("cannot_tell"))}).refused
        for code in (*REFUSALS, "recipe_better", "cannot_tell", "cannot_ever_tell", "better")
    }
    assert {code for code, told in refused.items() if told} == REFUSALS
    assert {"worse_than_base", "not_above_base", "guard_on_test"} == REFUSALS
