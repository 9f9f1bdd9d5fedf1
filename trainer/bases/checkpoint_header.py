"""What a single .safetensors file is, told by its header: names and shapes, no weights."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from trainer import tensor_header
from trainer.bases import families
from trainer.bases.errors import BaseModelError
from trainer.bases.family import Family, of_width

Shapes = Mapping[str, tuple[int, ...]]
"""Tensor name -> shape."""

DENOISER = "model.diffusion_model."
"""What names of the network that removes noise begin with, in whole checkpoints and some of ComfyUI's files."""
_VAE = "first_stage_model."
_CONV_IN = DENOISER + "input_blocks.0.0.weight"
_CROSS_ATTENTION = "transformer_blocks.0.attn2.to_k.weight"
_LATENTS = 4
_SCALED = (".scale_weight", ".weight_scale", ".weight_scale_2", "scaled_fp8")
_OTHERS = (_VAE, "cond_stage_model.", "conditioner.", "text_encoders.", "vae.")
"""What names of other parts begin with."""
_SHOWN, _LONGEST = 3, 60
"""Names of strangers that are shown, and letters of each."""


def shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """The tensors of a safetensors file.

    Raises:
        BaseModelError: it is none.
    """
    try:
        return dict(tensor_header.read(file).shapes)
    except (OSError, ValueError) as error:
        raise BaseModelError(
            f"{file}: this is not a whole .safetensors file ({error}); download it again."
        ) from error


def family(tensors: Shapes, file: Path) -> Family:
    """Which family a checkpoint belongs to.

    Raises:
        BaseModelError: it is no complete Stable Diffusion checkpoint of a family that can be trained.
    """
    if any(name.startswith(("lora_", "unet.", "text_encoder.", "base_model.")) for name in tensors):
        raise BaseModelError(
            f"{file}: this is a LoRA or a part of a model, and no base model; base.path wants a whole checkpoint."
        )
    if (alone := _transformer(tensors)) is not None:
        raise BaseModelError(
            f"{file}: this is the transformer of {alone.title}; base.path wants a diffusers folder of {alone.title}, "
            "and base.transformer this file."
        )
    if _CONV_IN not in tensors:
        titles = [each.title for each in families.FAMILIES.values()]
        raise BaseModelError(
            f"{file}: there is no Stable Diffusion U-Net in this file, whose names begin with {_begun(tensors)}; "
            f"base.path wants a whole checkpoint of {_listed([each.title for each in _known()], 'or')}, or a "
            f"diffusers folder of {_listed(titles, 'or')}."
        )
    for each in _known():
        if each.refiner_prefix is not None and _holds(tensors, each.refiner_prefix):
            raise BaseModelError(
                f"{file}: this is the {each.title} refiner, which takes no LoRA; choose the {each.title} base."
            )
    found = _recognised(tensors, file)
    for prefix in (*(encoder.checkpoint_prefix for encoder in found.text_encoders), _VAE):
        if not _holds(tensors, prefix):
            raise BaseModelError(
                f"{file}: the file holds no {prefix}* tensors, so text encoder or VAE are missing; "
                "base.path wants a whole checkpoint."
            )
    return found


def transformer(tensors: Shapes, file: Path) -> Family:
    """Which family a transformer in a single file belongs to.

    Raises:
        BaseModelError: it is none that can be trained.
    """
    found = _transformer(tensors)
    if found is None:
        known = [each.title for each in families.FAMILIES.values() if each.denoiser.mark]
        raise BaseModelError(
            f"{file}: base.transformer: there is no known transformer in this file, whose names begin with "
            f"{_begun(tensors)}; it may be one of {_listed(known, 'or')}, in its makers' names."
        )
    if scaled := next((name for name in tensors if name.endswith(_SCALED)), None):
        raise BaseModelError(
            f"{file}: base.transformer: its weights are quantised with scales ({scaled}), which ComfyUI alone reads; "
            "choose the bf16 file, and set compute.base_format to have it take less memory."
        )
    return found


def transformer_values(tensors: Shapes) -> int:
    """How many numbers the transformer in a file has; what else may lie there, in ComfyUI's names, is not counted."""
    within = DENOISER if _holds(tensors, DENOISER) else ""
    own = (
        shape for name, shape in tensors.items() if name.startswith(within) and not name.startswith(_OTHERS)
    )
    return sum(math.prod(shape) for shape in own)


def said_to_predict_v(tensors: Shapes) -> bool:
    """Whether the file carries the empty tensor ``v_pred``, by which its maker marks v-prediction."""
    return "v_pred" in tensors


def said_to_end_in_noise(tensors: Shapes) -> bool:
    """Whether the file carries the empty tensor ``ztsnr``, by which its maker marks zero terminal SNR."""
    return "ztsnr" in tensors


def _transformer(tensors: Shapes) -> Family | None:
    """The latest family whose mark is there: later ones kept names of earlier ones."""
    for each in reversed([*families.FAMILIES.values()]):
        if (mark := each.denoiser.mark) and (mark in tensors or DENOISER + mark in tensors):
            return each
    return None


def _recognised(tensors: Shapes, file: Path) -> Family:
    """By the names of the last text encoder; where there is none, or several have it, by the width of the text."""
    channels = tensors[_CONV_IN][1]
    if channels != _LATENTS:
        raise BaseModelError(
            f"{file}: this U-Net takes {channels} channels (inpainting or editing models do), "
            f"but a base model must take {_LATENTS}."
        )
    width = _text_width(tensors)
    for prefix in reversed([_evidence(each) for each in _known()]):
        if _holds(tensors, prefix):
            return of_width([each for each in _known() if _evidence(each) == prefix], width)
    for each in _known():
        if each.text_width == width:
            return each
    first, *others = _known()
    widths = [f"{first.title} reads {first.text_width}", *(f"{x.title} {x.text_width}" for x in others)]
    raise BaseModelError(
        f"{file}: a U-Net that reads text of width {width} belongs to no known family; {_listed(widths, 'and')}."
    )


def _text_width(tensors: Shapes) -> int | None:
    reading = (shape for name, shape in tensors.items() if shape and name.endswith(_CROSS_ATTENTION))
    return next((shape[-1] for shape in reading), None)


def _known() -> list[Family]:
    """Those whose single files are told apart here: with a U-Net."""
    return [each for each in families.FAMILIES.values() if not each.flows]


def _evidence(each: Family) -> str:
    return each.text_encoders[-1].checkpoint_prefix


def _begun(tensors: Shapes) -> str:
    """What names begin with, the commonest first."""
    counts = Counter(".".join(name.split(".")[:2]) for name in tensors)
    return ", ".join(repr(begin[:_LONGEST]) for begin, _ in counts.most_common(_SHOWN)) or "nothing"


def _holds(tensors: Shapes, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in tensors)


def _listed(words: Sequence[str], last: str) -> str:
    """``a, b or c``."""
    *most, end = words
    return f"{', '.join(most)} {last} {end}" if most else end
