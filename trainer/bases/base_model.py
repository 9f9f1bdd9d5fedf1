"""The resident base model: loaded once, frozen, shared by all trials of a process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainer.bases import autoencoding, find, loading, schedule
from trainer.bases.conditioning import Conditioning, Framing
from trainer.bases.errors import BaseModelError as BaseModelError
from trainer.bases.family import Family, Identity
from trainer.bases.find import Source
from trainer.bases.residency import Residency, leave
from trainer.bases.text import PLAIN, PromptRules, TextReader, Within, conditioning, recomputed
from trainer.lora_files.kohya import Names
from trainer.plans.base import BasePlan
from trainer.plans.compute import Attention, Device, Offload, Precision

DTYPES: dict[str, torch.dtype] = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(slots=True)
class BaseModel:
    """Stable Diffusion: tokenizers, text encoders, VAE, U-Net and noise schedule, all frozen."""

    identity: Identity
    tokenizer: Any
    text_encoder: nn.Module
    vae: Any
    unet: Any
    schedule_config: dict[str, Any]
    alphas_cumprod: Tensor
    """Shape (timesteps,), float64 on the CPU: the share of signal power left at each timestep."""
    device: torch.device
    dtype: torch.dtype
    tokenizer_2: Any = None
    text_encoder_2: nn.Module | None = None
    """SDXL's second text encoder."""
    residency: Residency = field(default_factory=Residency)
    """Which of its networks are on the device."""

    @property
    def prediction_type(self) -> str:
        """What the U-Net says: "epsilon" or "v_prediction"."""
        return self.identity.prediction_type

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all weights in use."""
        return _joined(self.identity.model_hash, self.identity.vae_hash)

    @property
    def text_encoders(self) -> dict[str, nn.Module]:
        """The text encoders by part name, in the order in which the U-Net reads them."""
        found = {"text_encoder": self.text_encoder}
        if self.text_encoder_2 is not None:
            found["text_encoder_2"] = self.text_encoder_2
        return found

    @property
    def kohya_names(self) -> Names:
        """How kohya calls its layers."""
        return Names.of(self.identity.family, self.unet.config)

    @property
    def wants_sizes(self) -> bool:
        """Whether the U-Net is told how pictures were cut (SDXL)."""
        return self.identity.family.wants_sizes

    @property
    def latent_scale(self) -> int:
        """Pixels per latent along one side."""
        return 1 << (len(self.vae.config.block_out_channels) - 1)

    @torch.no_grad()
    def encode_image(self, pixels: Tensor) -> Tensor:
        """Scaled mean latents (n, 4, h, w) of RGB images (n, 3, height, width) in [-1, 1]."""
        self.residency.use("vae", [self.vae])
        return autoencoding.encode(self.vae, pixels, self.residency.limits)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """RGB images (n, 3, height, width) in [0, 1] from latents; NaN stays NaN."""
        self.residency.use("vae", [self.vae])
        return autoencoding.decode(self.vae, latents, self.latent_scale, self.residency.limits)

    def keep_text(self, wanted: bool) -> None:
        """Whether the text encoders stay on the device, since every step needs them."""
        if wanted:
            self.residency.use("text", tuple(self.text_encoders.values()))
            self.residency.keep("text")
        else:
            self.residency.release("text")

    def encode_text(
        self,
        captions: Sequence[str],
        clip_skips: Sequence[int],
        rules: PromptRules = PLAIN,
        again: Within | None = None,
    ) -> Conditioning:
        """What the text encoders say of n captions, 75 tokens a window and 2 around them.

        Runs with gradients where they are enabled, and under the bank's rows where the caller set them; those rows
        as a context, ``again``, let activations be computed again in the backward pass instead of being kept.
        """
        self.residency.use("text", tuple(self.text_encoders.values()), alone=True)
        readers = [TextReader(self.tokenizer, self.text_encoder)]
        if self.text_encoder_2 is not None:
            readers.append(TextReader(self.tokenizer_2, self.text_encoder_2))
        read = partial(conditioning, self.identity.family, readers, captions, clip_skips, rules)
        return read() if again is None else recomputed(read, again)

    def time_ids(self, framings: Sequence[Framing]) -> Tensor:
        """SDXL's size conditions of n pictures: shape (n, 6), float32, on the device."""
        rows = [framing.time_ids for framing in framings]
        return torch.tensor(rows, dtype=torch.float32).to(self.device)

    def predict(
        self, inputs: Tensor, timesteps: Tensor, text: Conditioning, time_ids: Tensor | None
    ) -> Tensor:
        """What the U-Net says of noisy latents (n, 4, h, w): the noise or v, same shape.

        Args:
            inputs: noisy latents in the base's number format.
            timesteps: shape (n,), or one for all.
            text: n rows.
            time_ids: shape (n, 6) where ``wants_sizes``, else None.
        """
        self.residency.use("unet", [self.unet])
        self.residency.keep("unet")
        added = None if time_ids is None else {"text_embeds": text.pooled, "time_ids": time_ids}
        said: Tensor = self.unet(
            inputs.to(memory_format=torch.channels_last),
            timesteps,
            encoder_hidden_states=text.embeddings,
            added_cond_kwargs=added,
        ).sample
        return said


def load(
    base: BasePlan | Path,
    precision: Precision = "no",
    device: torch.device | None = None,
    attention: Attention = "sdpa",
    offload: Offload = "auto",
    prepare: Callable[[BaseModel], BaseModel] = lambda base: base,
) -> BaseModel:
    """Loads a base model, offline where it lies on this disk, safetensors only.

    Args:
        base: which, or just where it lies.
        precision: number format of U-Net and text encoders.
        device: where it will run; None takes CUDA where there is one.
        attention: how the U-Net's attention is computed.
        offload: whether networks that idle leave the device.
        prepare: changes its weights before they are put on the device.

    Raises:
        BaseModelError: with what is wrong and what to do.
    """
    source = _found(base)
    device = device or device_for("auto")
    dtype = DTYPES[precision]
    try:
        networks = loading.load(source, dtype)
        plan = schedule.read(source)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        where = source.file or source.configs
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BaseModelError(f"{where}: the base model cannot be loaded: {reason}") from error
    _check_latents(networks)
    autoencoding.settle(networks.vae, dtype)
    for network in networks.all:
        network.requires_grad_(False).eval()
    residency = Residency(device, leave(offload, device, networks.bytes))
    second = len(networks.text_encoders) > 1
    ready = prepare(
        BaseModel(
            identity=_identity(source),
            tokenizer=networks.tokenizers[0],
            text_encoder=networks.text_encoders[0],
            vae=networks.vae,
            unet=networks.unet,
            schedule_config=plan.config,
            alphas_cumprod=plan.alphas_cumprod,
            device=device,
            dtype=dtype,
            residency=residency,
            tokenizer_2=networks.tokenizers[1] if second else None,
            text_encoder_2=networks.text_encoders[1] if second else None,
        )
    )
    residency.use("unet", [networks.unet])
    loading.place(networks, device, attention, residency.moves)
    return ready


def check(base: BasePlan | Path) -> None:
    """Whether there is a base model that can be trained; loads no weights.

    Raises:
        BaseModelError: there is none, or the plan asks what its family cannot do.
    """
    source = _found(base)
    if problems := source.family.misfits(_plan(base).clip_skip, None):
        raise BaseModelError(problems[0] + ".")


def family(base: BasePlan | Path) -> Family:
    """Which family the base model belongs to; loads no weights.

    Raises:
        BaseModelError: there is no base model.
    """
    return _found(base).family


def size_step(base: BasePlan | Path) -> int:
    """Image sides must be multiples of this many pixels, so that every level of VAE and U-Net halves evenly.

    Read from the configuration alone; 64 for SD 1.x and 2.x, 32 for SDXL.

    Raises:
        BaseModelError: a configuration is missing or broken.
    """
    return find.side_step(_found(base))


def tokenizer(base: BasePlan | Path) -> Any:
    """The base model's first tokenizer; loads no weights.

    Raises:
        BaseModelError: there is no base model.
    """
    return loading.tokenizer(_found(base))


def fingerprint(base: BasePlan | Path) -> str:
    """SHA-256 over the names and contents of the weight files in use."""
    source = _found(base)
    return _joined(find.model_hash(source), find.vae_hash(source))


def device_for(wanted: Device) -> torch.device:
    """The device that ``compute.device`` names.

    Raises:
        BaseModelError: it is not there.
    """
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise BaseModelError(
            "compute.device = 'cuda', but PyTorch finds no CUDA device; install a CUDA build of PyTorch, "
            "or choose 'auto' or 'cpu'."
        )
    return torch.device("cuda" if there and wanted != "cpu" else "cpu")


def _plan(base: BasePlan | Path) -> BasePlan:
    return base if isinstance(base, BasePlan) else BasePlan(path=base)


def _found(base: BasePlan | Path) -> Source:
    return find.find(_plan(base))


def _identity(source: Source) -> Identity:
    return Identity(
        source.family,
        source.prediction_type,
        source.zero_terminal_snr,
        find.model_hash(source),
        find.vae_hash(source),
    )


def _joined(model: str, vae: str | None) -> str:
    return model if vae is None else hashlib.sha256(f"{model} {vae}".encode()).hexdigest()


def _check_latents(networks: loading.Networks) -> None:
    made, read = networks.vae.config.latent_channels, networks.unet.config.in_channels
    if made != read:
        raise BaseModelError(
            f"base.vae makes {made} latent channels, but the U-Net reads {read}; choose another."
        )
