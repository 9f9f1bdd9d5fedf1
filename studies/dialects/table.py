"""Whose configuration a file is, told from its keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from studies.dialects import (
    ai_toolkit,
    diffusers,
    easy_training,
    kohya_gui,
    lora_scripts,
    musubi,
    onetrainer,
    onetrainer_concepts,
    own,
    simpletuner,
    simpletuner_backends,
)
from studies.dialects.translation import ENTRIES, Translation

NETWORK_FILE = simpletuner.NETWORK_FILE
"""Under which a configuration names a file that holds its network."""
RUN_SD_SCRIPTS = ("", "kohya_ss", "lora-scripts", "LoRA_Easy_Training_Scripts")
"""Trainers that hand what they say to sd-scripts, whose own files have no name."""
Table = Mapping[str, Any]
NAMES = (
    "sd-scripts' TOML and command lines, kohya_ss' JSON, lora-scripts' TOML and train.sh, "
    "LoRA_Easy_Training_Scripts' TOML, OneTrainer's JSON, ai-toolkit's YAML, SimpleTuner's JSON, musubi-tuner's TOML "
    "and diffusers' command lines"
)
"""All that is read, for sentences."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """A layout: how it is known, and what reads it."""

    fits: Callable[[Table], bool]
    translated: Callable[[Table], Translation]


def _any_of(*marks: str) -> Callable[[Table], bool]:
    """A layout that has one of these keys, with or without dashes before it."""
    return lambda table: any(str(key).lstrip("-") in marks for key in table)


def _sections_have(*marks: str) -> Callable[[Table], bool]:
    """A layout that has one of these keys, perhaps in a section."""
    one = _any_of(*marks)
    return lambda table: one(table) or any(one(entry) for entry in table.values() if isinstance(entry, dict))


_DIALECTS = (
    Dialect(ai_toolkit.fits, ai_toolkit.translated),
    Dialect(easy_training.fits, easy_training.translated),
    Dialect(_any_of(*kohya_gui.MARKS), kohya_gui.translated),
    Dialect(_any_of(*onetrainer.MARKS), onetrainer.translated),
    Dialect(_any_of(*simpletuner.MARKS), simpletuner.translated),
    Dialect(_any_of(*lora_scripts.SCRIPT_MARKS), lora_scripts.script),
    Dialect(_sections_have(*lora_scripts.PAGE_MARKS), lora_scripts.page),
    Dialect(
        lambda table: _sections_have(*musubi.MARKS)(table) or musubi.fits_dataset(table), musubi.translated
    ),
    Dialect(_any_of(*diffusers.MARKS), diffusers.translated),
)
"""The first that fits counts."""


def translated(table: Table) -> Translation:
    """What a configuration says, whoever's it is; sd-scripts' where no other layout fits."""
    found = next((dialect for dialect in _DIALECTS if dialect.fits(table)), None)
    return found.translated(table) if found else own.translated(table)


_LISTS: Mapping[str, Callable[[Any, Translation], None]] = {
    "OneTrainer": onetrainer_concepts.put_concepts,
    "SimpleTuner": simpletuner_backends.put_backends,
}
"""Trainers whose data sets are lists of tables."""


def put_network(table: Table, out: Translation) -> None:
    """Sets the network of a file of its own."""
    simpletuner.put_lycoris(table, out)


def put_dataset(table: Table, out: Translation) -> None:
    """Sets a data set file, as one of sd-scripts'."""
    if ENTRIES in table and out.trainer in _LISTS:
        _LISTS[out.trainer](table[ENTRIES], out)
    else:
        out.datasets = musubi.dataset(table, out) if musubi.fits_dataset(table) else dict(table)
