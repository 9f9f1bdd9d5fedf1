"""What PEFT's IA3, OFT and BOFT multiply, as tensors that say it without settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainer.lora_files.layers import LoraFileError

Tensors = Mapping[str, Tensor]
"""A layer's tensors by name."""
_MOST_BLOCK = 1024
"""Side of a block that is turned."""


def factors(tensors: Tensors, settings: Any, path: str) -> dict[str, Tensor]:
    """IA3: a factor for each output, or for each input of layers that the settings call feed-forward.

    Args:
        tensors: ``ia3_l``, shape (outputs, 1) or (1, inputs), of convolutions (1, outputs or inputs, 1, 1).
        settings: ``peft.IA3Config``.
        path: of the layer in its model.

    Raises:
        LoraFileError: the settings name the layers by an expression.
    """
    named = settings.feedforward_modules or ()
    if isinstance(named, str):
        raise LoraFileError(f"feedforward_modules is the expression {named[:80]!r}; only names can be read")
    value = tensors["ia3_l"]
    flat = value.ndim == 2
    on_input = value.shape[0] == 1 if flat else any(path.endswith(str(name)) for name in named)
    return {"ia3_l": value.flatten(), "on_input": torch.tensor(int(on_input))}


def rotation(name: str, tensors: Tensors, settings: Any) -> dict[str, Tensor]:
    """OFT (Qiu et al. 2023) of inputs: PEFT's own module makes each block of its parameters.

    Args:
        name: of the layer, for errors.
        tensors: ``oft_R``, shape (blocks, b (b - 1) / 2); one block may serve all inputs.
        settings: ``peft.OFTConfig``.

    Returns:
        ``input_blocks``, shape (blocks, b, b).
    """
    from peft.tuners.oft.layer import OFTRotationModule

    value = tensors["oft_R"].float()
    side = _side(name, value)
    eps = float(settings.eps) / math.sqrt(len(value))
    arguments = {
        "coft": bool(settings.coft),
        "eps": eps,
        "use_cayley_neumann": bool(settings.use_cayley_neumann),
    }
    module = OFTRotationModule(
        1, value.shape[1], side, side, num_cayley_neumann_terms=settings.num_cayley_neumann_terms, **arguments
    )
    blocks = []
    for row in value:
        module.weight.data = row[None].clone()
        blocks.append(module.get_weight().detach())
    return {"input_blocks": torch.stack(blocks)}


def _side(name: str, value: Tensor) -> int:
    """b of b (b - 1) / 2 elements."""
    elements = value.shape[1] if value.ndim == 2 and len(value) else 0
    side = (1 + math.isqrt(1 + 8 * elements)) // 2
    if not elements or side * (side - 1) // 2 != elements or side > _MOST_BLOCK:
        raise LoraFileError(f"{name}: oft_R of shape {tuple(value.shape)} is no rotation of PEFT's OFT")
    return side


def butterfly(name: str, tensors: Tensors) -> dict[str, Tensor]:
    """BOFT (Liu et al. 2023) of inputs with one factor, which is what PEFT trains without its CUDA extension.

    Args:
        name: of the layer, for errors.
        tensors: ``boft_R``, shape (factors, blocks, b, b); ``boft_s``, the factor of each output.

    Returns:
        ``input_blocks``, shape (blocks, b, b), and ``output_factors``, shape (outputs,).

    Raises:
        LoraFileError: there are several factors, or a tensor is missing.
    """
    if not {"boft_R", "boft_s"} <= tensors.keys():
        raise LoraFileError(
            f"{name}: the file holds {', '.join(sorted(tensors))}; BOFT has boft_R and boft_s"
        )
    value = tensors["boft_R"].float()
    square = value.ndim == 4 and value.shape[2] == value.shape[3] <= _MOST_BLOCK
    if not square or len(value) != 1 or not value.numel():
        raise LoraFileError(
            f"{name}: boft_R of shape {tuple(value.shape)} is no BOFT of one butterfly factor, the only one that is "
            "read"
        )
    skew = 0.5 * (value[0] - value[0].transpose(1, 2))
    unit = torch.eye(value.shape[2]).expand_as(skew)
    turned = torch.linalg.solve(unit + skew, unit - skew, left=False)
    return {"input_blocks": turned, "output_factors": tensors["boft_s"].flatten()}
