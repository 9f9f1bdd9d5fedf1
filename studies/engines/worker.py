"""One device at work: the resident base model, its pack and its judge."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import assert_never

import torch

from evaluation.metrics.table import METRICS
from evaluation.scorecard import ScoreCard
from evaluation.subject import Subject
from search.trial import Proposal, Reason
from studies.engines.engine import Event, Exam, Requeued, Scored, TrialDiverged
from studies.engines.judges import StudyJudges, renders_of_base
from studies.images import save_png, strip
from studies.spec.planner import Planner
from studies.spec.study_file import StudySpec
from studies.study.folds import Folds, FoldScores, folds_of
from studies.study.probe import ProbeResult, probed_plan
from studies.study.trial import Checkpoint
from studies.workspace import Workspace
from trainer.data.dataset import WHOLE, Dataset
from trainer.outcome import Diverged, EpochEnd, OutOfMemory
from trainer.plan import TrainingPlan
from trainer.training import pack_size, probe, session
from trainer.training.checkpoints import save_state
from trainer.training.pack_size import Reading
from trainer.training.run import TrainingRun
from trainer.training.saving import save_lora
from trainer.trouble import Trouble


class Worker:
    """Trains and judges trials in one process on one device; knows nothing of the study's memory."""

    def __init__(
        self,
        spec: StudySpec,
        workspace: Workspace,
        dataset: Dataset,
        seed: int,
        on_step: Callable[[int, float], None],
    ) -> None:
        self._spec, self._workspace = spec, workspace
        self._planner = Planner(spec, dataset, seed)
        template = self._planner.plan({})
        self._folds = Folds(folds_of(dataset, template.data.fold))
        most = spec.pack.most if spec.pack.size == "auto" else spec.pack.size
        probes = spec.probe.repetitions if spec.probe.enabled else 0
        rooms = most, spec.confirm.finalists, probes, len(self._folds.folds)
        self._pack = session.open(template, dataset, workspace.cache, max(rooms))
        self._pack.limit = most
        self._plans: dict[int, TrainingPlan] = {}
        self._waiting: list[Event] = []
        self._on_step = on_step
        self.seconds = {"training": 0.0, "judging": 0.0}
        """Time spent; for reports only, nothing depends on it."""
        with self._timed("judging"):
            self._judges = StudyJudges(spec, self._folds.folds, self._pack.data, self._pack.bank, template)
        bare = torch.cat(renders_of_base(self._judges.judges))
        if len(bare):
            save_png(workspace.base_renders, strip(bare))

    def measure_pack(self) -> tuple[Reading, ...]:
        """How fast packs of growing size train the study's heaviest trial."""
        return pack_size.measure(self._pack, self._planner.heaviest(), self._spec.pack.most)

    def probe(self) -> ProbeResult:
        """The learning-rate probe of the study's first recipe; nothing may be in training."""
        settings, limit = self._spec.probe, self._pack.limit
        with self._timed("training"):
            found = probe.follow(self._pack, probed_plan(self._planner), settings.repetitions, settings.steps)
        self._pack.limit = limit
        return ProbeResult.of(found)

    def limit_pack(self, size: int) -> None:
        """Trains at most so many trials at a time from now on."""
        self._pack.limit = size

    @property
    def capacity(self) -> int:
        """How many trials can be trained at a time."""
        return max(1, self._pack.limit // len(self._folds.folds))

    @property
    def has_room(self) -> bool:
        """Whether another trial can be admitted; an empty pack takes one in any case."""
        return not self._pack.runs or self._pack.limit - len(self._pack.runs) >= len(self._folds.folds)

    @property
    def idle(self) -> bool:
        """Whether no trial is in training."""
        return not self._pack.runs and not self._waiting

    def admit(self, proposal: Proposal, stored: Sequence[Checkpoint]) -> None:
        """Takes a trial in, each of its runs from its last epoch end if there is one."""
        number = proposal.number
        self._plans[number] = self._planner.plan(proposal.values)
        known = {checkpoint.epoch: checkpoint for checkpoint in stored}
        runs = [self._begin(run, proposal.resumed) for run in self._folds.runs(number)]
        at = runs[0].progress
        if at.epoch in known and all(run.progress.epoch == at.epoch for run in runs):
            self._waiting.append(Scored(known[at.epoch], runs[0].finished))
            return
        ends = [_end(run) for run in runs if run.progress.epoch and run.progress.epoch not in known]
        self._waiting += self._score(ends)

    def _begin(self, run: int, resumed: bool) -> TrainingRun:
        trial, fold = self._folds.trial(run), self._folds.fold(run)
        state = self._workspace.state(trial, fold)
        return self._pack.admit(run, self._plan(trial, fold), state if resumed and state.exists() else None)

    def _plan(self, trial: int, fold: int | None) -> TrainingPlan:
        plan = self._plans[trial]
        if fold is None:
            return plan
        return plan.model_copy(update={"data": plan.data.model_copy(update={"fold": fold})})

    def stop(self, trial: int) -> None:
        """Frees the slots of a trial that need not go on."""
        for run in self._folds.runs(trial):
            if run in self._pack.runs:
                self._pack.evict(run)
        self._folds.forget(trial)
        del self._plans[trial]

    def advance(self) -> list[Event]:
        """Trains until a checkpoint is scored or a trial leaves the pack."""
        while not self._waiting:
            ends: list[EpochEnd] = []
            with self._timed("training"):
                taken = self._pack.step()
            self._on_step(self._pack.last_images, self._pack.last_loss)
            for event in taken:
                match event:
                    case EpochEnd():
                        self._write(event)
                        ends.append(event)
                    case Diverged(trial=run, trouble=trouble):
                        self._leave(run, partial(TrialDiverged, reason=_reason(trouble)))
                    case OutOfMemory(trial=run):
                        self._put_out(run)
                    case _:
                        assert_never(event)
            self._waiting += self._score([end for end in ends if end.trial in self._pack.runs])
        events, self._waiting = self._waiting, []
        return events

    def _leave(self, run: int, told: Callable[[int], Event]) -> None:
        """All runs of a trial leave the pack with one of them."""
        trial = self._folds.trial(run)
        if trial in self._plans:
            self.stop(trial)
            self._waiting.append(told(trial))

    def _put_out(self, run: int) -> None:
        """A run had to make room: its trial waits to come back, unless it was alone."""
        alone = all(self._folds.trial(other) == self._folds.trial(run) for other in self._pack.runs)
        if alone and len(self._folds.folds) > 1:
            reason = Reason("folds_too_large", {"folds": len(self._folds.folds)})
            self._leave(run, partial(TrialDiverged, reason=reason))
        else:
            self._leave(run, Requeued)

    def measurement_noise(self) -> dict[str, float]:
        """How much each metric of the base model moves when it is measured again with other seeds."""
        with self._timed("judging"):
            return self._judges.measurement_noise()

    def examine(self, checkpoints: Sequence[tuple[int, int]], exam: Exam) -> list[ScoreCard]:
        """Scores checkpoints from their files: what is judged is what is handed over."""
        with self._timed("judging"):
            return self._judges.examine([self._files(exam, *of) for of in checkpoints], exam)

    def _files(self, exam: Exam, trial: int, epoch: int) -> list[Path]:
        if exam.side == "test":
            return [self._workspace.lora(trial, epoch)]
        return [self._workspace.lora(trial, epoch, fold.number) for fold in self._folds.folds]

    def retrain_on_all(self, proposal: Proposal, epoch: int) -> Reason | None:
        """Makes the file that is handed over: where trials hold out folds, it is trained on all of them."""
        number, path = proposal.number, self._workspace.lora(proposal.number, epoch)
        if path.exists():
            return None
        why: Reason | None = None
        self._plans[number] = self._planner.plan(proposal.values)
        self._pack.admit(number, self._plan(number, WHOLE))
        with self._timed("training"):
            while number in self._pack.runs:
                for event in self._pack.step():
                    if isinstance(event, EpochEnd) and event.epoch == epoch:
                        save_lora(path, self._pack, event, self._spec.save.precision)
                        self._pack.evict(number)
                    elif isinstance(event, Diverged):
                        why = _reason(event.trouble)
        del self._plans[number]
        return why

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[what] += time.perf_counter() - began

    def _write(self, end: EpochEnd) -> None:
        """Puts the checkpoint on disk: the LoRA file first, then the state that claims it."""
        run, bank = self._pack.runs[end.trial], self._pack.bank
        trial, fold = self._folds.trial(end.trial), self._folds.fold(end.trial)
        save_lora(self._workspace.lora(trial, end.epoch, fold), self._pack, end, self._spec.save.precision)
        save_state(self._workspace.state(trial, fold), run, bank)

    def _score(self, ends: Sequence[EpochEnd]) -> list[Event]:
        """Judges the runs that are at an epoch end, all of a fold in one pass; whole checkpoints are told."""
        events: list[Event] = []
        for place in range(len(self._folds.folds)):
            of = sorted((e for e in ends if self._folds.place(e.trial) == place), key=lambda e: e.trial)
            for scores in self._judged(place, of):
                whole = self._folds.add(scores)
                if whole is not None:
                    events.append(self._told(whole))
        return events

    def _judged(self, place: int, ends: Sequence[EpochEnd]) -> list[FoldScores]:
        """Runs that have come to their last epoch leave the pack."""
        if not ends:
            return []
        runs = [self._pack.runs[end.trial] for end in ends]
        with self._timed("judging"), self._pack.shown([end.trial for end in ends]):
            subjects = [Subject(run.slot, run.plan.base.clip_skip) for run in runs]
            scored = self._judges.judges[place].score(subjects, self._asked(ends))
        for end in ends:
            if end.last:
                self._pack.evict(end.trial)
        return [FoldScores(end, scores, renders) for end, (scores, renders) in zip(ends, scored, strict=True)]

    def _told(self, whole: FoldScores) -> Event:
        """What the runner hears of a trial's checkpoint."""
        end, trial = whole.end, whole.end.trial
        if len(whole.renders):
            save_png(self._workspace.renders(trial, end.epoch), strip(whole.renders))
        if trouble := whole.scores.unusable:
            self.stop(trial)
            return TrialDiverged(trial, _reason(trouble))
        return Scored(self._checkpoint(end, whole.scores), end.last)

    def _asked(self, ends: Sequence[EpochEnd]) -> list[int]:
        """Who renders the prompts outside the data set: last checkpoints, or all if the objective weighs it."""
        weights = self._spec.objective
        always = any(weights.get(name, 0) > 0 for name, metric in METRICS.items() if metric.outside)
        return [i for i, end in enumerate(ends) if end.last or always]

    def _checkpoint(self, end: EpochEnd, scores: ScoreCard) -> Checkpoint:
        return Checkpoint(
            trial=end.trial,
            epoch=end.epoch,
            images_seen=end.images_seen,
            runs=len(self._folds.folds),
            steps=end.steps,
            training_loss=end.training_loss,
            rank=self._plans[end.trial].lora.rank,
            file=self._workspace.relative(self._workspace.lora(end.trial, end.epoch)),
            scores=scores,
        )


def _reason(trouble: Trouble) -> Reason:
    """A trainer's or a judge's trouble in the search's terms."""
    return Reason(trouble.code, trouble.values)


def _end(run: TrainingRun) -> EpochEnd:
    """Where a resumed run stands, as it was told when it came there."""
    at = run.progress
    return EpochEnd(run.trial, at.epoch, at.images_seen, at.steps, at.last_epoch_loss, run.finished)
