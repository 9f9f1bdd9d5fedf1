"""Judges of pictures: CLIP, and image encoders such as DINOv2, by any folder or hub name that transformers loads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from trainer.bases.find import joint_hash
from trainer.bases.residency import Residency
from trainer.tensor_header import PICKLES, weights_problem

PICTURES_AT_ONCE = 16
"""Most pictures in one pass, so that a large training set does not fill the memory."""


class EncoderError(Exception):
    """The encoder cannot be loaded; the message is one sentence with the remedy."""


class Seen(NamedTuple):
    """What an encoder sees in n pictures."""

    content: Tensor
    """What they show: its embeddings, shape (n, width)."""
    style: Tensor
    """How they are drawn: mean and deviation of its features over each picture, of several layers; shape
    (n, layers, 2 x the widest layer)."""


class ImageEncoder(Protocol):
    """Whatever embeds pictures."""

    def see(self, images: Tensor) -> Seen:
        """(n, 3, height, width) in [0, 1] -> what is seen."""


HALF_ON = "cuda"
"""Type of device on which encoders compute in half precision."""


class _Encoder:
    """What all have in common: pictures are seen some at a time."""

    _processor: Any
    _model: Any
    _dtype: torch.dtype

    def __init__(self, name: str, device: torch.device, residency: Residency | None) -> None:
        self._name, self._device = name, device
        self._residency = residency or Residency(device)

    def _settle(self, model: Any) -> None:
        """In half precision on a GPU; where networks that idle leave the device, it comes when it is asked."""
        self._dtype = torch.float16 if self._device.type == HALF_ON else torch.float32
        self._model = model.eval().to(self._dtype)
        if not self._residency.moves:
            self._model.to(self._device)

    def _arrive(self) -> None:
        self._residency.use(f"eyes: {type(self).__name__}, {self._name}", [self._model], alone=True)

    def images(self, images: Tensor) -> Tensor:
        """(n, 3, height, width) in [0, 1] -> embeddings (n, width)."""
        return self.see(images).content

    @torch.no_grad()
    def see(self, images: Tensor) -> Seen:
        """(n, 3, height, width) in [0, 1] -> what is seen."""
        styles: list[Tensor] = []

        def some(take: slice) -> Tensor:
            content, style = self._some(images[take])
            styles.append(style)
            return content

        self._arrive()
        content = self._residency.limits.run(
            f"eyes: {type(self).__name__}, {self._name}", max(1, len(images)), PICTURES_AT_ONCE, some
        )
        return Seen(content, torch.cat(styles))

    def _pixels(self, images: Tensor) -> Any:
        inputs = self._processor(images=_arrays(images), return_tensors="pt")
        return {
            name: values.to(self._device, self._dtype if values.is_floating_point() else None)
            for name, values in inputs.items()
        }

    def _some(self, images: Tensor) -> Seen:
        raise NotImplementedError


class ClipEncoder(_Encoder):
    """Embeds pictures and prompts in CLIP's common space (Radford et al. 2021).

    Args:
        name: folder in transformers layout, or a hub name that is in the local cache or can be fetched.
        device: where it runs.
        residency: the base model's, which it shares the device with.

    Raises:
        EncoderError: ``name`` is no CLIP that can be loaded.
    """

    def __init__(self, name: str, device: torch.device, residency: Residency | None = None) -> None:
        from transformers import CLIPModel, CLIPProcessor

        super().__init__(name, device, residency)
        _refuse_unsafe("judge.clip", name)
        try:
            model: Any = CLIPModel.from_pretrained(name, use_safetensors=True, dtype=torch.float32)
            self._processor = CLIPProcessor.from_pretrained(name)
        except (OSError, ValueError) as error:
            first = str(error).splitlines()[0]
            raise EncoderError(f"judge.clip: {name!r} is not a CLIP folder or hub name ({first}).") from error
        self._settle(model)

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """n prompts -> embeddings (n, width); words beyond CLIP's window are left out."""
        self._arrive()
        inputs = self._processor(text=list(texts), return_tensors="pt", padding=True, truncation=True)
        return _pooled(self._model.get_text_features(**inputs.to(self._device)))

    def _some(self, images: Tensor) -> Seen:
        inputs = self._pixels(images)
        said = self._model.get_image_features(**inputs, output_hidden_states=True)
        return Seen(_pooled(said), _style(said.hidden_states))


class VisionEncoder(_Encoder):
    """Embeds pictures alone, such as DINOv2 (Oquab et al. 2023): pooled output, else the first (CLS) token.

    Args:
        name: folder in transformers layout, or a hub name that is in the local cache or can be fetched.
        device: where it runs.
        residency: the base model's, which it shares the device with.

    Raises:
        EncoderError: ``name`` is no image encoder that can be loaded.
    """

    def __init__(self, name: str, device: torch.device, residency: Residency | None = None) -> None:
        from transformers import AutoImageProcessor, AutoModel

        super().__init__(name, device, residency)
        _refuse_unsafe("judge.image_encoder", name)
        try:
            model: Any = AutoModel.from_pretrained(
                name, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
            )
            self._processor = AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            first = str(error).splitlines()[0]
            raise EncoderError(
                f"judge.image_encoder: {name!r} is not the folder or hub name of an image encoder ({first})."
            ) from error
        if not hasattr(model, "get_image_features") and model.main_input_name != "pixel_values":
            raise EncoderError(
                f"judge.image_encoder: {name!r} is a {type(model).__name__}, which does not read pictures."
            )
        self._settle(model)

    def _some(self, images: Tensor) -> Seen:
        inputs = self._pixels(images)
        if hasattr(self._model, "get_image_features"):
            said = self._model.get_image_features(**inputs, output_hidden_states=True)
            return Seen(_pooled(said), _style(said.hidden_states))
        said = self._model(**inputs, output_hidden_states=True)
        pooled = getattr(said, "pooler_output", None)
        found: Tensor = said.last_hidden_state[:, 0] if pooled is None else pooled.flatten(1)
        return Seen(found.float().cpu(), _style(said.hidden_states))


def _refuse_unsafe(field: str, name: str) -> None:
    path = Path(name)
    if (path.exists() or path.suffix in PICKLES) and (problem := weights_problem(path)):
        raise EncoderError(f"{field}: {name}: {problem}.")


def _arrays(images: Tensor) -> list[Any]:
    """What processors take: (height, width, 3) in bytes; NaN is black."""
    return list((images.nan_to_num().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy())


def _style(layers: Sequence[Tensor]) -> Tensor:
    """Mean and deviation over each picture in the first quarter of the depth: at its start, middle and end.

    Statistics of features over places say how something is drawn and little of what (Huang & Belongie 2017,
    arXiv:1703.06868); later layers know the subject, and agree less with eyes that no rule uses.

    Args:
        layers: of a transformer (n, tokens, width), or of a convolutional network (n, width, height, width).
    """
    last = len(layers) - 1
    found = []
    for layer in (layers[place] for place in sorted({math.ceil(share * last) for share in (0, 0.125, 0.25)})):
        places = (layer.flatten(2).mT if layer.ndim == 4 else layer).float()
        found.append(torch.cat([places.mean(dim=1), places.std(dim=1)], dim=1).cpu())
    widest = max(part.shape[1] for part in found)
    return torch.stack([torch.nn.functional.pad(part, (0, widest - part.shape[1])) for part in found], dim=1)


def _pooled(features: Any) -> Tensor:
    """transformers 5 wraps the features, transformers 4 does not."""
    pooled: Tensor = getattr(features, "pooler_output", features)
    return pooled.float().cpu()


def fingerprint(name: str) -> str:
    """SHA-256 over the weights and settings in a folder; a hub name stands for itself."""
    folder = Path(name)
    if not folder.is_dir():
        return name
    return joint_hash(folder, sorted([*folder.glob("*.safetensors"), *folder.glob("*.json")]))
