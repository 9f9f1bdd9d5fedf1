"""Pooled and repeated cards against figures computed by hand."""

from __future__ import annotations

import statistics
from typing import Any

import pytest

from evaluation.intervals import Estimate, bootstrap
from evaluation.pooling import pooled, repeated
from evaluation.scorecard import ScoreCard


def card(validation: tuple[float, ...], clip: tuple[float, ...], **more: Any) -> ScoreCard:
    facts: dict[str, Any] = {
        "validation": bootstrap(validation),
        "validation_by_timestep": (statistics.fmean(validation),) * 2,
        "validation_by_image": validation,
        "training": Estimate(mean=validation[0], standard_error=0.3),
        "clip_image": bootstrap(clip),
        "clip_image_by_prompt": clip,
        "clip_image_value": 50 + statistics.fmean(clip),
        "base_values": {"clip_image": 50.0},
        "prompt_of_render": tuple(range(len(clip))),
        "nearest_training": tuple(range(len(clip))),
        "broken": 1,
        "renders": len(clip),
    }
    return ScoreCard(**(facts | more))


FIRST = card((-0.1, -0.2), (1.0, 3.0, 5.0))
SECOND = card((-0.4,), (2.0, 8.0))


def test_pooled_cards_count_every_image_and_render_once() -> None:
    found = pooled([FIRST, SECOND])
    assert found.validation == bootstrap((-0.1, -0.2, -0.4))
    assert found.validation_by_image == (-0.1, -0.2, -0.4)
    assert found.difference("clip_image") == bootstrap((1.0, 3.0, 5.0, 2.0, 8.0))
    assert found.metrics["clip_image"].value == pytest.approx(50 + 19 / 5)
    assert found.prompt_of_render == (0, 1, 2, 3, 4)
    assert (found.broken, found.renders) == (2, 5)
    assert found.training is not None
    assert found.training.mean == pytest.approx(-0.25)
    assert found.training.standard_error == pytest.approx(0.3 / 2**0.5)


def test_a_metric_that_one_card_lacks_is_left_out() -> None:
    blind = card((-0.4,), (2.0, 8.0), clip_image=None, clip_image_by_prompt=None)
    assert pooled([FIRST, blind]).difference("clip_image") is None


def test_repeated_cards_are_averaged_cell_by_cell() -> None:
    again = card((-0.3, -0.4), (3.0, 5.0, 1.0))
    found = repeated([FIRST, again])
    assert found.validation_by_image == pytest.approx((-0.2, -0.3))
    assert found.metrics["clip_image"].cells == (2.0, 4.0, 3.0)
    assert found.difference("clip_image") == bootstrap((2.0, 4.0, 3.0))
    assert found.renders == 6


def test_one_card_stays_what_it_is() -> None:
    assert repeated([FIRST]) is FIRST
