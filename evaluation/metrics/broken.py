"""Renders that show nothing (pure)."""

from __future__ import annotations

import torch
from torch import Tensor

MINIMUM_CONTRAST = 2 / 255
"""Standard deviation over an image's pixels below which it is one flat colour."""


def broken(images: Tensor) -> Tensor:
    """Which images are NaN, black or constant.

    Args:
        images: shape (n, 3, height, width), in [0, 1].

    Returns:
        Shape (n,), bool.
    """
    finite = torch.isfinite(images).all(dim=(1, 2, 3))
    flat = images.nan_to_num().std(dim=(2, 3)).amax(dim=1) < MINIMUM_CONTRAST
    return ~finite | flat
