"""What ``lorasearch train`` reads: a study file, or a TOML file with plan sections alone."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studies.errors import StudyError, shown
from studies.spec.file_text import Lines, read_text, toml_table
from studies.spec.mistakes import mistakes
from studies.spec.paths import path_problem
from studies.spec.plan_fields import build, overlaid, searchable, template_problems
from studies.spec.sections import SamplesSection, SaveSection, SplitSection, StudySection
from studies.spec.study_file import StudySpec, sentence
from studies.spec.study_paths import path_problems, resolve_paths
from trainer.plan import TrainingPlan


class _Budget(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    images_per_trial: int | None = Field(None, ge=1)


class _Sections(BaseModel):
    """The sections of a study file that concern a single training."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    study: StudySection
    plan: dict[str, Any]
    split: SplitSection = SplitSection()
    save: SaveSection = SaveSection()
    samples: SamplesSection = SamplesSection()
    budget: _Budget = _Budget()


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A checked plan and what goes with it."""

    name: str
    seed: int
    """-1 to draw one."""
    template: Mapping[str, Any]
    """Fields of the plan, but for the seed."""
    split: SplitSection
    save: SaveSection
    samples: SamplesSection
    images: int | None
    """Images seen from which the epochs follow; None where the plan says them, or nothing does."""
    unset: tuple[str, ...]
    """Searched fields that take the plan's default, since neither a recipe nor a setting fixed them."""

    def plan(self, seed: int, values: Mapping[str, Any] | None = None) -> TrainingPlan:
        """The plan with its seed and further values."""
        return build({**self.template, "seed": seed}, values or {})


def load(path: Path, settings: Sequence[str]) -> PlanFile:
    """Reads a file and lays ``field=value`` settings over it.

    Args:
        path: a study file, or a TOML file with [plan] sections alone.
        settings: such as ``optimiser.unet_lr=1e-4``; paths in them are relative to the working folder.

    Raises:
        StudyError: with all problems.
    """
    return parse(read_text(path, "file", "train"), path, settings)


def parse(text: str, path: Path, settings: Sequence[str] = ()) -> PlanFile:
    """The same from a text; ``path`` names the training and says what its paths are relative to.

    Raises:
        StudyError: with all problems.
    """
    table, lines = toml_table(text, str(path)), Lines(text, str(path))
    resolve_paths(table, path.parent.resolve())
    given, troubles = _settings(settings)
    everything = [*path_problems(table), *_problems(table, path.stem)]
    problems = [lines.located(where, problem) for where, problem in everything]
    if problems or troubles:
        raise StudyError(problems + troubles)
    sections = _Sections.model_validate(_named(table, path.stem))
    plan = dict(sections.plan)
    seed = given.pop("seed", plan.pop("seed", sections.study.seed))
    merged = overlaid(plan, {**_first_recipe(table), **given})
    problems = _plan_problems(lines, merged, given)
    if not isinstance(seed, int) or isinstance(seed, bool) or not -1 <= seed < 2**63:
        problems.append(f"seed must be a whole number from -1 (which draws one), but got {seed!r}.")
    if problems:
        raise StudyError(problems)
    images = None if "epochs" in merged["data"] else sections.budget.images_per_trial
    unset = _unset(table, merged, images)
    return PlanFile(
        sections.study.name, seed, merged, sections.split, sections.save, sections.samples, images, unset
    )


def _first_recipe(table: Mapping[str, Any]) -> dict[str, Any]:
    """What a study would try first: values of the fields that it searches."""
    recipes = table.get("first")
    return recipes[0] if isinstance(recipes, list) and recipes and isinstance(recipes[0], dict) else {}


def _named(table: Mapping[str, Any], stem: str) -> dict[str, Any]:
    study = table.get("study", {})
    return {**table, "study": {"name": stem, **study} if isinstance(study, dict) else study}


def _problems(table: Mapping[str, Any], stem: str) -> list[tuple[tuple[str | int, ...], str]]:
    """What the sections themselves object to."""
    problems: list[tuple[tuple[str | int, ...], str]] = [
        ((name,), "is not a known key") for name in table if name not in StudySpec.model_fields
    ]
    try:
        _Sections.model_validate(_named(table, stem))
    except ValidationError as error:
        problems += [sentence(mistake) for mistake in mistakes(error)]
    return problems


def _settings(settings: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Values by field, read as TOML where they are TOML and as text elsewhere; and what is wrong with them."""
    given: dict[str, Any] = {}
    problems = []
    for setting in settings:
        field, equals, text = (part.strip() for part in setting.partition("="))
        if not equals or not text:
            problems.append(
                f"--set {setting}: give a field and its value, such as --set optimiser.unet_lr=1e-4."
            )
        elif problem := path_problem(text):
            problems.append(f"--set {shown(setting)}: {problem}.")
        elif field != "seed" and field not in searchable():
            problems.append(f"--set {setting}: {_unknown(field)}.")
        else:
            given[field] = _value(text)
    _make_absolute(given)
    return given, problems


def _unknown(field: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(field, searchable(), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"choose among: {', '.join(searchable())}"
    return f"the training plan has no field '{field}'; {hint}".rstrip("?")


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _make_absolute(given: dict[str, Any]) -> None:
    """Paths in settings, which are relative to the working folder."""
    plan = overlaid({}, given)
    resolve_paths({"plan": plan}, Path.cwd())
    for field in given:
        section, _, name = field.partition(".")
        given[field] = plan[section][name] if name else plan[section]


def _plan_problems(lines: Lines, merged: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    problems = []
    for where, problem in template_problems(merged, {}):
        field = ".".join(map(str, where))
        if field in given:
            problems.append(f"--set {field}={given[field]}: {problem.rstrip('.')}.")
        else:
            problems.append(lines.located(("plan", *where), problem))
    return problems


def _unset(table: Mapping[str, Any], plan: Mapping[str, Any], images: int | None) -> tuple[str, ...]:
    search = table.get("search", {})
    space = search.get("space", {}) if isinstance(search, dict) else {}
    names = space if isinstance(space, dict) else {}
    return tuple(
        name
        for name in names
        if name in searchable()
        and name.partition(".")[2] not in plan.get(name.partition(".")[0], {})
        and not (name == "data.epochs" and images is not None)
    )
