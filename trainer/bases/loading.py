"""Loads the networks and tokenizers of a base model, offline, safetensors only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainer.bases import attention as attentions
from trainer.bases import checkpoint_header, skeleton
from trainer.bases.checkpoint_header import DENOISER as COMFY
from trainer.bases.errors import BaseModelError
from trainer.bases.family import DENOISER, TextEncoder
from trainer.bases.find import Source, variant
from trainer.bases.tokenizer import clip_tokenizer
from trainer.plans.compute import Attention

_OTHER_SIZE = 0.001
"""Share of a transformer's values by which a file may differ: markers and tables, less than any block."""


@dataclass(frozen=True, slots=True)
class Networks:
    """The loaded parts of a base model, text encoders in their order."""

    unet: Any
    """The network that removes noise."""
    vae: Any
    tokenizers: Mapping[str, Any]
    """By folder, as diffusers lays them out."""
    text_encoders: Mapping[str, Any]
    """Likewise; without those that are loaded for reading alone."""

    @property
    def all(self) -> tuple[Any, ...]:
        """Every network."""
        return (*self.text_encoders.values(), self.vae, self.unet)

    @property
    def bytes(self) -> int:
        """Of all networks."""
        return sum(parameter.nbytes for network in self.all for parameter in network.parameters())


def check_transformer(source: Source) -> None:
    """A separate transformer of another size than its folder describes would be cut, or loaded in part.

    Raises:
        BaseModelError: it is.
    """
    file = source.transformer
    if file is None:
        return
    held = checkpoint_header.transformer_values(checkpoint_header.shapes(file))
    try:
        described = skeleton.networks(source)[DENOISER].state_dict()
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BaseModelError(
            f"{source.configs}: its transformer's configuration cannot be read: {reason}"
        ) from error
    wanted = sum(value.numel() for value in described.values())
    if abs(held - wanted) > _OTHER_SIZE * wanted:
        raise BaseModelError(
            f"{file}: base.transformer holds {held:,} values, but the transformer that {source.configs} describes has "
            f"{wanted:,}; take the file for this size of {source.family.title}, whole."
        )


def load(source: Source, dtype: torch.dtype) -> Networks:
    """Loads everything on the CPU; the VAE in float32, because SDXL's overflows in half precision."""
    vae = None if source.vae is None else _separate_vae(source, source.vae)
    if source.file is None:
        return _from_folder(source, dtype, vae)
    return _from_file(source, source.file, dtype, vae)


def place(
    networks: Networks, device: torch.device, attention: Attention, moves: bool, channels_last: bool
) -> None:
    """Puts everything on the device; with ``moves`` the denoiser alone, since others come when they work.

    Raises:
        BaseModelError: attention cannot be computed so here.
    """
    for network in networks.all:
        if network is networks.unet or not moves:
            network.to(device)
    if channels_last:
        networks.unet.to(memory_format=torch.channels_last)
    attentions.use(networks.unet, attention)


def tokenizer(source: Source) -> Any:
    """The first tokenizer alone."""
    if source.file is not None:
        return clip_tokenizer(source.family.text_encoders[0].padding)
    return _tokenizer(source.configs, source.family.text_encoders[0])


def _tokenizer(folder: Path, encoder: TextEncoder) -> Any:
    import transformers

    kind = getattr(transformers, encoder.tokenizer_architecture)
    return kind.from_pretrained(folder / encoder.tokenizer, local_files_only=True)


def _from_folder(source: Source, dtype: torch.dtype, vae: Any) -> Networks:
    import diffusers

    folder, family = source.configs, source.family
    return Networks(
        unet=_denoiser(source, dtype),
        vae=vae
        or getattr(diffusers, family.vae).from_pretrained(
            folder / "vae", torch_dtype=torch.float32, **_how(folder / "vae")
        ),
        tokenizers={encoder.tokenizer: _tokenizer(folder, encoder) for encoder in source.encoders},
        text_encoders=text_encoders(source, [each for each in source.encoders if each.trained], dtype),
    )


def _denoiser(source: Source, dtype: torch.dtype) -> Any:
    import diffusers
    from safetensors.torch import load_file

    own = source.family.denoiser
    kind, folder = getattr(diffusers, own.architecture), source.configs / own.part
    if source.transformer is None:
        return kind.from_pretrained(folder, torch_dtype=dtype, **_how(folder))
    tensors = load_file(source.transformer)
    return kind.from_single_file(
        {name.removeprefix(COMFY): tensor for name, tensor in tensors.items()},
        config=str(source.configs),
        subfolder=own.part,
        torch_dtype=dtype,
        local_files_only=True,
    )


def text_encoders(source: Source, wanted: Sequence[TextEncoder], dtype: torch.dtype) -> dict[str, Any]:
    """Some of a folder's text encoders, frozen, on the CPU."""
    import transformers

    found: dict[str, Any] = {}
    for encoder in wanted:
        folder = source.configs / encoder.part
        kind = getattr(transformers, encoder.architecture)
        network = kind.from_pretrained(folder, dtype=dtype, **_how(folder))
        found[encoder.part] = network.requires_grad_(False).eval()
    return found


def readers(source: Source) -> tuple[TextEncoder, ...]:
    """The text encoders that are loaded for reading alone, since they are never trained."""
    return tuple(encoder for encoder in source.encoders if not encoder.trained) if source.file is None else ()


def _how(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
    if (half := variant(folder)) is not None:
        found["variant"] = half
    return found


def _from_file(source: Source, file: Path, dtype: torch.dtype, vae: Any) -> Networks:
    import diffusers

    family, present = source.family, source.encoders
    how: dict[str, Any] = {"config": str(source.configs), "local_files_only": True}
    if vae is None:
        vae = getattr(diffusers, family.vae).from_single_file(
            str(file), subfolder="vae", torch_dtype=torch.float32, **how
        )
    tokenizers = {encoder.tokenizer: clip_tokenizer(encoder.padding) for encoder in present}
    lacking = {
        part: None
        for encoder in family.text_encoders
        if encoder not in present
        for part in (encoder.part, encoder.tokenizer)
    }
    pipe = getattr(diffusers, family.pipeline).from_single_file(
        str(file), torch_dtype=dtype, vae=vae, **family.pipeline_arguments, **tokenizers, **lacking, **how
    )
    encoders = {encoder.part: getattr(pipe, encoder.part) for encoder in present}
    return Networks(getattr(pipe, family.denoiser.part), pipe.vae, tokenizers, encoders)


def _separate_vae(source: Source, path: Path) -> Any:
    import diffusers

    kind = getattr(diffusers, source.family.vae)
    if path.is_file():
        return kind.from_single_file(
            str(path),
            config=str(source.configs),
            subfolder="vae",
            torch_dtype=torch.float32,
            local_files_only=True,
        )
    return kind.from_pretrained(path, torch_dtype=torch.float32, **_how(path))
