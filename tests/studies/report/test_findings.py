from __future__ import annotations

import math

import pytest

from studies.report import findings
from studies.text.format import duration, estimate
from tests.studies.made import card


@pytest.mark.parametrize(
    ("mean", "error", "tone", "figure"),
    [(-0.1, 0.01, "good", "−9.5 %"), (0.1, 0.01, "bad", "+10.5 %"), (-0.01, 0.01, "neutral", "−1.0 %")],
)
def test_a_log_ratio_is_told_in_per_cent(mean: float, error: float, tone: str, figure: str) -> None:
    (found,) = findings.findings(card(mean, error), images=1, side="test")
    assert (found.tone, found.figure) == (tone, figure)
    assert "1 test image" in found.meaning
    assert "1 test images" not in found.meaning


def test_ruling_says_when_one_metric_decided_alone() -> None:
    assert "almost alone" in findings.ruling({"validation": 0.97, "clip_image": 0.03})
    assert "worked against" in findings.ruling({"validation": 0.85, "clip_text": -0.05, "clip_image": 0.2})
    assert "alone" not in findings.ruling({"validation": -0.32, "clip_image": 1.32})
    assert findings.ruling({"validation": 0.0}) == "All checkpoints scored the same."


@pytest.mark.parametrize(("seconds", "text"), [(4.2, "4.2 s"), (61, "1 min 01 s"), (3720, "1 h 02 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_more_memorisation_is_bad_and_more_diversity_good() -> None:
    for name, tone in (("memorisation", "bad"), ("diversity", "good"), ("flexibility", "good")):
        assert findings.findings(card(0.0, 1.0, **{name: (4.0, 1.0)}), 3, "test")[1].tone == tone


def test_an_unknown_error_is_a_question_mark_and_tells_nothing() -> None:
    unknown = card(0.0, 1.0, clip_image=(4.0, math.inf))
    found = findings.findings(unknown, 3, "test")[1]
    assert (found.error, found.tone) == ("± ?", "neutral")
    assert estimate(unknown.difference("clip_image"), 1) == "+4.0 ± ?"
