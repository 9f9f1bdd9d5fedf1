import math
from typing import Any

from evaluation.intervals import Estimate
from evaluation.scorecard import ScoreCard
from search.trial import TrialRecord
from studies.selection.checkpoint import candidates, objective
from studies.spec.guards import GuardsSection

SPREADS = {"validation": 0.01, "clip_image": 0.5, "clip_text": 0.5}
WEIGHTS = {"validation": 1.0, "clip_image": 1.0}


def scores(validation: float, clip_image: float, broken: int = 0) -> ScoreCard:
    return ScoreCard(
        validation=Estimate(mean=validation, standard_error=0.005),
        validation_by_timestep=(validation,),
        validation_by_image=(validation,),
        training=None,
        clip_image=Estimate(mean=clip_image, standard_error=0.25),
        clip_text=None,
        clip_image_value=70.0,
        clip_text_value=None,
        broken=broken,
        renders=4,
    )


def card(epoch: int, found: ScoreCard) -> dict[str, Any]:
    return {"epoch": epoch, "images_seen": epoch * 10, "rank": 4, "scores": found.plain()}


def test_the_objective_counts_each_metric_in_units_of_its_spread():
    found = objective(scores(-0.04, 1.0), SPREADS, WEIGHTS)
    assert math.isclose(found.mean, (0.04 / 0.01 + 1.0 / 0.5) / 2)
    assert math.isclose(found.standard_error, math.hypot(0.5, 0.5) / 2)


def test_a_checkpoint_whose_renders_are_broken_is_no_candidate():
    cards = (card(1, scores(-0.01, 0.1)), card(2, scores(-0.05, 2.0, broken=3)))
    record = TrialRecord(0, {}, "finished", cards)
    assert [c.epoch for c in candidates([record], SPREADS, WEIGHTS, GuardsSection())] == [1]


def test_an_unknown_error_is_as_large_as_the_bases_own_noise():
    alone = scores(-0.04, 1.0).model_copy(update={"clip_image": Estimate(mean=1.0, standard_error=math.inf)})
    found = objective(alone, SPREADS, WEIGHTS)
    assert math.isclose(found.standard_error, math.hypot(0.5, 1.0) / 2)
