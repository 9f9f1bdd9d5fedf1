"""LoRA files of any trainer, told apart into runs and put into the order of training (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from studies.selection.lora_names import Facts, KohyaFacts, Named, Unit, counted, named


@dataclass(frozen=True, slots=True)
class LoraCheckpoint:
    """One file of a run."""

    path: Path
    run: str
    """The name without its number; with the folder where two runs would share it."""
    number: int
    """Epoch or step; of a last file without any number one more than the highest."""
    unit: Unit
    facts: Facts
    told: bool = True
    """Whether name or metadata say the number."""
    place: int = 0
    """From 0, in the order of its run."""

    @property
    def label(self) -> str:
        """The number as tables show it."""
        if not self.told:
            return "last"
        return str(self.number) if self.unit == "epoch" else f"step {self.number}"

    @property
    def images_seen(self) -> int | None:
        """Training images up to here as the metadata has it; None where it is silent."""
        known = KohyaFacts.model_validate(self.facts)
        steps, batch = known.ss_steps, known.ss_total_batch_size
        return steps * batch if steps and batch else None


@dataclass(frozen=True, slots=True)
class Arranged:
    """All files, run by run, in the order of training."""

    checkpoints: Sequence[LoraCheckpoint]
    unordered: Sequence[str] = ()
    """Runs that mix epochs and steps where nothing says how many steps an epoch has: epochs stand first."""


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    facts: Facts
    named: Named


def arrange(files: Sequence[tuple[Path, Facts]]) -> Arranged:
    """Every file with its run and its epoch or step.

    Names come first where they say both, then ``ss_output_name``, ``ss_epoch`` and ``ss_steps`` of the metadata. A file
    without any number is the last of its run, as kohya and ai-toolkit write it.

    Args:
        files: paths, files or PEFT folders, each with its metadata.
    """
    runs = _runs(files)
    shared = Counter(stem or folder.name for folder, stem in runs)
    arranged: list[LoraCheckpoint] = []
    unordered = []
    for (folder, stem), members in runs.items():
        name = stem or folder.name or "run"
        run = name if shared[name] == 1 else f"{folder.name}/{stem}" if stem else str(folder)
        places = _places(members)
        if places is None:
            unordered.append(run)
        arranged += _in_order(members, places, run)
    return Arranged(arranged, unordered)


def amounts(checkpoints: Sequence[LoraCheckpoint]) -> list[int]:
    """What "earlier" is measured by: images seen where all files tell them, else the number, or the place in a run
    that counts in two ways."""
    seen = [checkpoint.images_seen for checkpoint in checkpoints]
    if all(value is not None for value in seen):
        return [value for value in seen if value is not None]
    units: dict[str, set[Unit]] = {}
    for one in checkpoints:
        units.setdefault(one.run, set()).add(one.unit)
    mixed = any(len(kinds) > 1 for kinds in units.values())
    return [one.place + 1 if mixed else one.number for one in checkpoints]


def _runs(files: Sequence[tuple[Path, Facts]]) -> dict[tuple[Path, str], list[_File]]:
    """Files by folder and name of their run."""
    told = [named(path, facts) for path, facts in files]
    by_folder: dict[Path, list[int]] = {}
    for i, one in enumerate(told):
        by_folder.setdefault(one.folder, []).append(i)
    for members in by_folder.values():
        for i, one in zip(members, counted([told[i] for i in members]), strict=True):
            told[i] = one
    found: dict[tuple[Path, str], list[_File]] = {}
    for (path, facts), one in zip(files, told, strict=True):
        found.setdefault((one.folder, one.stem), []).append(_File(path, facts, one))
    return found


def _places(members: Sequence[_File]) -> list[tuple[float, ...]] | None:
    """What sorts the files of a run; None where epochs and steps cannot be put into one order."""
    numbered = [one.named for one in members if one.named.number is not None]
    if len({one.unit for one in numbered}) < 2:
        return [_number(one.named) for one in members]
    length = _steps_per_epoch(members)
    if length is None:
        return None
    return [_step(one.named, length) for one in members]


def _number(one: Named) -> tuple[float, ...]:
    return (0, one.number) if one.number is not None else (1, one.step or one.epoch or 0)


def _epochs_first(one: Named) -> tuple[float, ...]:
    return one.number is None, one.unit == "step", one.number or 0


def _step(one: Named, length: float) -> tuple[float, ...]:
    """A file's step; an epoch's end comes after a step with the same number."""
    if one.number is None:
        return 1, one.step or 0
    if one.step is not None:
        return 0, one.step, one.unit == "epoch"
    return 0, one.number * length if one.unit == "epoch" else one.number, one.unit == "epoch"


def _steps_per_epoch(members: Sequence[_File]) -> float | None:
    """From a file that was saved at an epoch's end and says its step."""
    for one in members:
        told, batches = one.named, KohyaFacts.model_validate(one.facts).ss_num_batches_per_epoch
        if told.unit == "epoch" and told.number and told.step:
            return told.step / told.number
        if batches:
            return float(batches)
    return None


def _in_order(
    members: Sequence[_File], places: Sequence[tuple[float, ...]] | None, run: str
) -> list[LoraCheckpoint]:
    """Checkpoints of a run, with the numbers of the files whose names have none."""
    units = Counter(one.named.unit for one in members if one.named.number is not None)
    unit: Unit = units.most_common(1)[0][0] if units else "epoch"
    highest = max((one.named.number for one in members if one.named.number is not None), default=0)
    order = places or [_epochs_first(one.named) for one in members]
    ranked = sorted(
        zip(order, map(str, (one.path for one in members)), members, strict=True), key=lambda e: e[:2]
    )
    return [_completed(one, run, unit, highest, place) for place, (_, _, one) in enumerate(ranked)]


def _completed(one: _File, run: str, unit: Unit, highest: int, place: int) -> LoraCheckpoint:
    told = one.named
    if told.number is not None:
        return LoraCheckpoint(one.path, run, told.number, told.unit, one.facts, True, place)
    said = told.epoch if unit == "epoch" else told.step
    later = said is not None and said > highest
    number = said if said is not None and later else highest + 1
    return LoraCheckpoint(one.path, run, number, unit, one.facts, later, place)
