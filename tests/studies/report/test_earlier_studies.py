from __future__ import annotations

import pytest

from search.lessons import Lesson
from search.trial import Reason
from studies.report.earlier_studies import told
from studies.study.earlier import Prior, PriorStudy
from studies.study.trial import Checkpoint, Trial
from tests.studies.made import card

CATS = Prior(
    sources=(PriorStudy(name="cats", trials=4), PriorStudy(name="xl", left_out=Reason("prior_other_base"))),
    recipes=({"optimiser.unet_lr": 1e-4},),
    lessons=(Lesson(values={"optimiser.unet_lr": 1e-4}, standing=1.0),) * 4,
)


def trials(*objectives: float) -> list[Trial]:
    """The study's own recipe, theirs, and what was found."""
    return [
        Trial(
            number,
            {},
            "finished",
            (
                Checkpoint(
                    trial=number, epoch=1, images_seen=9, rank=4, file="x", scores=card(-0.1), objective=value
                ),
            ),
        )
        for number, value in enumerate(objectives)
    ]


@pytest.mark.parametrize(
    ("objectives", "said"),
    [
        ((0.5, 0.9, 0.8), "It helped: the best of these recipes reached 0.900, all else 0.800."),
        (
            (0.5, 0.7, 0.8),
            "Their best recipe reached 0.700, more than the study file's own; the search found 0.800.",
        ),
        ((0.8, 0.7, 0.6), "It did not help: their best recipe reached 0.700, all else 0.800."),
    ],
)
def test_what_was_said_and_whether_it_helped_is_told(objectives: tuple[float, ...], said: str) -> None:
    text = told(CATS, trials(*objectives), own=1)
    assert text.startswith("Of cats on the same base model, 1 recipe(s) were tried first and 4 trials shown")
    assert said in text
    assert text.endswith("xl is left out: it was trained on another base model.")


def test_before_their_recipe_is_scored_nothing_is_said_of_its_help() -> None:
    assert "help" not in told(CATS, trials(0.5), own=1)


def test_where_none_is_alike_that_is_said_and_where_none_is_asked_for_nothing() -> None:
    alone = Prior(sources=CATS.sources[1:])
    assert told(alone, trials(0.5), 1) == (
        "No earlier study could be learnt from. xl is left out: it was trained on another base model."
    )
    assert told(None, trials(0.5), 1) == ""
