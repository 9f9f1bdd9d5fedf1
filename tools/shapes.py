"""The architectures of the micro models: every width and depth that the shipped weights have."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, DDIMScheduler, SD3Transformer2DModel, UNet2DConditionModel
    from transformers import CLIPConfig, CLIPModel, CLIPTextModel, CLIPTextModelWithProjection

PIXELS = 64
LATENT_CHANNELS = 4
LATENT_PIXELS = 16
TEXT_WIDTH = 128
TOKENS = 77
FLOW_TOKENS = 32
SMALL_TEXT_WIDTH = 32


def autoencoder() -> AutoencoderKL:
    """Returns an untrained autoencoder: 64 px pictures to latents of shape (4, 16, 16)."""
    from diffusers import AutoencoderKL

    widths = (24, 48, 64)
    return AutoencoderKL(
        block_out_channels=widths,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        layers_per_block=1,
        norm_num_groups=8,
        latent_channels=LATENT_CHANNELS,
        sample_size=PIXELS,
    )


def text_encoder(vocabulary: int) -> CLIPTextModel:
    """Returns an untrained text encoder whose last two tokens are begin and end of text."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(CLIPTextConfig(**_text_settings(vocabulary, layers=3)))


def unet() -> UNet2DConditionModel:
    """Returns an untrained U-Net for latents of 16 px, with cross-attention at every level but the first."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=LATENT_PIXELS,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=UNET_WIDTHS,
        down_block_types=UNET_DOWN,
        up_block_types=UNET_UP,
        layers_per_block=1,
        attention_head_dim=4,
        cross_attention_dim=TEXT_WIDTH,
        norm_num_groups=16,
    )


def flow_text_encoder(vocabulary: int) -> CLIPTextModelWithProjection:
    """Returns an untrained text encoder as `text_encoder`'s, with a projection of what it says of a whole caption."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    return CLIPTextModelWithProjection(CLIPTextConfig(**_text_settings(vocabulary, layers=3)))


def small_text_encoder(vocabulary: int) -> CLIPTextModelWithProjection:
    """Returns the untrained second text encoder of the flow-matching base."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    widths = {
        "hidden_size": SMALL_TEXT_WIDTH,
        "intermediate_size": 4 * SMALL_TEXT_WIDTH,
        "projection_dim": SMALL_TEXT_WIDTH,
    }
    return CLIPTextModelWithProjection(CLIPTextConfig(**(_text_settings(vocabulary, layers=2) | widths)))


def flow_transformer() -> SD3Transformer2DModel:
    """Returns an untrained transformer in Stable Diffusion 3.5's layout, for latents of 16 px in patches of 2."""
    from diffusers import SD3Transformer2DModel

    return SD3Transformer2DModel(
        sample_size=LATENT_PIXELS,
        patch_size=2,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        num_layers=5,
        attention_head_dim=32,
        num_attention_heads=4,
        joint_attention_dim=TEXT_WIDTH + SMALL_TEXT_WIDTH,
        caption_projection_dim=128,
        pooled_projection_dim=TEXT_WIDTH + SMALL_TEXT_WIDTH,
        pos_embed_max_size=LATENT_PIXELS,
        qk_norm="rms_norm",
    )


UNET_WIDTHS: tuple[int, ...] = (64, 96, 112)
UNET_DOWN: tuple[str, ...] = ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D")
UNET_UP: tuple[str, ...] = ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")


def scheduler() -> DDIMScheduler:
    """Returns the noise schedule of Stable Diffusion 1.5."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="leading",
    )


def clip(vocabulary: int) -> CLIPModel:
    """Returns an untrained CLIP: 64 px pictures in patches of 8, embeddings of 128."""
    from transformers import CLIPModel

    return CLIPModel(clip_settings(vocabulary))


def clip_settings(vocabulary: int) -> CLIPConfig:
    """Returns the settings of the micro CLIP."""
    from transformers import CLIPConfig

    vision = {
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": PIXELS,
        "patch_size": 8,
        "projection_dim": TEXT_WIDTH,
    }
    text = {**_text_settings(vocabulary, layers=2), "intermediate_size": 256}
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=TEXT_WIDTH)


def _text_settings(vocabulary: int, layers: int) -> dict[str, int]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 4 * TEXT_WIDTH,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "max_position_embeddings": TOKENS,
        "projection_dim": TEXT_WIDTH,
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
        "pad_token_id": vocabulary - 1,
    }
