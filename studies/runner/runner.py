"""The loop of a study: ask, train, judge, report, tell; then choose."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import assert_never

from search.driver import Driver
from search.trial import End, Finished, Infeasible, Point, Pruned
from studies.engines.engine import Engine, Requeued, Scored, TrialDiverged
from studies.runner import signals, trial_notes
from studies.runner.conclusion import concluded
from studies.runner.progress import Listener
from studies.selection.document import Selection
from studies.selection.rule import Rule
from studies.study.open import PROMPTS
from studies.study.study import UNITS, Study
from studies.study.trial import Trial


class Runner:
    """Runs one study on one engine.

    Args:
        study: opened.
        engine: trains and judges.
        watch: is told what happens.
        clock: seconds on a clock that never goes back; only the budget reads it.
    """

    def __init__(
        self, study: Study, engine: Engine, watch: Listener, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._study, self._engine, self._watch = study, engine, watch
        self._memory = study.memory
        self._driver = Driver(
            study.memory,
            study.spec.space,
            study.search_settings,
            study.seed,
            clock,
            lambda: sum(engine.seconds.values()),
            leases=study.leases,
        )
        self._rule = Rule.of(study.spec, self._memory.recall(UNITS))
        self._waits = False
        self._stop = signals.Stop()

    def run(self) -> Selection:
        """Trains until the budget is spent, then selects, confirms, tests and writes the best file.

        Raises:
            KeyboardInterrupt: a signal ended the search; what was trained up to the last epoch ends is kept.
        """
        with signals.at_signals() as self._stop:
            self.search()
        if self._stop.asked:
            raise KeyboardInterrupt
        self._watch.phase("judging the finalists again with fresh seeds, then the winner on test images")
        return concluded(self._study, self._engine)

    def search(self) -> None:
        """Trains until the budget is spent, or until each trial's epoch ends where a signal asks for an end."""
        if not self._rule.units:
            self._watch.phase("measuring the base model")
            self._measure_base()
        self._memory.remember(PROMPTS, self._study.prompts)
        self._watch.phase("searching")
        asking = True
        while True:
            while asking and not self._stop.asked and self._engine.has_room:
                asking = self._admit()
            if self._engine.idle:
                if self._stop.asked or not self._others_train():
                    return
                asking = True
                continue
            for event in self._engine.advance():
                match event:
                    case Scored():
                        self._scored(event)
                    case TrialDiverged(trial=trial, reason=reason):
                        self._end(trial, Infeasible(reason))
                    case Requeued():
                        self._returned(event)
                    case _:
                        assert_never(event)
                asking = True

    def _measure_base(self) -> None:
        def measure() -> None:
            self._memory.remember(UNITS, self._engine.measure_units())

        self._study.leases.once(UNITS, lambda: bool(self._memory.recall(UNITS)), measure)
        self._rule = Rule.of(self._study.spec, self._memory.recall(UNITS))

    def _others_train(self) -> bool:
        """Waits a little if other runners still train, to take over what they may leave."""
        others = self._driver.others
        if others and not self._waits:
            trials = "trial" if others == 1 else "trials"
            self._watch.phase(f"waiting for {others} {trials} of other runners")
        self._waits = others > 0
        if others:
            time.sleep(self._study.leases.poll_seconds)
        return others > 0

    def _returned(self, event: Requeued) -> None:
        if self._driver.holds(event.trial):
            self._driver.requeue(event.trial)
        self._watch.requeued(event.trial, event.reason)

    def _admit(self) -> bool:
        proposal = self._driver.ask()
        if proposal is None:
            return False
        self._waits = False
        if self._study.transfer and proposal.resumed:
            self._study.transfer.fetch(self._study.workspace.trial(proposal.number))
        self._engine.admit(proposal, self._trial(proposal.number).checkpoints)
        self._watch.started(proposal.number, proposal.values, proposal.resumed)
        return True

    def _scored(self, event: Scored) -> None:
        """To pruner and sampler a barred checkpoint is worth no more than the base model."""
        found, trial = self._rule.objective(event.checkpoint.scores), event.checkpoint.trial
        barred = self._rule.guards.barred(event.checkpoint.scores)
        worth = found.mean if barred is None else min(found.mean, 0.0)
        checkpoint = event.checkpoint.model_copy(
            update={"objective": worth, "objective_error": found.standard_error, "barred": barred}
        )
        if self._study.transfer:
            self._study.transfer.push(self._study.workspace.trial(trial))
        verdict = self._driver.report(trial, checkpoint.to_json(), Point(checkpoint.images_seen, worth))
        if verdict == "lost":
            self._engine.stop(trial)
            self._watch.lost(trial)
            return
        self._watch.checkpoint(checkpoint)
        if event.last or verdict == "finish":
            self._engine.stop(trial)
            self._end(trial, Finished())
        elif verdict == "prune":
            self._engine.stop(trial)
            self._end(trial, Pruned())
        elif self._stop.asked:
            self._engine.stop(trial)

    def _end(self, number: int, end: End) -> None:
        """Stores the pictures, then the end: an ended trial can't be edited.

        A trial whose checkpoints are all barred is infeasible, never pruned: the sampler learns to avoid it.
        """
        if not self._driver.holds(number):
            self._watch.lost(number)
            return
        trial = self._trial(number)
        trial_notes.before_end(self._study, trial)
        barred = self._rule.all_barred(trial.checkpoints)
        if barred is not None and isinstance(end, (Finished, Pruned)):
            end = Infeasible(barred)
        trial_notes.at_end(self._study, trial, end)
        if not self._driver.tell(number, end):
            self._watch.lost(number)
            return
        self._study.discard_state(number)
        ended = self._trial(number)
        trial_notes.after_end(self._study, ended)
        self._watch.ended(ended)

    def _trial(self, number: int) -> Trial:
        return Trial.of(self._memory.record(number))
