"""Which checkpoints are best in some balance of the metrics (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from search.objective import Directions
from search.selection import Candidate


def front(candidates: Iterable[Candidate], metrics: Sequence[str], directions: Directions) -> list[Candidate]:
    """The candidates that no other beats in every metric at once.

    One dominates another when it is at least as good in all metrics and better in one (Pareto).

    Args:
        candidates: checkpoints; those without a finite figure in every metric are left out.
        metrics: names of the metrics that count, at least one.
        directions: of each known metric whether more is better.

    Returns:
        The front, best in the first metric first.
    """
    points = [(point, c) for c in candidates if (point := _point(c, metrics, directions)) is not None]
    ranked = sorted(points, key=lambda pair: tuple(-figure for figure in pair[0]))
    kept: list[tuple[tuple[float, ...], Candidate]] = []
    for point, candidate in ranked:
        if not any(_dominates(other, point) for other, _ in kept):
            kept.append((point, candidate))
    return [candidate for _, candidate in kept]


def _point(candidate: Candidate, metrics: Sequence[str], directions: Directions) -> tuple[float, ...] | None:
    """The figures in the order of ``metrics``, each turned so that more is better."""
    if any(name not in candidate.scores for name in metrics):
        return None
    point = tuple(directions[name] * candidate.scores[name].mean for name in metrics)
    return point if all(map(math.isfinite, point)) else None


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))
