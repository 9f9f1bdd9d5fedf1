"""Names of other programs for a transformer's layers, brought to diffusers' by diffusers' own converters."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from trainer.bases.family import Family


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
