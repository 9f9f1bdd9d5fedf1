"""Micro models of the other families with random weights, built from configurations."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

CUT, FULL = 2562, 49408
"""Entries of the vocabulary that micro-sd ships, and of CLIP's own."""
SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def text_config(width: int, layers: int, act: str, projection: int, vocabulary: int) -> Any:
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        hidden_act=act,
        projection_dim=projection,
        vocab_size=vocabulary,
        max_position_embeddings=77,
        num_attention_heads=2,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=0,
    )


def tokenizer(micro_sd: Path, padding: str, vocabulary: int) -> Any:
    from transformers import CLIPTokenizer

    from trainer.bases.tokenizer import clip_tokenizer

    if vocabulary == FULL:
        return clip_tokenizer(padding)
    return CLIPTokenizer.from_pretrained(micro_sd / "tokenizer", pad_token=padding)


def sdxl_unet(text_width: int, pooled: int) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=2,
        transformer_layers_per_block=[1, 1, 2],
        attention_head_dim=[2, 4, 4],
        norm_num_groups=8,
        use_linear_projection=True,
        cross_attention_dim=text_width,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=pooled + 6 * 8,
    )


def build_sdxl(folder: Path, micro_sd: Path, vocabulary: int = CUT) -> Path:
    """A micro SDXL around the shipped autoencoder, in diffusers layout."""
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = CLIPTextModel(text_config(16, 2, "quick_gelu", 16, vocabulary))
        second = CLIPTextModelWithProjection(text_config(24, 3, "gelu", 20, vocabulary))
        unet = sdxl_unet(16 + 24, 20)
    pipe = StableDiffusionXLPipeline(
        vae=AutoencoderKL.from_pretrained(micro_sd / "vae", torch_dtype=torch.float32),
        text_encoder=first,
        text_encoder_2=second,
        tokenizer=tokenizer(micro_sd, "<|endoftext|>", vocabulary),
        tokenizer_2=tokenizer(micro_sd, "!", vocabulary),
        unet=unet,
        scheduler=EulerDiscreteScheduler(**SCHEDULE, steps_offset=1, timestep_spacing="leading"),
        add_watermarker=False,
    )
    pipe.save_pretrained(folder)
    return folder


def build_sd(folder: Path, micro_sd: Path, second: bool, vocabulary: int = CUT, width: int = 24) -> Path:
    """A micro SD 1.x or 2.x around the shipped autoencoder, in diffusers layout.

    SD 2.x has v-prediction, linear projections and a text encoder with ``gelu``.
    """
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel

    with torch.random.fork_rng():
        torch.manual_seed(1)
        act = "gelu" if second else "quick_gelu"
        text_encoder = CLIPTextModel(text_config(width, 3, act, width, vocabulary))
        unet = UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(16, 32),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            layers_per_block=1,
            attention_head_dim=[2, 4] if second else 2,
            norm_num_groups=8,
            use_linear_projection=second,
            cross_attention_dim=width,
        )
    pipe = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(micro_sd / "vae", torch_dtype=torch.float32),
        text_encoder=text_encoder,
        tokenizer=tokenizer(micro_sd, "!" if second else "<|endoftext|>", vocabulary),
        unet=unet,
        scheduler=DDIMScheduler(
            **SCHEDULE,
            clip_sample=False,
            set_alpha_to_one=False,
            prediction_type="v_prediction" if second else "epsilon",
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(folder)
    return folder


def build_sd3(
    folder: Path, micro_sd: Path, t5: bool = False, length: int = 32, vocabulary: int = CUT
) -> Path:
    """A micro SD 3 around the shipped autoencoder, shifted, in diffusers layout; T5 is left out unless asked for."""
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
    from transformers import CLIPTextModelWithProjection

    with torch.random.fork_rng():
        torch.manual_seed(2)
        first = CLIPTextModelWithProjection(text_config(16, 2, "quick_gelu", 16, vocabulary))
        second = CLIPTextModelWithProjection(text_config(24, 2, "gelu", 20, vocabulary))
        transformer = SD3Transformer2DModel(
            sample_size=16,
            patch_size=2,
            in_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=48,
            caption_projection_dim=16,
            pooled_projection_dim=16 + 20,
            out_channels=4,
            pos_embed_max_size=24,
            qk_norm="rms_norm",
            dual_attention_layers=(0,),
        )
        for name, parameter in transformer.named_parameters():
            if "norm1" in name or "norm_out" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        long = small_t5(48) if t5 else None
    vae = micro_vae(micro_sd)
    tokenizers = [tokenizer(micro_sd, padding, vocabulary) for padding in ("<|endoftext|>", "!")]
    for each in tokenizers:
        each.model_max_length = length
    pipe = StableDiffusion3Pipeline(
        transformer=transformer,
        vae=vae,
        text_encoder=first,
        text_encoder_2=second,
        text_encoder_3=long,
        tokenizer=tokenizers[0],
        tokenizer_2=tokenizers[1],
        tokenizer_3=small_t5_tokenizer() if t5 else None,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )
    pipe.save_pretrained(folder)
    return folder


def micro_vae(micro_sd: Path) -> Any:
    """The shipped autoencoder, its latents shifted."""
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(micro_sd / "vae", torch_dtype=torch.float32)
    vae.register_to_config(shift_factor=0.1)
    return vae


def build_flux(folder: Path, micro_sd: Path, guidance: bool = True, vocabulary: int = CUT) -> Path:
    """A micro FLUX.1, dev or schnell, around the shipped autoencoder, in diffusers layout."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
    from transformers import CLIPTextModel

    with torch.random.fork_rng():
        torch.manual_seed(3)
        transformer = FluxTransformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=24,
            pooled_projection_dim=16,
            guidance_embeds=guidance,
            axes_dims_rope=(4, 6, 6),
        )
        pipe = FluxPipeline(
            transformer=transformer,
            vae=micro_vae(micro_sd),
            text_encoder=CLIPTextModel(text_config(16, 2, "quick_gelu", 16, vocabulary)),
            text_encoder_2=small_t5(24),
            tokenizer=tokenizer(micro_sd, "<|endoftext|>", vocabulary),
            tokenizer_2=small_t5_tokenizer(),
            scheduler=FlowMatchEulerDiscreteScheduler(
                use_dynamic_shifting=guidance, shift=3.0 if guidance else 1.0
            ),
        )
    pipe.save_pretrained(folder)
    return folder


def build_zimage(folder: Path, micro_sd: Path) -> Path:
    """A micro Z-Image around the shipped autoencoder, in diffusers layout."""
    from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel

    with torch.random.fork_rng():
        torch.manual_seed(4)
        transformer = ZImageTransformer2DModel(
            in_channels=4,
            dim=32,
            n_layers=2,
            n_refiner_layers=1,
            n_heads=2,
            n_kv_heads=2,
            cap_feat_dim=16,
            axes_dims=[8, 4, 4],
            axes_lens=[640, 32, 32],
        )
        for token in (transformer.x_pad_token, transformer.cap_pad_token):
            torch.nn.init.normal_(token, std=0.02)
        pipe = ZImagePipeline(
            transformer=transformer,
            vae=micro_vae(micro_sd),
            text_encoder=small_qwen3(16),
            tokenizer=small_qwen_tokenizer(),
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        )
    pipe.save_pretrained(folder)
    return folder


def build_flux2(folder: Path, micro_sd: Path) -> Path:
    """A micro FLUX.2 Klein with an autoencoder of its own, in diffusers layout."""
    from diffusers import (
        AutoencoderKLFlux2,
        FlowMatchEulerDiscreteScheduler,
        Flux2KleinPipeline,
        Flux2Transformer2DModel,
    )

    with torch.random.fork_rng():
        torch.manual_seed(5)
        vae = AutoencoderKLFlux2(
            block_out_channels=(8, 16, 16),
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=4,
        )
        vae.bn.running_mean.normal_(std=0.3)
        vae.bn.running_var.uniform_(0.5, 2.0)
        pipe = Flux2KleinPipeline(
            transformer=Flux2Transformer2DModel(
                in_channels=16,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=3 * 8,
                axes_dims_rope=(4, 4, 4, 4),
                guidance_embeds=False,
            ),
            vae=vae,
            text_encoder=small_qwen3(8, 28, "Qwen3ForCausalLM"),
            tokenizer=small_qwen_tokenizer(),
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0),
        )
    pipe.save_pretrained(folder)
    return folder


def build_qwenimage(folder: Path, micro_sd: Path) -> Path:
    """A micro Qwen-Image with an autoencoder of its own, in diffusers layout."""
    from diffusers import FlowMatchEulerDiscreteScheduler, QwenImagePipeline, QwenImageTransformer2DModel
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    text = {
        "vocab_size": 300,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "rope_parameters": {"mrope_section": [1, 1, 2], "rope_type": "default", "rope_theta": 1e6},
    }
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
    with torch.random.fork_rng():
        torch.manual_seed(6)
        pipe = QwenImagePipeline(
            transformer=QwenImageTransformer2DModel(
                in_channels=16,
                out_channels=4,
                num_layers=2,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=16,
                axes_dims_rope=(8, 4, 4),
            ),
            vae=small_qwenimage_vae(),
            text_encoder=Qwen2_5_VLForConditionalGeneration(
                Qwen2_5_VLConfig(text_config=text, vision_config=vision)
            ),
            tokenizer=small_qwen_tokenizer(),
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.02),
        )
    pipe.save_pretrained(folder)
    return folder


def build_krea2(folder: Path, micro_sd: Path) -> Path:
    """A micro Krea 2 with an autoencoder of its own, in diffusers layout."""
    from diffusers import FlowMatchEulerDiscreteScheduler, Krea2Pipeline, Krea2Transformer2DModel
    from transformers import Qwen3VLConfig, Qwen3VLModel

    text = {
        "vocab_size": 300,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "rope_parameters": {
            "mrope_section": [2, 1, 1],
            "mrope_interleaved": True,
            "rope_type": "default",
            "rope_theta": 1e6,
        },
    }
    vision = {
        "depth": 1,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_heads": 2,
        "out_hidden_size": 16,
        "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0],
    }
    with torch.random.fork_rng():
        torch.manual_seed(7)
        transformer = Krea2Transformer2DModel(
            in_channels=16,
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            num_key_value_heads=1,
            intermediate_size=48,
            timestep_embed_dim=16,
            text_hidden_dim=16,
            num_text_layers=2,
            text_num_attention_heads=2,
            text_num_key_value_heads=2,
            text_intermediate_size=24,
            num_layerwise_text_blocks=1,
            num_refiner_text_blocks=1,
            axes_dims_rope=(8, 4, 4),
        )
        for block in (*transformer.transformer_blocks, transformer.final_layer):
            torch.nn.init.normal_(block.scale_shift_table, std=0.5)
        pipe = Krea2Pipeline(
            transformer=transformer,
            vae=small_qwenimage_vae(),
            text_encoder=Qwen3VLModel(Qwen3VLConfig(text_config=text, vision_config=vision)),
            tokenizer=small_qwen_tokenizer(),
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, max_image_seq_len=6400),
            text_encoder_select_layers=(1, 3),
        )
    pipe.save_pretrained(folder)
    return folder


def build_chroma(folder: Path, micro_sd: Path) -> Path:
    """A micro Chroma around the shipped autoencoder, in diffusers layout."""
    from diffusers import ChromaPipeline, ChromaTransformer2DModel, FlowMatchEulerDiscreteScheduler

    with torch.random.fork_rng():
        torch.manual_seed(8)
        pipe = ChromaPipeline(
            transformer=ChromaTransformer2DModel(
                in_channels=16,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=24,
                axes_dims_rope=(4, 6, 6),
                approximator_num_channels=16,
                approximator_hidden_dim=24,
                approximator_layers=1,
            ),
            vae=micro_vae(micro_sd),
            text_encoder=small_t5(24),
            tokenizer=small_t5_tokenizer(),
            scheduler=FlowMatchEulerDiscreteScheduler(),
        )
    pipe.save_pretrained(folder)
    return folder


def small_qwenimage_vae() -> Any:
    from diffusers import AutoencoderKLQwenImage

    return AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[False, True],
        latents_mean=[0.1, -0.2, 0.0, 0.3],
        latents_std=[0.8, 1.2, 1.0, 0.9],
    )


def small_qwen3(width: int, layers: int = 2, kind: str = "Qwen3Model") -> Any:
    import transformers

    return getattr(transformers, kind)(
        transformers.Qwen3Config(
            vocab_size=300,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=layers,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
        )
    )


def small_qwen_tokenizer() -> Any:
    """Letters, and the template of a user's message."""
    from transformers import Qwen2Tokenizer

    symbols = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 256))]
    symbols += [chr(256 + place) for place in range(256 - len(symbols))]
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    made = Qwen2Tokenizer(
        vocab={symbol: place for place, symbol in enumerate((*symbols, *special))},
        merges=[],
        additional_special_tokens=special[1:],
    )
    made.chat_template = (
        "{% for message in messages %}<|im_start|>{{ message.role }} {{ message.content }}<|im_end|>"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
    )
    return made


def small_t5(width: int) -> Any:
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
        T5Config(vocab_size=260, d_model=width, d_kv=8, d_ff=2 * width, num_layers=2, num_heads=2)
    )


def small_t5_tokenizer() -> Any:
    """A vocabulary of letters."""
    from transformers import T5Tokenizer

    letters = "▁abcdefghijklmnopqrstuvwxyz,."
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -4.0) for letter in letters)]
    return T5Tokenizer(vocab=vocab, extra_ids=0)


def copy_of(folder: Path, target: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(folder, target))
