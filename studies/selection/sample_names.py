"""Which checkpoint and which prompt a sample picture shows, by the names that trainers give (pure)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from studies.selection.lora_names import Unit

_AI_TOOLKIT = re.compile(r"\d+__(?P<step>\d{9})_(?P<prompt>\d+)")
"""``1764500000000__000000250_0``: time, step, prompt."""
_KOHYA = re.compile(
    r"(?P<run>.*?)_?(?:e(?P<epoch>\d{6})|(?P<step>\d{6}))_(?P<prompt>\d{2,})_\d{14}(?:_-?\d+)?"
)
"""``cat_e000003_00_20261130101500_42``: epoch or step, prompt, time, seed."""
_ONE_TRAINER = re.compile(r".*-(?:training-)?sample-(?P<step>\d+)-\d+-\d+")
"""``2026-11-30_10-15-00-training-sample-500-5-0`` in a folder a prompt."""
_PLAIN = re.compile(r"(?P<run>.*?)[-_]?(?:step|s)?[-_]?(?P<step>\d+)[-_](?P<prompt>\d+)", re.IGNORECASE)
"""``step_500_0``, ``cat-500-2``."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture that a trainer rendered."""

    path: Path
    number: int
    """Of the epoch or step."""
    unit: Unit
    prompt: str
    """What tells prompts apart: a number, or the name of the prompt's folder."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Pictures of the same prompts at several checkpoints."""

    unit: Unit
    numbers: tuple[int, ...]
    """Of the checkpoints, in the order of training."""
    prompts: tuple[str, ...]
    pictures: tuple[tuple[Path, ...], ...]
    """A row a checkpoint, a picture a prompt."""
    left_out: tuple[str, ...]
    """Names of pictures outside this table: without a number, of the other unit, of prompts missing somewhere."""


def sample(path: Path) -> Sample | None:
    """What a picture's name says; None where it says nothing."""
    if match := _ONE_TRAINER.fullmatch(path.stem):
        return Sample(path, int(match.group("step")), "step", path.parent.name)
    for pattern in (_AI_TOOLKIT, _KOHYA, _PLAIN):
        if match := pattern.fullmatch(path.stem):
            found = match.groupdict()
            epoch = found.get("epoch")
            number = int(epoch or found["step"] or 0)
            return Sample(path, number, "epoch" if epoch else "step", str(int(found["prompt"] or 0)))
    return None


def arrange(paths: Iterable[Path]) -> Samples:
    """All pictures that make a whole table: of each checkpoint one of every prompt.

    Of epochs and steps the commoner is taken; of several pictures of one prompt and checkpoint the last by name.
    """
    known: list[Sample] = []
    left = []
    for path in sorted(paths):
        found = sample(path)
        if found is None:
            left.append(path.name)
        else:
            known.append(found)
    units = Counter(one.unit for one in known)
    unit: Unit = units.most_common(1)[0][0] if units else "step"
    cells = {(one.number, one.prompt): one.path for one in known if one.unit == unit}
    numbers = sorted({number for number, _ in cells})
    prompts = _everywhere(cells, numbers)
    used = {cells[number, prompt] for number in numbers for prompt in prompts}
    left += [one.path.name for one in known if one.path not in used]
    rows = tuple(tuple(cells[number, prompt] for prompt in prompts) for number in numbers)
    return Samples(unit, tuple(numbers), tuple(prompts), rows, tuple(left))


def _everywhere(cells: Iterable[tuple[int, str]], numbers: Sequence[int]) -> list[str]:
    """Prompts that every checkpoint shows, in the order of their numbers."""
    counts = Counter(prompt for _, prompt in cells)
    whole = [prompt for prompt, count in counts.items() if count == len(numbers)]
    return sorted(
        whole, key=lambda prompt: (not prompt.isdecimal(), int(prompt) if prompt.isdecimal() else 0, prompt)
    )
