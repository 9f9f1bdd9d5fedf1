from __future__ import annotations

import json
from typing import Any

import pytest

from search.trial import Reason, TrialRecord


def test_a_record_has_seen_the_images_of_its_last_card() -> None:
    cards = (
        {"epoch": 1, "images_seen": 40, "objective": 0.1},
        {"epoch": 2, "images_seen": 80, "objective": None},
    )
    assert TrialRecord(0, {}, "running", cards).images_seen == 80
    assert TrialRecord(0, {}, "running").images_seen == 0


def test_a_reason_comes_back_from_json() -> None:
    reason = Reason("stalled", {"wait": 2, "images": 200})
    assert Reason.of_json(json.loads(json.dumps(reason.to_json()))) == reason
    assert Reason.of_json(None) is None


@pytest.mark.parametrize(
    "stored", ["The loss became nan.", ["a", 1], {"code": 3, "values": {}}, {"code": "x"}]
)
def test_what_an_older_study_stored_is_told_as_it_is(stored: Any) -> None:
    assert Reason.of_json(stored) == Reason("told", {"text": str(stored)})
