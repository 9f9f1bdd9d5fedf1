"""A slot of another algorithm than LoRA, by the LyCORIS library.

Its rows share the frozen base's forward pass with all others; its own terms are computed for its rows alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trainer.adapters.lycoris_terms import Difference, terms
from trainer.adapters.shape import Shape
from trainer.plans.algorithms import module_class
from trainer.seeds import derive


class LycorisSlot:
    """The modules of one slot.

    Args:
        shape: algorithm, ranks and scales.
        layers: the adapted layers and their frozen modules, by name.
        seed: of the first weights.
        like: a tensor of the bank, for device and number format.
    """

    def __init__(
        self, shape: Shape, layers: Mapping[str, tuple[Any, nn.Module]], seed: int, like: Tensor
    ) -> None:
        self._seed, self._terms = seed, terms(shape.algorithm)
        self._modules = {
            name: _module(shape, layer, inner, derive(seed, "lycoris", name)).to(like)
            for name, (layer, inner) in layers.items()
        }
        self.leaves = {
            f"{name}.{parameter}": leaf
            for name, module in self._modules.items()
            for parameter, leaf in module.named_parameters()
        }
        self.gradients = torch.zeros(
            sum(leaf.numel() for leaf in self.leaves.values()), device=like.device, dtype=like.dtype
        )
        offset = 0
        for leaf in self.leaves.values():
            leaf.grad = self.gradients[offset : offset + leaf.numel()].view_as(leaf)
            offset += leaf.numel()

    def output(self, layer: str, x: Tensor, y: Tensor, presentation: int | None) -> Tensor:
        """A layer's output for this slot's rows.

        Args:
            layer: its name.
            x: the input, as the frozen module takes it.
            y: the frozen module's output.
            presentation: what the first row presents, in training; None elsewhere.
        """
        module = self._modules.get(layer)
        if module is None:
            return y
        draw = None if presentation is None else (self._seed, layer, presentation)
        return self._terms.output(module, x, y, draw)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the adapted layers."""
        return tuple(self._modules)

    def tensors(self) -> Iterator[tuple[str, str, Tensor]]:
        """Copies of what a LoRA file holds: (layer, LyCORIS' name, tensor)."""
        for name, module in self._modules.items():
            for key, value in self._terms.stored(module).items():
                yield name, key, value.detach().to("cpu", copy=True).contiguous()

    def leaves_of(self, layer: str, file: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A layer's parameters, named like ``leaves``, from its tensors in a file.

        Raises:
            KeyError: the file lacks one.
        """
        found = self._terms.leaves(self._modules[layer], file)
        return {f"{layer}.{name}": value for name, value in found.items()}


def _module(shape: Shape, layer: Any, inner: nn.Module, seed: int) -> Any:
    if shape.algorithm == "full":
        return Difference(inner)
    rank = shape.rank_of(layer)
    alpha = shape.scale_of(layer) * rank
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return module_class(shape.algorithm)(
            "", inner, lora_dim=rank, alpha=alpha, bypass_mode=False, **dict(shape.arguments)
        )
