"""From runs that are at an epoch end to scored checkpoints of trials."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.scorecard import ScoreCard
from evaluation.subject import Subject
from studies.engines.engine import Event, Scored, TrialDiverged
from studies.engines.judges import StudyJudges
from studies.engines.trial_runs import TrialRuns
from studies.engines.work_times import WorkTimes
from studies.images import save_png, strip
from studies.study.folds import FoldScores
from studies.study.trial import Checkpoint
from studies.workspace import Workspace
from trainer.outcome import EpochEnd


class EpochScores:
    """Judges runs in the pack, fold by fold; a checkpoint is scored once all runs of its trial are.

    Args:
        runs: in training.
        judges: one for each fold.
        workspace: where pictures go.
        times: counts the judging.
    """

    def __init__(self, runs: TrialRuns, judges: StudyJudges, workspace: Workspace, times: WorkTimes) -> None:
        self._runs, self._judges, self._workspace, self._times = runs, judges, workspace, times

    def save_base_renders(self) -> None:
        """Puts the base model's pictures beside which all others are shown on disk."""
        renders = self._judges.base_renders
        if len(renders):
            save_png(self._workspace.base_renders, strip(renders))

    def score(self, ends: Sequence[EpochEnd]) -> list[Event]:
        """Judges the runs that are at an epoch end, all of a fold in one pass.

        Returns:
            What the runner hears of the checkpoints that are whole now.
        """
        events: list[Event] = []
        folds = self._runs.folds
        for place in range(self._runs.per_trial):
            of = sorted((end for end in ends if folds.place(end.trial) == place), key=lambda end: end.trial)
            for scores in self._judged(place, of):
                whole = folds.add(scores)
                if whole is not None:
                    events.append(self._event(whole))
        return events

    def _judged(self, place: int, ends: Sequence[EpochEnd]) -> list[FoldScores]:
        """Runs that have come to their last epoch leave the pack."""
        if not ends:
            return []
        pack = self._runs.pack
        runs = [pack.runs[end.trial] for end in ends]
        with self._times.timed("judging"), pack.shown([end.trial for end in ends]):
            subjects = [Subject(run.slot, run.plan.base.clip_skip) for run in runs]
            scored = self._judges.judges[place].score(subjects, self._asked(ends))
        for end in ends:
            if end.last:
                pack.evict(end.trial)
        return [FoldScores(end, scores, renders) for end, (scores, renders) in zip(ends, scored, strict=True)]

    def _event(self, whole: FoldScores) -> Event:
        """What the runner hears of a trial's checkpoint."""
        end, trial = whole.end, whole.end.trial
        if len(whole.renders):
            save_png(self._workspace.renders(trial, end.epoch), strip(whole.renders))
        if trouble := whole.scores.unusable:
            self._runs.stop(trial)
            return TrialDiverged.by(trouble, trial)
        return Scored(self._checkpoint(end, whole.scores), end.last)

    def _asked(self, ends: Sequence[EpochEnd]) -> list[int]:
        """Who renders the prompts outside the data set: last checkpoints, or all if the objective weighs it."""
        always = self._judges.weigh_outside
        return [i for i, end in enumerate(ends) if end.last or always]

    def _checkpoint(self, end: EpochEnd, scores: ScoreCard) -> Checkpoint:
        return Checkpoint(
            trial=end.trial,
            epoch=end.epoch,
            images_seen=end.images_seen,
            runs=self._runs.per_trial,
            steps=end.steps,
            training_loss=end.training_loss,
            rank=self._runs.rank(end.trial),
            file=self._workspace.relative(self._runs.file(end.trial, end.epoch)),
            scores=scores,
        )
