"""From Optuna's trials to records, and from any value to JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, assert_never

from optuna.trial import FrozenTrial, TrialState

from search.trial import Point, Reason, State, TrialRecord

CARD = "card/"
"""Start of the user attributes that hold score cards; the epoch follows."""


def to_record(frozen: FrozenTrial) -> TrialRecord:
    """All that Optuna holds about a trial, in our words."""
    attributes = frozen.user_attrs
    cards = sorted((v for k, v in attributes.items() if k.startswith(CARD)), key=lambda card: card["epoch"])
    curve = [Point(card["images_seen"], card["objective"]) for card in cards if card["objective"] is not None]
    waiting = frozen.state == TrialState.WAITING
    return TrialRecord(
        number=frozen.number,
        values=dict(frozen.params or (frozen.system_attrs.get("fixed_params", {}) if waiting else {})),
        state=_state(frozen),
        cards=tuple(cards),
        curve=tuple(sorted(curve, key=lambda point: point.images_seen)),
        reason=Reason.of_json(attributes.get("reason")),
        started=frozen.datetime_start,
        ended=frozen.datetime_complete,
    )


def _state(frozen: FrozenTrial) -> State:
    match frozen.state:
        case TrialState.COMPLETE if any(value > 0 for value in frozen.constraints.values()):
            return "infeasible"
        case TrialState.COMPLETE:
            return "finished"
        case TrialState.PRUNED:
            return "pruned"
        case TrialState.FAIL:
            return "failed"
        case TrialState.RUNNING:
            return "running"
        case TrialState.WAITING:
            return "waiting"
        case _:
            assert_never(frozen.state)


def plain(value: Any) -> Any:
    """A JSON value with None for numbers that are not finite."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {key: plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
        case _:
            return value
