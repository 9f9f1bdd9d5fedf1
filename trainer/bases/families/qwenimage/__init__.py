"""Qwen-Image (Wu et al. 2025): a transformer that reads Qwen2.5-VL, and an autoencoder of videos of one frame."""

from __future__ import annotations

from pathlib import Path

from trainer.bases.family import Denoiser, Family, LoraFacts, Rendering, TextEncoder

FAMILY = Family(
    name="qwenimage",
    title="Qwen-Image",
    generation=14,
    configs=Path(__file__).parent,
    pipeline="QwenImagePipeline",
    pipeline_arguments={},
    text_encoders=(
        TextEncoder(
            part="text_encoder",
            architecture="Qwen2_5_VLForConditionalGeneration",
            padding="<|endoftext|>",
            checkpoint_prefix="text_encoders.qwen25_7b.",
            kohya_prefix="",
            tokenizer_architecture="Qwen2Tokenizer",
        ),
    ),
    denoiser=Denoiser(
        part="transformer",
        architecture="QwenImageTransformer2DModel",
        packing=4,
        mark="transformer_blocks.0.img_mod.1.weight",
    ),
    vae="AutoencoderKLQwenImage",
    code="trainer.bases.families.qwenimage.network",
    rendering=Rendering(samplers={"euler": ("FlowMatchEulerDiscreteScheduler", {})}, sampler="euler"),
    predictions=("flow",),
    hub_words=("qwen-image",),
    caption_tokens=512,
    sample_size=128,
    native_side=1024,
    side_step=16,
    lora=LoraFacts(
        version={"flow": "qwen-image"},
        architecture={"flow": "qwen-image"},
        implementation="diffusers",
        v2=False,
        sgm_blocks=False,
        marks=(
            *("transformer.transformer_blocks.0.img_mlp.", "diffusion_model.transformer_blocks."),
            "lora_unet_transformer_blocks_",
        ),
        layout="diffusers",
        prefix="lora_transformer_",
    ),
    ranks=(8, 16, 32),
    rank_reason="a transformer's layers are large: 8 to 32 do for most subjects",
)
