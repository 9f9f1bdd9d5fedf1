"""What LyCORIS' modules of three algorithms compute and store, where the pack cannot take their own way.

``full`` keeps the difference to the frozen layer, which the library's module takes over for itself alone.
``glora`` is W A x + B x, which the library's module cannot compute where W has another number format than A and B.
``dylora`` draws a rank in every forward pass, from a global generator and also when pictures are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from trainer.seeds import generator

_DIFFERENCES = {"weight": "diff", "bias": "diff_b"}
Draw = tuple[int, str, int]
"""Seed, layer and presentation that decide a training pass's random rank."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How one algorithm adds to a layer's output, and what its file holds."""

    output: Callable[[Any, Tensor, Tensor, Draw | None], Tensor]
    """From module, input, the frozen output, and what the pass presents (None outside training)."""
    stored: Callable[[Any], dict[str, Tensor]]
    """A layer's tensors as its file names them."""
    leaves: Callable[[Any, Mapping[str, Tensor]], dict[str, Tensor]]
    """The inverse: parameters by name; KeyError if the file lacks one."""


def terms(algorithm: str) -> Terms:
    """Those of an algorithm; the library's own where nothing stands in their way."""
    return _OWN.get(algorithm, _LIBRARY)


def blocks(seed: int, layer: str, presentation: int, count: int) -> int:
    """Which of DyLoRA's blocks is trained in a pass, from 0: that of a rank drawn alike from all ranks."""
    draw = torch.randint(count, (), generator=generator(seed, "dylora", layer, presentation))
    return int(draw)


class Difference(nn.Module):
    """A layer's own difference of weight and bias, zero at first (LyCORIS' ``full``).

    Args:
        inner: the frozen Linear or Conv2d.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        for name, frozen in inner.named_parameters():
            self.register_parameter(name, nn.Parameter(torch.zeros_like(frozen)))
        self._inner = [inner]

    def forward(self, x: Tensor) -> Tensor:
        """What the layer's output gains."""
        own = {name: value.to(x.dtype) for name, value in self.named_parameters()}
        gained: Tensor = functional_call(self._inner[0], own, (x,))
        return gained


def _library_output(module: Any, x: Tensor, y: Tensor, _draw: Draw | None) -> Tensor:
    module.org_forward = lambda *_args, **_kwargs: y
    result: Tensor = module(x)
    return result


def _library_stored(module: Any) -> dict[str, Tensor]:
    return dict(module.state_dict())


def _library_leaves(module: Any, file: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: file[name] for name, _ in module.named_parameters()}


def _glora_output(module: Any, x: Tensor, y: Tensor, _draw: Draw | None) -> Tensor:
    a1, a2, b1, b2 = (part.weight.to(x.dtype) for part in (module.a1, module.a2, module.b1, module.b2))
    frozen = module.org_module[0].weight
    moved = module.op(module.op(module.op(x, a2), a1), frozen, None, **module.kw_dict)
    added = module.op(module.op(x, b2, None, **module.kw_dict), b1)
    gained: Tensor = module.scale * (moved + added)
    return y + gained


def _full_output(module: Difference, x: Tensor, y: Tensor, _draw: Draw | None) -> Tensor:
    gained: Tensor = module(x)
    return y + gained


def _full_stored(module: Difference) -> dict[str, Tensor]:
    return {_DIFFERENCES[name]: value for name, value in module.named_parameters()}


def _full_leaves(module: Difference, file: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: file[_DIFFERENCES[name]] for name, _ in module.named_parameters()}


def _dylora_output(module: Any, x: Tensor, y: Tensor, draw: Draw | None) -> Tensor:
    block = module.block_count - 1 if draw is None else blocks(*draw, module.block_count)
    weight = module.get_diff_weight(rank=block * module.block_size)[0]
    delta: Tensor = module.op(x, weight.to(x.dtype), None, **module.kw_dict)
    return y + delta


def _dylora_stored(module: Any) -> dict[str, Tensor]:
    """As a LoRA; alpha is the trained scale, alpha / blocks, times the rank, so that readers see what was trained."""
    kernel = module.shape[2:]
    up, down = torch.cat(list(module.up_list), dim=1), torch.cat(list(module.down_list))
    return {
        "lora_up.weight": up.view(*up.shape, *(1 for _ in kernel)),
        "lora_down.weight": down.view(len(down), -1, *kernel),
        "alpha": module.alpha * module.block_size,
    }


def _dylora_leaves(module: Any, file: Mapping[str, Tensor]) -> dict[str, Tensor]:
    up, down = file["lora_up.weight"].flatten(1), file["lora_down.weight"].flatten(1)
    ups, downs = torch.split(up, module.block_size, 1), torch.split(down, module.block_size)
    numbered = range(module.block_count)
    return {f"up_list.{i}": ups[i] for i in numbered} | {f"down_list.{i}": downs[i] for i in numbered}


_LIBRARY = Terms(_library_output, _library_stored, _library_leaves)
_OWN = {
    "glora": Terms(_glora_output, _library_stored, _library_leaves),
    "full": Terms(_full_output, _full_stored, _full_leaves),
    "dylora": Terms(_dylora_output, _dylora_stored, _dylora_leaves),
}
