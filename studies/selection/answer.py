"""What a choice comes to, said before anything else: whether to use the winner, and what it is better than (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from search.objective import Measurement
from search.selection import Candidate, Decision, above_base, cheapest, clear, growth, lead
from search.trial import Reason
from studies.selection.document import Baseline

NOISE = 1.0
"""Standard errors within which a winner cannot be told from the base model."""
LEAST_GAIN = 0.1
"""Of the way from the base model to the real images: what nobody would see is no gain."""
MOST_IMAGES = 1000
"""More held-out images than that nobody has."""


def answers(
    decision: Decision, tested: Candidate | None, baselines: Sequence[Baseline], images: int
) -> tuple[Reason, ...]:
    """The answers, the most important first.

    Args:
        decision: among the finalists that were judged again.
        tested: the winner on images that nothing was chosen by; None where there are none.
        baselines: as recipes fared there.
        images: how many held-out images the finalists were judged on.
    """
    winner = tested or decision.winner
    doubts = (*_refusals(winner, tested is not None), *_beaten(baselines), *_undecided(decision, images))
    return doubts or (_merit(winner, tested is not None),)


def _merit(winner: Candidate, tested: bool) -> Reason:
    above = above_base(winner)
    return Reason("better" if clear(above) else "maybe_better", _figures(above) | {"tested": tested})


def _refusals(winner: Candidate, tested: bool) -> Iterator[Reason]:
    above = above_base(winner)
    if above.mean <= max(NOISE * above.standard_error, LEAST_GAIN):
        yield Reason(
            "worse_than_base" if above.mean <= 0 else "not_above_base", _figures(above) | {"tested": tested}
        )
    if tested and winner.barred:
        yield Reason("guard_on_test", {"by": winner.barred.code, **winner.barred.values})


def _beaten(baselines: Sequence[Baseline]) -> Iterator[Reason]:
    """The recipe that most clearly beats the winner, if one does."""
    behind = [(one, Measurement(-one.lead.mean, one.lead.standard_error)) for one in baselines]
    better = [(one, ahead) for one, ahead in behind if clear(ahead)]
    if better:
        one, ahead = max(better, key=lambda pair: pair[1].mean)
        yield Reason("recipe_better", {"trial": one.trial, "epoch": one.epoch, **_figures(ahead)})


def _undecided(decision: Decision, images: int) -> Iterator[Reason]:
    if decision.separable:
        return
    best, alike = decision.best, [decision.winner, *decision.close]
    least = cheapest(alike)
    rivals = [one for one in alike if one.trial != best.trial]
    more = max(images * (growth(lead(best, one)) - 1) for one in rivals)
    told = {"rivals": len({one.trial for one in alike}), "trial": least.trial, "epoch": least.epoch}
    if more <= MOST_IMAGES:
        yield Reason("cannot_tell", told | {"images": math.ceil(more)})
    else:
        yield Reason("cannot_ever_tell", told)


def _figures(measured: Measurement) -> dict[str, float | bool]:
    return {"mean": measured.mean, "error": measured.standard_error}
