"""Z-Image, base and turbo (Tongyi-MAI 2025): one stream of pictures and of text that Qwen3 reads."""

from __future__ import annotations

from pathlib import Path

from trainer.bases.family import Denoiser, Family, LoraFacts, Rendering, TextEncoder

FAMILY = Family(
    name="zimage",
    title="Z-Image",
    generation=12,
    configs=Path(__file__).parent,
    pipeline="ZImagePipeline",
    pipeline_arguments={},
    text_encoders=(
        TextEncoder(
            part="text_encoder",
            architecture="Qwen3Model",
            padding="<|endoftext|>",
            checkpoint_prefix="text_encoders.qwen3_4b.",
            kohya_prefix="",
            tokenizer_architecture="Qwen2Tokenizer",
        ),
    ),
    denoiser=Denoiser(
        part="transformer",
        architecture="ZImageTransformer2DModel",
        mark="layers.0.adaLN_modulation.0.weight",
    ),
    code="trainer.bases.families.zimage.network",
    rendering=Rendering(samplers={"euler": ("FlowMatchEulerDiscreteScheduler", {})}, sampler="euler"),
    predictions=("flow",),
    hub_words=("z-image", "zimage"),
    caption_tokens=500,
    sample_size=128,
    native_side=1024,
    side_step=16,
    lora=LoraFacts(
        version={"flow": "z-image"},
        architecture={"flow": "z-image"},
        implementation="diffusers",
        v2=False,
        sgm_blocks=False,
        marks=(
            *("transformer.layers.", "transformer.noise_refiner.", "transformer.context_refiner."),
            *("diffusion_model.layers.", "lora_unet_layers_", "lora_transformer_layers_"),
        ),
        layout="diffusers",
        prefix="lora_transformer_",
    ),
    ranks=(8, 16, 32),
    rank_reason="a transformer's layers are large: 8 to 32 do for most subjects",
)
