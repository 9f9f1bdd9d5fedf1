"""Ranks and rates by block."""

from __future__ import annotations

import pytest

from trainer.adapters.group import Layer
from trainer.adapters.shape import Dropout, Shape, blocks_of, check_blocks

LINEAR = Layer("unet.down_blocks.1.attentions.0.proj_in", 4, 4, True)
MIDDLE = Layer("unet.mid_block.attentions.0.proj_in", 4, 4, True)
CONV = Layer("unet.down_blocks.1.resnets.0.conv1", 36, 4, False, 3, True)
TIME = Layer("unet.down_blocks.1.resnets.0.time_emb_proj", 4, 4, False, 1, True)
TEXT = Layer("text_encoder.encoder.layers.0.mlp.fc1", 4, 4, False)


def ranks(shape: Shape) -> list[int]:
    return [shape.rank_of(layer) for layer in (LINEAR, MIDDLE, CONV, TIME, TEXT)]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (Shape(4, 1.0, ("unet",)), [4, 4, 0, 0, 0]),
        (Shape(4, 1.0, ("unet", "text_encoder")), [4, 4, 0, 0, 4]),
        (Shape(4, 1.0, ("unet",), conv_rank=2), [4, 4, 2, 4, 0]),
        (Shape(4, 1.0, ("unet",), conv_rank=2, block_ranks=(("down_blocks", 8),)), [8, 4, 2, 8, 0]),
        (
            Shape(4, 1.0, ("unet",), block_ranks=(("down_blocks.1.attentions", 3), ("down_blocks", 8))),
            [3, 4, 0, 0, 0],
        ),
        (Shape(4, 1.0, ("unet", "text_encoder"), conv_rank=2, frozen=("down_blocks.1",)), [0, 4, 0, 0, 4]),
        (Shape(4, 1.0, ("unet",), conv_rank=2, frozen=("down_blocks.10", "mid")), [4, 4, 2, 4, 0]),
        (Shape(4, 1.0, ("unet",), conv_rank=2, block_rates=(("mid_block", 0.0),)), [4, 0, 2, 4, 0]),
    ],
)
def test_ranks_follow_the_longest_block_that_holds_the_layer(shape: Shape, expected: list[int]) -> None:
    assert ranks(shape) == expected


def test_alpha_and_rates_are_those_of_the_layers_kind_and_block() -> None:
    shape = Shape(4, 0.5, ("unet",), 2, 0.25, block_rates=(("down_blocks", 0.1), ("down_blocks.1", 0.3)))
    assert [shape.scale_of(layer) for layer in (LINEAR, CONV, TIME)] == [0.5, 0.25, 0.5]
    assert [shape.rate_of(layer.name) for layer in (LINEAR, MIDDLE, TEXT)] == [0.3, 1.0, 1.0]


def test_blocks_are_named_as_diffusers_does_and_others_are_refused() -> None:
    names = [layer.name for layer in (LINEAR, MIDDLE, CONV, TEXT)]
    assert blocks_of(names) == ("down_blocks.1", "mid_block")
    check_blocks("lora.freeze", ["down_blocks", "mid_block", "down_blocks.1.resnets.0.conv1"], names)
    with pytest.raises(ValueError, match=r"lora.freeze: .*'up_blocks.0'.*: down_blocks.1, mid_block, or"):
        check_blocks("lora.freeze", ["up_blocks.0"], names)


def test_dropout_is_off_when_all_rates_are_zero() -> None:
    assert not Dropout()
    assert Dropout(module=0.1)
