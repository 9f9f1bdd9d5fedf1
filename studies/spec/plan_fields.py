"""Fields of the training plan by dotted name: which exist, which can be searched, with which values."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from pydantic import BaseModel, ValidationError

from search.space import Choice, Parameter
from studies.spec.mistakes import Mistake, mistakes
from trainer.bases.family import Family
from trainer.bases.misfits import misfits
from trainer.plan import TrainingPlan
from trainer.plans.data import DataPlan
from trainer.plans.fields import is_assigned, is_shared, leaves

LONGEST = 100
"""Letters of a name that are compared with known ones."""
Path = tuple[str | int, ...]


def searchable(model: type[BaseModel] = TrainingPlan) -> dict[str, bool]:
    """Every leaf field of the plan, and whether a study may search it (else all its trials share it)."""
    return {name: not (is_shared(info) or is_assigned(info)) for name, info in leaves(model)}


def build(plan: Mapping[str, Any], values: Mapping[str, Any]) -> TrainingPlan:
    """The plan with the fields named in ``values`` replaced.

    Raises:
        ValidationError: the result is no valid plan.
    """
    return TrainingPlan.model_validate(overlaid(plan, values))


def overlaid(plan: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the plan's table with the fields named in ``values`` replaced, not checked.

    A section that is no table stays as it is, for the check to name it.
    """
    table = {section: dict(entry) if isinstance(entry, dict) else entry for section, entry in plan.items()}
    for name, value in values.items():
        section, _, field = name.partition(".")
        if not field:
            table[section] = value
        elif isinstance(entry := table.setdefault(section, {}), dict):
            entry[field] = value
    return table


def template_problems(plan: Mapping[str, Any], tables: Mapping[str, Any]) -> list[tuple[Path, str]]:
    """What is wrong with the fixed fields alone; searched ones are left to ``check_space``."""
    problems: list[tuple[Path, str]] = [
        (tuple(name.split(".")), "is both fixed here and searched; keep one")
        for name in tables
        if _fixed(plan, name)
    ]
    if _fixed(plan, "lora.alpha_over_rank") and (_fixed(plan, "lora.alpha") or "lora.alpha" in tables):
        problems.append((("lora", "alpha_over_rank"), "says what lora.alpha says; keep one"))
    if "seed" in plan:
        problems.append((("seed",), "is set by study.seed"))
    try:
        build(plan, {})
    except ValidationError as error:
        for mistake in mistakes(error):
            names = list(searchable()) if len(mistake.where) > 1 else list(TrainingPlan.model_fields)
            hint = meant(".".join(map(str, mistake.where)), names)
            problems.append((mistake.where, _words(mistake, hint)))
        problems += _whole_problems(plan, {str(path[0]) for path, _ in problems if path})
    return problems


def _whole_problems(plan: Mapping[str, Any], broken: set[str]) -> list[tuple[Path, str]]:
    """What the sections that are sound object to in each other, which a broken section would hide."""
    if not broken:
        return []
    sound = {name: entry for name, entry in plan.items() if name not in broken}
    needed = {"base": {"path": "base"}, "data": {"folder": "images"}}
    try:
        build({**needed, **sound}, {})
    except ValidationError as error:
        return [((), _words(mistake, "")) for mistake in mistakes(error) if not mistake.where]
    return []


def check_space(plan: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> list[tuple[str, str]]:
    """Names and values of the space that no plan can take: (parameter, sentence)."""
    known, problems = searchable(), []
    usable: dict[str, Parameter] = {}
    for name, parameter in parameters.items():
        if name not in known:
            problems.append((name, f"the training plan has no such field{meant(name, list(known))}"))
        elif not known[name]:
            problems.append(
                (name, "is the same for all trials of a study and can't be searched; fix it under [plan]")
            )
        else:
            usable[name] = parameter
    single = [
        (name, text) for name, parameter in usable.items() for text in _value_problems(plan, name, parameter)
    ]
    if not single:
        single = list(_pair_problems(plan, usable))
    return problems + single + list(_start_problems(plan, usable))


def _start_problems(
    plan: Mapping[str, Any], parameters: Mapping[str, Parameter]
) -> Iterator[tuple[str, str]]:
    """A LoRA to start from has one rank, whatever is searched."""
    lora, rank = plan.get("lora"), parameters.get("lora.rank")
    start = lora.get("start") if isinstance(lora, dict) else None
    if start is not None and rank is not None:
        values = ", ".join(map(str, sorted(extremes(rank))))
        yield (
            "lora.rank",
            f"lora.start = '{start}' has one rank, but {values} are searched; fix lora.rank under [plan.lora] "
            "to the file's rank (network_dim), or leave lora.start out",
        )


def _value_problems(plan: Mapping[str, Any], name: str, parameter: Parameter) -> Iterator[str]:
    for value in extremes(parameter):
        for text in _objections(plan, {name: value, **_enablers(parameter)}):
            yield f"{value!r}: {text}" if not isinstance(value, str) else f"'{value}': {text}"


def _pair_problems(plan: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> Iterator[tuple[str, str]]:
    """Pairs of values that cannot stand together, told once a pair of parameters."""
    for (one, first), (two, second) in combinations(parameters.items(), 2):
        for values in _joint(one, first, two, second):
            needed = {**_enablers(first), **_enablers(second)}
            if any(needed.get(key, value) != value for key, value in values.items()):
                continue
            if texts := _objections(plan, {**needed, **values}):
                pair = " with ".join(f"{key} = {value!r}" for key, value in values.items())
                yield one, f"impossible pair: {pair}: {texts[0]}"
                break


def _joint(one: str, first: Parameter, two: str, second: Parameter) -> Iterator[dict[str, Any]]:
    return ({one: a, two: b} for a in extremes(first) for b in extremes(second))


def base_problems(
    plan: Mapping[str, Any], parameters: Mapping[str, Parameter], family: Family
) -> Iterator[str]:
    """What the plan or the space asks that the family of its base model cannot do, once for each field."""
    told: set[str] = set()
    choices = [
        {},
        *(
            {**_enablers(found), name: value}
            for name, found in parameters.items()
            for value in extremes(found)
        ),
    ]
    for values in choices:
        made = build(plan, values)
        for problem in misfits(family, made):
            field = problem.split(" = ")[0]
            if field not in told:
                told.add(field)
                yield f"{problem}."


def size_problems(data: DataPlan, step: int) -> list[str]:
    """Sizes that the base model cannot halve evenly at all its levels."""
    sizes = {"data.resolution": data.resolution}
    if data.enable_bucket:
        sizes["data.bucket_reso_steps"] = data.bucket_reso_steps
    return [
        f"{name} must be a multiple of {step} for this base model, but got {size}."
        for name, size in sizes.items()
        if size % step
    ]


def extremes(parameter: Parameter) -> tuple[Any, ...]:
    """All choices, or both ends of a range."""
    if isinstance(parameter, Choice):
        return parameter.choices
    return parameter.low, parameter.high


def _enablers(parameter: Parameter) -> dict[str, Any]:
    """Values of other parameters under which this one applies."""
    return {name: allowed[0] for name, allowed in parameter.when.items()}


def _objections(plan: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    try:
        build(plan, values)
    except ValidationError as error:
        sections = {name.split(".")[0] for name in values}
        return [
            _words(one, "")
            for one in mistakes(error)
            if not one.where or (one.where[0] in sections and not _misspelt(one))
        ]
    return []


def _misspelt(mistake: Mistake) -> bool:
    """Whether it concerns a key that the plan does not have, which no value of another can mend."""
    return mistake.kind == "unknown" and len(mistake.where) == 2


def _fixed(plan: Mapping[str, Any], name: str) -> bool:
    section, _, field = name.partition(".")
    entry = plan.get(section)
    return isinstance(entry, dict) and field in entry


def meant(name: str, names: list[str]) -> str:
    """What may have been meant by an unknown name, as the end of a sentence."""
    near = difflib.get_close_matches(name[:LONGEST], names, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else f"; choose among: {', '.join(sorted(names))}"


def meant_key(model: type[BaseModel], where: Path) -> str:
    """What may have been meant by an unknown key of a section, which ``where`` ends in."""
    if not where:
        return ""
    for part in where[:-1]:
        field = model.model_fields.get(str(part))
        kind = field.annotation if field is not None else None
        if not isinstance(kind, type) or not issubclass(kind, BaseModel):
            return ""
        model = kind
    return meant(str(where[-1]), list(model.model_fields))


def _words(mistake: Mistake, hint: str) -> str:
    return mistake.words(f"the training plan has no such field{hint}")
