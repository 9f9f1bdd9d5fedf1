"""The families of base models, one folder each: its facts, and its configuration as diffusers wants it.

The configurations are widths, depths and other numbers of Stable Diffusion 1.5, 2.1 and XL base 1.0, written for
lorasearch; there are no weights in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from itertools import combinations
from pkgutil import iter_modules

from trainer.bases.family import Family, Functions


def read() -> Mapping[str, Family]:
    """``FAMILY`` of every folder in this package, by name, the oldest first.

    Raises:
        ValueError: two families have one name or one generation.
    """
    folders = [module.name for module in iter_modules(__path__) if module.ispkg]
    found: list[Family] = [import_module(f"{__name__}.{folder}").FAMILY for folder in folders]
    for one, other in combinations(found, 2):
        if one.name == other.name or one.generation == other.generation:
            raise ValueError(
                f"{other.configs}: name and generation must be its own, but got {other.name!r} and "
                f"{other.generation}, and {one.configs} has {one.name!r} and {one.generation}."
            )
    return {family.name: family for family in sorted(found, key=lambda family: family.generation)}


FAMILIES: Mapping[str, Family] = read()
"""By name, the oldest first."""


def functions_of(network: object) -> Functions:
    """What is computed around a denoiser, by its class.

    Raises:
        ValueError: no family has such a denoiser.
    """
    name = type(network).__name__
    for family in FAMILIES.values():
        if family.denoiser.architecture == name:
            return family.functions
    known = sorted({family.denoiser.architecture for family in FAMILIES.values()})
    raise ValueError(f"no family of base models has a {name}; choose one of: {', '.join(known)}")
