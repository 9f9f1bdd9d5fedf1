"""Describes images with any image-to-text model of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image

from trainer.tensor_header import weights_problem


class CaptionerError(Exception):
    """The image-to-text model cannot be used; the message is one sentence with the remedy."""


class Captioner:
    """An image-to-text model.

    Args:
        name: folder, or hub name of a model such as BLIP, GIT or a vision encoder-decoder.
        device: where it runs.
        max_tokens: longest description, in tokens.

    Raises:
        CaptionerError: it is not here and cannot be fetched, or is no image-to-text model.
    """

    def __init__(self, name: str, device: torch.device, max_tokens: int = 40) -> None:
        from transformers import AutoModelForImageTextToText

        if Path(name).exists() and (problem := weights_problem(Path(name))):
            raise CaptionerError(f"{name}: {problem}.")
        try:
            self._read, self._say = _processors(name)
            model = AutoModelForImageTextToText.from_pretrained(
                name, use_safetensors=True, trust_remote_code=False
            )
        except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
            raise CaptionerError(_sentence(name, error)) from error
        self._model: Any = model.eval().to(device)
        self._device, self._max_tokens = device, max_tokens

    @torch.no_grad()
    def describe(self, image: Image.Image) -> str:
        """One line about an RGB image; always the same for the same image."""
        pixels = self._read(images=image, return_tensors="pt").pixel_values.to(self._device)
        tokens = self._model.generate(
            pixel_values=pixels, max_new_tokens=self._max_tokens, do_sample=False, num_beams=1
        )
        text: str = self._say.batch_decode(tokens, skip_special_tokens=True)[0]
        return " ".join(text.split())


def _processors(name: str) -> tuple[Any, Any]:
    """What turns images into pixels, and what turns tokens into words."""
    from transformers import AutoImageProcessor, AutoTokenizer

    return tuple(
        kind.from_pretrained(name, trust_remote_code=False) for kind in (AutoImageProcessor, AutoTokenizer)
    )


def _sentence(name: str, error: Exception) -> str:
    if Path(name).exists():
        return (
            f"{name}: this is no image-to-text model of transformers "
            f"({str(error).splitlines()[0][:200]}); give a folder with its configuration, weights in "
            "safetensors, image processor and tokenizer."
        )
    return (
        f"{name}: there is no such folder, and the model is neither in the hub cache nor could it be fetched; "
        "fetch it where there is a network, or give its folder."
    )
