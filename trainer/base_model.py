"""The resident base model: loaded once, frozen, shared by all trials of a process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainer import prompts
from trainer.plan import Precision
from trainer.prompts import PLAIN, PromptRules

DTYPES: dict[str, torch.dtype] = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
PARTS = ("tokenizer", "text_encoder", "vae", "unet", "scheduler")
_PICKLES = (".ckpt", ".pt", ".bin", ".pth")


class BaseModelError(Exception):
    """The base model cannot be used; the message is one sentence with the remedy."""


@dataclass(slots=True)
class BaseModel:
    """Stable Diffusion 1.x: tokenizer, text encoder, VAE, U-Net and noise schedule, all frozen."""

    path: Path
    fingerprint: str
    """SHA-256 over the weight files."""
    tokenizer: Any
    text_encoder: nn.Module
    vae: Any
    unet: Any
    schedule_config: dict[str, Any]
    alphas_cumprod: Tensor
    """Shape (timesteps,), float64 on the CPU: the share of signal power left at each timestep."""
    prediction_type: str
    device: torch.device
    dtype: torch.dtype

    @property
    def latent_scale(self) -> int:
        """Pixels per latent along one side."""
        return 1 << (len(self.vae.config.block_out_channels) - 1)

    @torch.no_grad()
    def encode_image(self, pixels: Tensor) -> Tensor:
        """Scaled mean latents (n, 4, h, w) of RGB images (n, 3, height, width) in [-1, 1]."""
        latents = self.vae.encode(pixels.to(self.device, self.vae.dtype)).latent_dist.mode()
        result: Tensor = latents * self.vae.config.scaling_factor
        return result

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """RGB images (n, 3, height, width) in [0, 1] from latents; NaN stays NaN."""
        images = self.vae.decode(latents.to(self.vae.dtype) / self.vae.config.scaling_factor).sample
        shown: Tensor = (images.float() / 2 + 0.5).clamp(0, 1)
        return shown

    def encode_text(
        self, captions: Sequence[str], clip_skips: Sequence[int], rules: PromptRules = PLAIN
    ) -> Tensor:
        """Text embeddings (n, 75 x windows + 2, width): the hidden state N from the end, then the final norm.

        Runs with gradients where they are enabled, and under the bank's rows where the caller set them.
        """

        def encode(tokens: Tensor) -> Tensor:
            states = self.text_encoder(tokens.to(self.device), output_hidden_states=True).hidden_states
            chosen = torch.stack([states[-skip][row] for row, skip in enumerate(clip_skips)])
            normalised: Tensor = _final_norm(self.text_encoder)(chosen)
            return normalised

        return prompts.embed(self.tokenizer, captions, rules, encode)


def load(path: Path, precision: Precision = "no", device: torch.device | None = None) -> BaseModel:
    """Loads a Stable Diffusion 1.x folder in diffusers layout, offline, safetensors only.

    Raises:
        BaseModelError: with what is wrong and what to do.
    """
    check(path)
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = DTYPES[precision]
    offline: dict[str, Any] = {"local_files_only": True}
    try:
        tokenizer = CLIPTokenizer.from_pretrained(path / "tokenizer", **offline)
        text_encoder = CLIPTextModel.from_pretrained(
            path / "text_encoder", dtype=dtype, use_safetensors=True, **offline
        )
        vae = AutoencoderKL.from_pretrained(
            path / "vae", torch_dtype=torch.float32, use_safetensors=True, **offline
        )
        unet = UNet2DConditionModel.from_pretrained(
            path / "unet", torch_dtype=dtype, use_safetensors=True, **offline
        )
        scheduler = DDPMScheduler.from_pretrained(path / "scheduler", **offline)
    except (OSError, ValueError, RuntimeError) as error:
        raise BaseModelError(
            f"{path}: the base model cannot be loaded: {str(error).splitlines()[0]}"
        ) from error
    for model in (text_encoder, vae, unet):
        model.requires_grad_(False).eval().to(device)
    unet.to(memory_format=torch.channels_last)
    return BaseModel(
        path=path,
        fingerprint=fingerprint(path),
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=vae,
        unet=unet,
        schedule_config=dict(scheduler.config),
        alphas_cumprod=scheduler.alphas_cumprod.double(),
        prediction_type=scheduler.config.prediction_type,
        device=device,
        dtype=dtype,
    )


def check(path: Path) -> None:
    """Whether a folder looks like a Stable Diffusion 1.x in diffusers layout; loads nothing.

    Raises:
        BaseModelError: it does not.
    """
    if path.is_file() and path.suffix in _PICKLES:
        raise BaseModelError(
            f"{path}: pickle checkpoints can run code and are refused; convert it to a diffusers folder "
            "with safetensors weights first."
        )
    index = path / "model_index.json"
    if not index.is_file():
        raise BaseModelError(
            f"{path}: there is no base model here; base.path must be a diffusers folder that holds "
            f"model_index.json and {', '.join(PARTS)}."
        )
    try:
        name = json.loads(index.read_text(encoding="utf-8")).get("_class_name")
    except (ValueError, AttributeError) as error:
        raise BaseModelError(f"{index}: this is not valid JSON ({error}); restore the file.") from error
    if name != "StableDiffusionPipeline":
        raise BaseModelError(
            f"{index}: _class_name must be StableDiffusionPipeline (SD 1.x), but got {name!r}."
        )
    for part in PARTS:
        folder = path / part
        if not folder.is_dir():
            raise BaseModelError(f"{path}: the base model lacks the folder {part}/.")
        if part in ("text_encoder", "vae", "unet") and not list(folder.glob("*.safetensors")):
            raise BaseModelError(
                f"{folder}: there is no .safetensors file; pickled weights are refused, convert them."
            )


def size_step(path: Path) -> int:
    """Image sides must be multiples of this many pixels, so that every level of VAE and U-Net halves evenly.

    Read from the configuration alone; 64 for SD 1.x.

    Raises:
        BaseModelError: a configuration is missing or broken.
    """
    halvings = 0
    for part in ("vae", "unet"):
        file = path / part / "config.json"
        try:
            config = json.loads(file.read_text(encoding="utf-8"))
            halvings += len(config["block_out_channels"]) - 1
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BaseModelError(
                f"{file}: this configuration cannot be read ({error}); restore it."
            ) from error
    return 1 << halvings


def fingerprint(path: Path) -> str:
    """SHA-256 over the names and contents of a base model's weight files."""
    digest = hashlib.sha256()
    for file in sorted(path.glob("*/*.safetensors")):
        digest.update(str(file.relative_to(path)).encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _final_norm(text_encoder: nn.Module) -> nn.Module:
    inner: Any = getattr(text_encoder, "text_model", text_encoder)
    norm: nn.Module = inner.final_layer_norm
    return norm
