"""The families of Stable Diffusion and what sets them apart (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal["sd1", "sd2", "sdxl"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a base model is, as LoRA files say it."""

    family: Family
    prediction_type: str
    """"epsilon" or "v_prediction"."""
    zero_terminal_snr: bool
    model_hash: str
    """SHA-256 of a single file, or over the weight files of a folder."""
    vae_hash: str | None = None
    """The same of a separate VAE."""


TEXT_PARTS: dict[Family, tuple[str, ...]] = {
    "sd1": ("text_encoder",),
    "sd2": ("text_encoder",),
    "sdxl": ("text_encoder", "text_encoder_2"),
}
"""The text encoders of each family."""

TITLES: dict[Family, str] = {"sd1": "SD 1.x", "sd2": "SD 2.x", "sdxl": "SDXL"}
"""What people call them."""


def misfits(clip_skip: int, text2_rate: float | None, family: Family) -> list[str]:
    """Plan fields that cannot act on a family, a sentence without its full stop each.

    Args:
        clip_skip: ``base.clip_skip``.
        text2_rate: ``optimiser.text2_lr_over_unet_lr``.
        family: of the base model.
    """
    problems = []
    if family == "sdxl" and clip_skip != 1:
        problems.append(f"base.clip_skip = {clip_skip}: SDXL ignores it; leave it out, or set it to 1")
    if family != "sdxl" and text2_rate is not None:
        problems.append(
            f"optimiser.text2_lr_over_unet_lr = {text2_rate}: {TITLES[family]} has one text encoder; "
            "leave it out"
        )
    return problems
