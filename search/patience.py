"""When going on is not worth it: of one trial, and of the whole search (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from search.curve import best, smooth
from search.trial import Point, Reason, TrialRecord

ENDED = frozenset({"finished", "pruned", "infeasible"})
"""States of trials that say something about the search's progress."""


class Patience(BaseModel):
    """What is waited for; 0 waits for ever.

    Attributes:
        checkpoints: a trial ends when so many checkpoints in a row are no better than its best before them.
        trials: the search ends when so many ended trials in a row do not beat the best before them by more than
            the standard error of that best.
        gain: the search ends when one more trial is expected to add less to the best objective.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    checkpoints: int = Field(0, ge=0)
    trials: int = Field(0, ge=0)
    gain: float = Field(0.0, ge=0)


def trial_stalled(curve: Sequence[Point], patience: Patience) -> Reason | None:
    """Why a trial is trained no further; None while it may still gain.

    Args:
        curve: its checkpoints, not smoothed; the base model's 0 at the start counts as one to beat.
        patience: how long to wait.
    """
    wait = patience.checkpoints
    points = smooth(curve)
    if not wait or len(points) <= wait:
        return None
    before, since = points[:-wait], points[-wait:]
    peak = max(before, key=lambda point: point.objective)
    if max(point.objective for point in since) > peak.objective:
        return None
    return Reason("stalled", {"wait": wait, "images": peak.images_seen})


def search_stalled(records: Sequence[TrialRecord], patience: Patience) -> Reason | None:
    """Why no more trials are begun; None while the search still gains.

    Args:
        records: all trials; those that have not ended count for nothing yet.
        patience: how long to wait.
    """
    if not patience.trials:
        return None
    ended = sorted((r for r in records if r.state in ENDED and r.ended), key=lambda r: (r.ended, r.number))
    if len(ended) <= patience.trials:
        return None
    peak, error = _peak(ended[: -patience.trials])
    late, _ = _peak(ended[-patience.trials :])
    if late > peak + error:
        return None
    return Reason("search_stalled", {"wait": patience.trials, "best": peak, "error": error})


def _peak(records: Sequence[TrialRecord]) -> tuple[float, float]:
    """The best objective of some trials and its standard error; minus infinity and 0 if there is none."""
    found = [(value, record) for record in records if (value := best(record.curve)) is not None]
    if not found:
        return -math.inf, 0.0
    value, record = max(found, key=lambda pair: pair[0])
    card = max((c for c in record.cards if c["objective"] is not None), key=lambda c: float(c["objective"]))
    return value, float(card.get("objective_error") or 0.0)
