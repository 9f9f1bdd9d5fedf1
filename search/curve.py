"""A trial's objective over images seen: smoothed, best so far, read at any image count."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from search.trial import Point

ALPHA = 0.7
"""Weight of the newest checkpoint in the moving average."""


def smooth(curve: Iterable[Point], alpha: float = ALPHA) -> tuple[Point, ...]:
    """The exponential moving average over a trial's checkpoints.

    It looks back only, so what a trial showed at some image count never changes afterwards: a pruner's
    comparisons stay valid. A centred mean or median would rewrite the last point with every new one. At 0.7 a
    lone lucky checkpoint loses almost a third of its lead, while a steady rise is followed within half a
    checkpoint.

    Args:
        curve: checkpoints in any order; those whose objective is not finite are left out.
        alpha: weight of the newest point, in (0, 1].

    Returns:
        The points ordered by images seen.
    """
    points = sorted((p for p in curve if math.isfinite(p.objective)), key=lambda p: p.images_seen)

    def step(before: Point, now: Point) -> Point:
        return Point(now.images_seen, alpha * now.objective + (1 - alpha) * before.objective)

    return tuple(accumulate(points, step))


def best_so_far(curve: Iterable[Point]) -> tuple[Point, ...]:
    """The highest objective up to each point of a curve that is ordered by images seen."""
    return tuple(
        accumulate(curve, lambda before, now: Point(now.images_seen, max(before.objective, now.objective)))
    )


def best(curve: Iterable[Point]) -> float | None:
    """The highest smoothed objective, by which trials are ranked; None without a finite point."""
    return max((point.objective for point in smooth(curve)), default=None)


def at(curve: Sequence[Point], images_seen: int) -> float:
    """The best smoothed objective at an image count, interpolated linearly between checkpoints.

    Before the first checkpoint the line starts from the base model: objective 0 at 0 images.

    Args:
        curve: a trial's checkpoints, not smoothed.
        images_seen: where to read, at least 0.

    Raises:
        ValueError: the trial has no finite checkpoint that far.
    """
    points = (Point(0, 0.0), *best_so_far(smooth(curve)))
    right = bisect_left(points, images_seen, key=lambda p: p.images_seen)
    if right == len(points) or images_seen < 0:
        last = points[-1].images_seen
        raise ValueError(f"The curve reaches from 0 to {last} images seen, but was read at {images_seen}.")
    if right == 0:
        return points[0].objective
    before, after = points[right - 1], points[right]
    share = (images_seen - before.images_seen) / (after.images_seen - before.images_seen)
    return before.objective + share * (after.objective - before.objective)
