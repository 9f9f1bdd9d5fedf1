"""Stable Diffusion XL (Podell et al. 2023): two text encoders, CLIP ViT-L/14 and OpenCLIP ViT-bigG/14."""

from __future__ import annotations

from pathlib import Path

from trainer.bases.diffusion import SOLVERS, UNET
from trainer.bases.family import Family, LoraFacts, TextEncoder

FAMILY = Family(
    name="sdxl",
    title="SDXL",
    generation=3,
    configs=Path(__file__).parent,
    pipeline="StableDiffusionXLPipeline",
    pipeline_arguments={"add_watermarker": False},
    text_encoders=(
        TextEncoder(
            part="text_encoder",
            architecture="CLIPTextModel",
            padding="<|endoftext|>",
            checkpoint_prefix="conditioner.embedders.0.transformer.",
            kohya_prefix="lora_te1_text_model_",
        ),
        TextEncoder(
            part="text_encoder_2",
            architecture="CLIPTextModelWithProjection",
            padding="!",
            checkpoint_prefix="conditioner.embedders.1.model.",
            kohya_prefix="lora_te2_text_model_",
        ),
    ),
    denoiser=UNET,
    code="trainer.bases.families.sdxl.network",
    rendering=SOLVERS,
    latent_channels=4,
    text_width=2048,
    linear_projection=True,
    refiner_prefix="conditioner.embedders.0.model.",
    hub_words=("xl",),
    sample_size=128,
    native_side=1024,
    side_step=32,
    lora=LoraFacts(
        version={"epsilon": "sdxl_base_v1-0", "v_prediction": "sdxl_base_v1-0"},
        architecture={
            "epsilon": "stable-diffusion-xl-v1-base",
            "v_prediction": "stable-diffusion-xl-v1-base",
        },
        implementation="https://github.com/Stability-AI/generative-models",
        v2=False,
        sgm_blocks=True,
        marks=("lora_te2_", "text_encoder_2.", "lora_unet_input_blocks_"),
    ),
    ranks=(8, 16, 32),
    rank_reason="SDXL's layers are large: 8 to 32 do for most subjects",
)
