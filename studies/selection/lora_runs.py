"""LoRA files of any trainer, told apart into runs and put into the order of training (pure)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

_PLAIN_NAMES = {"pytorch_lora_weights", "adapter_model", "adapter_config"}
"""Names that trainers give to every file, so that the folder's name tells more."""
_NUMBERED = re.compile(
    r"(?P<stem>.*?)(?:"
    r"[-_. ]?(?P<word>epoch|ep|e|steps?|s|checkpoint)[-_. ]?(?P<told>\d+)"
    r"|-(?P<bare>\d{6,})"
    r")",
    re.IGNORECASE,
)
"""``name-000007`` as kohya writes it, ``name_epoch7``, ``name-e07``, ``name-step00000500``, ``checkpoint-500``."""

Facts = Mapping[str, str]
"""The metadata of a safetensors file."""


@dataclass(frozen=True, slots=True)
class LoraCheckpoint:
    """One file of a run."""

    path: Path
    run: str
    """The name without its number; with the folder where two runs would share it."""
    number: int
    """Epoch or step; of a last file without any number one more than the highest."""
    unit: str
    """"epoch" or "step"."""
    facts: Facts
    told: bool = True
    """Whether name or metadata say the number."""

    @property
    def label(self) -> str:
        """The number as tables show it."""
        if not self.told:
            return "last"
        return str(self.number) if self.unit == "epoch" else f"step {self.number}"

    @property
    def images_seen(self) -> int | None:
        """Training images up to here as the metadata has it; None where it is silent."""
        steps, batch = _whole(self.facts.get("ss_steps")), _whole(self.facts.get("ss_total_batch_size"))
        return steps * batch if steps and batch else None


def arrange(files: Sequence[tuple[Path, Facts]]) -> list[LoraCheckpoint]:
    """Every file with its run and its epoch, run by run in the order of training.

    The number in the name comes first, then ``ss_epoch`` of the metadata. A file without either is the last of
    its run, as kohya writes it.

    Args:
        files: paths, files or PEFT folders, each with its metadata.
    """
    found: dict[tuple[Path, str], list[LoraCheckpoint]] = {}
    for path, facts in files:
        shown = path.parent if path.stem in _PLAIN_NAMES else path
        name = shown.stem if shown.suffix == ".safetensors" else shown.name
        stem, number, unit = numbered(name)
        checkpoint = LoraCheckpoint(path, stem, number or 0, unit, facts, number is not None)
        found.setdefault((shown.parent, stem), []).append(checkpoint)
    shared = Counter(stem for _, stem in found)
    arranged: list[LoraCheckpoint] = []
    for (folder, stem), members in found.items():
        run = stem if shared[stem] == 1 else f"{folder.name}/{stem}"
        arranged += [replace(member, run=run) for member in _in_order(members)]
    return arranged


def numbered(name: str) -> tuple[str, int | None, str]:
    """A file's name without its number, the number if there is one, and what it counts.

    A version such as ``cat_v2`` is no number.
    """
    match = _NUMBERED.fullmatch(name)
    if match is None:
        return name, None, "epoch"
    number, word = int(match.group("told") or match.group("bare")), (match.group("word") or "").lower()
    alone = not match.group("stem") or match.group("stem")[-1].isalnum()
    if len(word) == 1 and alone and match.start("word") == match.end("stem"):
        return name, None, "epoch"
    unit = "step" if word in ("s", "step", "steps", "checkpoint") else "epoch"
    return match.group("stem").rstrip("-_. ") or word, number, unit


def amounts(checkpoints: Sequence[LoraCheckpoint]) -> list[int]:
    """What "earlier" is measured by: images seen where all files tell them, else the number itself."""
    seen = [checkpoint.images_seen for checkpoint in checkpoints]
    if all(value is not None for value in seen):
        return [value for value in seen if value is not None]
    return [checkpoint.number for checkpoint in checkpoints]


def _in_order(members: Sequence[LoraCheckpoint]) -> list[LoraCheckpoint]:
    """With the numbers of the files whose names have none."""
    units = Counter(member.unit for member in members if member.told)
    unit = units.most_common(1)[0][0] if units else "epoch"
    highest = max((member.number for member in members if member.told), default=0)
    completed = []
    for member in members:
        if not member.told:
            said = _whole(member.facts.get("ss_epoch" if unit == "epoch" else "ss_steps"))
            later = said is not None and said > highest
            number = said if said is not None and later else highest + 1
            member = replace(member, number=number, unit=unit, told=later)
        completed.append(member)
    return sorted(completed, key=lambda member: (member.number, member.unit, str(member.path)))


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
