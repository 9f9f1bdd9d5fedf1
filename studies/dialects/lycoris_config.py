"""SimpleTuner's ``lycoris_config``: LyCORIS' own arguments in JSON (bghira/SimpleTuner 0609d8f, LyCORIS 4.1.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studies.dialects.translation import Foreign, Translation, asks

NETWORK_FILE = "lycoris_config"
_PRESET = "apply_preset"
_ATTENTION = {"Attention", "FeedForward", "Transformer2DModel", "BasicTransformerBlock"}
"""Classes of modules that stand in attention blocks."""
_DIM = 4
"""LyCORIS' rank where none is given."""


def put_lycoris(table: Mapping[str, Any], out: Translation) -> None:
    """Sets the network of a LyCORIS configuration in place of the trainer's plain LoRA.

    Args:
        table: the file's content.
        out: what the trainer's own configuration says.
    """
    source = Foreign(table)
    out.values["network_module"] = "lycoris.kohya"
    out.values.pop("network_args", None)
    out.values.pop("network_dropout", None)
    rank = source.take("linear_dim", _DIM)
    out.put("network_dim", rank, f"{NETWORK_FILE}: linear_dim")
    out.put("network_alpha", source.take("linear_alpha", 1), f"{NETWORK_FILE}: linear_alpha")
    out.argument("network_args", "algo", source.text("algo", "lora"), f"{NETWORK_FILE}: algo")
    if source.number("multiplier", 1.0) != 1.0:
        out.refuse(f"{NETWORK_FILE}: multiplier", "1 is taken; choose the strength where the LoRA is used")
    _targets(source, out)
    for key, value in source.rest().items():
        if asks(value):
            out.argument("network_args", key, value, f"{NETWORK_FILE}: {key}")


def _targets(source: Foreign, out: Translation) -> None:
    """Which layers are adapted: all that hold weights unless ``apply_preset`` names classes of modules."""
    source.used |= {key for key in source.values if key.startswith(f"{_PRESET}.")}
    classes = source.peek(f"{_PRESET}.target_module")
    listed = set(map(str, classes)) if isinstance(classes, list) else set()
    whole = not listed <= _ATTENTION or not listed
    out.argument("network_args", "preset", "full" if whole else "attn-mlp", f"{NETWORK_FILE}: {_PRESET}")
    if not listed:
        out.refuse(
            f"{NETWORK_FILE}: {_PRESET}",
            "layers outside the U-Net's blocks and normalisation layers are not adapted",
        )
    elif not listed <= _ATTENTION:
        others = ", ".join(sorted(listed - _ATTENTION)[:3])
        out.refuse(
            f"{NETWORK_FILE}: {_PRESET}", f"{others} is not told apart, all blocks of the U-Net are adapted"
        )
    elif "Transformer2DModel" not in listed:
        beside = "proj_in and proj_out" + ("" if "FeedForward" in listed else " and the feed-forward layers")
        out.refuse(f"{NETWORK_FILE}: {_PRESET}", f"{beside} of attention blocks are adapted here, too")
    strange = sorted(
        {key.split(".")[1] for key in source.used if key.startswith(f"{_PRESET}.")} - {"target_module"}
    )
    for name in strange:
        out.refuse(
            f"{NETWORK_FILE}: {name}", "not supported, all layers have the same algorithm and arguments"
        )
