"""How far the style of renders is from that of real images (pure)."""

from __future__ import annotations

import torch
from torch import Tensor


def scaled(references: Tensor) -> Tensor:
    """By what each layer is divided so that two real images lie 1 apart in it (root mean square): shape (layers, 1).

    Args:
        references: styles of real images, shape (m, layers, width), at least 2.
    """
    return (2 * references.var(dim=0).sum(dim=-1, keepdim=True)).sqrt().clamp(min=1e-12)


def style_distance(renders: Tensor, references: Tensor) -> Tensor:
    """Each render's share in the energy distance between renders and real images, times 100.

    The energy distance of two distributions, 2 E|X - Y| - E|X - X'| - E|Y - Y'|, is 0 where they are the same and
    positive else (Székely & Rizzo 2013, equation 5). Half of it is the mean over renders of: mean distance to
    real images, less half the mean distance to other renders, less half the mean distance among real images. So
    renders that are all alike do not pass for a style, however well they hit its mean.

    Args:
        renders: styles, shape (n, layers, width).
        references: of real images, shape (m, layers, width), at least 2.

    Returns:
        Shape (n,); a single render has no others, and keeps its distance to itself, 0.
    """
    scale = scaled(references)
    ours, theirs = ((side / scale).flatten(1) / len(scale) ** 0.5 for side in (renders, references))
    to_real = torch.cdist(ours, theirs).mean(dim=1)
    among = torch.cdist(ours, ours).sum(dim=1) / max(1, len(ours) - 1)
    real = torch.cdist(theirs, theirs).sum() / (len(theirs) * (len(theirs) - 1))
    return 100 * (to_real - among / 2 - real / 2)
