"""What a slot needs from the bank: ranks, scales and dropout rates, layer by layer (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

Value = TypeVar("Value")


class Place(Protocol):
    """An adapted layer, as far as its rank depends on it."""

    @property
    def name(self) -> str:
        """``<part>.<path>``."""

    @property
    def kernel(self) -> int:
        """Side of the convolution's kernel; 1 for Linear layers."""

    @property
    def resnet(self) -> bool:
        """Whether it stands in a convolution block, which gets a LoRA only together with its 3x3 layers."""


@dataclass(frozen=True, slots=True)
class Dropout:
    """Probabilities of dropping parts of the low-rank term while training, as kohya defines them."""

    hidden: float = 0.0
    """Of each element of A x; the others are divided by 1 - p."""
    rank: float = 0.0
    """Of each of the rank's dimensions of a row; the others are divided by 1 - p."""
    module: float = 0.0
    """Of the whole term of a layer in a row; nothing is divided."""

    def __bool__(self) -> bool:
        return bool(self.hidden or self.rank or self.module)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a slot needs from the bank."""

    rank: int
    scale: float
    """What multiplies B A."""
    prefixes: tuple[str, ...]
    """Which parts get a LoRA, by the first word of the layer name: "unet", "text_encoder", "text_encoder_2"."""
    conv_rank: int = 0
    """Rank of 3x3 convolutions; 0 leaves out all layers of convolution blocks."""
    conv_scale: float = 1.0
    """The same of 3x3 convolutions."""
    block_ranks: tuple[tuple[str, int], ...] = ()
    """Other ranks of Linear and 1x1 layers: (block of the U-Net, rank)."""
    block_rates: tuple[tuple[str, float], ...] = ()
    """Factors on the learning rate: (block of the U-Net, factor); 0 leaves a block without a LoRA."""
    frozen: tuple[str, ...] = ()
    """Blocks of the U-Net without a LoRA."""
    dropout: Dropout = Dropout()
    dora: bool = False
    """Whether each output's norm is learned (``trainer.adapters.dora``)."""
    algorithm: str = "lora"
    """"lora" is packed; LyCORIS computes the others, slot by slot."""
    arguments: tuple[tuple[str, Any], ...] = ()
    """Keyword arguments of the algorithm."""

    def rank_of(self, layer: Place) -> int:
        """Rank at a layer; 0 where the slot has no LoRA."""
        part, _, path = layer.name.partition(".")
        if part not in self.prefixes or (layer.resnet and not self.conv_rank):
            return 0
        if any(inside(path, block) for block in self.frozen) or not self.rate_of(layer.name):
            return 0
        if layer.kernel > 1:
            return self.conv_rank
        return nearest(path, self.block_ranks, self.rank) if part == "unet" else self.rank

    def rate_of(self, name: str) -> float:
        """Factor on the learning rate of a layer, by its name."""
        part, _, path = name.partition(".")
        return nearest(path, self.block_rates, 1.0) if part == "unet" else 1.0

    def scale_of(self, layer: Place) -> float:
        """What multiplies B A at a layer."""
        return self.conv_scale if layer.kernel > 1 else self.scale


def inside(path: str, block: str) -> bool:
    """Whether a layer's path lies in a block, which is a prefix of whole words."""
    return path == block or path.startswith(block + ".")


def nearest(path: str, table: Iterable[tuple[str, Value]], default: Value) -> Value:
    """The entry of the longest block that holds the path."""
    found = max((entry for entry in table if inside(path, entry[0])), key=_length, default=None)
    return default if found is None else found[1]


def _length(entry: tuple[str, Any]) -> int:
    return len(entry[0])


def blocks_of(layers: Iterable[str]) -> tuple[str, ...]:
    """The blocks of the U-Net that hold layers: ``down_blocks.0``, ``mid_block``, ..."""
    paths = [name.split(".")[1:] for name in layers if name.startswith("unet.")]
    return tuple(sorted({path[0] if path[0] == "mid_block" else ".".join(path[:2]) for path in paths}))


def check_blocks(field: str, blocks: Iterable[str], layers: Iterable[str]) -> None:
    """Whether every block holds a layer of the U-Net that can be adapted.

    Args:
        field: the plan's field, for the message.
        blocks: as the plan names them.
        layers: the bank's layer names.

    Raises:
        ValueError: one of them does not; the message names the choices.
    """
    layers = tuple(layers)
    paths = [name.removeprefix("unet.") for name in layers if name.startswith("unet.")]
    for block in blocks:
        if not any(inside(path, block) for path in paths):
            raise ValueError(
                f"{field}: the U-Net has no block {block!r} with layers that can get a LoRA; "
                f"choose among: {', '.join(blocks_of(layers))}, or a part of one, such as "
                f"{'.'.join(paths[0].split('.')[:4])}"
            )


def check_shape(shape: Shape, layers: Iterable[str]) -> None:
    """``check_blocks`` for all blocks that a shape names."""
    layers = tuple(layers)
    check_blocks("lora.freeze", shape.frozen, layers)
    check_blocks("lora.block_ranks", dict(shape.block_ranks), layers)
    check_blocks("lora.block_lrs", dict(shape.block_rates), layers)
