"""A base model's layers, known from its configuration alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from trainer.bases import skeleton
from trainer.bases.family import Family
from trainer.bases.find import Source
from trainer.lora_files.kohya import Names


@dataclass(frozen=True, slots=True)
class Outline:
    """A base model's layers without its weights."""

    family: Family
    names: Names
    shapes: Mapping[str, tuple[int, ...]]
    """Of every layer that a file may adapt: the weight's shape, by the bank's name."""
    beside: frozenset[str]
    """Layers outside attention and text, which slots of plain LoRA adapt only with a convolution rank."""


def outline(source: Source) -> Outline:
    """Reads a base model's configuration."""
    made = skeleton.networks(source)
    beside = {*skeleton.adaptable(made), *skeleton.others(made)} - {*skeleton.layers(made)}
    shapes = {name: _weight(made, name) for name in skeleton.readable(made)}
    return Outline(source.family, Names.of(source.family, made["unet"].config), shapes, frozenset(beside))


def _weight(made: Mapping[str, nn.Module], name: str) -> tuple[int, ...]:
    part, _, path = name.partition(".")
    return tuple(made[part].get_submodule(path).get_parameter("weight").shape)
