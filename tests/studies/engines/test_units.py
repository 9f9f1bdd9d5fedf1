"""What counts as 1 in the objective."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from studies.engines.units import LEAST, measured_units

WEIGHTS = {"validation": 1.0, "flexibility": 1.0}


def judge(shift: float, way: float, outside: float = 0.0) -> Any:
    """A judge of two images at two timesteps whose figures lie ``shift`` beside those of another seed's."""
    figures = {
        "clip_image": torch.tensor([[50.0, 60.0]]) + shift,
        "diversity": torch.tensor([[30.0]]) + shift,
    }
    return SimpleNamespace(
        base=SimpleNamespace(figures=figures),
        caption_gain=lambda: torch.full((2, 2), 0.5) + shift / 100,
        ways=lambda: {"validation": 0.5, "clip_image": way},
        outside_of_base=lambda: {"flexibility": [20.0 + outside, 20.0 - outside]},
    )


def test_a_unit_is_the_way_from_the_base_to_the_real_images_or_else_some_noises() -> None:
    found = measured_units([judge(0.0, 12.0)], [judge(0.2, 99.0, outside=0.2)], WEIGHTS)
    noise = math.sqrt((0.2**2 + 0.2**2) / 2) / 2
    assert found == {
        "validation": pytest.approx(0.5),
        "clip_image": pytest.approx(12.0),
        "diversity": pytest.approx(LEAST * math.sqrt(0.2**2 / 2), rel=1e-5),
        "flexibility": pytest.approx(LEAST * noise, rel=1e-5),
    }


def test_where_there_is_hardly_a_way_noise_is_not_taken_for_it() -> None:
    found = measured_units([judge(0.0, 0.001)], [judge(4.0, 0.0)], WEIGHTS)
    assert found["clip_image"] == pytest.approx(LEAST * math.sqrt((4.0**2 + 4.0**2) / 2) / 2)


def test_the_way_is_the_mean_of_the_folds_and_has_no_sign() -> None:
    folds = [judge(0.0, way) for way in (-10.0, -20.0)]
    assert measured_units(folds, folds, WEIGHTS)["clip_image"] == pytest.approx(15.0)


def test_what_is_rendered_outside_is_measured_only_where_it_weighs() -> None:
    one = judge(0.0, 1.0)
    assert "flexibility" not in measured_units([one], [one], {"validation": 1.0, "flexibility": 0.0})
