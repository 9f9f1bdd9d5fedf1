"""An opened study: its file, its workspace, its memory and what was fixed when it began."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from evaluation import encoders
from search.leases import Alone, Leases
from search.memory import Memory
from search.retry import Endurance
from search.settings import SearchSettings
from search.storage_url import StorageError
from studies.errors import StudyError
from studies.spec import study_file
from studies.spec.paths import is_hub_name
from studies.spec.plan_fields import base_problems, size_problems
from studies.spec.planner import Planner
from studies.spec.sections import EYES, JudgeSection
from studies.spec.study_file import StudySpec
from studies.study import runners
from studies.study.folds import Fold, folds_of, prompts_of, shared_out
from studies.study.lock import held
from studies.study.open import open_readonly
from studies.study.probe import probed_recipes
from studies.study.storage import chosen, connected
from studies.study.transfer import Transfer, transfer
from studies.workspace import Workspace, copy_whole, default_root, write_json
from trainer.bases import base_model
from trainer.bases.base_model import BaseModelError
from trainer.data import long_captions
from trainer.data.dataset import Dataset, read
from trainer.data.images import DataError
from trainer.lora_files import merging
from trainer.plans.base import BasePlan
from trainer.tensor_header import PICKLES, weights_problem

_SEED = "seed"
_FINGERPRINTS = "fingerprints"
Told = Callable[[str], None]
SPREADS = "spreads"
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
        return SearchSettings(
            sampler=self.spec.search.sampler,
            pruner=self.spec.pruner,
            budget=budget.limits(),
            patience=budget.patience(),
            horizon_images=budget.images_per_trial,
            runs=self.run_count,
            first=self.spec.first + probed_recipes(self.spec, self.memory),
        )


def examine(path: Path) -> tuple[StudySpec, Dataset]:
    """Everything that can be checked before training; reads the images, writes nothing.

    Raises:
        StudyError: with all problems of one kind at a time: the file's, then the base model's and the data's.
    """
    spec = study_file.load(path)
    problems: list[str] = []
    base, data = spec.shared_plan.base, spec.shared_plan.data
    try:
        problems += size_problems(data, base_model.size_step(base))
        problems += base_problems(spec.plan, spec.space.parameters, base_model.family(base))
        base_model.device_for(spec.shared_plan.compute.device)
    except BaseModelError as error:
        problems.append(str(error))
    problems += merging.problems(base.loras, spec.shared_plan.lora.start)
    problems += encoder_problems(spec.judge)
    try:
        dataset = _read(spec)
    except DataError as error:
        raise StudyError(problems + error.problems) from error
    if problems:
        raise StudyError(problems)
    Planner(spec, dataset, 0).check()
    return spec, long_captions.told(dataset, lambda: base_model.tokenizer(base))


def _read(spec: StudySpec) -> Dataset:
    data, split = spec.shared_plan.data, spec.split
    shares, seed = (split.validation, split.test), max(spec.study.seed, 0)
    folds = None if split.folds == "auto" else split.folds
    return read(data, shares, seed, folds).fold(data.fold)


def begin(path: Path, root: Path) -> Study:
    """Opens or creates the study of a study file; checks everything that can be checked before training.

    Raises:
        StudyError: with all problems of one kind at a time: the file's, then the base model's and the data's.
    """
    spec, dataset = examine(path)
    workspace = Workspace(root)
    workspace.prepare()
    written = chosen(workspace, None, spec.storage.url)
    memory = _memory(workspace, spec, connected(workspace, written))
    return _begun(path, Study(spec, workspace, memory, dataset, 0, Alone(memory)), written)


@contextmanager
def running(
    path: Path,
    root: Path | None,
    storage: str | None = None,
    runner: str | None = None,
    told: Told = lambda text: None,
) -> Iterator[Study]:
    """``begin`` for a run, which has the workspace to itself while it lasts, or shares the study with others.

    Args:
        path: of the study file.
        root: of the workspace; None takes the default.
        storage: as on the command line; None takes the study file's.
        runner: this runner's name where several share the study; None takes the machine's.
        told: is told what is waited for.

    Raises:
        StudyError: as ``begin``, or because another run works there; nothing is changed then.
    """
    spec, dataset = examine(path)
    workspace = Workspace(root or default_root(spec.study.name))
    written = chosen(workspace, storage, spec.storage.url)
    url = connected(workspace, written)
    workspace.prepare()
    name = runners.name(runner) if written else None
    with held(workspace, name):
        memory = _memory(workspace, spec, url, Endurance(spec.storage.patience, told))
        if name is None:
            yield _begun(path, Study(spec, workspace, memory, dataset, 0, Alone(memory)), written)
            return
        with runners.joined(memory, name, workspace, spec.storage.ttl) as leases:
            passing = transfer(spec.storage.checkpoints, spec.study.name, workspace)
            yield _begun(path, Study(spec, workspace, memory, dataset, 0, leases, passing), written)


def _begun(path: Path, opened: Study, written: str) -> Study:
    """The study with its seed, which one runner fixes, and its data set compared with what it began with."""
    spec, memory, workspace = opened.spec, opened.memory, opened.workspace
    now = _fingerprints(opened.dataset, spec.shared_plan.base, spec.judge)

    def found() -> None:
        _fixed_seed(memory, spec.study.seed)
        memory.remember(_FINGERPRINTS, now)

    opened.leases.once("founding", lambda: memory.recall(_FINGERPRINTS) is not None, found)
    seed = _fixed_seed(memory, spec.study.seed)
    _check_unchanged(memory, now)
    copy_whole(path, workspace.study_file)
    write_json(workspace.source, {"study_file": str(path.resolve()), "storage": written})
    return replace(opened, seed=seed)


def encoder_problems(judge: JudgeSection) -> list[str]:
    """What is wrong with the judges that lie on this disk; those with a hub name are looked up when they are loaded."""
    problems = []
    for key, name in (("clip", judge.clip), ("image_encoder", judge.image_encoder)):
        if name is None:
            continue
        path = Path(name)
        if path.exists() or path.suffix in PICKLES:
            problems += [f"judge.{key}: {name}: {said}." for said in [weights_problem(path)] if said]
        elif not is_hub_name(name):
            problems.append(
                f"judge.{key}: {name}: there is no such folder; give one in transformers layout, or a hub name such "
                "as organisation/model."
            )
    return problems


def reopen(root: Path) -> Study:
    """Opens the study of a workspace for reading.

    Raises:
        StudyError: there is none, or its files have moved away.
    """
    seen = open_readonly(root)
    spec, memory = seen.spec, seen.memory
    try:
        dataset = _read(spec)
    except DataError as error:
        raise StudyError(error.problems) from error
    return Study(spec, seen.workspace, memory, dataset, _fixed_seed(memory, spec.study.seed), Alone(memory))


def _memory(workspace: Workspace, spec: StudySpec, url: str, endurance: Endurance | None = None) -> Memory:
    try:
        return Memory.open(url, spec.study.name, workspace.artifacts, endurance=endurance)
    except StorageError as error:
        raise StudyError(str(error)) from error


def _fixed_seed(memory: Memory, asked: int) -> int:
    """The study's seed: recorded when it began, drawn then if the file says -1."""
    recorded = memory.recall(_SEED)
    if recorded is None:
        recorded = secrets.randbits(31) if asked == -1 else asked
        memory.remember(_SEED, recorded)
    if asked not in (-1, recorded):
        raise StudyError(
            f"study.seed is {asked}, but this study was begun with {recorded}; "
            "restore it, or start a new study under another name."
        )
    return int(recorded)


def _fingerprints(dataset: Dataset, base: BasePlan, judge: JudgeSection) -> dict[str, str]:
    """What must not change while a study lasts; reads all weight files."""
    stamp = merging.fingerprint(base_model.fingerprint(base), base.loras)
    known = {"data set": dataset.fingerprint, "base model": stamp}
    eyes = {what: place for field, what in EYES.items() if (place := getattr(judge, field))}
    return known | {what: encoders.fingerprint(place) for what, place in eyes.items()}


def _check_unchanged(memory: Memory, now: Mapping[str, str]) -> None:
    before = memory.recall(_FINGERPRINTS)
    changed = [name for name, value in now.items() if before.get(name, value) != value]
    if changed:
        raise StudyError(
            [
                f"The {name} has changed since this study began, so its trials could no longer be compared; "
                "restore it, or start a new study under another name."
                for name in changed
            ]
        )
