"""Guards by hand: what bars a checkpoint, and what that does to selection and to the search."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from evaluation.intervals import Estimate
from evaluation.scorecard import Measured, ScoreCard
from studies.report.explanation import guard_rule
from studies.selection.rule import Rule
from studies.spec.guards import GuardsSection
from studies.spec.sections import ConfirmSection
from studies.study.trial import Checkpoint
from tests.words import sentence_of

GUARDS = GuardsSection(memorisation=1.0, flexibility=4.0, standard_errors=2.0)


def copied(rise: float) -> ScoreCard:
    return scores(memorisation=(rise, 0.1), memorisation_level=(rise, 0.1))


@pytest.mark.parametrize(
    ("gap", "error", "barred"),
    [(0.61, 0.04, True), (0.59, 0.04, False), (9.0, math.inf, False), (-0.7, 0.04, False)],
)
def test_what_is_learnt_by_heart_is_barred_beyond_the_gap_and_the_noise(
    gap: float, error: float, barred: bool
) -> None:
    """Half a log ratio may be; errors of 0.03 and 0.04 make one of 0.05, and two of these are 0.1."""
    training = Estimate(mean=-0.1 - gap, standard_error=error)
    card = scores(validation=(-0.1, 0.03)).model_copy(update={"training": training})
    guards = GuardsSection(training_gap=0.5, standard_errors=2.0)
    found = guards.barred(card)
    assert (found is not None) == barred
    if found:
        assert "0.61 ± 0.05 (log ratio) further on training images" in sentence_of(found)
    assert GuardsSection().barred(card) is None
    assert guards.barred(scores()) is None


def scores(**figures: tuple[float, float]) -> ScoreCard:
    found = {name: Estimate(mean=m, standard_error=e) for name, (m, e) in figures.items()}
    validation = found.get("validation", Estimate(mean=-0.1, standard_error=0.01))
    metrics = {"validation": Measured(difference=validation, cells=(-0.1,))}
    for name in ("memorisation", "flexibility"):
        if name in found:
            metrics[name] = Measured(difference=found[name], level=found.get(f"{name}_level"))
    return ScoreCard(metrics=metrics, validation_by_timestep=(-0.1,), training=None, broken=0, renders=4)


@pytest.mark.parametrize(
    ("figures", "barred"),
    [
        ({}, False),
        ({"memorisation": (2.1, 0.5), "memorisation_level": (1.1, 0.5)}, True),
        ({"memorisation": (1.9, 0.5), "memorisation_level": (1.1, 0.5)}, False),
        ({"memorisation": (2.1, 0.5), "memorisation_level": (0.9, 0.5)}, False),
        ({"memorisation": (-9.0, 0.1), "memorisation_level": (1.1, 0.5)}, False),
        ({"memorisation": (99.0, math.inf), "memorisation_level": (9.0, math.inf)}, False),
        ({"flexibility": (-6.1, 1.0)}, True),
        ({"flexibility": (-5.9, 1.0)}, False),
        ({"flexibility": (+9.0, 0.1)}, False),
    ],
)
def test_a_checkpoint_is_barred_beyond_the_points_and_the_noise(
    figures: dict[str, tuple[float, float]], barred: bool
) -> None:
    assert (GUARDS.barred(scores(**figures)) is not None) == barred


def test_each_guard_can_be_off() -> None:
    bad = scores(memorisation=(50.0, 0.1), memorisation_level=(50.0, 0.1), flexibility=(-50.0, 0.1))
    assert "memorisation is 50.0 ± 0.1 points, 50.0 ± 0.1 above the base model's" in sentence_of(
        GUARDS.barred(bad)
    )
    assert " and prompts outside the data set" in sentence_of(GUARDS.barred(bad))
    off = GuardsSection(memorisation="off", flexibility="off")
    assert off.barred(bad) is None
    assert guard_rule(off) == ""
    assert GuardsSection(memorisation="off").barred(copied(50.0)) is None


def test_the_rule_is_told_in_words() -> None:
    assert "exceeds 0, and the base model's by more than 1 points" in guard_rule(GUARDS)
    assert "each beyond 2 standard errors" in guard_rule(GUARDS)


def test_a_guard_is_a_number_or_off() -> None:
    with pytest.raises(ValidationError, match="memorisation"):
        GuardsSection.model_validate({"memorisation": "on"})


def checkpoint(epoch: int, found: ScoreCard) -> Checkpoint:
    return Checkpoint(trial=0, epoch=epoch, images_seen=epoch * 10, rank=4, file="x", scores=found)


def test_candidates_carry_their_reason_and_a_trial_is_barred_only_as_a_whole() -> None:
    rule = Rule(
        weights={"validation": 1.0}, guards=GUARDS, confirm=ConfirmSection(), units={"validation": 0.01}
    )
    fine, bad = checkpoint(1, copied(0.0)), checkpoint(2, copied(9.0))
    assert [c.barred is None for c in rule.candidates([fine, bad])] == [True, False]
    assert rule.all_barred([fine, bad]) is None
    assert "memorisation" in sentence_of(rule.all_barred([bad]))
    assert rule.all_barred([]) is None
