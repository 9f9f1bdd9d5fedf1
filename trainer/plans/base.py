"""The section [plan.base]."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from trainer.plans.fields import Frozen, field, means, same, shared

Prediction = Literal["epsilon", "v_prediction"]


class MergedLora(Frozen):
    """A LoRA that becomes part of the base model."""

    file: Path
    """Of any format and algorithm that ``judge`` reads, made for the same family."""
    weight: float = Field(1.0, ge=-10, le=10)
    """Its strength: W += weight * delta W."""


class BasePlan(Frozen):
    """The frozen base model."""

    path: Path = shared(..., means("pretrained_model_name_or_path", row="base model", may_change=True))
    """A diffusers folder, a hub name ``org/model``, or, of SD 1.x, SD 2.x and SDXL, a single .safetensors file."""
    transformer: Path | None = shared(
        None, means("pretrained_model_name_or_path", row="separate transformer", may_change=True)
    )
    """A transformer that replaces that of ``path``: a single .safetensors file, as ComfyUI and Forge load it."""
    vae: Path | None = shared(None, means("vae", row="separate VAE", may_change=True))
    """A VAE that replaces the base's: a diffusers folder or a .safetensors file."""
    prediction_type: Prediction | None = shared(None, means("v_parameterization", "v2", row="v-prediction"))
    """What the U-Net predicts; None takes the base's own statement (SD 2.x files make none: v_prediction)."""
    zero_terminal_snr: bool | None = shared(None, same("zero_terminal_snr", row="zero-terminal SNR"))
    """Rescale the noise schedule to end in pure noise (Lin et al. 2023); None takes the base's own statement."""
    clip_skip: int = field(1, same("clip_skip", unit="layers from the end"), ge=1, le=3)
    """Which hidden state of the text encoder is read, counted from the end (1 = the last); SDXL takes 1 only."""
    loras: tuple[MergedLora, ...] = shared(
        (),
        means(
            "base_weights", "base_weights_multiplier", row="mixing other LoRAs with weights", may_change=True
        ),
    )
    """LoRAs that are merged into the base model first, e.g. ``[{ file = "x.safetensors", weight = 0.7 }]``."""
