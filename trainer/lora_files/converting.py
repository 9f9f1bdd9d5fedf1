"""Names of other programs for a transformer's layers, brought to diffusers': by its own converters, or by a table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from trainer.bases.family import Family

_PREFIX = re.compile(r"(lora_unet_|(?:base_model\.model\.|model\.)?(?:diffusion_model\.)?)(.+)")
_FACTOR = re.compile(r"(.+)\.(?:lora_(down|up|A|B)\.weight|(alpha))")
_Row = tuple[str, re.Pattern[str], tuple[str, ...]]
"""The makers' name of a layer, what it is found by, and our layers."""
_WORDS = {"down": "down", "A": "down", "up": "up", "B": "up", "alpha": "alpha"}


def converted(tensors: Mapping[str, Tensor], family: Family) -> dict[str, Tensor] | None:
    """A file's tensors under diffusers' names, alpha in the factors; None where nobody can convert them.

    Args:
        tensors: by the file's keys.
        family: of the base model; those with a U-Net are read without help.
    """
    return by_makers(tensors, family) or by_diffusers(tensors, family)


def by_makers(tensors: Mapping[str, Tensor], family: Family) -> dict[str, Tensor] | None:
    """By the family's own table; text encoders' tensors stay as they are.

    None where a tensor of the transformer is not of a plain LoRA, or of a layer that stands not in the table.
    """
    texts = tuple(encoder.kohya_prefix for encoder in family.text_encoders if encoder.kohya_prefix)
    found = {key: tensor for key, tensor in tensors.items() if key.startswith(texts)}
    layers: dict[str, dict[str, Tensor]] = {}
    for key in (key for key in tensors if key not in found):
        if (factor := _FACTOR.fullmatch(key)) is None:
            return None
        stem, word, alpha = factor.groups()
        layers.setdefault(stem, {})[_WORDS[word or alpha]] = tensors[key]
    table = [
        (name, re.compile(re.escape(name).replace(r"\{\}", r"(\d+)")), ours)
        for name, ours in family.lora.makers.items()
    ]
    for stem, parts in layers.items():
        named, factors = _named(stem, table), _factors(parts)
        if named is None or factors is None:
            return None
        (name, ours), (down, up) = named, factors
        if name in family.lora.swapped and len(up) == 2 * down.shape[1]:
            up = torch.cat(up.chunk(2)[::-1])
        if len(up) % len(ours):
            return None
        for path, rows in zip(ours, up.chunk(len(ours)), strict=True):
            target = f"{family.denoiser.part}.{path}"
            found |= {f"{target}.lora_A.weight": down, f"{target}.lora_B.weight": rows.contiguous()}
    return found if layers else None


def _named(stem: str, table: Sequence[_Row]) -> tuple[str, list[str]] | None:
    """The makers' name of a layer, and our layers; None where the table has it not."""
    match = _PREFIX.fullmatch(stem)
    own = match.group(2).replace(".", "_") if match else ""
    for name, pattern, ours in table:
        if hit := pattern.fullmatch(own):
            return name, [path.format(*hit.groups()) for path in ours]
    return None


def _factors(parts: Mapping[str, Tensor]) -> tuple[Tensor, Tensor] | None:
    """Matrices of one rank, alpha in the second; None where these are none."""
    down, up, alpha = (parts.get(word) for word in ("down", "up", "alpha"))
    if down is None or up is None or not (down.dim() == up.dim() == 2 and len(down) == up.shape[1] > 0):
        return None
    if alpha is None:
        return down, up
    return (down, up * (float(alpha) / len(down))) if alpha.numel() == 1 else None


def by_diffusers(tensors: Mapping[str, Tensor], family: Family) -> dict[str, Tensor] | None:
    """A file's tensors under diffusers' names, alpha in the factors; None where diffusers cannot convert them.

    What lies in one layer elsewhere, such as queries, keys and values in sd-scripts' and Black Forest Labs' names, lies
    in a layer each here, so that such files become plain LoRAs of more layers.

    Args:
        tensors: by the file's keys.
        family: of the base model; those with a U-Net are read without help.
    """
    if not family.flows:
        return None
    import diffusers

    pipeline = getattr(diffusers, family.pipeline)
    try:
        found = pipeline.lora_state_dict({key: value.clone() for key, value in tensors.items()})
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, ValueError):
        return None
    converted: dict[str, Tensor] = found[0] if isinstance(found, tuple) else found
    return converted if converted.keys() != tensors.keys() else None
