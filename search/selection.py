"""Which checkpoint wins: the best, unless what asks for less faith lies within some standard errors of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from search.objective import Measurement
from search.small_samples import standard_error
from search.trial import Reason

CLEAR = 2.0
"""Standard errors of the difference at which a finalist is measured no more."""
PER_TRIAL = 2
"""Most finalists from one trial, so that they are not all neighbours on one curve."""


class NothingToSelect(ValueError):
    """No candidate has a finite objective."""


@dataclass(frozen=True)
class Candidate:
    """One checkpoint of one trial.

    Attributes:
        trial: the trial's number.
        epoch: the checkpoint's epoch, from 1.
        images_seen: training images seen up to it.
        rank: the LoRA's rank; the smaller wins a tie.
        objective: higher is better, 0 is the base model.
        scores: the metrics behind it, by name.
        cells: the single values behind the objective, in its unit, by metric: one an image or render. They
            stand in the same order for every candidate, so that two candidates compare cell by cell.
        barred: why a guard keeps it from winning; None if none does.
    """

    trial: int
    epoch: int
    images_seen: int
    rank: int
    objective: Measurement
    scores: Mapping[str, Measurement] = field(default_factory=dict)
    cells: Mapping[str, Sequence[float]] = field(default_factory=dict)
    barred: Reason | None = None

    @property
    def key(self) -> tuple[int, int]:
        """Its trial and epoch, by which it is found."""
        return self.trial, self.epoch


@dataclass(frozen=True)
class Preference:
    """What is given away for a checkpoint that asks for less faith, in standard errors of its difference to the best.

    All candidates are measured on the same images, prompts and seeds, so that what they share cancels: the
    standard error is that of the difference, cell by cell (the best one's own where there are no cells).

    Attributes:
        earlier: for an earlier checkpoint; 1 is Breiman's rule (1984). Earlier is fewer images seen, then smaller
            rank, then lower trial number, then lower epoch.
        recipe: for the last epoch of a recipe, which anyone would have had without a search.
        recipes: trial and epoch of these.
    """

    earlier: float = 0.0
    recipe: float = 0.0
    recipes: Collection[tuple[int, int]] = ()

    def choose(self, candidates: Iterable[Candidate]) -> Candidate:
        """The best of the recipes within its margin, else the earliest within that, which is the best where it is 0.

        Candidates whose objective or standard error is not finite are left out, and barred ones unless all are.

        Raises:
            NothingToSelect: none is left.
        """
        finite = _finite(candidates)
        standing = self.recipes_of(_within(finite, self.recipe))
        return standing[0] if standing else min(_within(finite, self.earlier), key=_earliness)

    def recipes_of(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """Those that are a recipe's last epoch, in their order."""
        return [one for one in candidates if one.key in self.recipes]


BEST = Preference()
"""Nothing is given away."""


@dataclass(frozen=True)
class Decision:
    """The outcome of a confirmation.

    Attributes:
        close: every checkpoint within one standard error of the best, the best first.
        winner: the checkpoint to hand over.
        best: the one with the highest objective, often the same.
        separable: false when a checkpoint of another trial than the winner's lies within one standard error
            of the best, so that fresh measurements might have chosen that trial.
    """

    close: Sequence[Candidate]
    winner: Candidate
    best: Candidate
    separable: bool


def shortlist(candidates: Iterable[Candidate], size: int, preference: Preference = BEST) -> list[Candidate]:
    """The finalists: who would be chosen now, the best recipe, the best of another trial, so that there is something
    to choose between, and the highest objectives, at most two a trial.

    Objectives are steadied by their neighbours first: what they were measured on is little.

    Args:
        candidates: every checkpoint of every trial.
        size: how many finalists at most, at least 1.
        preference: by which is chosen; a recipe that is clearly behind is left out.

    Returns:
        Finalists from the highest steadied objective to the lowest, as they were given.

    Raises:
        NothingToSelect: no candidate is finite.
        ValueError: `size` is below 1.
    """
    if size < 1:
        raise ValueError(f"A shortlist must hold at least 1 candidate, but got size={size}.")
    given = {one.key: one for one in _finite(candidates)}
    ranked = _ranked(steadied(given.values()))
    chosen = [preference.choose(ranked)]
    taken = Counter([chosen[0].trial])
    near = contenders(ranked)
    others = [candidate for candidate in near if candidate.trial != chosen[0].trial]
    for candidate in [*preference.recipes_of(near)[:1], *others[:1], *ranked]:
        if len(chosen) == size:
            break
        if candidate not in chosen and taken[candidate.trial] < PER_TRIAL:
            chosen.append(candidate)
            taken[candidate.trial] += 1
    return [given[one.key] for one in _ranked(chosen)]


def steadied(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Candidates whose objective is the mean of their own and their neighbours', the epochs before and after.

    A trial's curve is smooth, what is drawn of one checkpoint is not: on ten studies the ranks by the search's own
    figures agree better with an independent truth so (``benchmarks/RESULTS.md``).
    """
    by_trial: dict[int, list[Candidate]] = {}
    for candidate in sorted(candidates, key=lambda c: (c.trial, c.images_seen, c.epoch)):
        by_trial.setdefault(candidate.trial, []).append(candidate)
    return [
        replace(one, objective=replace(one.objective, mean=fmean(c.objective.mean for c in around)))
        for curve in by_trial.values()
        for place, one in enumerate(curve)
        for around in [curve[max(0, place - 1) : place + 2]]
    ]


def contenders(confirmed: Iterable[Candidate]) -> list[Candidate]:
    """Finalists that are not clearly behind: at most two standard errors of the difference behind the best.

    Raises:
        NothingToSelect: none is finite.
    """
    best, *others = _ranked(_finite(confirmed))
    leads = [(other, lead(best, other)) for other in others]
    return [best] + [other for other, ahead in leads if ahead.mean <= CLEAR * ahead.standard_error]


def decide(
    confirmed: Iterable[Candidate],
    ahead: Iterable[Candidate] | None = None,
    preference: Preference = BEST,
) -> Decision:
    """Chooses among finalists that were measured again with fresh seeds.

    A barred finalist is passed over, unless all are barred.

    Args:
        confirmed: all finalists.
        ahead: those of them that are not clearly behind; None for all.
        preference: by which is chosen among those that are close.

    Raises:
        NothingToSelect: none is finite.
    """
    finite = _finite(confirmed if ahead is None else ahead)
    close = _within(finite, 1.0)
    best, winner = close[0], preference.choose(finite)
    rivals = [candidate for candidate in close if candidate.trial != winner.trial]
    return Decision(close, winner, best, not rivals)


def _finite(candidates: Iterable[Candidate]) -> list[Candidate]:
    finite = [
        c for c in candidates if math.isfinite(c.objective.mean) and math.isfinite(c.objective.standard_error)
    ]
    if not finite:
        raise NothingToSelect("No checkpoint has a finite objective, so there is nothing to select.")
    return [c for c in finite if c.barred is None] or finite


def _ranked(finite: Sequence[Candidate]) -> list[Candidate]:
    """Highest objective first, the earlier one where they are equal."""
    return sorted(finite, key=lambda c: (-c.objective.mean, *_earliness(c)))


def _within(finite: Sequence[Candidate], errors: float) -> list[Candidate]:
    """Those within so many standard errors of the best, highest objective first."""
    best, *others = _ranked(finite)
    leads = [(other, lead(best, other)) for other in others]
    return [best] + [other for other, ahead in leads if ahead.mean <= errors * ahead.standard_error]


def lead(best: Candidate, other: Candidate) -> Measurement:
    """How far one candidate is ahead of another, with the standard error of the difference, cell by cell.

    Few cells widen it, so that chance exceeds twice the error no more often than with many.
    """
    ahead = best.objective.mean - other.objective.mean
    pairs = [(values, other.cells.get(name, ())) for name, values in best.cells.items()]
    if not pairs or any(len(values) != len(theirs) or len(values) < 2 for values, theirs in pairs):
        return Measurement(ahead, best.objective.standard_error)
    leads = [[a - b for a, b in zip(values, theirs, strict=True)] for values, theirs in pairs]
    return Measurement(ahead, math.hypot(*(standard_error(x) for x in leads)))


def above_base(candidate: Candidate) -> Measurement:
    """How far a candidate is ahead of the base model, with the error of its own cells, widened for their number."""
    cells = [values for values in candidate.cells.values() if len(values) > 1]
    if not cells or len(cells) < len(candidate.cells):
        return candidate.objective
    return Measurement(candidate.objective.mean, math.hypot(*map(standard_error, cells)))


def clear(ahead: Measurement) -> bool:
    """Whether a lead is larger than noise explains."""
    return ahead.mean > CLEAR * ahead.standard_error


def growth(ahead: Measurement) -> float:
    """How many times as many cells a lead needs to be clear, if it is what it seems; infinite where there is none."""
    return (CLEAR * ahead.standard_error / ahead.mean) ** 2 if ahead.mean > 0 else math.inf


def cheapest(candidates: Iterable[Candidate]) -> Candidate:
    """The one that was made with the fewest images, then the smallest rank."""
    return min(candidates, key=_earliness)


def _earliness(candidate: Candidate) -> tuple[int, int, int, int]:
    return candidate.images_seen, candidate.rank, candidate.trial, candidate.epoch
