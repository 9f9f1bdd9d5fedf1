"""Stable Diffusion 1.x (Rombach et al. 2022): one text encoder, CLIP ViT-L/14."""

from __future__ import annotations

from pathlib import Path

from trainer.bases.diffusion import SOLVERS, UNET
from trainer.bases.family import NO_SAFETY_CHECKER, Family, LoraFacts, TextEncoder

FAMILY = Family(
    name="sd1",
    title="SD 1.x",
    generation=1,
    configs=Path(__file__).parent,
    pipeline="StableDiffusionPipeline",
    pipeline_arguments=NO_SAFETY_CHECKER,
    text_encoders=(
        TextEncoder(
            part="text_encoder",
            architecture="CLIPTextModel",
            padding="<|endoftext|>",
            checkpoint_prefix="cond_stage_model.transformer.text_model.",
            kohya_prefix="lora_te_text_model_",
        ),
    ),
    denoiser=UNET,
    code="trainer.bases.unets",
    rendering=SOLVERS,
    latent_channels=4,
    text_width=768,
    linear_projection=False,
    clip_skip=True,
    sample_size=64,
    native_side=512,
    side_step=64,
    lora=LoraFacts(
        version={"epsilon": "sd_v1", "v_prediction": "sd_v1_v"},
        architecture={"epsilon": "stable-diffusion-v1", "v_prediction": "stable-diffusion-v1"},
        implementation="diffusers",
        v2=False,
        sgm_blocks=False,
    ),
)
