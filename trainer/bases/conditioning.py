"""What a denoiser is told beside its noisy latents: text, and on SDXL the sizes of the picture (pure)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True, slots=True)
class Conditioning:
    """Text as the denoiser reads it; leading axes are batch axes and are indexed alike."""

    embeddings: Tensor
    """Shape (..., tokens, width)."""
    pooled: Tensor | None = None
    """Shape (..., width): SDXL's projected embedding of the whole text; None elsewhere."""
    mask: Tensor | None = None
    """Shape (..., tokens): which tokens are text, where rows have texts of their own lengths; None elsewhere."""

    def __getitem__(self, index: Any) -> Self:
        """The rows at ``index``, an index of the leading axes."""
        return self.map(lambda tensor: tensor[index])

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The same with every tensor changed; ``change`` may touch leading axes alone."""
        pooled, mask = (None if part is None else change(part) for part in (self.pooled, self.mask))
        return type(self)(change(self.embeddings), pooled, mask)

    @property
    def shortened(self) -> Self:
        """The same without the places that are padding in all rows."""
        if self.mask is None:
            return self
        longest = int(self.mask.sum(dim=-1).max())
        return type(self)(self.embeddings[..., :longest, :], self.pooled, self.mask[..., :longest])

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Those that are there, by name."""
        parts = {"embeddings": self.embeddings, "pooled": self.pooled, "mask": self.mask}
        return {name: part for name, part in parts.items() if part is not None}

    @classmethod
    def cat(cls, parts: Sequence[Conditioning]) -> Self:
        """One after the other along the first axis."""
        return cls._join(torch.cat, parts)

    @classmethod
    def stack(cls, parts: Sequence[Conditioning]) -> Self:
        """Along a new first axis."""
        return cls._join(torch.stack, parts)

    @classmethod
    def _join(cls, how: Callable[[list[Tensor]], Tensor], parts: Sequence[Conditioning]) -> Self:
        """Texts of their own lengths are filled up to the longest."""
        pooled = [part.pooled for part in parts if part.pooled is not None]
        masks = [part.mask for part in parts if part.mask is not None]
        embeddings = [part.embeddings for part in parts]
        if masks:
            longest = max(mask.shape[-1] for mask in masks)
            masks = [pad(mask, (0, longest - mask.shape[-1])) for mask in masks]
            embeddings = [pad(each, (0, 0, 0, longest - each.shape[-2])) for each in embeddings]
        return cls(how(embeddings), how(pooled) if pooled else None, how(masks) if masks else None)


@dataclass(frozen=True, slots=True)
class Framing:
    """How a picture was cut: SDXL's micro-conditioning (Podell et al. 2023, section 2.2)."""

    original: tuple[int, int]
    """Width and height in pixels before scaling."""
    crop: tuple[int, int]
    """Pixels cut off at the left and at the top after scaling."""
    target: tuple[int, int]
    """Width and height of what is left."""

    @classmethod
    def whole(cls, size: tuple[int, int]) -> Self:
        """A picture of ``size`` that was neither scaled nor cut."""
        return cls(size, (0, 0), size)

    @property
    def time_ids(self) -> tuple[int, ...]:
        """The six numbers in the order of SDXL: height and width, top and left, height and width."""
        return (*self.original[::-1], *self.crop[::-1], *self.target[::-1])
