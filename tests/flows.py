"""Flow-matching families in tests: a tiny base with random weights, and diffusers' own way to call it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.bases import (
    build_chroma,
    build_flux,
    build_flux2,
    build_krea2,
    build_qwenimage,
    build_sd3,
    build_zimage,
)

Build = Callable[[Path, Path], Path]


CLIP_TOKENS = 32
"""Where there is no T5, as many zeros as the CLIPs of `build_sd3` read tokens stand for it."""


@dataclass(frozen=True)
class Member:
    """A family's tiny base."""

    family: str
    build: Build
    """Folder, micro-sd -> the base's folder."""
    direct: Callable[[Any, Sequence[str], Tensor, Tensor], Tensor]
    """diffusers' pipeline, captions, noisy latents (n, c, h, w), sigma (n,) -> what the transformer says of noise - x,
    as diffusers' training examples call it."""
    sigma: Callable[[Tensor, int], Tensor]
    """Places in [0, 1), patches -> sigma, as diffusers' training example of the family spreads them."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Of ``from_pretrained``, for parts that the base lacks."""
    call: Callable[[float], dict[str, Any]] = lambda guidance: {"guidance_scale": guidance}
    """Arguments of the pipeline for a guidance."""
    packed: Callable[[Tensor], Tensor] = lambda latents: latents
    """Starting noise as the pipeline takes it."""
    latents: tuple[int, int] = (4, 4)
    """Channels, and pixels per latent along one side."""
    mended: Callable[[Any], Any] = lambda pipe: pipe
    """diffusers' pipeline without its errors."""
    patch: int = 2
    """Latents along the side of what the transformer reads as one."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Of all its plans."""
    block: str = "transformer_blocks.0"
    """One that gets another rank."""
    trains_text: bool = False
    stored: int = 0
    """Layers that are quantised, where they are fewer than ``all_layers``."""
    layers: int = 0
    """LoRA layers of the transformer by default."""
    all_layers: int = 0

    def pipeline(self, folder: Path, dtype: torch.dtype = torch.float32) -> Any:
        """diffusers' own."""
        from diffusers import DiffusionPipeline

        pipe = DiffusionPipeline.from_pretrained(folder, **self.arguments)
        pipe.set_progress_bar_config(disable=True)
        for name in ("transformer", "text_encoder", "text_encoder_2", "text_encoder_3"):
            if getattr(pipe, name, None) is not None:
                getattr(pipe, name).to(dtype)
        return self.mended(pipe)


def logit_normal(shift: float) -> Callable[[Tensor, int], Tensor]:
    """diffusers' ``compute_density_for_timestep_sampling`` and the scheduler's shift, by torch's own functions."""

    def sigma(places: Tensor, patches: int) -> Tensor:
        plain = torch.special.ndtri(places).sigmoid()
        return shift * plain / (1 + (shift - 1) * plain)

    return sigma


def sd3(pipe: Any, captions: Sequence[str], noisy: Tensor, sigma: Tensor) -> Tensor:
    embeddings, _, pooled, _ = pipe.encode_prompt(
        list(captions),
        None,
        None,
        do_classifier_free_guidance=False,
        max_sequence_length=256 if pipe.text_encoder_3 else CLIP_TOKENS,
    )
    said: Tensor = pipe.transformer(
        hidden_states=noisy,
        timestep=sigma * 1000,
        encoder_hidden_states=embeddings,
        pooled_projections=pooled,
    ).sample
    return said


def uniform(shift: float) -> Callable[[Tensor, int], Tensor]:
    """Every sigma as often, and the scheduler's shift."""
    return lambda places, patches: shift * places / (1 + (shift - 1) * places)


def flux(pipe: Any, captions: Sequence[str], noisy: Tensor, sigma: Tensor) -> Tensor:
    rows, channels, height, width = noisy.shape
    embeddings, pooled, text_ids = pipe.encode_prompt(list(captions), None)
    ids = pipe._prepare_latent_image_ids(rows, height // 2, width // 2, "cpu", noisy.dtype)
    said = pipe.transformer(
        hidden_states=pipe._pack_latents(noisy, rows, channels, height, width),
        timestep=sigma,
        guidance=torch.ones(rows) if pipe.transformer.config.guidance_embeds else None,
        pooled_projections=pooled,
        encoder_hidden_states=embeddings,
        txt_ids=text_ids,
        img_ids=ids,
    ).sample
    unpacked: Tensor = pipe._unpack_latents(said, height * 4, width * 4, pipe.vae_scale_factor)
    return unpacked


def packed(latents: Tensor) -> Tensor:
    from diffusers import FluxPipeline

    found: Tensor = FluxPipeline._pack_latents(latents, *latents.shape)
    return found


def zimage(pipe: Any, captions: Sequence[str], noisy: Tensor, sigma: Tensor) -> Tensor:
    embeddings, _ = pipe.encode_prompt(list(captions), do_classifier_free_guidance=False)
    said = pipe.transformer(list(noisy.unsqueeze(2).unbind()), 1 - sigma, embeddings).sample
    return -torch.stack(list(said)).squeeze(2)


def flux2(pipe: Any, captions: Sequence[str], noisy: Tensor, sigma: Tensor) -> Tensor:
    embeddings, text_ids = pipe.encode_prompt(list(captions))
    ids = pipe._prepare_latent_ids(noisy)
    said = pipe.transformer(
        hidden_states=pipe._pack_latents(noisy),
        timestep=sigma,
        guidance=None,
        encoder_hidden_states=embeddings,
        txt_ids=text_ids,
        img_ids=ids,
    ).sample
    unpacked: Tensor = pipe._unpack_latents_with_ids(said, ids, *noisy.shape[-2:])
    return unpacked


def qwenimage(pipe: Any, captions: Sequence[str], noisy: Tensor, sigma: Tensor) -> Tensor:
    rows, channels, height, width = noisy.shape
    embeddings, mask = pipe.encode_prompt(list(captions))
    said = pipe.transformer(
        hidden_states=pipe._pack_latents(noisy, rows, channels, height, width),
        timestep=sigma,
        encoder_hidden_states=embeddings,
        encoder_hidden_states_mask=mask,
        img_shapes=[[(1, height // 2, width // 2)]] * rows,
    ).sample
    unpacked: Tensor = pipe._unpack_latents(said, height * 4, width * 4, pipe.vae_scale_factor)
    return unpacked.squeeze(2)


def krea2(pipe: Any, captions: Sequence[str], noisy: Tensor, sigma: Tensor) -> Tensor:
    rows, channels, height, width = noisy.shape
    embeddings, mask = pipe.encode_prompt(list(captions))
    said = pipe.transformer(
        hidden_states=pipe._pack_latents(noisy, rows, channels, height, width),
        timestep=sigma,
        encoder_hidden_states=embeddings,
        encoder_attention_mask=mask,
        position_ids=pipe.prepare_position_ids(embeddings.shape[1], height // 2, width // 2, "cpu"),
    ).sample
    unpacked: Tensor = pipe._unpack_latents(said, height * 4, width * 4)
    return unpacked.squeeze(2)


def chroma(pipe: Any, captions: Sequence[str], noisy: Tensor, sigma: Tensor) -> Tensor:
    rows, channels, height, width = noisy.shape
    embeddings, text_ids, mask, *_ = pipe.encode_prompt(list(captions), do_classifier_free_guidance=False)
    said = pipe.transformer(
        hidden_states=pipe._pack_latents(noisy, rows, channels, height, width),
        timestep=sigma,
        encoder_hidden_states=embeddings,
        txt_ids=text_ids,
        img_ids=pipe._prepare_latent_image_ids(rows, height // 2, width // 2, "cpu", noisy.dtype),
        attention_mask=pipe._prepare_attention_mask(rows, height * width // 4, noisy.dtype, mask),
    ).sample
    unpacked: Tensor = pipe._unpack_latents(said, height * 4, width * 4, pipe.vae_scale_factor)
    return unpacked


def masked(pipe: Any) -> Any:
    """diffusers' ChromaPipeline (0.42) hands the mask over as numbers, which hide nothing (its issue 12116)."""
    plain = pipe._prepare_attention_mask
    pipe._prepare_attention_mask = lambda *args, **named: (
        None if (mask := plain(*args, **named)) is None else mask.bool()
    )
    return pipe


MEMBERS = {
    "sd3": Member(
        family="sd3",
        build=build_sd3,
        direct=sd3,
        sigma=logit_normal(3.0),
        arguments={"text_encoder_3": None, "tokenizer_3": None},
        call=lambda guidance: {"guidance_scale": guidance, "max_sequence_length": CLIP_TOKENS},
        trains_text=True,
        layers=2 * 8 - 1,
        all_layers=2 * 8 - 1 + 4 + 4 + 2,
    ),
    "sd3 with T5": Member(
        family="sd3",
        build=lambda folder, micro_sd: build_sd3(folder, micro_sd, t5=True),
        direct=sd3,
        sigma=logit_normal(3.0),
        trains_text=True,
        layers=2 * 8 - 1,
        all_layers=2 * 8 - 1 + 4 + 4 + 2,
    ),
    "flux": Member(
        family="flux",
        build=build_flux,
        direct=flux,
        sigma=uniform(1.0),
        packed=packed,
        trains_text=True,
        layers=12 + 3,
        all_layers=12 + 3 + 2,
    ),
    "flux schnell": Member(
        family="flux",
        build=lambda folder, micro_sd: build_flux(folder, micro_sd, guidance=False),
        direct=flux,
        sigma=uniform(1.0),
        packed=packed,
        trains_text=True,
        layers=12 + 3,
        all_layers=12 + 3 + 2,
    ),
    "flux2": Member(
        family="flux2",
        build=build_flux2,
        direct=flux2,
        sigma=uniform(1.0),
        latents=(16, 8),
        patch=1,
        layers=4 + 2,
        all_layers=4 + 2 + 8,
    ),
    "qwenimage": Member(
        family="qwenimage",
        build=build_qwenimage,
        direct=qwenimage,
        sigma=uniform(1.0),
        packed=packed,
        call=lambda guidance: {"true_cfg_scale": guidance, "negative_prompt": ["", ""]},
        layers=2 * 4,
        all_layers=2 * 12,
    ),
    "krea2": Member(
        family="krea2",
        build=build_krea2,
        direct=krea2,
        sigma=uniform(1.0),
        packed=packed,
        call=lambda guidance: {"guidance_scale": guidance - 1},
        stored=2 * 8 + 2 * 8,
        layers=2 * 7 + 2 * 7 + 1 + 7,
        all_layers=2 * 8 + 2 * 8 + 1 + 7,
    ),
    "chroma": Member(
        family="chroma",
        build=build_chroma,
        direct=chroma,
        sigma=uniform(1.0),
        mended=masked,
        packed=packed,
        layers=12 + 3,
        all_layers=12 + 3 + 2,
    ),
    "zimage": Member(
        family="zimage",
        build=build_zimage,
        direct=zimage,
        sigma=uniform(3.0),
        call=lambda guidance: {"guidance_scale": guidance - 1},
        block="layers.1",
        layers=4 * 4,
        all_layers=4 * 7,
    ),
}
