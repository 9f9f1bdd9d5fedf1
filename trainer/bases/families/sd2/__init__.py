"""Stable Diffusion 2.x: one text encoder, OpenCLIP ViT-H/14 without its last layer; 2.1 predicts v at 768 pixels."""

from __future__ import annotations

from pathlib import Path

from trainer.bases.diffusion import SOLVERS, UNET
from trainer.bases.family import NO_SAFETY_CHECKER, Family, LoraFacts, TextEncoder

FAMILY = Family(
    name="sd2",
    title="SD 2.x",
    generation=2,
    configs=Path(__file__).parent,
    pipeline="StableDiffusionPipeline",
    pipeline_arguments=NO_SAFETY_CHECKER,
    text_encoders=(
        TextEncoder(
            part="text_encoder",
            architecture="CLIPTextModel",
            padding="!",
            checkpoint_prefix="cond_stage_model.model.",
            kohya_prefix="lora_te_text_model_",
        ),
    ),
    denoiser=UNET,
    code="trainer.bases.unets",
    rendering=SOLVERS,
    latent_channels=4,
    text_width=1024,
    linear_projection=True,
    hub_words=("diffusion-2", "sd2", "v2"),
    clip_skip=True,
    sample_size=64,
    native_side=768,
    side_step=64,
    lora=LoraFacts(
        version={"epsilon": "sd_v2", "v_prediction": "sd_v2_v"},
        architecture={
            "epsilon": "stable-diffusion-v2-512",
            "v_prediction": "stable-diffusion-v2-768-v",
        },
        implementation="diffusers",
        v2=True,
        sgm_blocks=False,
    ),
)
