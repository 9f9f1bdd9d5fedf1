"""One device at work: a pack that trains, and judges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

from evaluation.scorecard import ScoreCard
from search.trial import Proposal, Reason
from studies.engines.engine import Event, Exam, Requeued, Scored, TrialDiverged, reason_of
from studies.engines.epoch_scores import EpochScores
from studies.engines.judges import StudyJudges
from studies.engines.trial_runs import TrialRuns
from studies.engines.work_times import WorkTimes
from studies.spec.planner import Planner
from studies.study.probe import ProbeResult, probe_study
from studies.study.trial import Checkpoint
from trainer.outcome import Diverged, EpochEnd, OutOfMemory
from trainer.training import pack_size
from trainer.training.pack_size import Reading


class Worker:
    """Trains and judges trials in one process on one device; knows nothing of the study's memory.

    Args:
        planner: makes the study's plans.
        runs: none is in training.
        judges: of checkpoints in files.
        scores: of checkpoints in training.
        times: counts the work.
        on_step: is told images and mean squared error of every step.
    """

    def __init__(
        self,
        planner: Planner,
        runs: TrialRuns,
        judges: StudyJudges,
        scores: EpochScores,
        times: WorkTimes,
        on_step: Callable[[int, float | None], None],
    ) -> None:
        self._planner, self._runs, self._judges, self._scores = planner, runs, judges, scores
        self._pack, self._times, self._on_step = runs.pack, times, on_step
        self._waiting: list[Event] = []

    @property
    def seconds(self) -> dict[str, float]:
        """Time spent, by kind of work; for reports only, nothing depends on it."""
        return self._times.seconds

    def measure_pack(self) -> tuple[Reading, ...]:
        """How fast packs of growing size train the study's heaviest trial."""
        return pack_size.measure(
            self._pack, self._planner.heaviest(), self._planner.spec.pack.most, self._judges.eyes
        )

    def probe(self) -> ProbeResult:
        """The learning-rate probe of the study's first recipe; nothing may be in training."""
        limit = self._pack.limit
        with self._times.timed("training"):
            result = probe_study(self._pack, self._planner)
        self._pack.limit = limit
        return result

    def limit_pack(self, size: int) -> None:
        """Trains at most so many trials at a time from now on."""
        self._pack.limit = size
        self._pack.reserve(self._planner.heaviest(), size)

    @property
    def capacity(self) -> int:
        """How many trials can be trained at a time."""
        return max(1, self._pack.limit // self._runs.per_trial)

    @property
    def has_room(self) -> bool:
        """Whether another trial can be admitted; an empty pack takes one in any case."""
        return self._runs.has_room

    @property
    def idle(self) -> bool:
        """Whether no trial is in training."""
        return not self._pack.runs and not self._waiting

    def admit(self, proposal: Proposal, stored: Sequence[Checkpoint]) -> None:
        """Takes a trial in, each of its runs from its last epoch end if there is one."""
        known = {checkpoint.epoch: checkpoint for checkpoint in stored}
        ends = self._runs.begin(proposal)
        at = ends[0]
        if at.epoch in known and all(end.epoch == at.epoch for end in ends):
            self._waiting.append(Scored(known[at.epoch], at.last))
            return
        self._waiting += self._scores.score([end for end in ends if end.epoch and end.epoch not in known])

    def stop(self, trial: int) -> None:
        """Frees the slots of a trial that need not go on."""
        self._runs.stop(trial)

    def advance(self) -> list[Event]:
        """Trains until a checkpoint is scored or a trial leaves the pack."""
        while not self._waiting:
            ends: list[EpochEnd] = []
            with self._times.timed("training"):
                events = self._pack.step()
            self._on_step(self._pack.last_images, self._pack.last_loss)
            for event in events:
                match event:
                    case EpochEnd() if event.trial in self._pack.runs:
                        self._runs.write(event)
                        ends.append(event)
                    case EpochEnd():
                        pass  # it has left with another run of its trial
                    case Diverged(trial=run, trouble=trouble):
                        trial = self._runs.folds.trial(run)
                        self._leave(TrialDiverged.by(trouble, trial))
                    case OutOfMemory(trial=run):
                        self._put_out(self._runs.folds.trial(run))
                    case _:
                        assert_never(event)
            self._waiting += self._scores.score([end for end in ends if end.trial in self._pack.runs])
        waiting, self._waiting = self._waiting, []
        return waiting

    def _leave(self, event: TrialDiverged | Requeued) -> None:
        """All runs of a trial leave the pack with one of them."""
        if self._runs.has(event.trial):
            self.stop(event.trial)
            self._waiting.append(event)

    def _put_out(self, trial: int) -> None:
        """A run had to make room: its trial waits to come back, unless it was alone."""
        runs = self._runs.per_trial
        if self._runs.is_alone(trial) and runs > 1:
            self._leave(TrialDiverged(trial, Reason("folds_too_large", {"folds": runs})))
        else:
            self._leave(Requeued(trial))

    def measure_units(self) -> dict[str, float]:
        """What one unit of each metric is in the objective."""
        with self._times.timed("judging"):
            return self._judges.measure_units()

    def examine(self, checkpoints: Sequence[tuple[int, int]], exam: Exam) -> list[ScoreCard]:
        """Scores checkpoints from their files: what is judged is what is handed over."""
        with self._times.timed("judging"):
            if exam.side == "test":
                files = [[self._runs.file(*checkpoint)] for checkpoint in checkpoints]
            else:
                files = [self._runs.files(*checkpoint) for checkpoint in checkpoints]
            return self._judges.examine(files, exam)

    def retrain_on_all(self, proposal: Proposal, epoch: int) -> Reason | None:
        """Makes the file that is handed over: where trials hold out folds, it is trained on all of them."""
        if self._runs.file(proposal.number, epoch).exists():
            return None
        with self._times.timed("training"):
            failure = self._runs.retrain_on_all(proposal, epoch)
        return reason_of(failure.trouble) if failure else None
