"""FLUX.2 Klein, 4B and 9B (Black Forest Labs 2026): a transformer that reads three layers of Qwen3."""

from __future__ import annotations

from pathlib import Path

from trainer.bases.family import Denoiser, Family, LoraFacts, Rendering, TextEncoder

FAMILY = Family(
    name="flux2",
    title="FLUX.2 Klein",
    generation=13,
    configs=Path(__file__).parent,
    pipeline="Flux2KleinPipeline",
    pipeline_arguments={},
    text_encoders=(
        TextEncoder(
            part="text_encoder",
            architecture="Qwen3ForCausalLM",
            padding="<|endoftext|>",
            checkpoint_prefix="text_encoders.qwen3.",
            kohya_prefix="",
            tokenizer_architecture="Qwen2Tokenizer",
        ),
    ),
    denoiser=Denoiser(
        part="transformer",
        architecture="Flux2Transformer2DModel",
        packing=4,
        mark="single_stream_modulation.lin.weight",
    ),
    vae="AutoencoderKLFlux2",
    code="trainer.bases.families.flux2.network",
    rendering=Rendering(samplers={"euler": ("FlowMatchEulerDiscreteScheduler", {})}, sampler="euler"),
    predictions=("flow",),
    hub_words=("flux.2", "flux2"),
    caption_tokens=500,
    sample_size=64,
    native_side=1024,
    side_step=16,
    lora=LoraFacts(
        version={"flow": "flux2"},
        architecture={"flow": "flux-2-klein"},
        implementation="https://github.com/black-forest-labs/flux2",
        v2=False,
        sgm_blocks=False,
        marks=(
            "transformer.single_transformer_blocks.0.attn.to_qkv_mlp_proj",
            "lora_transformer_single_transformer_blocks_0_attn_to_qkv_mlp_proj",
        ),
        layout="diffusers",
        prefix="lora_transformer_",
    ),
    ranks=(8, 16, 32),
    rank_reason="a transformer's layers are large: 8 to 32 do for most subjects",
)
