"""Loads the networks and tokenizers of a base model, offline, safetensors only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainer.bases import attention as attentions
from trainer.bases.find import Source, variant
from trainer.bases.tokenizer import clip_tokenizer
from trainer.plans.compute import Attention


@dataclass(frozen=True, slots=True)
class Networks:
    """The loaded parts of a base model, text encoders in their order."""

    unet: Any
    vae: Any
    tokenizers: tuple[Any, ...]
    text_encoders: tuple[Any, ...]

    @property
    def all(self) -> tuple[Any, ...]:
        """Every network."""
        return (*self.text_encoders, self.vae, self.unet)

    @property
    def bytes(self) -> int:
        """Of all networks."""
        return sum(parameter.nbytes for network in self.all for parameter in network.parameters())


def load(source: Source, dtype: torch.dtype) -> Networks:
    """Loads everything on the CPU; the VAE in float32, because SDXL's overflows in half precision."""
    vae = None if source.vae is None else _separate_vae(source, source.vae)
    if source.file is None:
        return _from_folder(source, dtype, vae)
    return _from_file(source, source.file, dtype, vae)


def place(networks: Networks, device: torch.device, attention: Attention, moves: bool) -> None:
    """Puts everything on the device; with ``moves`` the U-Net alone, since others come when they work.

    Raises:
        BaseModelError: attention cannot be computed so here.
    """
    for network in networks.all:
        if network is networks.unet or not moves:
            network.to(device)
    networks.unet.to(memory_format=torch.channels_last)
    attentions.use(networks.unet, attention)


def tokenizer(source: Source) -> Any:
    """The first tokenizer alone."""
    if source.file is not None:
        return clip_tokenizer(source.family.text_encoders[0].padding)
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(source.configs / "tokenizer", local_files_only=True)


def _from_folder(source: Source, dtype: torch.dtype, vae: Any) -> Networks:
    import transformers
    from diffusers import AutoencoderKL, UNet2DConditionModel

    folder, encoders = source.configs, source.family.text_encoders
    return Networks(
        unet=UNet2DConditionModel.from_pretrained(
            folder / "unet", torch_dtype=dtype, **_how(folder / "unet")
        ),
        vae=vae
        or AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32, **_how(folder / "vae")),
        tokenizers=tuple(
            transformers.CLIPTokenizer.from_pretrained(folder / encoder.tokenizer, local_files_only=True)
            for encoder in encoders
        ),
        text_encoders=tuple(
            getattr(transformers, encoder.architecture).from_pretrained(
                folder / encoder.part, dtype=dtype, **_how(folder / encoder.part)
            )
            for encoder in encoders
        ),
    )


def _how(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
    if (half := variant(folder)) is not None:
        found["variant"] = half
    return found


def _from_file(source: Source, file: Path, dtype: torch.dtype, vae: Any) -> Networks:
    import diffusers

    family = source.family
    how: dict[str, Any] = {"config": str(source.configs), "local_files_only": True}
    if vae is None:
        vae = diffusers.AutoencoderKL.from_single_file(
            str(file), subfolder="vae", torch_dtype=torch.float32, **how
        )
    tokenizers = {encoder.tokenizer: clip_tokenizer(encoder.padding) for encoder in family.text_encoders}
    pipe = getattr(diffusers, family.pipeline).from_single_file(
        str(file), torch_dtype=dtype, vae=vae, **family.pipeline_arguments, **tokenizers, **how
    )
    encoders = tuple(getattr(pipe, encoder.part) for encoder in family.text_encoders)
    return Networks(pipe.unet, pipe.vae, tuple(tokenizers.values()), encoders)


def _separate_vae(source: Source, path: Path) -> Any:
    from diffusers import AutoencoderKL

    if path.is_file():
        return AutoencoderKL.from_single_file(
            str(path),
            config=str(source.configs),
            subfolder="vae",
            torch_dtype=torch.float32,
            local_files_only=True,
        )
    return AutoencoderKL.from_pretrained(path, torch_dtype=torch.float32, **_how(path))
