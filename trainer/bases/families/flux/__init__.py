"""FLUX.1 dev and schnell (Black Forest Labs 2024): a transformer that reads T5, and CLIP's pooled text."""

from __future__ import annotations

from pathlib import Path

from trainer.bases.family import Denoiser, Family, LoraFacts, Rendering, TextEncoder

FAMILY = Family(
    name="flux",
    title="FLUX.1",
    generation=11,
    configs=Path(__file__).parent,
    pipeline="FluxPipeline",
    pipeline_arguments={},
    text_encoders=(
        TextEncoder(
            part="text_encoder",
            architecture="CLIPTextModel",
            padding="<|endoftext|>",
            checkpoint_prefix="text_encoders.clip_l.",
            kohya_prefix="lora_te1_text_model_",
        ),
        TextEncoder(
            part="text_encoder_2",
            architecture="T5EncoderModel",
            padding="<pad>",
            checkpoint_prefix="text_encoders.t5xxl.",
            kohya_prefix="",
            tokenizer_architecture="T5Tokenizer",
        ),
    ),
    denoiser=Denoiser(
        part="transformer",
        architecture="FluxTransformer2DModel",
        packing=4,
        mark="double_blocks.0.img_attn.norm.key_norm.scale",
    ),
    code="trainer.bases.families.flux.network",
    rendering=Rendering(
        samplers={"euler": ("FlowMatchEulerDiscreteScheduler", {})}, sampler="euler", embedded=True
    ),
    predictions=("flow",),
    hub_words=("flux",),
    caption_tokens=510,
    sample_size=128,
    native_side=1024,
    side_step=16,
    lora=LoraFacts(
        version={"flow": "flux1"},
        architecture={"flow": "flux-1-dev"},
        implementation="https://github.com/black-forest-labs/flux",
        v2=False,
        sgm_blocks=False,
        marks=(
            *("transformer.single_transformer_blocks.", "lora_transformer_single_transformer_blocks_"),
            *("lora_unet_single_blocks_", "lora_unet_double_blocks_", "diffusion_model.double_blocks."),
        ),
        layout="diffusers",
        prefix="lora_transformer_",
    ),
    ranks=(4, 8, 16),
    rank_reason="12 billion parameters: 4 to 16 do for most subjects",
)
