"""Stable Diffusion 3 and 3.5 (Esser et al. 2024): a transformer that reads two CLIPs and, where it is there, T5."""

from __future__ import annotations

from pathlib import Path

from trainer.bases.family import Denoiser, Family, LoraFacts, Rendering, TextEncoder

_BLOCK = "transformer_blocks.{}."
_PICTURE = {
    "attn_qkv": (_BLOCK + "attn.to_q", _BLOCK + "attn.to_k", _BLOCK + "attn.to_v"),
    "attn_proj": (_BLOCK + "attn.to_out.0",),
    "attn2_qkv": (_BLOCK + "attn2.to_q", _BLOCK + "attn2.to_k", _BLOCK + "attn2.to_v"),
    "attn2_proj": (_BLOCK + "attn2.to_out.0",),
    "mlp_fc1": (_BLOCK + "ff.net.0.proj",),
    "mlp_fc2": (_BLOCK + "ff.net.2",),
    "adaLN_modulation_1": (_BLOCK + "norm1.linear",),
}
"""Stability's names of a block's layers for pictures -> diffusers'."""
_TEXT = {
    "attn_qkv": (_BLOCK + "attn.add_q_proj", _BLOCK + "attn.add_k_proj", _BLOCK + "attn.add_v_proj"),
    "attn_proj": (_BLOCK + "attn.to_add_out",),
    "mlp_fc1": (_BLOCK + "ff_context.net.0.proj",),
    "mlp_fc2": (_BLOCK + "ff_context.net.2",),
    "adaLN_modulation_1": (_BLOCK + "norm1_context.linear",),
}
"""Likewise for text."""
_EMBEDDERS = {
    "context_embedder": ("context_embedder",),
    "t_embedder_mlp_0": ("time_text_embed.timestep_embedder.linear_1",),
    "t_embedder_mlp_2": ("time_text_embed.timestep_embedder.linear_2",),
    "y_embedder_mlp_0": ("time_text_embed.text_embedder.linear_1",),
    "y_embedder_mlp_2": ("time_text_embed.text_embedder.linear_2",),
    "final_layer_linear": ("proj_out",),
    "final_layer_adaLN_modulation_1": ("norm_out.linear",),
}
"""Before and after the blocks."""

FAMILY = Family(
    name="sd3",
    title="SD 3",
    generation=10,
    configs=Path(__file__).parent,
    pipeline="StableDiffusion3Pipeline",
    pipeline_arguments={},
    text_encoders=(
        TextEncoder(
            part="text_encoder",
            architecture="CLIPTextModelWithProjection",
            padding="<|endoftext|>",
            checkpoint_prefix="text_encoders.clip_l.",
            kohya_prefix="lora_te1_text_model_",
        ),
        TextEncoder(
            part="text_encoder_2",
            architecture="CLIPTextModelWithProjection",
            padding="!",
            checkpoint_prefix="text_encoders.clip_g.",
            kohya_prefix="lora_te2_text_model_",
        ),
        TextEncoder(
            part="text_encoder_3",
            architecture="T5EncoderModel",
            padding="<pad>",
            checkpoint_prefix="text_encoders.t5xxl.",
            kohya_prefix="",
            tokenizer_architecture="T5Tokenizer",
            optional=True,
        ),
    ),
    denoiser=Denoiser(
        part="transformer",
        architecture="SD3Transformer2DModel",
        mark="joint_blocks.0.context_block.adaLN_modulation.1.bias",
    ),
    code="trainer.bases.families.sd3.network",
    rendering=Rendering(
        samplers={
            "euler": ("FlowMatchEulerDiscreteScheduler", {}),
            "heun": ("FlowMatchHeunDiscreteScheduler", {}),
        },
        sampler="euler",
    ),
    predictions=("flow",),
    hub_words=("diffusion-3", "sd3"),
    caption_tokens=254,
    sample_size=128,
    native_side=1024,
    side_step=16,
    lora=LoraFacts(
        version={"flow": "sd3"},
        architecture={"flow": "stable-diffusion-3"},
        implementation="diffusers",
        v2=False,
        sgm_blocks=False,
        makers={
            **{f"joint_blocks_{{}}_x_block_{theirs}": ours for theirs, ours in _PICTURE.items()},
            **{f"joint_blocks_{{}}_context_block_{theirs}": ours for theirs, ours in _TEXT.items()},
            **_EMBEDDERS,
        },
        swapped=("joint_blocks_{}_context_block_adaLN_modulation_1", "final_layer_adaLN_modulation_1"),
        marks=(
            "transformer.transformer_blocks.",
            "lora_transformer_transformer_blocks_",
            "lora_unet_joint_blocks_",
        ),
        layout="diffusers",
        prefix="lora_transformer_",
    ),
    ranks=(8, 16, 32),
    rank_reason="a transformer's layers are large: 8 to 32 do for most subjects",
)
