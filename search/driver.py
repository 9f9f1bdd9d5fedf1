"""The search as one object: ask for a trial, report its checkpoints, tell its end."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from search import budget
from search.curve import at, best
from search.leases import LEASE, MOST_TAKEOVERS, Alone, Leases
from search.outlook import Outlook
from search.patience import search_stalled, trial_stalled
from search.pruners import grid, make_pruner
from search.samplers import Draw, make_sampler, startup_trials
from search.settings import SearchSettings
from search.space import Space, SpaceError
from search.storage_url import EndedError
from search.trial import (
    End,
    Failed,
    Finished,
    Infeasible,
    Point,
    Proposal,
    Pruned,
    Reason,
    TrialRecord,
    Value,
    Verdict,
)

if TYPE_CHECKING:
    from search.memory import Memory

_RECIPES = "recipes_enqueued"
_SPACE = "space"
_VERDICT = "pruned_at_images"
_REASON = "reason"
_NOTE_SECONDS = 1.0
"""Reports that follow each other faster do not write down the time again."""
_EXHAUSTED = Reason("taken_over_too_often", {"times": MOST_TAKEOVERS})


class Driver:
    """Decides what to train next and what to stop; all that it knows is in the memory, so it can be killed.

    Several may drive one study, each with its leases: what another trains is left alone until it goes adrift.

    Args:
        memory: the study.
        space: what is searched.
        settings: sampler, pruner, budget and first recipes.
        seed: of the study; trial n is sampled from (seed, n) alone, so an interruption changes nothing.
        clock: seconds on a clock that never goes back, such as `time.monotonic`; only the budget reads it.
        device_clock: seconds that this run's devices have worked so far, all workers together; likewise.
        leases: who trains what; None for the only driver of its study, who takes all that runs for its own.

    Raises:
        SpaceError: first recipes that do not fit the space, or a space whose parameters changed their kind,
            scale or choices since the study began (ranges may change); all problems are listed.
    """

    def __init__(
        self,
        memory: Memory,
        space: Space,
        settings: SearchSettings,
        seed: int,
        clock: Callable[[], float],
        device_clock: Callable[[], float] = lambda: 0.0,
        *,
        leases: Leases | None = None,
    ) -> None:
        self._memory, self._space, self._settings, self._seed = memory, space, settings, seed
        self._grid = grid(settings.pruner, settings.horizon_images)
        self._pruner = make_pruner(settings.pruner, settings.horizon_images)
        self._leases: Leases = leases or Alone(memory)
        self._outlook = Outlook(memory, space, settings, seed)
        self._check_unchanged()
        self._enqueue(settings.first)
        self._again = deque(self._leases.left_behind())
        self._clock, self._began, self._device_clock = clock, clock(), device_clock
        self._noted = -math.inf
        self._before = budget.time_spent(memory, self._leases.name)
        self._elsewhere = budget.time_spent(memory, but=self._leases.name)

    @property
    def seconds_spent(self) -> float:
        """Running time of the search, summed over its processes and runners."""
        return self._elsewhere.seconds + self._own.seconds

    @property
    def device_seconds_spent(self) -> float:
        """Working time of all devices, summed over the search's processes and runners."""
        return self._elsewhere.device_seconds + self._own.device_seconds

    @property
    def others(self) -> int:
        """How many trials other runners train, or have left to be taken over."""
        return self._leases.others()

    @property
    def spent(self) -> Reason | None:
        """Why no trial is begun any more; None while there is budget and hope."""
        if self._memory.is_shared:
            self._elsewhere = budget.time_spent(self._memory, but=self._leases.name)
        everyone = self.records()
        begun = [record for record in everyone if record.state != "waiting"]
        images = sum(record.images_trained for record in begun)
        used = budget.Spending(len(begun), images, self.seconds_spent, self.device_seconds_spent)
        limit = budget.spent(self._settings.budget, used)
        stalled = limit or search_stalled(begun, self._settings.patience)
        return stalled or self._outlook.hopeless(everyone)

    def ask(self) -> Proposal | None:
        """The next trial to train.

        First those that an earlier process of this runner left running, lowest number first; then requeued ones;
        then those that nobody trains any more; then, while there is budget, the recipes and what the sampler
        proposes.

        Returns:
            The proposal, or None when the budget is spent and nothing waits to be taken up again.
        """
        while (number := self._resumable()) is not None:
            if not self._leases.take_over(number):
                continue
            if not self._leases.exhausted(number):
                return Proposal(number, self._values(number), resumed=True)
            self.tell(number, Failed(_EXHAUSTED))
        if self.spent is not None:
            return None
        number = self._memory.begin()
        if self._is_surplus(number):
            self._memory.release(number)
            return None
        resumed = self._leases.take(number)
        return Proposal(number, self._values(number), resumed)

    def _resumable(self) -> int | None:
        if self._again:
            return self._again.popleft()
        return next(iter(self._leases.adrift()), None)

    def _is_surplus(self, number: int) -> bool:
        """Whether another runner began the budget's last trial at the same moment; the higher number yields."""
        limit = self._settings.budget.trials
        if limit is None or number < limit or not self._memory.is_shared:
            return False
        if self._memory.annotation(number, LEASE) is not None:
            return False
        return sum(record.state != "waiting" for record in self.records() if record.number < number) >= limit

    def report(self, number: int, card: Mapping[str, Any], point: Point) -> Verdict:
        """Stores a checkpoint's score card and asks the pruner at every image count newly passed.

        Of a trial that is no longer ours nothing is stored. Repeating a report changes nothing: neither a card
        that is stored for that epoch nor a comparison once made is made again, and a trial once to be pruned
        stays so.

        Args:
            number: of the running trial.
            card: JSON values with at least `epoch`; `images_seen` and `objective` are taken from the point.
            point: images seen and objective; if not finite, it is stored but left out of the curve.

        Returns:
            Whether the trial is to be trained on, is pruned, is finished because it gains no more, or is lost.

        Raises:
            ValueError: the card contradicts the point.
        """
        complete = _complete(card, point)
        seen = self._memory.snapshot(number)
        if not self._leases.holds(number, seen):
            return "lost"
        curve = seen.record.curve
        if self._memory.save_card(number, complete, seen) and complete["objective"] is not None:
            curve = tuple(sorted((*curve, point), key=lambda point: point.images_seen))
        if self._clock() - self._noted >= _NOTE_SECONDS:
            self._remember_time()
        if seen.attributes.get(_VERDICT) is not None:
            return "prune"
        reached = curve[-1].images_seen if curve else 0
        baseline = number < self._settings.baselines
        for images in (images for images in self._grid if images <= reached and images not in seen.steps):
            self._memory.report(number, images, at(curve, images))
            if self._memory.should_prune(number, self._pruner) and not baseline:
                self._memory.annotate(number, _VERDICT, images)
                if reason := getattr(self._pruner, "reason", None):
                    self._memory.annotate(number, _REASON, reason.to_json())
                return "prune"
        if not baseline and (reason := trial_stalled(curve, self._settings.patience)):
            self._memory.annotate(number, _REASON, reason.to_json())
            return "finish"
        return "continue"

    def holds(self, number: int) -> bool:
        """Whether a trial is still ours to report on and to tell."""
        return self._leases.holds(number)

    def tell(self, number: int, end: End) -> bool:
        """Ends a trial; finished and pruned ones count with the best of their smoothed curve.

        A finished trial without any finite objective is told as infeasible.

        Returns:
            Whether it was told; not if the trial is no longer ours.
        """
        seen = self._memory.snapshot(number)
        if not self._leases.holds(number, seen):
            return False
        value = best(seen.record.curve)
        if isinstance(end, Finished) and value is None:
            end = Infeasible(Reason("no_finite_objective"))
        if isinstance(end, (Finished, Pruned)):
            self._outlook.note(number)
        try:
            self._memory.tell(number, end, value if isinstance(end, (Finished, Pruned)) else None)
        except EndedError:
            if self._memory.is_shared:
                return False
            raise
        self._remember_time()
        self._outlook.remember(self.records())
        return True

    def requeue(self, number: int) -> None:
        """Puts a running trial back, to be asked for again before any new one, as resumed.

        Raises:
            ValueError: the trial is not running.
        """
        state = self._memory.record(number).state
        if state != "running":
            raise ValueError(f"Only a running trial can be requeued, but trial {number} is {state}.")
        if number not in self._again:
            self._again.append(number)

    def records(self) -> list[TrialRecord]:
        """All trials, ordered by number."""
        return self._memory.records()

    @property
    def _own(self) -> budget.Spent:
        seconds = self._before.seconds + self._clock() - self._began
        return budget.Spent(seconds, self._before.device_seconds + self._device_clock())

    def _remember_time(self) -> None:
        self._noted = self._clock()
        budget.remember_time(self._memory, self._leases.name, self._own)

    def _values(self, number: int) -> dict[str, Value]:
        """The trial's values; what is missing is drawn by a fresh sampler seeded by study seed and number."""
        settings = self._settings
        trials = settings.budget.whole_trials(settings.horizon_images * settings.runs)
        sampler = make_sampler(settings.sampler, Draw(self._seed, number, trials))
        forecast = settings.counts == "forecast"
        lessons = settings.lessons if number >= startup_trials(trials) else ()
        return self._memory.suggest(number, self._space.suggest, sampler, forecast, lessons)

    def _check_unchanged(self) -> None:
        """Optuna cannot mix such values in one study, and would say so only in the middle of the night."""
        before, now = self._memory.recall(_SPACE) or {}, self._space.kinds()
        problems = [
            f"{name} was {before[name]} when the study began, but is {kind} now; start a new study."
            for name, kind in now.items()
            if before.get(name, kind) != kind
        ]
        if problems:
            raise SpaceError(problems)
        if {**before, **now} != before:
            self._memory.remember(_SPACE, {**before, **now})

    def _enqueue(self, recipes: Sequence[Mapping[str, Value]]) -> None:
        """Enqueues the recipes of a new study once; goes on where a killed process stopped."""
        problems = [
            f"first[{index}]: {problem}"
            for index, recipe in enumerate(recipes)
            for problem in self._space.problems(recipe)
        ]
        if problems:
            raise SpaceError(problems)

        def enqueue() -> None:
            for recipe in recipes[len(self._memory.records()) :]:
                self._memory.enqueue(recipe)
            self._memory.remember(_RECIPES, len(recipes))

        self._leases.once("recipes", lambda: self._memory.recall(_RECIPES) is not None, enqueue)


def _complete(card: Mapping[str, Any], point: Point) -> dict[str, Any]:
    """The card with the point's figures; None for an objective that is not finite."""
    objective = point.objective if math.isfinite(point.objective) else None
    figures = {"images_seen": point.images_seen, "objective": objective}
    for key, figure in figures.items():
        given = card.get(key, figure)
        if given != figure and not (figure is None and not math.isfinite(given)):
            raise ValueError(f"The card says {key}={given}, but the point says {figure}.")
    return {**card, **figures}
