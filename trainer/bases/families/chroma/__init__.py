"""Chroma (Lodestone Rock 2025): FLUX.1 schnell without its modulation layers and without CLIP, told where text ends."""

from __future__ import annotations

from pathlib import Path

from trainer.bases.family import Denoiser, Family, LoraFacts, Rendering, TextEncoder

FAMILY = Family(
    name="chroma",
    title="Chroma",
    generation=16,
    configs=Path(__file__).parent,
    pipeline="ChromaPipeline",
    pipeline_arguments={},
    text_encoders=(
        TextEncoder(
            part="text_encoder",
            architecture="T5EncoderModel",
            padding="<pad>",
            checkpoint_prefix="text_encoders.t5xxl.",
            kohya_prefix="",
            tokenizer_architecture="T5Tokenizer",
        ),
    ),
    denoiser=Denoiser(
        part="transformer",
        architecture="ChromaTransformer2DModel",
        packing=4,
        mark="distilled_guidance_layer.in_proj.bias",
    ),
    code="trainer.bases.families.chroma.network",
    rendering=Rendering(samplers={"euler": ("FlowMatchEulerDiscreteScheduler", {})}, sampler="euler"),
    predictions=("flow",),
    hub_words=("chroma",),
    caption_tokens=511,
    sample_size=128,
    native_side=1024,
    side_step=16,
    lora=LoraFacts(
        version={"flow": "chroma"},
        architecture={"flow": "chroma"},
        implementation="https://github.com/lodestone-rock/flow",
        v2=False,
        sgm_blocks=False,
        layout="diffusers",
        prefix="lora_transformer_",
    ),
    ranks=(4, 8, 16),
    rank_reason="9 billion parameters: 4 to 16 do for most subjects",
)
