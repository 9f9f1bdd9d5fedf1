"""The study file: what a user writes, checked whole before anything is loaded."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from evaluation import solvers
from search.budget import Budget
from search.objective import weight_problems
from search.pruners import PrunerSettings
from search.samplers import sampler_problem
from search.selection import rule_text
from search.space import Parameter, Space, SpaceError, parse_parameter, parse_space
from search.trial import Value
from studies import places
from studies.cues import weight_needs
from studies.fields import check_space, template_problems
from studies.guards import GuardsSection
from studies.problems import StudyError
from trainer.bases.hub import is_name

_PATHS = (
    ("base", "path"),
    ("base", "vae"),
    ("data", "folder"),
    ("data", "folders"),
    ("data", "concepts"),
    ("data", "reg_folder"),
    ("lora", "start"),
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class StudySection(_Section):
    """[study]"""

    name: str
    """Names the workspace and the study in the database."""
    seed: int = Field(0, ge=-1, lt=2**63)
    """Everything random derives from it; -1 draws one, which is then recorded."""

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"must be 1-64 letters, digits, '.', '_' or '-', starting with a letter or digit, but got {name!r}"
            )
        return name


class BudgetSection(_Section):
    """[budget]"""

    trials: int | None = None
    """Most trials that are begun."""
    images: int | None = None
    """Most images that all trials together see."""
    minutes: float | None = None
    """Longest time that the search may take, all its runs together."""
    images_per_trial: int = Field(ge=1)
    """The horizon: most images that one trial sees."""

    @model_validator(mode="after")
    def _limited(self) -> Self:
        self.limits()
        return self

    def limits(self) -> Budget:
        """What stops the search."""
        return Budget(trials=self.trials, images=self.images, minutes=self.minutes)


class PrunerSection(_Section):
    """[search.pruner]"""

    name: str = "asha"
    """asha, hyperband, median, or none."""
    min_images: int = Field(0, ge=0)
    """Images seen at the first comparison; 0 takes a sixth of the horizon."""
    reduction_factor: int = 3
    """One of this many trials goes on to the next rung."""


class SearchSection(_Section):
    """[search]"""

    sampler: str = "tpe"
    """tpe or random."""
    pruner: PrunerSection = PrunerSection()
    space: dict[str, dict[str, Any]]
    """Plan field -> a range ``{ low, high, log }`` or ``{ choices }``, with ``when`` if it depends on another."""

    @field_validator("sampler")
    @classmethod
    def _known(cls, name: str) -> str:
        if problem := sampler_problem(name):
            raise ValueError(problem.rstrip("."))
        return name


class SplitSection(_Section):
    """[split]"""

    validation: float = Field(0.15, gt=0, lt=0.5)
    """Share of images on which checkpoints are compared."""
    test: float = Field(0.15, gt=0, lt=0.5)
    """Share of images that are used once, at the end."""
    folds: int = Field(0, ge=0, le=20)
    """Also deal all but the test images into this many folds, for ``data.fold`` to hold one out; 0 for none."""


class JudgeSection(_Section):
    """[judge]"""

    clip: str | None = None
    """CLIP folder or hub name; None leaves CLIP scores out."""
    image_encoder: str | None = None
    """Folder or hub name of an image encoder such as DINOv2, which compares pictures in CLIP's place; CLIP still
    reads the prompts."""
    prompts: tuple[str, ...] = ()
    """Empty takes the captions of held-out images."""
    prompt_count: int = Field(4, ge=0, le=64)
    """How many captions are taken where no prompts are given."""
    seeds_per_prompt: int = Field(1, ge=1, le=16)
    """Renders of each prompt; diversity needs 2, and is measured again in the confirmation."""
    outside_prompts: tuple[str, ...] | Literal["general", "objects"] = "general"
    """Prompts that are not in the data set, or the name of a shipped list; those that stand in it are left out."""
    outside_prompt_count: int = Field(4, ge=0, le=64)
    """How many of them a trial's last checkpoint renders; 0 measures flexibility in the confirmation alone."""
    negative_prompt: str = ""
    """What pictures should not show."""
    steps: int = Field(12, ge=1, le=200)
    """Sampling steps of a render."""
    guidance: float = Field(4.0, ge=1)
    """Classifier-free guidance; 1 is none."""
    guided: float = Field(0.6, ge=0, le=1)
    """Share of the steps, from the first on, that guidance acts in: the others cost half as much."""
    timesteps: int = Field(8, ge=1, le=100)
    """Per validation image."""
    seen_images: int = Field(4, ge=0)
    """Training images on which the same loss is measured, to show the gap."""
    max_rows: int = Field(64, ge=2)
    """Most rows in one forward pass."""


class ConfirmSection(_Section):
    """[confirm]"""

    finalists: int = Field(6, ge=1, le=32)
    """Checkpoints that are judged again."""
    timesteps: int = Field(24, ge=1, le=200)
    """Per validation image, with fresh noise."""
    prompt_count: int = Field(16, ge=0, le=64)
    """How many captions of held-out images are rendered where judge.prompts gives none."""
    seeds_per_prompt: int = Field(3, ge=1, le=32)
    """Renders of each prompt, with fresh seeds."""
    outside_prompt_count: int = Field(8, ge=0, le=64)
    """How many prompts outside the data set are rendered, once each."""


class PackSection(_Section):
    """[pack]"""

    size: Annotated[int, Field(ge=1, le=256)] | Literal["auto"] = "auto"
    """Trials trained at a time; "auto" measures once, when the study begins, what fits and pays."""
    most: int = Field(32, ge=1, le=256)
    """The largest size that "auto" tries."""


class SaveSection(_Section):
    """[save]"""

    precision: Literal["no", "fp16", "bf16"] = "fp16"
    """Number format of LoRA files; "no" keeps float32."""
    every_n_epochs: int = Field(1, ge=1)
    """How often ``lorasearch train`` writes a LoRA file; the last epoch's is always written."""
    keep_last: int | None = Field(None, ge=1)
    """How many of these it keeps beside the last epoch's; None keeps all. A search scores every epoch and keeps
    every file, because its finalists are judged again from their files."""


class SamplesSection(_Section):
    """[samples]: pictures that ``lorasearch train`` writes; a search renders what [judge] says."""

    prompts: tuple[str, ...] = ()
    """One picture each; none are written without prompts."""
    negative_prompt: str = ""
    """What the pictures should not show."""
    seed: int = Field(0, ge=-1, lt=2**63)
    """Of the starting noise, the same at every epoch; -1 draws one, which is then recorded."""
    steps: int = Field(20, ge=1, le=1000)
    """Sampling steps of a picture."""
    guidance: float = Field(7.0, ge=1)
    """Scale of classifier-free guidance (CFG); 1 switches it off."""
    sampler: str = solvers.DEFAULT
    """Which of diffusers' solvers draws, by the name that WebUIs give it."""
    width: int | None = Field(None, ge=16)
    """Pixels; None takes ``data.resolution``."""
    height: int | None = Field(None, ge=16)
    """Pixels; None takes ``data.resolution``."""
    every_n_epochs: int = Field(1, ge=1)
    """The last epoch always has its pictures."""

    @field_validator("sampler")
    @classmethod
    def _known(cls, name: str) -> str:
        if problem := solvers.problem(name):
            raise ValueError(problem)
        return name


class ProbeSection(_Section):
    """[probe]: D-Adaptation finds a learning rate, on which the range of ``optimiser.unet_lr`` is centred."""

    enabled: bool = False
    """Whether a study begins with it; the result is remembered, so that it is done once."""
    steps: int = Field(600, ge=120, le=100_000)
    """Most optimiser steps; it ends earlier where the rate has stayed for 100."""
    repetitions: int = Field(3, ge=1, le=16)
    """Trainings with a seed each, in one pack; one estimate alone may be off by a factor of two."""


class StudySpec(_Section):
    """A whole study file."""

    study: StudySection
    plan: dict[str, Any]
    """Fixed fields of the training plan."""
    budget: BudgetSection
    search: SearchSection
    first: tuple[dict[str, Value], ...] = ()
    """Known-good recipes to try first."""
    split: SplitSection = SplitSection()
    judge: JudgeSection = JudgeSection()
    objective: dict[str, float] = {"validation": 1.0, "clip_image": 0.5}
    """Weight of each metric in the objective."""
    guards: GuardsSection = GuardsSection()
    confirm: ConfirmSection = ConfirmSection()
    pack: PackSection = PackSection()
    save: SaveSection = SaveSection()
    samples: SamplesSection = SamplesSection()
    probe: ProbeSection = ProbeSection()

    @model_validator(mode="after")
    def _agree(self) -> Self:
        problems = weight_problems(self.objective)
        problems += weight_needs(self.objective, self.judge)
        if self.probe.enabled and "low" not in self.search.space.get("optimiser.unet_lr", {}):
            problems.append('probe.enabled needs a range to centre: "optimiser.unet_lr" in search.space.')
        if problems:
            raise ValueError(" ".join(problems))
        return self

    @property
    def space(self) -> Space:
        """The checked search space."""
        return parse_space(self.search.space)

    @property
    def pruner(self) -> PrunerSettings:
        """The pruner with its first rung filled in."""
        chosen = self.search.pruner
        first = chosen.min_images or max(1, self.budget.images_per_trial // 6)
        return PrunerSettings(name=chosen.name, min_images=first, reduction_factor=chosen.reduction_factor)

    @property
    def rule(self) -> str:
        """The rule of selection in words."""
        return rule_text(self.objective, guards=self.guards.rule)


def load(path: Path) -> StudySpec:
    """Reads a study file; relative paths in it are relative to its folder.

    Raises:
        StudyError: the file is missing, is no TOML, or says something that cannot be done.
    """
    return parse(read_text(path, "study file", "run"), path.parent.resolve(), str(path))


def read_text(path: Path, what: str, command: str) -> str:
    """The text of a file that a user wrote.

    Args:
        path: where it lies.
        what: what errors call it.
        command: whose help shows how to start.

    Raises:
        StudyError: it is missing or is no UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise StudyError(
            f"{path}: there is no such {what}; `lorasearch {command} --help` shows how to start."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: the {what} cannot be read ({error}).") from error


def toml_table(text: str, name: str) -> dict[str, Any]:
    """The table that TOML text says; ``name`` is what errors call the file.

    Raises:
        StudyError: it is no TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{name}: this is not valid TOML: {error}.") from error


def parse(text: str, folder: Path, name: str = "study file") -> StudySpec:
    """A checked study from TOML text.

    Args:
        text: the study file's content.
        folder: what its relative paths are relative to.
        name: what errors call the file.

    Raises:
        StudyError: with all problems, each with its line.
    """
    table = toml_table(text, name)
    found = places.lines(text)
    resolve_paths(table, folder)
    problems = [located(name, found, path, told) for path, told in [*_structure(table), *_meaning(table)]]
    if problems:
        raise StudyError(list(dict.fromkeys(problems)))
    return StudySpec.model_validate(table)


Problem = tuple[tuple[str | int, ...], str]


def _structure(table: Mapping[str, Any]) -> list[Problem]:
    """What the sections themselves object to."""
    try:
        spec = StudySpec.model_validate(table)
    except ValidationError as error:
        return [sentence(found) for found in error.errors()]
    try:
        _ = spec.pruner
    except ValidationError as error:
        return [(("search", "pruner"), str(found["ctx"]["error"])) for found in error.errors()]
    return []


def _meaning(table: Mapping[str, Any]) -> list[Problem]:
    """What plan, space and first recipes mean together."""
    plan, search = table.get("plan", {}), table.get("search", {})
    tables = search.get("space", {}) if isinstance(search, dict) else {}
    if not isinstance(plan, dict) or not isinstance(tables, dict):
        return []
    problems: list[Problem] = [(("plan", *path), text) for path, text in template_problems(plan, tables)]
    parameters: dict[str, Parameter] = {}
    for name, entry in tables.items():
        if not isinstance(entry, dict):
            problems.append(
                (("search", "space", name), "must be a table such as { low = 1e-5, high = 1e-2 }")
            )
            continue
        try:
            parameters[name] = parse_parameter(entry)
        except SpaceError as error:
            problems += [(("search", "space", name), problem) for problem in error.problems]
    problems += [(("search", "space", name), text) for name, text in check_space(plan, parameters)]
    if not tables:
        problems.append((("search",), "search.space is empty: name at least one field to search"))
    return problems + _recipes(table.get("first", []), parameters, tables)


def _recipes(first: Any, parameters: Mapping[str, Parameter], tables: Mapping[str, Any]) -> list[Problem]:
    if len(parameters) != len(tables) or not isinstance(first, list):
        return []
    try:
        space = Space(dict(parameters))
    except SpaceError as error:
        return [(("search", "space"), problem) for problem in error.problems]
    return [
        (("first", index), problem)
        for index, recipe in enumerate(first)
        if isinstance(recipe, dict)
        for problem in space.problems(recipe)
    ]


def resolve_paths(table: dict[str, Any], folder: Path) -> None:
    """Makes the paths of a study file's table absolute, in place."""
    plan = table.get("plan")
    if isinstance(plan, dict):
        for section, key in _PATHS:
            entry = plan.get(section)
            if isinstance(entry, dict) and isinstance(entry.get(key), str):
                entry[key] = _resolved(folder, entry[key], (section, key) == ("base", "path"))
            elif isinstance(entry, dict) and isinstance(entry.get(key), list):
                entry[key] = [_resolved(folder, str(item), False) for item in entry[key]]
        _resolve_loras(plan.get("base"), folder)
    judge = table.get("judge")
    for key in ("clip", "image_encoder"):
        if isinstance(judge, dict) and isinstance(judge.get(key), str):
            local = (folder / judge[key]).resolve()
            judge[key] = str(local) if local.exists() else judge[key]


def _resolved(folder: Path, text: str, may_be_hub_name: bool) -> str:
    local = (folder / Path(text).expanduser()).resolve()
    hub_name = may_be_hub_name and not text.startswith(".") and is_name(Path(text))
    return text if hub_name and not local.exists() else str(local)


def sentence(found: Any) -> Problem:
    """What pydantic found, as a place and a sentence."""
    where = tuple(found["loc"])
    match found["type"]:
        case "missing":
            return where, "is missing"
        case "extra_forbidden":
            return where, "is not a known key"
        case "value_error":
            return where, str(found["ctx"]["error"])
        case _:
            return where, f"{found['msg'][0].lower()}{found['msg'][1:]}, but got {found['input']!r}"


def _resolve_loras(base: Any, folder: Path) -> None:
    loras = base.get("loras") if isinstance(base, dict) else None
    for lora in loras if isinstance(loras, list) else ():
        if isinstance(lora, dict) and isinstance(lora.get("file"), str):
            lora["file"] = _resolved(folder, lora["file"], False)


def located(name: str, found: Mapping[places.Path, int], path: tuple[str | int, ...], told: str) -> str:
    """A problem with the line of the file at which it is."""
    line = places.line_of(found, path)
    place = f"{name}:{line}" if line else name
    dotted = ".".join(f'"{part}"' if "." in str(part) else str(part) for part in path)
    return f"{place}: {dotted}: {told.rstrip('.')}." if dotted else f"{place}: {told.rstrip('.')}."
