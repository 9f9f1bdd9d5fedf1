"""Which words accompany a presentation (pure)."""

from __future__ import annotations

import torch

from trainer.seeds import generator


def shuffled(caption: str, keep: int, seed: int, presentation: int) -> str:
    """The comma-separated tags in an order drawn for this presentation, the first ``keep`` in place."""
    tags = [tag.strip() for tag in caption.split(",") if tag.strip()]
    head, tail = tags[:keep], tags[keep:]
    order = torch.randperm(len(tail), generator=generator(seed, "caption", presentation))
    return ", ".join(head + [tail[i] for i in order.tolist()])
