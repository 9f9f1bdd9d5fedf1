"""Which programs read files of which algorithm (data; read in their sources, autumn 2026)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

READERS = ("A1111", "Forge", "ComfyUI", "diffusers")
"""Programs that load LoRA files for pictures."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Readers that a file fails."""

    algorithm: str
    """As plans name it."""
    readers: tuple[str, ...]
    argument: str | None = None
    """The algorithm's argument that must be set for it; None: it is so of every file."""
    unless_off: str | None = None
    """An argument, on by default, without which it is not so."""
    convolutions: bool = False
    """Whether it is so of 3x3 convolutions alone."""
    kohya: bool = False
    """Whether it is so of files with kohya's keys alone."""
    ignored: bool = True
    """Whether the readers leave such layers out; else they read them wrongly."""


GAPS = (
    Gap("loha", ("diffusers",)),
    Gap("lokr", ("diffusers",)),
    Gap("ia3", ("Forge", "ComfyUI", "diffusers")),
    Gap("diag-oft", ("Forge", "diffusers")),
    Gap("boft", ("Forge", "diffusers")),
    Gap("full", ("diffusers",)),
    Gap("glora", ("A1111", "diffusers")),
    Gap("lora", ("A1111", "Forge", "ComfyUI"), "dora", ignored=False),
    Gap("lora", ("diffusers",), "dora", kohya=True, ignored=False),
    Gap("loha", ("A1111", "Forge", "ComfyUI"), "weight_decompose", "wd_on_out", ignored=False),
    Gap("lokr", ("A1111", "Forge", "ComfyUI"), "weight_decompose", "wd_on_out", ignored=False),
    Gap("lokr", ("Forge", "ComfyUI"), "use_tucker", convolutions=True),
)
"""LoRA without DoRA and DyLoRA, whose files are LoRA's, are read by all.

A1111 expects GLoRA's factors in the order of LyCORIS 1. DoRA's norms of outputs are taken for those of inputs by A1111,
and measured against the base model's weights, not the changed ones, by Forge and ComfyUI; diffusers drops kohya's
``dora_scale``. The last two ask torch for a
Kronecker product of a Tucker core's view, which it refuses (ComfyUI issue 11245).
"""


def gaps(
    algorithm: str, arguments: Mapping[str, Any], convolutions: bool, kohya: bool = True
) -> Iterator[Gap]:
    """What readers make of files of an algorithm that is not what was trained.

    Args:
        algorithm: as plans name it.
        arguments: the algorithm's own; of LoRA, whether ``dora``.
        convolutions: whether 3x3 convolutions are adapted.
        kohya: whether the keys are kohya's.
    """
    for gap in GAPS:
        if gap.algorithm != algorithm or (gap.convolutions and not convolutions) or (gap.kohya and not kohya):
            continue
        off = gap.unless_off is not None and arguments.get(gap.unless_off) is False
        if not off and (gap.argument is None or arguments.get(gap.argument)):
            yield gap
