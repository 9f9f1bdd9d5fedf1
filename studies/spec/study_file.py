"""The study file: what a user writes, checked whole before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError, model_validator

from search.pruners import PrunerSettings, first_look, forecast_problem
from search.space import Parameter, Space, SpaceError, parse_parameter, parse_space
from search.trial import Value
from studies.errors import StudyError
from studies.spec.file_text import Lines, read_text, toml_table
from studies.spec.guards import GuardsSection
from studies.spec.mistakes import Mistake, mistakes
from studies.spec.plan_fields import build, check_space, meant_key, template_problems
from studies.spec.sections import (
    BudgetSection,
    ConfirmSection,
    JudgeSection,
    PackSection,
    ProbeSection,
    SamplesSection,
    SaveSection,
    SearchSection,
    Section,
    SplitSection,
    StorageSection,
    StudySection,
    objective_problems,
    weights_for,
)
from studies.spec.study_paths import path_problems, resolve_paths
from trainer.plan import TrainingPlan
from trainer.plans.fields import field, means

_KIND = re.compile(r"constrained-\w+|literal\[.*\]|tuple\[.*\]")
"""How pydantic names the sorts of value that a key may have."""


class StudySpec(Section):
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
    objective: dict[str, float] = field({}, means(unit="weight of each metric"))
    """Weight of each metric in the objective; where none is given, ``judge.subject`` decides."""
    guards: GuardsSection = GuardsSection()
    confirm: ConfirmSection = ConfirmSection()
    pack: PackSection = PackSection()
    save: SaveSection = SaveSection()
    samples: SamplesSection = SamplesSection()
    probe: ProbeSection = ProbeSection()
    storage: StorageSection = StorageSection()

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if "objective" not in self.model_fields_set:
            self.__dict__["objective"] = weights_for(self.judge)
        problems = objective_problems(self.objective, self.judge, self.confirm)
        if self.probe.enabled and "low" not in self.search.space.get("optimiser.unet_lr", {}):
            problems.append('probe.enabled needs a range to centre: "optimiser.unet_lr" in search.space.')
        forecasts = self.search.pruner.name, self.search.counts
        if ("forecast" in forecasts or self.budget.until_gain_below) and (missing := forecast_problem()):
            problems.append(missing)
        if self.guards.training_gap != "off" and self.judge.seen_images < 2:
            problems.append(
                f"guards.training_gap needs judge.seen_images of at least 2, but got {self.judge.seen_images}."
            )
        if problems:
            raise ValueError(" ".join(problems))
        return self

    @cached_property
    def space(self) -> Space:
        """The checked search space."""
        return parse_space(self.search.space)

    @cached_property
    def shared_plan(self) -> TrainingPlan:
        """The plan of the fixed fields alone; what stands in its ``shared`` fields is every trial's."""
        return build(self.plan, {})

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other fields, from which its space and its shared plan are read anew."""
        copied = super().model_copy(update=update, deep=deep)
        for derived in ("space", "shared_plan"):
            copied.__dict__.pop(derived, None)
        return copied

    @property
    def pruner(self) -> PrunerSettings:
        """The pruner with its first rung filled in."""
        chosen = self.search.pruner.model_dump()
        first = chosen["min_images"] or first_look(chosen["name"], self.budget.images_per_trial)
        return PrunerSettings(**chosen | {"min_images": first})


def load(path: Path) -> StudySpec:
    """Reads a study file; relative paths in it are relative to its folder.

    Raises:
        StudyError: the file is missing, is no TOML, or says something that cannot be done.
    """
    return parse(read_text(path, "study file", "run"), path.parent.resolve(), str(path))


def parse(text: str, folder: Path, name: str = "study file") -> StudySpec:
    """A checked study from TOML text.

    Args:
        text: the study file's content.
        folder: what its relative paths are relative to.
        name: what errors call the file.

    Raises:
        StudyError: with all problems, each with its line.
    """
    table, lines = toml_table(text, name), Lines(text, name)
    resolve_paths(table, folder)
    spec, objections = _structure(table)
    everything = [*path_problems(table), *objections, *_meaning(table)]
    problems = [lines.located(path, problem) for path, problem in everything]
    if spec is None or problems:
        raise StudyError(list(dict.fromkeys(problems)))
    return spec


Problem = tuple[tuple[str | int, ...], str]


def _structure(table: Mapping[str, Any]) -> tuple[StudySpec | None, list[Problem]]:
    """The study as its sections read it, and what they object to."""
    try:
        spec = StudySpec.model_validate(table)
    except ValidationError as error:
        return None, [sentence(mistake) for mistake in mistakes(error)]
    try:
        _ = spec.pruner
    except ValidationError as error:
        return spec, [(("search", "pruner"), mistake.text) for mistake in mistakes(error)]
    return spec, []


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


def sentence(mistake: Mistake) -> Problem:
    """A mistake in a study file, as a place and a sentence."""
    where = mistake.where
    if mistake.kind != "unknown":
        where = tuple(takewhile(lambda part: not _KIND.fullmatch(str(part)), where))
    hint = meant_key(StudySpec, where) if mistake.kind == "unknown" else ""
    return where, mistake.words(f"is not a known key{hint}")
