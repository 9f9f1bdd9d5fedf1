"""What the terminal says when a study has ended."""

from __future__ import annotations

import pytest

from search.trial import Reason
from studies.report.choice import answer, baselines
from studies.report.summary import summary
from tests.studies.invented import Invented, invent


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Invented:
    return invent(tmp_path_factory.mktemp("finished"))


def test_the_answer_stands_before_the_winner_and_recipes_beside_the_test(finished: Invented) -> None:
    winner = finished.selection.winner
    lines = summary(finished.study, finished.selection, None).splitlines()
    title = f"Winner: trial {winner.trial}, epoch {winner.epoch} ({winner.images_seen} images seen)"
    assert lines[lines.index(title) - 1] == answer(finished.selection) != ""
    (recipe,) = baselines(finished.selection)
    tested = lines.index("On test images that the search never used, against the base model:")
    assert lines.index(f"  {recipe}") > tested
    assert recipe.startswith("Against the study file's recipe trial 0, epoch 6, trained to its end")


def test_a_refused_choice_is_no_winner(finished: Invented) -> None:
    copies = Reason("guard_on_test", {"by": "told", "text": "it copies"})
    selection = finished.selection.model_copy(update={"answers": (copies,)})
    said = summary(finished.study, selection, None)
    assert "Do not use it: on the test images it copies.\nBest of what was tried: trial" in said
    assert "Winner:" not in said
