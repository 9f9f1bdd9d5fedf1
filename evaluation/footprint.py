"""What the judge's encoders need of a GPU, from their configurations alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from trainer.footprint import fakes
from trainer.footprint.forecast import Eyes
from trainer.footprint.tracker import Tracker

_LARGE: dict[str, Any] = {
    "projection_dim": 768,
    "text_config": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
    },
    "vision_config": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
        "patch_size": 14,
        "image_size": 224,
    },
}
"""CLIP ViT-L/14 (Radford et al. 2021), which stands for what cannot be read yet."""


def eyes(names: Sequence[str]) -> Eyes:
    """All encoders resident, and the one that needs most to look at a picture.

    Args:
        names: folders or hub names; of one that is not on this disk, CLIP ViT-L/14 is counted.
    """
    found = [_one(name) for name in names]
    return Eyes(sum(each.resident for each in found), max((each.picture for each in found), default=0))


def _one(name: str) -> Eyes:
    with torch.device("meta"):
        network = _network(name)
    fakes.fill(network, torch.float16)
    config: Any = network.config
    side = getattr(config, "vision_config", config).image_size
    vision: Any = getattr(network, "vision_model", network)
    with fakes.blockwise_attention(), fakes.META, torch.no_grad(), Tracker() as tracker:
        tracker.adopt_network(network)
        resident = tracker.live
        vision(torch.zeros(1, 3, side, side, dtype=torch.float16), output_hidden_states=True)
    return Eyes(resident, tracker.peak - resident)


def _network(name: str) -> nn.Module:
    from transformers import AutoConfig, AutoModel, CLIPConfig

    try:
        config: Any = AutoConfig.from_pretrained(name, local_files_only=True, trust_remote_code=False)
        network: nn.Module = AutoModel.from_config(config)
    except (OSError, ValueError):
        network = AutoModel.from_config(CLIPConfig(**_LARGE))
    return network
