import math

from evaluation.intervals import Estimate
from evaluation.scorecard import Measured, ScoreCard
from studies.selection.rule import Rule
from studies.spec.guards import GuardsSection
from studies.spec.sections import ConfirmSection
from studies.study.trial import Checkpoint

RULE = Rule(
    weights={"validation": 1.0, "clip_image": 1.0},
    guards=GuardsSection(),
    confirm=ConfirmSection(),
    units={"validation": 0.01, "clip_image": 0.5, "clip_text": 0.5},
)


def scores(validation: float, clip_image: float, broken: int = 0, error: float = 0.25) -> ScoreCard:
    return ScoreCard(
        metrics={
            "validation": Measured(
                difference=Estimate(mean=validation, standard_error=0.005), cells=(validation,)
            ),
            "clip_image": Measured(difference=Estimate(mean=clip_image, standard_error=error), value=70.0),
        },
        validation_by_timestep=(validation,),
        training=None,
        broken=broken,
        renders=4,
    )


def checkpoint(epoch: int, found: ScoreCard) -> Checkpoint:
    return Checkpoint(trial=0, epoch=epoch, images_seen=epoch * 10, rank=4, file="x", scores=found)


def test_the_objective_counts_each_metric_in_units_of_its_spread():
    found = RULE.objective(scores(-0.04, 1.0))
    assert math.isclose(found.mean, (0.04 / 0.01 + 1.0 / 0.5) / 2)
    assert math.isclose(found.standard_error, math.hypot(0.5, 0.5) / 2)


def test_a_checkpoint_whose_renders_are_broken_is_no_candidate():
    everyone = [checkpoint(1, scores(-0.01, 0.1)), checkpoint(2, scores(-0.05, 2.0, broken=3))]
    assert [c.epoch for c in RULE.candidates(everyone)] == [1]


def test_an_unknown_error_is_as_large_as_the_bases_own_noise():
    found = RULE.objective(scores(-0.04, 1.0, error=math.inf))
    assert math.isclose(found.standard_error, math.hypot(0.5, 1.0) / 2)
