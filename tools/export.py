"""Writes trained weights into the layouts of diffusers and transformers, in half precision, file by file."""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import shapes
import torch
from artwork import ASSETS, STATE
from torch import nn
from vocabulary import tokenizer

if TYPE_CHECKING:
    from diffusers import (
        AutoencoderKL,
        SD3Transformer2DModel,
        StableDiffusion3Pipeline,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPModel, CLIPTextModel, CLIPTextModelWithProjection

MICRO_SD = ASSETS / "micro-sd"
MICRO_FLOW = ASSETS / "micro-sd3"
MICRO_CLIP = ASSETS / "micro-clip"


def publish(source: Path, target: Path) -> None:
    """Moves every file of one folder into another, each by a rename, so that no reader meets half a file."""
    for path in sorted(source.rglob("*")):
        if path.is_file():
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            part = place.with_name(place.name + ".part")
            shutil.copyfile(path, part)
            os.replace(part, place)


def half(model: nn.Module) -> nn.Module:
    """Returns a copy of a model in half precision on the CPU."""
    return copy.deepcopy(model).to("cpu", torch.float16).eval()


def stable_diffusion(
    vae: AutoencoderKL, text: CLIPTextModel, unet: UNet2DConditionModel, target: Path = MICRO_SD
) -> None:
    """Writes a StableDiffusionPipeline folder without a safety checker."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline(
        vae=half(vae),
        text_encoder=half(text),
        tokenizer=tokenizer(),
        unet=half(unet),
        scheduler=shapes.scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        pipeline.save_pretrained(folder, safe_serialization=True)
        _add_plain_tokenizer(Path(folder) / "tokenizer")
        publish(Path(folder), target)


def stable_diffusion_3(
    vae: AutoencoderKL,
    texts: list[CLIPTextModelWithProjection],
    transformer: SD3Transformer2DModel,
    shift: float,
    target: Path = MICRO_FLOW,
) -> None:
    """Writes a StableDiffusion3Pipeline folder without a T5 encoder."""
    from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline

    vae = half(vae)
    vae.register_to_config(shift_factor=0.0)
    words = tokenizer()
    words.model_max_length = shapes.FLOW_TOKENS
    pipeline = StableDiffusion3Pipeline(
        vae=vae,
        text_encoder=half(texts[0]),
        tokenizer=words,
        text_encoder_2=half(texts[1]),
        tokenizer_2=words,
        text_encoder_3=None,
        tokenizer_3=None,
        transformer=half(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=shift),
    )
    with tempfile.TemporaryDirectory() as folder:
        pipeline.save_pretrained(folder, safe_serialization=True)
        for part in ("tokenizer", "tokenizer_2"):
            _add_plain_tokenizer(Path(folder) / part)
        publish(Path(folder), target)


def clip(model: CLIPModel, target: Path = MICRO_CLIP) -> None:
    """Writes a CLIPModel folder with the files of its CLIPProcessor."""
    from transformers import CLIPImageProcessor, CLIPProcessor

    pictures = CLIPImageProcessor(
        size={"shortest_edge": shapes.PIXELS},
        crop_size={"height": shapes.PIXELS, "width": shapes.PIXELS},
        resample=3,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )
    with tempfile.TemporaryDirectory() as folder:
        half(model).save_pretrained(folder, safe_serialization=True)
        CLIPProcessor(image_processor=pictures, tokenizer=tokenizer()).save_pretrained(folder)
        pictures.save_pretrained(folder)
        _add_plain_tokenizer(Path(folder))
        publish(Path(folder), target)


def _add_plain_tokenizer(folder: Path) -> None:
    for name in ("vocab.json", "merges.txt", "special_tokens_map.json"):
        shutil.copyfile(STATE / "tokenizer" / name, folder / name)


def shipped_flow() -> StableDiffusion3Pipeline:
    """Returns the shipped micro Stable Diffusion 3 in single precision, which has no T5."""
    from diffusers import StableDiffusion3Pipeline

    absent = dict.fromkeys(("text_encoder_3", "tokenizer_3", "image_encoder", "feature_extractor"))
    return StableDiffusion3Pipeline.from_pretrained(
        str(MICRO_FLOW), torch_dtype=torch.float32, local_files_only=True, **absent
    )


def shipped_pipeline() -> StableDiffusionPipeline:
    """Returns the shipped micro Stable Diffusion in single precision."""
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline.from_pretrained(
        str(MICRO_SD), torch_dtype=torch.float32, local_files_only=True
    )
