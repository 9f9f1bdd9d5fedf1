"""Micro models of the other families with random weights, built from configurations."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

TEXT = {
    "vocab_size": 2562,
    "max_position_embeddings": 77,
    "num_attention_heads": 2,
    "bos_token_id": 2560,
    "eos_token_id": 2561,
    "pad_token_id": 0,
}


def text_config(width: int, layers: int, act: str, projection: int = 16) -> Any:
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        hidden_act=act,
        projection_dim=projection,
        **TEXT,
    )


def sdxl_unet(text_width: int, pooled: int) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=2,
        transformer_layers_per_block=[1, 1, 2],
        attention_head_dim=[2, 4, 4],
        norm_num_groups=8,
        use_linear_projection=True,
        cross_attention_dim=text_width,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=pooled + 6 * 8,
    )


def build_sdxl(folder: Path, micro_sd: Path) -> Path:
    """A micro SDXL around the shipped autoencoder and vocabulary, in diffusers layout."""
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = CLIPTextModel(text_config(16, 2, "quick_gelu"))
        second = CLIPTextModelWithProjection(text_config(24, 3, "gelu", projection=20))
        unet = sdxl_unet(16 + 24, 20)
    pipe = StableDiffusionXLPipeline(
        vae=AutoencoderKL.from_pretrained(micro_sd / "vae", torch_dtype=torch.float32),
        text_encoder=first,
        text_encoder_2=second,
        tokenizer=CLIPTokenizer.from_pretrained(micro_sd / "tokenizer"),
        tokenizer_2=CLIPTokenizer.from_pretrained(micro_sd / "tokenizer", pad_token="!"),
        unet=unet,
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            steps_offset=1,
            timestep_spacing="leading",
        ),
        add_watermarker=False,
    )
    pipe.save_pretrained(folder)
    return folder


def build_sd2(folder: Path, micro_sd: Path) -> Path:
    """A micro SD 2.x: v-prediction, linear projections, a text encoder with ``gelu``."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    with torch.random.fork_rng():
        torch.manual_seed(1)
        text_encoder = CLIPTextModel(text_config(24, 3, "gelu"))
        unet = UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(16, 32),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            layers_per_block=1,
            attention_head_dim=[2, 4],
            norm_num_groups=8,
            use_linear_projection=True,
            cross_attention_dim=24,
        )
    pipe = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(micro_sd / "vae", torch_dtype=torch.float32),
        text_encoder=text_encoder,
        tokenizer=CLIPTokenizer.from_pretrained(micro_sd / "tokenizer", pad_token="!"),
        unet=unet,
        scheduler=DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            prediction_type="v_prediction",
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(folder)
    return folder


def copy_of(folder: Path, target: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(folder, target))
