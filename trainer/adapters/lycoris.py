"""A slot of another algorithm than LoRA, by the LyCORIS library.

Its rows share the frozen base's forward pass with all others; its own terms are computed for its rows alone.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from trainer.adapters.lycoris_terms import Difference, terms
from trainer.adapters.shape import Shape
from trainer.seeds import derive

_CLASSES = {
    "loha": ("loha", "LohaModule"),
    "lokr": ("lokr", "LokrModule"),
    "ia3": ("ia3", "IA3Module"),
    "diag-oft": ("diag_oft", "DiagOFTModule"),
    "boft": ("boft", "ButterflyOFTModule"),
    "full": ("full", "FullModule"),
    "glora": ("glora", "GLoRAModule"),
    "dylora": ("dylora", "DyLoraModule"),
}
_OURS = {
    "self", "lora_name", "org_module", "multiplier", "lora_dim", "alpha", "dropout", "rank_dropout",
    "module_dropout", "rank_dropout_scale", "bypass_mode", "use_scalar", "kwargs",
}  # fmt: skip
"""Arguments that plans name otherwise, or that training by presentation cannot honour."""
_IDLE = {
    "full": {"use_tucker"},
    "glora": {"use_tucker", "weight_decompose"},
    "dylora": {"use_tucker", "weight_decompose", "rs_lora", "train_on_input"},
}
"""Arguments that an algorithm takes and leaves unread."""
DYLORA_BLOCK = 4
"""Ranks that DyLoRA trains at a time, unless ``block_size`` says otherwise."""


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


def problems(tables: Mapping[str, Mapping[str, object]]) -> Iterator[str]:
    """What is wrong with the keyword arguments of the algorithms."""
    for name, arguments in tables.items():
        if name not in _CLASSES:
            yield (
                f"algorithm_args.{name}: there is no such algorithm with arguments; choose among: {', '.join(_CLASSES)}"
            )
            continue
        known = arguments_of(name)
        for key in arguments:
            if key not in known:
                yield (
                    f"algorithm_args.{name}.{key}: '{name}' takes no such argument; "
                    f"choose among: {', '.join(known)}"
                )


def arguments_of(algorithm: str) -> list[str]:
    """The keyword arguments that ``lora.algorithm_args`` may give to an algorithm."""
    known = inspect.signature(_class(algorithm)).parameters.keys()
    return sorted(known - _OURS - _IDLE.get(algorithm, set()))


def rank_problems(ranks: Mapping[str, int], arguments: Mapping[str, Any]) -> Iterator[str]:
    """Which ranks DyLoRA cannot split into blocks.

    Args:
        ranks: plan field -> rank.
        arguments: DyLoRA's keyword arguments.
    """
    block = arguments.get("block_size", DYLORA_BLOCK)
    if not isinstance(block, int) or block < 1:
        yield f"algorithm_args.dylora.block_size must be a whole number of at least 1, but got {block}"
        return
    for field, rank in ranks.items():
        if rank % block:
            yield (
                f"{field} = {rank} must be a multiple of algorithm_args.dylora.block_size = {block} "
                "with algorithm = 'dylora'; change one of them"
            )


def _module(shape: Shape, layer: Any, inner: nn.Module, seed: int) -> Any:
    if shape.algorithm == "full":
        return Difference(inner)
    rank = shape.rank_of(layer)
    alpha = shape.scale_of(layer) * rank
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _class(shape.algorithm)(
            "", inner, lora_dim=rank, alpha=alpha, bypass_mode=False, **dict(shape.arguments)
        )


def _class(algorithm: str) -> Any:
    module, name = _CLASSES[algorithm]
    found = getattr(import_module(f"lycoris.modules.{module}"), name)
    logging.getLogger("LyCORIS").setLevel(logging.WARNING)
    return found
