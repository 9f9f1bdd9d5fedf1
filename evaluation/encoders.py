"""CLIP as a judge of pictures: any folder or hub name that transformers loads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class EncoderError(Exception):
    """The encoder cannot be loaded; the message is one sentence with the remedy."""


class ClipEncoder:
    """Embeds pictures and prompts in CLIP's common space (Radford et al. 2021).

    Args:
        name: folder in transformers layout, or a hub name that is in the local cache or can be fetched.
        device: where it runs.

    Raises:
        EncoderError: ``name`` is no CLIP that can be loaded.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        from transformers import CLIPModel, CLIPProcessor

        try:
            model: Any = CLIPModel.from_pretrained(name, use_safetensors=True, dtype=torch.float32)
            self._processor: Any = CLIPProcessor.from_pretrained(name)
        except (OSError, ValueError) as error:
            first = str(error).splitlines()[0]
            raise EncoderError(f"judge.clip: {name!r} is not a CLIP folder or hub name ({first}).") from error
        self._model, self._device = model.eval().to(device), device

    @torch.no_grad()
    def images(self, images: Tensor) -> Tensor:
        """(n, 3, height, width) in [0, 1] -> embeddings (n, width)."""
        arrays = (images.nan_to_num().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        inputs = self._processor(images=list(arrays), return_tensors="pt").to(self._device)
        return _pooled(self._model.get_image_features(**inputs))

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """n prompts -> embeddings (n, width); words beyond CLIP's window are left out."""
        inputs = self._processor(text=list(texts), return_tensors="pt", padding=True, truncation=True)
        return _pooled(self._model.get_text_features(**inputs.to(self._device)))


def _pooled(features: Any) -> Tensor:
    """transformers 5 wraps the features, transformers 4 does not."""
    pooled: Tensor = getattr(features, "pooler_output", features)
    return pooled.float().cpu()
