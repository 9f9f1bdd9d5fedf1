"""The runs of trials in one pack: their plans, their slots and their files."""

from __future__ import annotations

from pathlib import Path

from search.trial import Proposal
from studies.spec.planner import Planner
from studies.study.folds import Folds
from studies.workspace import Workspace
from trainer.data.dataset import WHOLE
from trainer.outcome import Diverged, EpochEnd
from trainer.plan import TrainingPlan
from trainer.training.checkpoints import save_state
from trainer.training.pack import Pack
from trainer.training.run import TrainingRun
from trainer.training.saving import save_lora


class TrialRuns:
    """Trains each trial as one run for every fold.

    Args:
        pack: where they train.
        planner: makes their plans.
        folds: what each run of a trial is trained without.
        workspace: where their files go.
    """

    def __init__(self, pack: Pack, planner: Planner, folds: Folds, workspace: Workspace) -> None:
        self.pack, self.folds = pack, folds
        self._planner, self._workspace = planner, workspace
        self._precision = planner.spec.save.precision
        self._plans: dict[int, TrainingPlan] = {}

    @property
    def per_trial(self) -> int:
        """How many runs each trial has."""
        return len(self.folds.folds)

    @property
    def has_room(self) -> bool:
        """Whether another trial can be admitted; an empty pack takes one in any case."""
        return not self.pack.runs or self.pack.limit - len(self.pack.runs) >= self.per_trial

    def has(self, trial: int) -> bool:
        """Whether a trial is in training."""
        return trial in self._plans

    def is_alone(self, trial: int) -> bool:
        """Whether no other trial is in the pack."""
        return all(self.folds.trial(run) == trial for run in self.pack.runs)

    def rank(self, trial: int) -> int:
        """The rank of a trial's LoRA."""
        return self._plans[trial].lora.rank

    def begin(self, proposal: Proposal) -> list[EpochEnd]:
        """Takes a trial in, each run from its last epoch end if there is one.

        Returns:
            Where each run stands; at epoch 0 if it begins.
        """
        number = proposal.number
        self._plans[number] = self._planner.plan(proposal.values)
        return [_standing(self._begin(run, proposal.resumed)) for run in self.folds.runs(number)]

    def _begin(self, run: int, resumed: bool) -> TrainingRun:
        trial, fold = self.folds.trial(run), self.folds.fold(run)
        state = self._workspace.state(trial, fold)
        return self.pack.admit(run, self._plan(trial, fold), state if resumed and state.exists() else None)

    def _plan(self, trial: int, fold: int | None) -> TrainingPlan:
        plan = self._plans[trial]
        if fold is None:
            return plan
        return plan.model_copy(update={"data": plan.data.model_copy(update={"fold": fold})})

    def stop(self, trial: int) -> None:
        """Frees the slots of a trial that need not go on."""
        for run in self.folds.runs(trial):
            if run in self.pack.runs:
                self.pack.evict(run)
        self.folds.forget(trial)
        del self._plans[trial]

    def write(self, end: EpochEnd) -> None:
        """Puts a run's checkpoint on disk: the LoRA file first, then the state that claims it."""
        run, bank = self.pack.runs[end.trial], self.pack.bank
        trial, fold = self.folds.trial(end.trial), self.folds.fold(end.trial)
        save_lora(self._workspace.lora(trial, end.epoch, fold), self.pack, end, self._precision)
        save_state(self._workspace.state(trial, fold), run, bank)

    def files(self, trial: int, epoch: int) -> list[Path]:
        """The LoRA files of a trial's runs at an epoch."""
        return [self._workspace.lora(trial, epoch, fold.number) for fold in self.folds.folds]

    def file(self, trial: int, epoch: int) -> Path:
        """The LoRA file that is handed over of a trial at an epoch."""
        return self._workspace.lora(trial, epoch)

    def retrain_on_all(self, proposal: Proposal, epoch: int) -> Diverged | None:
        """Makes the file that is handed over by training on every fold; it must not be there.

        Returns:
            How training failed; None where the file is there now.
        """
        number, path = proposal.number, self.file(proposal.number, epoch)
        failure: Diverged | None = None
        self._plans[number] = self._planner.plan(proposal.values)
        self.pack.admit(number, self._plan(number, WHOLE))
        while number in self.pack.runs:
            for event in self.pack.step():
                if isinstance(event, EpochEnd) and event.epoch == epoch:
                    save_lora(path, self.pack, event, self._precision)
                    self.pack.evict(number)
                elif isinstance(event, Diverged):
                    failure = event
        del self._plans[number]
        return failure


def _standing(run: TrainingRun) -> EpochEnd:
    """Where a run stands, as it was told when it came there."""
    at = run.progress
    return EpochEnd(run.trial, at.epoch, at.images_seen, at.steps, at.last_epoch_loss, run.finished)
