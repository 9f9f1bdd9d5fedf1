"""The loop of a study: ask, train, judge, report, tell; then choose."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import assert_never

from search.driver import Driver
from search.trial import End, Finished, Infeasible, Point, Pruned
from studies import images
from studies.engines.engine import Blown, Engine, Returned, Scored
from studies.report.notes import note_trial, short
from studies.runner import signals
from studies.runner.progress import Watch
from studies.selection.checkpoint import all_barred, facts, objective
from studies.selection.selection import Verdict, conclude
from studies.study.open import PROMPTS
from studies.study.study import SPREADS, Study


class Runner:
    """Runs one study on one engine.

    Args:
        study: opened.
        engine: trains and judges.
        watch: is told what happens.
        clock: seconds on a clock that never goes back; only the budget reads it.
    """

    def __init__(
        self, study: Study, engine: Engine, watch: Watch, clock: Callable[[], float] = time.monotonic
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
        self._spreads: dict[str, float] = self._memory.recall(SPREADS) or {}
        self._waits = False
        self._stop = signals.Stop()

    def run(self) -> Verdict:
        """Trains until the budget is spent, then selects, confirms, tests and writes the best file.

        Raises:
            KeyboardInterrupt: a signal ended the search; what was trained up to the last epoch ends is kept.
        """
        with signals.at_signals() as self._stop:
            self.search()
        if self._stop.asked:
            raise KeyboardInterrupt
        self._watch.phase("judging the finalists again with fresh seeds, then the winner on test images")
        return conclude(self._study, self._engine)

    def search(self) -> None:
        """Trains until the budget is spent, or until each trial's epoch ends where a signal asks for an end."""
        if not self._spreads:
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
                    case Blown(trial=trial, reason=reason):
                        self._end(trial, Infeasible(reason))
                    case Returned():
                        self._returned(event)
                    case _:
                        assert_never(event)
                asking = True

    def _measure_base(self) -> None:
        def measure() -> None:
            self._memory.remember(SPREADS, self._engine.spreads())

        self._study.leases.once("spreads", lambda: bool(self._memory.recall(SPREADS)), measure)
        self._spreads = self._memory.recall(SPREADS)

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

    def _returned(self, event: Returned) -> None:
        if self._driver.holds(event.trial):
            self._driver.requeue(event.trial)
        self._watch.returned(event.trial, event.reason)

    def _admit(self) -> bool:
        proposal = self._driver.ask()
        if proposal is None:
            return False
        self._waits = False
        if self._study.depot and proposal.resumed:
            self._study.depot.fetch(self._study.workspace.trial(proposal.number))
        cards = self._memory.record(proposal.number).cards
        self._engine.admit(proposal, cards)
        self._watch.started(proposal.number, proposal.values, proposal.resumed)
        return True

    def _scored(self, event: Scored) -> None:
        """To pruner and sampler a barred checkpoint is worth no more than the base model."""
        spec, scores = self._study.spec, facts(event.card)
        found, barred = objective(scores, self._spreads, spec.objective), spec.guards.barred(scores)
        worth = found.mean if barred is None else min(found.mean, 0.0)
        card = {
            **event.card,
            "objective": worth,
            "objective_error": found.standard_error,
            "barred": None if barred is None else barred.to_json(),
        }
        if self._study.depot:
            self._study.depot.push(self._study.workspace.trial(event.trial))
        verdict = self._driver.report(event.trial, card, Point(event.images_seen, worth))
        if verdict == "lost":
            self._engine.drop(event.trial)
            self._watch.lost(event.trial)
            return
        self._watch.checkpoint(event.trial, card)
        if event.last or verdict == "finish":
            self._engine.drop(event.trial)
            self._end(event.trial, Finished())
        elif verdict == "prune":
            self._engine.drop(event.trial)
            self._end(event.trial, Pruned())
        elif self._stop.asked:
            self._engine.drop(event.trial)

    def _end(self, trial: int, end: End) -> None:
        """Stores the pictures, then the end: an ended trial can't be edited.

        A trial whose checkpoints are all barred is infeasible, never pruned: the sampler learns to avoid it.
        """
        if not self._driver.holds(trial):
            self._watch.lost(trial)
            return
        self._attach_sheet(trial)
        barred = all_barred(self._memory.record(trial), self._study.spec.guards)
        if barred is not None and isinstance(end, (Finished, Pruned)):
            end = Infeasible(barred)
        self._describe(trial, end)
        if not self._driver.tell(trial, end):
            self._watch.lost(trial)
            return
        self._study.discard_state(trial)
        record = self._memory.record(trial)
        note_trial(self._memory, record, None, self._study.prompts)
        self._watch.ended(record)

    def _describe(self, trial: int, end: End) -> None:
        """Stores what the dashboard's tables show of the trial in a few words."""
        for key, text in short(self._memory.record(trial), end).items():
            self._memory.annotate(trial, key, text)

    def _attach_sheet(self, trial: int) -> None:
        workspace = self._study.workspace
        cards = self._memory.record(trial).cards
        rows = [("base", workspace.base_renders)]
        rows += [(f"epoch {card['epoch']}", workspace.renders(trial, card["epoch"])) for card in cards]
        rows = [(label, path) for label, path in rows if path.exists()]
        if len(rows) < 2:
            return
        columns = self._study.prompt_count
        images.save_png(workspace.sheet(trial), images.sheet(rows, columns))
        with suppress(OSError):
            self._memory.board.attach(trial, workspace.sheet(trial))
