"""One device at work: the resident base model, its pack and its judge."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, assert_never

from evaluation.encoders import ClipEncoder, ImageEncoder
from evaluation.judge import Judge, Panel
from evaluation.metrics.log_ratio import by_image
from evaluation.outside import outside
from evaluation.rendering import RenderSettings
from evaluation.scorecard import ScoreCard
from evaluation.subject import Subject
from search.objective import spread
from search.trial import Proposal
from studies.cues import cues
from studies.engine import Blown, Event, Exam, Returned, Scored
from studies.planning import Planner
from studies.probe_run import plain, probed_plan
from studies.saving import save_lora
from studies.sheets import save_png, strip
from studies.spec import StudySpec
from studies.workspace import Workspace
from trainer import lora_file, merging, pack_size, probe
from trainer.checkpoints import save_state
from trainer.data.caches import TensorCache
from trainer.data.dataset import Dataset, Encoded
from trainer.outcome import Diverged, EpochEnd, OutOfMemory
from trainer.pack import Pack
from trainer.pack_size import Reading
from trainer.plan import TrainingPlan
from trainer.seeds import derive
from trainer.training_run import shape_of


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
        self._spec, self._workspace, self._seed = spec, workspace, seed
        self._planner = Planner(spec, dataset, seed)
        template = self._planner.plan({})
        compute = template.compute
        self._base = merging.loaded(template)
        self._data = Encoded(dataset, self._base, TensorCache(workspace.cache))
        encoder, device = spec.judge.image_encoder, self._base.device
        self._clip = ClipEncoder(spec.judge.clip, device) if spec.judge.clip else None
        self._eye = ImageEncoder(encoder, device) if encoder else None
        most = spec.pack.most if spec.pack.size == "auto" else spec.pack.size
        rooms = most, spec.confirm.finalists, spec.probe.repetitions if spec.probe.enabled else 0
        self._pack = Pack(self._base, self._data, max(rooms), compute)
        self._pack.limit = most
        self._plans: dict[int, TrainingPlan] = {}
        self._waiting: list[Event] = []
        self._on_step = on_step
        self.seconds = {"training": 0.0, "judging": 0.0}
        """Time spent; for reports only, nothing depends on it."""
        with self._timed("judging"):
            self._judge = self._judge_for(self._everyday("search"))
        if self._judge.panel.prompts:
            save_png(workspace.base_renders, strip(self._judge.base.renders[0]))

    def measure_pack(self) -> tuple[Reading, ...]:
        """How fast packs of growing size train the study's heaviest trial."""
        return pack_size.measure(self._pack, self._planner.heaviest(), self._spec.pack.most)

    def probe(self) -> dict[str, Any]:
        """The learning-rate probe of the study's first recipe, as JSON values; nothing may be in training."""
        settings, limit = self._spec.probe, self._pack.limit
        with self._timed("training"):
            found = probe.follow(self._pack, probed_plan(self._planner), settings.repetitions, settings.steps)
        self._pack.limit = limit
        return plain(found)

    def limit_pack(self, size: int) -> None:
        """Trains at most so many trials at a time from now on."""
        self._pack.limit = size

    @property
    def has_room(self) -> bool:
        """Whether another trial can be admitted."""
        return self._pack.has_room

    @property
    def idle(self) -> bool:
        """Whether no trial is in training."""
        return not self._pack.runs and not self._waiting

    def admit(self, proposal: Proposal, cards: Sequence[Mapping[str, Any]]) -> None:
        """Takes a trial in, from its last epoch end if there is one."""
        number = proposal.number
        plan = self._plans[number] = self._planner.plan(proposal.values)
        state = self._workspace.state(number)
        run = self._pack.admit(number, plan, state if proposal.resumed and state.exists() else None)
        progress = run.progress
        if not progress.epoch:
            return
        stored = next((card for card in cards if card["epoch"] == progress.epoch), None)
        if stored is not None:
            self._waiting.append(Scored(number, progress.epoch, progress.images_seen, stored, run.finished))
        else:
            end = EpochEnd(
                number,
                progress.epoch,
                progress.images_seen,
                progress.steps,
                progress.last_epoch_loss,
                run.finished,
            )
            self._waiting += self._score([end])

    def drop(self, trial: int) -> None:
        """Frees the slot of a trial that need not go on."""
        self._pack.evict(trial)
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
                    case Diverged(trial=trial, reason=reason):
                        self._waiting.append(Blown(trial, reason))
                    case OutOfMemory(trial=trial):
                        self._waiting.append(Returned(trial))
                    case _:
                        assert_never(event)
            self._waiting += self._score(ends)
        events, self._waiting = self._waiting, []
        return events

    def spreads(self) -> dict[str, float]:
        """How much each metric of the base model moves when it is measured again with other seeds."""
        with self._timed("judging"):
            judges = self._judge, self._judge_for(self._everyday("again"))
            first, second = (judge.base for judge in judges)
            found = {"validation": spread(*(by_image(r.losses[0].log()).tolist() for r in (first, second)))}
            for name, values in first.figures.items():
                found[name] = spread(values[0].tolist(), second.figures[name][0].tolist())
            if self._spec.objective.get("flexibility"):
                found["flexibility"] = spread(*(judge.flexibility_of_base() or () for judge in judges))
        return found

    def examine(self, checkpoints: Sequence[tuple[int, int]], exam: Exam) -> list[Mapping[str, Any]]:
        """Scores checkpoints from their files: what is judged is what is handed over."""
        bank = self._pack.bank
        subjects = []
        for slot, (trial, epoch) in enumerate(checkpoints):
            lora = lora_file.read(self._workspace.lora(trial, epoch))
            plan = TrainingPlan.model_validate_json(lora.metadata["lorasearch_plan"])
            bank.open(slot, shape_of(plan), 0)
            lora_file.load_slot(bank, slot, lora.tensors, self._base.kohya_names)
            subjects.append(Subject(slot, plan.base.clip_skip))
        with self._timed("judging"):
            scored = self._judge_for(exam).score(subjects, asked=range(len(subjects)))
        cards: list[Mapping[str, Any]] = [card.plain() for card, _ in scored]
        for slot in range(len(checkpoints)):
            bank.close(slot)
        return cards

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[what] += time.perf_counter() - began

    def _everyday(self, label: str) -> Exam:
        """What every checkpoint of the search is judged on."""
        judge = self._spec.judge
        counts = judge.timesteps, judge.prompt_count, judge.seeds_per_prompt
        return Exam("validation", *counts, label, judge.outside_prompt_count)

    def _judge_for(self, exam: Exam) -> Judge:
        return Judge(self._data, self._pack.bank, self._panel(exam), self._clip, self._eye)

    def _panel(self, exam: Exam) -> Panel:
        judge, data = self._spec.judge, self._data.dataset
        sides = {"validation": data.split.validation, "test": data.split.test}
        held_out = sides[exam.side]
        prompts = judge.prompts or tuple(data.examples[i].caption for i in held_out[: exam.prompt_count])
        resolution = self._planner.plan({}).data.resolution
        settings = RenderSettings(
            judge.steps, judge.guidance, resolution, resolution, judge.negative_prompt, guided=judge.guided
        )
        captions = [example.caption for example in data.examples]
        return Panel(
            held_out=held_out,
            seen=data.split.train[: judge.seen_images] if exam.label == "search" else (),
            prompts=prompts * exam.seeds_per_prompt,
            timesteps=exam.timesteps,
            seed=derive(self._seed, "exam", exam.label),
            settings=settings,
            max_rows=judge.max_rows,
            training=data.split.train,
            outside=outside(cues(judge), captions, exam.outside),
        )

    def _write(self, end: EpochEnd) -> None:
        """Puts the checkpoint on disk: the LoRA file first, then the state that claims it."""
        run, bank = self._pack.runs[end.trial], self._pack.bank
        path = self._workspace.lora(end.trial, end.epoch)
        save_lora(path, self._pack, end, self._spec.save.precision)
        save_state(self._workspace.state(end.trial), run, bank)

    def _score(self, ends: Sequence[EpochEnd]) -> list[Event]:
        """Judges the trials that are at an epoch end, all in one pass."""
        if not ends:
            return []
        ends = sorted(ends, key=lambda end: end.trial)
        runs = [self._pack.runs[end.trial] for end in ends]
        with self._timed("judging"), self._pack.shown([end.trial for end in ends]):
            subjects = [Subject(run.slot, run.plan.base.clip_skip) for run in runs]
            scored = self._judge.score(subjects, self._asked(ends))
        events: list[Event] = []
        for end, (scores, renders) in zip(ends, scored, strict=True):
            if len(renders):
                save_png(self._workspace.renders(end.trial, end.epoch), strip(renders))
            if reason := scores.unusable:
                self.drop(end.trial)
                events.append(Blown(end.trial, reason))
            else:
                card = self._card(end, scores)
                events.append(Scored(end.trial, end.epoch, end.images_seen, card, end.last))
        return events

    def _asked(self, ends: Sequence[EpochEnd]) -> list[int]:
        """Who renders the prompts outside the data set: last checkpoints, or all if the objective weighs it."""
        always = self._spec.objective.get("flexibility", 0) > 0
        return [i for i, end in enumerate(ends) if end.last or always]

    def _card(self, end: EpochEnd, scores: ScoreCard) -> dict[str, Any]:
        return {
            "epoch": end.epoch,
            "images_seen": end.images_seen,
            "steps": end.steps,
            "training_loss": end.training_loss,
            "rank": self._plans[end.trial].lora.rank,
            "file": self._workspace.relative(self._workspace.lora(end.trial, end.epoch)),
            "scores": scores.plain(),
        }
