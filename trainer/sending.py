"""Small tensors from the host to a device, without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor


def send(value: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; a GPU goes on computing meanwhile, since it reads pinned memory by itself."""
    if device.type != "cuda" or value.is_cuda:
        return value.to(device)
    return value.pin_memory().to(device, non_blocking=True)
