from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from evaluation.intervals import Estimate
from evaluation.scorecard import Measured
from search.trial import Reason, State, TrialRecord
from studies.report.diagnosis import diagnose, headline
from studies.study.trial import Trial

SPREAD = (-0.01, 0.0, 0.01, 0.0)
"""How four validation images differ; their differences between epochs are far smaller."""


def scores(validation: float, training: float | None, jitter: float, error: float) -> dict[str, Any]:
    by_image = [validation + s + jitter * (-1) ** i for i, s in enumerate(SPREAD)]
    return {
        "validation": {"mean": validation, "standard_error": error},
        "validation_by_timestep": [validation],
        "validation_by_image": by_image,
        "training": None if training is None else {"mean": training, "standard_error": 0.004},
        "clip_image": None,
        "clip_text": None,
        "clip_image_value": None,
        "clip_text_value": None,
        "broken": 0,
        "renders": 2,
    }


def trial(
    validation: Sequence[float],
    training: Sequence[float | None],
    state: State = "finished",
    jitter: float = 0.0,
    error: float = 0.004,
) -> Trial:
    cards = tuple(
        {
            "epoch": i + 1,
            "images_seen": 10 * (i + 1),
            "rank": 4,
            "file": "x",
            "objective": -v,
            "scores": scores(v, t, jitter * i, error),
        }
        for i, (v, t) in enumerate(zip(validation, training, strict=True))
    )
    return Trial.of(TrialRecord(0, {}, state, cards))


@pytest.mark.parametrize(
    ("validation", "training", "condition", "epoch"),
    [
        ((-0.05, -0.08, -0.08), (-0.05, -0.09, -0.10), "healthy", None),
        ((-0.05, -0.08, -0.03), (-0.05, -0.10, -0.20), "overfit", 2),
        ((-0.001, -0.002, -0.001), (-0.001, -0.002, -0.003), "underfit", None),
        ((-0.02, -0.04, -0.06), (-0.02, -0.04, -0.07), "unfinished", None),
        ((-0.02, 0.5, 0.9), (-0.02, 0.6, 0.9), "diverged", None),
        ((-0.02, 0.05, 0.1), (-0.02, 0.05, 0.1), "diverged", None),
        ((-0.08, -0.06, -0.04), (-0.08, -0.06, -0.04), "diverged", 1),
        ((0.01, 0.3, 0.9), (-0.1, -0.5, -0.9), "overfit", 1),
        ((0.02, 0.01), (-0.1, -0.3), "overfit", 1),
        ((2.5,), (None,), "diverged", None),
        ((0.5, 1.5, 2.6), (None, None, None), "diverged", None),
        ((0.02, 0.001), (None, None), "underfit", None),
        ((-0.08, 0.5, 2.0), (None, None, None), "overfit", 1),
    ],
)
def test_curves_tell_the_condition(
    validation: Sequence[float], training: Sequence[float | None], condition: str, epoch: int | None
) -> None:
    found = diagnose(trial(validation, training))
    assert found is not None
    assert (found.condition, found.epoch) == (condition, epoch)


def test_a_ruined_trial_is_never_told_to_learn_faster() -> None:
    """Without a look at training images, too."""
    told = str(diagnose(trial((0.9, 2.6), (None, None))))
    assert told == (
        "Diverged: at every epoch the loss is above the base model's, in the end 13.46 times as high. "
        "Remedy: lower the learning rate."
    )


def test_a_rise_within_the_noise_is_no_overfit() -> None:
    found = diagnose(trial((-0.05, -0.08, -0.078), (-0.05, -0.10, -0.12), jitter=0.02))
    assert found is not None and found.condition == "healthy"


def test_a_trial_that_was_told_infeasible_has_diverged() -> None:
    record = Trial(0, {}, "infeasible", reason=Reason("loss_not_finite", {"value": "nan", "images": 170}))
    found = diagnose(record)
    assert found is not None
    assert str(found) == "Diverged: the loss became nan after 170 images. Remedy: lower the learning rate."


def test_what_did_not_fit_into_memory_has_not_diverged() -> None:
    found = diagnose(
        Trial(0, {}, "infeasible", reason=Reason.told("Its 5 folds do not fit into memory together."))
    )
    assert found is not None
    assert str(found) == "Not trained to the end: its 5 folds do not fit into memory together."


@pytest.mark.parametrize(
    ("fall", "error", "condition"),
    [
        (0.03, 0.02, "unclear"),
        (0.011, 0.004, "underfit"),
        (0.005, 0.02, "underfit"),
        (0.03, 0.005, "healthy"),
    ],
)
def test_a_fall_that_may_be_noise_is_no_underfit(fall: float, error: float, condition: str) -> None:
    found = diagnose(trial((-fall, -fall), (None, None), error=error))
    assert found is not None and found.condition == condition


def test_a_trial_that_follows_other_prompts_less_well_forgets() -> None:
    healthy = trial((-0.05, -0.08, -0.08), (-0.05, -0.09, -0.10))
    *before, last = healthy.checkpoints
    forgets = Measured(difference=Estimate(mean=-12.0, standard_error=2.0))
    scores = last.scores.model_copy(update={"metrics": {**last.scores.metrics, "flexibility": forgets}})
    found = diagnose(replace(healthy, checkpoints=(*before, last.model_copy(update={"scores": scores}))))
    assert found is not None
    assert found.condition == "forgetting"
    assert "12.0 points less well" in str(found)


def test_nothing_is_said_before_the_first_checkpoint() -> None:
    assert diagnose(Trial(0, {}, "running")) is None


def test_a_headline_counts_conditions() -> None:
    found = [diagnose(trial((-0.05, -0.08, -0.08), (-0.05, -0.09, -0.10)))] * 2
    assert headline([*found, None]) == "Of 2 trials: 2 healthy."
