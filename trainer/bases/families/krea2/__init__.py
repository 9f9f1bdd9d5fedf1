"""Krea 2, raw and turbo (Krea 2026): a transformer that reads many layers of Qwen3-VL, and Qwen-Image's autoencoder."""

from __future__ import annotations

from pathlib import Path

from trainer.bases.family import Denoiser, Family, LoraFacts, Rendering, TextEncoder

_BLOCKS = {
    "blocks_{}": "transformer_blocks.{}",
    "txtfusion_layerwise_blocks_{}": "text_fusion.layerwise_blocks.{}",
    "txtfusion_refiner_blocks_{}": "text_fusion.refiner_blocks.{}",
}
_PARTS = {
    "attn_wq": "attn.to_q",
    "attn_wk": "attn.to_k",
    "attn_wv": "attn.to_v",
    "attn_wo": "attn.to_out.0",
    "attn_gate": "attn.to_gate",
    "mlp_gate": "ff.gate",
    "mlp_up": "ff.up",
    "mlp_down": "ff.down",
}
_OUTSIDE = {
    "first": ("img_in",),
    "last_linear": ("final_layer.linear",),
    "tmlp_0": ("time_embed.linear_1",),
    "tmlp_2": ("time_embed.linear_2",),
    "tproj_1": ("time_mod_proj",),
    "txtmlp_1": ("txt_in.linear_1",),
    "txtmlp_3": ("txt_in.linear_2",),
    "txtfusion_projector": ("text_fusion.projector",),
}
"""Krea's names of layers -> diffusers'."""

FAMILY = Family(
    name="krea2",
    title="Krea 2",
    generation=15,
    configs=Path(__file__).parent,
    pipeline="Krea2Pipeline",
    pipeline_arguments={},
    text_encoders=(
        TextEncoder(
            part="text_encoder",
            architecture="Qwen3VLModel",
            padding="<|endoftext|>",
            checkpoint_prefix="text_encoders.qwen3vl_4b.",
            kohya_prefix="",
            tokenizer_architecture="Qwen2Tokenizer",
        ),
    ),
    denoiser=Denoiser(
        part="transformer",
        architecture="Krea2Transformer2DModel",
        packing=4,
        mark="txtfusion.projector.weight",
    ),
    vae="AutoencoderKLQwenImage",
    code="trainer.bases.families.krea2.network",
    rendering=Rendering(samplers={"euler": ("FlowMatchEulerDiscreteScheduler", {})}, sampler="euler"),
    predictions=("flow",),
    hub_words=("krea-2", "krea2"),
    caption_tokens=512,
    sample_size=128,
    native_side=1024,
    side_step=16,
    lora=LoraFacts(
        version={"flow": "krea2"},
        architecture={"flow": "krea-2"},
        implementation="diffusers",
        v2=False,
        sgm_blocks=False,
        makers={
            f"{theirs}_{part}": (f"{ours}.{path}",)
            for theirs, ours in _BLOCKS.items()
            for part, path in _PARTS.items()
        }
        | _OUTSIDE,
        marks=(
            *("transformer.text_fusion.", "diffusion_model.txtfusion.", "lora_transformer_text_fusion_"),
            *("diffusion_model.blocks.0.attn.wq.", "base_model.model.blocks.0.attn.wq."),
        ),
        layout="diffusers",
        prefix="lora_transformer_",
    ),
    ranks=(8, 16, 32),
    rank_reason="its makers train at 32; less does for a simple subject",
)
