"""Names of other programs for a transformer's layers, brought to diffusers': by its own converters, or by a table."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from trainer.bases.family import Family

_PREFIX = re.compile(r"(lora_unet_|(?:base_model\.model\.|model\.)?(?:diffusion_model\.)?)(.+)")
_FACTOR = re.compile(r"(.+)\.(?:lora_(down|up|A|B)\.weight|(alpha))")
_WORDS = {"down": "down", "A": "down", "up": "up", "B": "up", "alpha": "alpha"}


def converted(tensors: Mapping[str, Tensor], family: Family) -> dict[str, Tensor] | None:
    """A file's tensors under diffusers' names, alpha in the factors; None where nobody can convert them.

    Args:
        tensors: by the file's keys.
        family: of the base model; those with a U-Net are read without help.
    """
    return by_makers(tensors, family) or by_diffusers(tensors, family)


def by_makers(tensors: Mapping[str, Tensor], family: Family) -> dict[str, Tensor] | None:
    """By the family's own table; None where a tensor is not of a plain LoRA, or of a layer that stands not in it."""
    table = [
        (re.compile(re.escape(name).replace(r"\{\}", r"(\d+)")), ours)
        for name, ours in family.lora.makers.items()
    ]
    layers: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if (factor := _FACTOR.fullmatch(key)) is None:
            return None
        stem, word, alpha = factor.groups()
        layers.setdefault(stem, {})[_WORDS[word or alpha]] = tensor
    found: dict[str, Tensor] = {}
    for stem, parts in layers.items():
        match = _PREFIX.fullmatch(stem)
        assert match is not None
        name = match.group(2).replace(".", "_")
        theirs = next(
            ((hit, ours) for pattern, ours in table if (hit := pattern.fullmatch(name)) is not None), None
        )
        if theirs is None or not {"down", "up"} <= parts.keys():
            return None
        hit, ours = theirs
        down, up = parts["down"], parts["up"]
        scale = float(parts["alpha"]) / len(down) if "alpha" in parts else 1.0
        for path, rows in zip(ours, (up * scale).chunk(len(ours)), strict=True):
            target = f"{family.denoiser.part}.{path.format(*hit.groups())}"
            found |= {f"{target}.lora_A.weight": down, f"{target}.lora_B.weight": rows.contiguous()}
    return found


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
