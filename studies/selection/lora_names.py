"""What the names and the metadata of LoRA files say of their run, epoch and step, trainer by trainer (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

Unit = Literal["epoch", "step"]
Facts = Mapping[str, str]
"""The metadata of a safetensors file."""


def whole(text: object) -> int | None:
    """A number of the metadata; None where there is none."""
    return int(text) if isinstance(text, str) and text.isdecimal() else None


Whole = Annotated[int | None, BeforeValidator(whole)]


class KohyaFacts(BaseModel):
    """What sd-scripts and its kin write about a file's place in its run."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    ss_output_name: str = ""
    ss_epoch: Whole = None
    ss_steps: Whole = None
    ss_total_batch_size: Whole = None
    ss_num_batches_per_epoch: Whole = None


_PLAIN_NAMES = {"pytorch_lora_weights", "adapter_model", "adapter_config"}
"""Names that trainers give to every file, so that the folder's name tells more."""
_NAMELESS = {"epoch", "at", "last", "checkpoint"}
"""Stems where nobody gave a name: sd-scripts' own, and that of diffusers' and SimpleTuner's folders."""
_ONE_TRAINER = re.compile(
    r"(?P<stem>.*?)[-_]?\d{4}-\d\d-\d\d[-_]\d\d-\d\d-\d\d-(?:save|backup)-(?P<step>\d+)-(?P<epoch>\d+)-\d+"
)
"""``cat2026-11-30_10-15-00-save-500-5-0``: step, epoch, step in the epoch."""
_NUMBERED = re.compile(
    r"(?P<stem>.*?)(?:"
    r"[-_. ]?(?P<word>epoch|ep|e|steps?|s|checkpoint)[-_. ]?(?P<told>\d+)"
    r"|_(?P<padded>\d{9})"
    r"|-(?P<bare>\d{6,})"
    r")",
    re.IGNORECASE,
)
"""``name-000007`` as kohya writes it, ``name_000000250`` as ai-toolkit, ``name_epoch7``, ``checkpoint-500``."""
_SHORT = re.compile(r"(?P<stem>.+)[-_ ](?P<number>\d{2,5})")
"""``cat-01``: a number where metadata or other files bear it out, else part of the name, as in ``style-512``."""


@dataclass(frozen=True, slots=True)
class Named:
    """What is known of one file."""

    folder: Path
    """Of the run."""
    stem: str
    """The run's name; empty where nobody gave one."""
    number: int | None = None
    unit: Unit = "epoch"
    epoch: int | None = None
    """As the metadata or OneTrainer's names have it."""
    step: int | None = None


def named(path: Path, facts: Facts) -> Named:
    """What name and metadata say of a file or a PEFT folder."""
    shown = path.parent if path.stem in _PLAIN_NAMES else path
    name = shown.stem if shown.suffix == ".safetensors" else shown.name
    known = KohyaFacts.model_validate(facts)
    if match := _ONE_TRAINER.fullmatch(name):
        step, epoch = int(match.group("step")), int(match.group("epoch"))
        return Named(shown.parent, match.group("stem"), step, "step", epoch, step)
    stem, number, unit = numbered(name)
    if number is None:
        stem, number, unit = _by_facts(name, known) or (stem, number, unit)
    folder = shown.parent
    if stem.lower() in _NAMELESS:
        folder, stem = (folder.parent, folder.name) if stem.lower() == "checkpoint" else (folder, "")
    return Named(folder, stem, number, unit, known.ss_epoch, known.ss_steps)


def numbered(name: str) -> tuple[str, int | None, Unit]:
    """A file's name without its number, the number if there is one, and what it counts.

    A version such as ``cat_v2`` is no number.
    """
    match = _NUMBERED.fullmatch(name)
    if match is None:
        return name, None, "epoch"
    number = int(match.group("told") or match.group("padded") or match.group("bare"))
    word = (match.group("word") or "").lower()
    alone = not match.group("stem") or match.group("stem")[-1].isalnum()
    if len(word) == 1 and alone and match.start("word") == match.end("stem"):
        return name, None, "epoch"
    steps = match.group("padded") or word in ("s", "step", "steps", "checkpoint")
    return match.group("stem").rstrip("-_. ") or word, number, "step" if steps else "epoch"


def counted(files: list[Named]) -> list[Named]:
    """Files of one folder, short numbers told where at least two files bear each other out: ``cat-01``, ``cat-02``."""
    parts = {i: _SHORT.fullmatch(one.stem) for i, one in enumerate(files) if one.number is None}
    groups: dict[tuple[str, int], list[int]] = {}
    for i, match in parts.items():
        if match:
            groups.setdefault((match.group("stem"), len(match.group("number"))), []).append(i)
    found = list(files)
    for (stem, _), members in groups.items():
        numbers = [match.group("number") for i in members if (match := parts[i])]
        if len(members) > 1 and any(number.startswith("0") for number in numbers):
            for i, number in zip(members, numbers, strict=True):
                found[i] = replace(files[i], stem=stem, number=int(number))
    return found


def _by_facts(name: str, known: KohyaFacts) -> tuple[str, int | None, Unit] | None:
    """By the run's name in the metadata, where the file's begins with it and goes on with a number, or ends there."""
    run = known.ss_output_name
    match = re.fullmatch(re.escape(run) + r"(?:[-_ ](?P<number>\d+))?", name) if run else None
    if match is None:
        return None
    number = whole(match.group("number"))
    is_step = number is not None and number == known.ss_steps != known.ss_epoch
    return run, number, "step" if is_step else "epoch"
