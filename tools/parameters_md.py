"""docs/parameters.md, from the models: ``python -m tools.parameters_md > docs/parameters.md``."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from studies.cli.main import COMMANDS
from studies.sd_scripts.names import OPTIMISERS
from studies.spec.study_file import StudySpec
from trainer.plan import TrainingPlan
from trainer.plans.fields import Meaning, is_assigned, is_shared, leaves, meaning

ELSEWHERE: Mapping[str, tuple[str, str]] = {
    "`save_every_n_epochs`": ("run", "every epoch's end is saved and scored, so that none is missed"),
    "resizing": ("run", "images of any size and mode are brought to their bucket"),
    "black or constant samples, NaN": ("run", "the trial is stopped as failed, and the sampler is told"),
    "dataset check": ("check", "broken files, blur, duplicates, too small images, captions, trigger word"),
    "captions": ("caption", "writes a `.txt` beside each image that has none"),
    "rules of thumb": ("plan", "images, steps an image and steps in all, with advice"),
    "LR probe": (
        "probe",
        "finds the learning rate at which D-Adaptation settles, and proposes a quarter of it",
    ),
}
"""What the guides name that is no field: who does it, and what is done."""
NOTES: tuple[str, ...] = (
    "`full` keeps the difference to the base: weight decay pulls towards the base, where LyCORIS' own module, "
    "which holds the whole weight, is pulled towards 0. It takes a whole copy of the adapted layers for each trial.",
    "`dylora` draws the rank of each layer and step by presentation, and judges and saves the whole rank; blocks that "
    "were not drawn have a gradient of 0, so that momentum goes on. Its file is a LoRA whose alpha is `block_size` "
    "times the plan's, because LyCORIS trains at alpha over the number of blocks.",
    "`lora.block_ranks` gives layers alphas of their own, which diffusers' loader loses at attention projections of "
    "kohya files. Such files are therefore written with one alpha, the commonest, and B makes up for it: every reader "
    "sees the same LoRA.",
    "Files in diffusers' format need no metadata: the scale stands in B, and all layers of a model have the largest of "
    "their ranks, filled up with zeros, since older versions of diffusers give all layers the alpha of the first.",
    "Checkpoints hold no time: equal trainings leave equal files. `best.safetensors` and what `export` makes of "
    "it say when their trial was trained (`ss_training_started_at`, `ss_training_finished_at`, `modelspec.date`).",
    "`ss_new_sd_model_hash` is the SHA-256 of a base model in one file, or over the weight files of a folder; A1111's "
    "old hash, `ss_sd_model_hash`, stands beside it for a base model in one file.",
    "LyCORIS' `train_norm` is not offered: the pack adapts Linear and convolution layers. Nor is `tlora`, whose rank "
    "follows each row's timestep through one global place.",
)
"""What a reader must know of some fields that no one line can hold."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a model, as a reader of the documentation wants it."""

    name: str
    text: str
    """What it means."""
    meaning: Meaning
    """Its unit, and what others call it."""
    values: str
    """Which values it takes."""
    default: str
    searched: bool
    """Whether a study may search it."""
    own: bool
    """Whether each trial of a pack may have its own."""


def fields(model: type[BaseModel]) -> Iterator[Field]:
    """All fields of a model and of the models in it, by dotted name."""
    texts = docstrings(model)
    for name, info in leaves(model):
        searched = not (is_shared(info) or is_assigned(info))
        says = meaning(info)
        yield Field(
            name, texts.get(name, ""), says, _values(info), _default(info), searched, not is_shared(info)
        )


def docstrings(model: type[BaseModel], prefix: str = "") -> dict[str, str]:
    """The text that stands under each field of a class and of the sections in it, by dotted name."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(tree, ast.ClassDef)
    texts: dict[str, str] = {}
    for name, info in model.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            texts |= docstrings(inner, f"{prefix}{name}.")
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
        ):
            texts[prefix + field.target.id] = " ".join(str(ast.literal_eval(text.value)).split())
    return texts


def plan_fields() -> list[Field]:
    """The training plan's."""
    return list(fields(TrainingPlan))


def study_fields() -> list[Field]:
    """The study file's, but the plan's."""
    return [field for field in fields(StudySpec) if field.name != "plan"]


def page() -> str:
    """The whole of docs/parameters.md."""
    parts = (
        plan_tables(plan_fields()),
        study_table(study_fields()),
        _optimiser_table(),
        _elsewhere_table(),
        _notes(),
    )
    return "\n".join([*_HEAD, *(line for part in parts for line in part), ""])


_HEAD = [
    "# Parameters",
    "",
    "Written by `python -m tools.parameters_md > docs/parameters.md` from the models themselves; do not edit.",
    "",
    "Every field can be fixed under `[plan]` of a study file. A field that is *searched* can stand in "
    "`[search.space]` instead, by its dotted name; its trials share packs, each with its own value. The others are "
    "the same for all trials of a study. `lorasearch import` reads the sd-scripts names, "
    "`lorasearch export --sd-scripts` writes them.",
    "",
]
_COLUMNS = "| field | sd-scripts | guides say | meaning | unit | values | default | searched | in a pack |"


def plan_tables(fields: Iterable[Field]) -> Iterator[str]:
    """A table for each section of a plan."""
    section = ""
    for field in fields:
        head = field.name.rpartition(".")[0] or "seed"
        if head != section:
            yield from [
                "",
                f"## `plan.{head}`" if head != "seed" else "## Seed",
                "",
                _COLUMNS,
                _rule(_COLUMNS),
            ]
            section = head
        searched = "yes" if field.searched else "no"
        own = "each trial its own" if field.own else "same for all"
        yield _row([*_cells(field), searched, own])


def study_table(fields: Iterable[Field]) -> Iterator[str]:
    """One table of all sections of a study file."""
    columns = "| field | sd-scripts | guides say | meaning | unit | values | default |"
    yield from ["", "## The rest of the study file", "", columns, _rule(columns)]
    for field in fields:
        yield _row(_cells(field))


def _optimiser_table() -> Iterator[str]:
    columns = "| `optimiser.name` | `optimizer_type` |"
    yield from ["", "## Optimisers", "", columns, _rule(columns)]
    for ours, theirs in OPTIMISERS.items():
        yield _row([f"`{ours}`", f"`{theirs}`"])


def _elsewhere_table() -> Iterator[str]:
    columns = "| guides say | command | what is done |"
    yield from ["", "## No fields, but done", "", columns, _rule(columns)]
    for row, (command, done) in ELSEWHERE.items():
        if command in COMMANDS:
            yield _row([row, f"`lorasearch {command}`", done])


def _notes() -> Iterator[str]:
    yield from ["", "## Notes", ""]
    for note in NOTES:
        yield f"- {note}"


def _cells(field: Field) -> list[str]:
    says = field.meaning
    keys = ", ".join(f"`{key}`" for key in says.keys) or "–"
    return [
        f"`{field.name}`",
        keys,
        says.row,
        field.text.replace("``", "`"),
        says.unit,
        field.values,
        field.default,
    ]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _rule(columns: str) -> str:
    return "|" + " --- |" * (columns.count("|") - 1)


def _values(info: FieldInfo) -> str:
    """The values that a field takes: choices, or a kind with its bounds."""
    kinds = [part for part in _parts(info.annotation) if part is not NoneType]
    choices = [choice for kind in kinds for choice in get_args(kind) if get_origin(kind) is Literal]
    others = [kind for kind in kinds if get_origin(kind) is not Literal]
    words = [f"`{choice}`" for choice in choices] + [_kind(kind) for kind in others]
    bounds = _bounds([*info.metadata, *_inner_bounds(info.annotation)])
    return f"{', '.join(words)}{bounds}"


def _parts(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, UnionType):
        return tuple(part for inner in get_args(annotation) for part in _parts(inner))
    return (get_args(annotation)[0],) if get_origin(annotation) is Annotated else (annotation,)


def _inner_bounds(annotation: Any) -> list[Any]:
    inner = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else ()
    infos = [extra for part in inner if get_origin(part) is Annotated for extra in part.__metadata__]
    return [bound for info in infos for bound in getattr(info, "metadata", [])]


def _kind(kind: Any) -> str:
    names = {bool: "true, false", int: "whole number", float: "number", str: "text", Path: "path"}
    if kind in names:
        return names[kind]
    return {tuple: "list", dict: "table"}.get(get_origin(kind) or kind, "value")


def _bounds(constraints: list[Any]) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [
        f"{sign} {_bound(getattr(constraint, name))}"
        for constraint in constraints
        for name, sign in signs.items()
        if getattr(constraint, name, None) is not None
    ]
    return f" {', '.join(found)}" if found else ""


def _bound(value: float) -> str:
    return "2⁶³" if value == 2**63 else f"{value:g}"


def _default(info: FieldInfo) -> str:
    value = info.default_factory() if info.default_factory else info.default  # type: ignore[call-arg]
    match value:
        case _ if value is PydanticUndefined:
            return "required"
        case None | "" | () | {}:
            return "none"
        case bool():
            return str(value).lower()
        case dict():
            return ", ".join(f"{name} {_default(FieldInfo(default=item))}" for name, item in value.items())
        case float():
            return f"{value:g}"
        case _:
            return str(value)


if __name__ == "__main__":
    sys.stdout.write(page())
