"""The study file: what a user writes, checked whole before anything is loaded."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError, model_validator

from evaluation.metrics.table import directions
from search.objective import weight_problems
from search.pruners import PrunerSettings, first_look
from search.space import Parameter, Space, SpaceError, parse_parameter, parse_space
from search.trial import Value
from studies.errors import StudyError
from studies.spec import toml
from studies.spec.guards import GuardsSection
from studies.spec.mistakes import Mistake, mistakes
from studies.spec.paths import BACKSLASHES, is_hub_name, no_paths, written_problem
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
    weight_needs,
)
from trainer.paths import absolute
from trainer.plan import TrainingPlan
from trainer.plans.fields import field, means

PATHS = (
    ("base", "path"),
    ("base", "vae"),
    ("data", "folder"),
    ("data", "folders"),
    ("data", "concepts"),
    ("data", "reg_folder"),
    ("lora", "start"),
)
"""Fields of the plan that are paths."""
_KIND = re.compile(r"constrained-\w+|literal\[.*\]|tuple\[.*\]")
"""How pydantic names the sorts of value that a key may have."""
MOST_BYTES = 4 * 2**20
"""Of a study file; the longest known has 20,000."""


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
    objective: dict[str, float] = field(
        {"validation": 1.0, "clip_image": 0.5}, means(unit="weight of each metric")
    )
    """Weight of each metric in the objective."""
    guards: GuardsSection = GuardsSection()
    confirm: ConfirmSection = ConfirmSection()
    pack: PackSection = PackSection()
    save: SaveSection = SaveSection()
    samples: SamplesSection = SamplesSection()
    probe: ProbeSection = ProbeSection()
    storage: StorageSection = StorageSection()

    @model_validator(mode="after")
    def _agree(self) -> Self:
        problems = weight_problems(self.objective, directions())
        problems += weight_needs(self.objective, self.judge)
        if self.probe.enabled and "low" not in self.search.space.get("optimiser.unet_lr", {}):
            problems.append('probe.enabled needs a range to centre: "optimiser.unet_lr" in search.space.')
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
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise StudyError(f"{path}: the {what} is larger than {MOST_BYTES} bytes, so it is another file.")
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise StudyError(
            f"{path}: there is no such {what}; `lorasearch {command} --help` shows how to start."
        ) from None
    except UnicodeDecodeError as error:
        raise StudyError(
            f"{path}: the {what} is not UTF-8 (byte {error.start}); save it as UTF-8 in your editor."
        ) from error
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: the {what} cannot be read ({error}).") from error


def toml_table(text: str, name: str) -> dict[str, Any]:
    """The table that TOML text says; ``name`` is what errors call the file.

    Raises:
        StudyError: it is no TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(_no_toml(text, name, str(error))) from error
    except RecursionError as error:
        raise StudyError(
            f"{name}: its tables are nested too deeply; a study file needs four levels."
        ) from error


def _no_toml(text: str, name: str, told: str) -> str:
    """What the reader told, at its line; where that holds a backslash, what to do about it."""
    if not (found := re.search(r"at line (\d+)", told)):
        return f"{name}: this is not valid TOML: {told}."
    line = text.split("\n")[int(found[1]) - 1]
    advice = f"; {BACKSLASHES}" if "\\" in line else ""
    return f"{name}:{found[1]}: this is not valid TOML: {told}{advice}."


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
    found = toml.lines(text)
    resolve_paths(table, folder)
    spec, objections = _structure(table)
    told_of = [*no_paths(table, PATHS), *objections, *_meaning(table)]
    problems = [located(name, found, path, told) for path, told in told_of]
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


def resolve_paths(table: dict[str, Any], folder: Path) -> None:
    """Makes the paths of a study file's table absolute, in place."""
    plan = table.get("plan")
    if isinstance(plan, dict):
        for section, key in PATHS:
            entry = plan.get(section)
            if isinstance(entry, dict) and isinstance(entry.get(key), str):
                entry[key] = _resolved(folder, entry[key], (section, key) == ("base", "path"))
            elif isinstance(entry, dict) and isinstance(entry.get(key), list):
                entry[key] = [_resolved(folder, str(item), False) for item in entry[key]]
        _resolve_loras(plan.get("base"), folder)
    judge = table.get("judge")
    for key in ("clip", "image_encoder"):
        if isinstance(judge, dict) and isinstance(judge.get(key), str):
            local = _resolved(folder, judge[key], False)
            judge[key] = local if os.path.exists(local) else judge[key]
    storage = table.get("storage")
    if (
        isinstance(storage, dict)
        and isinstance(place := storage.get("checkpoints"), str)
        and "://" not in place
    ):
        storage["checkpoints"] = _resolved(folder, place, False)


def _resolved(folder: Path, text: str, may_be_hub_name: bool) -> str:
    if written_problem(text):
        return text
    local = absolute(text, folder)
    return text if may_be_hub_name and is_hub_name(text) and not local.exists() else str(local)


def sentence(mistake: Mistake) -> Problem:
    """A mistake in a study file, as a place and a sentence."""
    where = mistake.where
    if mistake.kind != "unknown":
        where = tuple(takewhile(lambda part: not _KIND.fullmatch(str(part)), where))
    return where, mistake.words(f"is not a known key{meant_key(StudySpec, where)}")


def _resolve_loras(base: Any, folder: Path) -> None:
    loras = base.get("loras") if isinstance(base, dict) else None
    for lora in loras if isinstance(loras, list) else ():
        if isinstance(lora, dict) and isinstance(lora.get("file"), str):
            lora["file"] = _resolved(folder, lora["file"], False)


def located(name: str, found: Mapping[toml.Path, int], path: tuple[str | int, ...], told: str) -> str:
    """A problem with the line of the file at which it is."""
    line = toml.line_of(found, path)
    place = f"{name}:{line}" if line else name
    dotted = ".".join(f'"{part}"' if "." in str(part) else str(part) for part in path)
    said = told if told.endswith("?") else f"{told.rstrip('.')}."
    return f"{place}: {dotted}: {said}" if dotted else f"{place}: {said}"
