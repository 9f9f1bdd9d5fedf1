"""A study as a run, a report and a selection know it."""

from __future__ import annotations

from dataclasses import dataclass

from search.leases import Leases
from search.memory import Memory
from search.settings import SearchSettings
from studies.spec.sections import JudgeSection
from studies.spec.study_file import StudySpec
from studies.study import earlier
from studies.study.folds import Fold, folds_of, prompts_of, shared_out
from studies.study.probe import probed_recipes
from studies.study.transfer import Transfer
from studies.workspace import Workspace
from trainer.data.dataset import Dataset

UNITS = "spreads"
"""Where the memory keeps what one unit of each metric is; at first that was the spread of one measurement."""
VERDICT = "verdict"


@dataclass(frozen=True, slots=True)
class Study:
    """Everything that a run, a report or a selection starts from."""

    spec: StudySpec
    workspace: Workspace
    memory: Memory
    dataset: Dataset
    seed: int
    leases: Leases
    """Who trains what."""
    transfer: Transfer | None = None
    """Through which files of trials travel between workspaces; None where there is one workspace."""
    asked: JudgeSection | None = None
    """How the study file would have judged; the spec's own keeps to its share of the training."""

    @property
    def prompts(self) -> tuple[str, ...]:
        """What each picture in a strip of renders was asked for."""
        judge = self.spec.judge
        return tuple(
            prompt
            for fold, count in self._folds
            for prompt in prompts_of(fold.captions, judge.prompts, count) * judge.seeds_per_prompt
        )

    def discard_state(self, trial: int) -> None:
        """A trial that has ended needs no training state; what it left is passed on."""
        self.workspace.discard_state(trial)
        if self.transfer:
            self.transfer.push(self.workspace.trial(trial))
            self.transfer.push(self.workspace.artifacts)
            self.transfer.discard(self.workspace.trial(trial), "state*.safetensors")

    @property
    def originals(self) -> tuple[int, ...]:
        """The held-out image whose caption each picture in a strip was asked by; empty where the file has prompts."""
        judge = self.spec.judge
        if judge.prompts:
            return ()
        return tuple(
            index
            for fold, count in self._folds
            for index in self.dataset.fold(fold.number).split.validation[:count] * judge.seeds_per_prompt
        )

    @property
    def _folds(self) -> list[tuple[Fold, int]]:
        """What is held out, each with its share of the prompts."""
        folds = folds_of(self.dataset, self.spec.shared_plan.data.fold)
        return [(fold, shared_out(self.spec.judge.prompt_count, len(folds))) for fold in folds]

    @property
    def run_count(self) -> int:
        """Runs that train for one trial: one for each fold of a small set."""
        return len(self._folds)

    @property
    def prompt_count(self) -> int:
        """Pictures in each strip of renders."""
        return len(self.prompts)

    @property
    def search_settings(self) -> SearchSettings:
        """The search's part of the study file."""
        budget = self.spec.budget
        learns = self.spec.search.learn_from != "off"
        prior = (earlier.remembered(self.memory) if learns else None) or earlier.Prior()
        return SearchSettings(
            sampler=self.spec.search.sampler,
            counts=self.spec.search.counts,
            pruner=self.spec.pruner,
            budget=budget.limits(),
            patience=budget.patience(),
            horizon_images=budget.images_per_trial,
            runs=self.run_count,
            first=self.spec.first + probed_recipes(self.spec, self.memory) + prior.recipes,
            lessons=prior.lessons,
            baselines=len(self.spec.first),
        )
