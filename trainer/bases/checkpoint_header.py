"""What a single .safetensors file is, told by its header: names and shapes, no weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trainer import tensor_header
from trainer.bases.errors import BaseModelError
from trainer.bases.families import Family

Shapes = Mapping[str, tuple[int, ...]]
"""Tensor name -> shape."""

_UNET, _VAE = "model.diffusion_model.", "first_stage_model."
_CONV_IN = _UNET + "input_blocks.0.0.weight"
_CROSS_ATTENTION = "transformer_blocks.0.attn2.to_k.weight"
_TEXT = {
    "sd1": ("cond_stage_model.transformer.text_model.",),
    "sd2": ("cond_stage_model.model.",),
    "sdxl": ("conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."),
}
_REFINER = "conditioner.embedders.0.model."
_LATENTS = 4


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
    if _CONV_IN not in tensors:
        raise BaseModelError(
            f"{file}: there is no Stable Diffusion U-Net in this file; base.path wants a whole checkpoint "
            "of SD 1.x, SD 2.x or SDXL, or a diffusers folder."
        )
    if any(name.startswith(_REFINER) for name in tensors):
        raise BaseModelError(f"{file}: this is the SDXL refiner, which takes no LoRA; choose the SDXL base.")
    found = _by_width(tensors, file)
    for prefix in (*_TEXT[found], _VAE):
        if not any(name.startswith(prefix) for name in tensors):
            raise BaseModelError(
                f"{file}: the file holds no {prefix}* tensors, so text encoder or VAE are missing; "
                "base.path wants a whole checkpoint."
            )
    return found


def said_to_predict_v(tensors: Shapes) -> bool:
    """Whether the file carries the empty tensor ``v_pred``, by which its maker marks v-prediction."""
    return "v_pred" in tensors


def said_to_end_in_noise(tensors: Shapes) -> bool:
    """Whether the file carries the empty tensor ``ztsnr``, by which its maker marks zero terminal SNR."""
    return "ztsnr" in tensors


def _by_width(tensors: Shapes, file: Path) -> Family:
    channels = tensors[_CONV_IN][1]
    if channels != _LATENTS:
        raise BaseModelError(
            f"{file}: this U-Net takes {channels} channels (inpainting or editing models do), "
            f"but a base model must take {_LATENTS}."
        )
    if any(name.startswith(_TEXT["sdxl"][1]) for name in tensors):
        return "sdxl"
    if any(name.startswith(_TEXT["sd2"][0]) for name in tensors):
        return "sd2"
    if any(name.startswith(_TEXT["sd1"][0]) for name in tensors):
        return "sd1"
    width = next((shape[-1] for name, shape in tensors.items() if name.endswith(_CROSS_ATTENTION)), None)
    known: dict[int | None, Family] = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
    if width not in known:
        raise BaseModelError(
            f"{file}: a U-Net that reads text of width {width} belongs to no known family; "
            "SD 1.x reads 768, SD 2.x 1024 and SDXL 2048."
        )
    return known[width]
