"""Numbered blocks against the layer names of full-size U-Nets, and weights worked out by hand."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studies.errors import StudyError
from studies.sd_scripts import blocks
from studies.sd_scripts.importing import Recipe, read
from studies.spec.toml import key, value
from tests.studies.conftest import ASSETS
from trainer.adapters.shape import inside
from trainer.adapters.targets import convolution_targets, unet_targets
from trainer.bases import skeleton
from trainer.bases.families import FAMILIES
from trainer.bases.find import Source
from trainer.lora_files.kohya import Names


@pytest.fixture
def imported(pictures: Callable[..., Path], tmp_path: Path) -> Callable[..., Recipe]:
    """Imports a configuration with these network arguments at rank 8, alpha 4."""
    train = pictures("train/2_thing")

    def run(base: Path = ASSETS / "micro-sd", **arguments: Any) -> Recipe:
        keys = {
            "pretrained_model_name_or_path": str(base),
            "train_data_dir": str(train),
            "network_dim": 8,
            "network_alpha": 4,
            "network_args": [f"{name}={text}" for name, text in arguments.items()],
        }
        config = tmp_path / "config.toml"
        config.write_text("".join(f"{key(k)} = {value(v)}\n" for k, v in keys.items()))
        return read(config)

    return run


def number_sd1(layer: str) -> int:
    """sd-scripts' count: the middle is 12; a block of the U-Net counts three, a sampler as its third."""
    match = re.match(r"(down|up)_blocks\.(\d+)\.(\w+?)\.(\d+)", layer)
    if match is None:
        return 12
    side, block, kind, place = match.groups()
    inner = 3 * int(block) + (2 if kind.endswith("samplers") else int(place))
    return (1 if side == "down" else 13) + inner


def number_sdxl(layer: str) -> int:
    """sd-scripts' count along Stability's own names, which our files bear."""
    unet = SDXL["unet"]
    stem = Names.of(FAMILIES["sdxl"], unet.config).stem(f"unet.{layer}")
    side, place = re.match(r"lora_unet_(input|middle|output)_blocks?_(\d+)_", stem).groups()
    return {"input": 1, "middle": 10, "output": 13}[side] + int(place)


SD1, SDXL = (
    skeleton.networks(Source(FAMILIES[name], FAMILIES[name].configs, None, None, "epsilon", False))
    for name in ("sd1", "sdxl")
)


@pytest.mark.parametrize("convolutions", [False, True])
@pytest.mark.parametrize("sgm", [False, True])
def test_every_layer_lies_in_the_block_of_its_number_and_in_no_other(sgm: bool, convolutions: bool) -> None:
    unet = (SDXL if sgm else SD1)["unet"]
    layers = unet_targets(unet) + (convolution_targets(unet) if convolutions else [])
    found = blocks.names(sgm, convolutions)
    assert len(found) == (23 if sgm else 25)
    for layer in layers:
        numbers = [n for n, places in enumerate(found) if any(inside(layer, place) for place in places)]
        assert numbers == [(number_sdxl if sgm else number_sd1)(layer)], layer
    for place in (place for places in found for place in places):
        assert any(inside(layer, place) for layer in layers), place


def test_dims_of_blocks_become_ranks_and_alphas_of_the_same_share_are_honoured(
    imported: Callable[..., Recipe],
) -> None:
    dims, alphas = [8] * 25, [4.0] * 25
    dims[1], alphas[1] = 2, 1.0
    dims[12], alphas[12] = 16, 8.0
    dims[24], alphas[24] = 0, 1.0
    recipe = imported(block_dims=",".join(map(str, dims)), block_alphas=",".join(map(str, alphas)))
    assert recipe.values["lora.block_ranks"] == {
        "down_blocks.0.attentions.0": 2,
        "mid_block": 16,
        "up_blocks.3.attentions.2": 0,
    }
    assert recipe.unmet == ()


def test_alphas_of_another_share_are_named(imported: Callable[..., Recipe]) -> None:
    recipe = imported(block_dims=",".join(["8"] * 4 + ["4"] + ["8"] * 20))
    (unmet,) = recipe.unmet
    assert unmet.key == "network_args: block_alphas"
    assert unmet.reason == (
        "alpha / dim is 0.5 in every block, network_alpha / network_dim; blocks 4 ask otherwise"
    )
    assert recipe.values["lora.block_ranks"] == {"down_blocks.1.attentions.0": 4}


def test_weights_become_factors_and_what_is_below_the_threshold_is_zero(
    imported: Callable[..., Recipe],
) -> None:
    recipe = imported(
        down_lr_weight="1,0.05,0.5", mid_lr_weight="2", up_lr_weight="sine+.25", block_lr_zero_threshold=0.1
    )
    found = recipe.values["lora.block_lrs"]
    assert {name: found[name] for name in found if not name.startswith("up")} == {
        "down_blocks.0.attentions.0": 0.0,
        "down_blocks.0.attentions.1": 0.5,
        "mid_block": 2.0,
    }
    for block in range(1, 4):
        for place in range(3):
            wanted = math.sin(math.pi / 2 * (3 * block + place) / 11) + 0.25
            assert found[f"up_blocks.{block}.attentions.{place}"] == pytest.approx(wanted)
    assert recipe.unmet == ()


def test_all_weights_at_once_and_convolutions_get_theirs(imported: Callable[..., Recipe]) -> None:
    weights = ["1"] * 25
    weights[3] = "0.5"
    recipe = imported(block_lr_weight=",".join(weights), conv_dim=4, conv_alpha=2)
    assert recipe.values["lora.block_lrs"] == {"down_blocks.0.downsamplers": 0.5}


def test_sdxl_has_its_own_numbers(imported: Callable[..., Recipe], micro_sdxl: Path) -> None:
    dims = ["8"] * 23
    dims[5], dims[11], dims[13] = "4", "16", "2"
    alphas = ["4"] * 23
    alphas[5], alphas[11], alphas[13] = "2", "8", "1"
    recipe = imported(micro_sdxl, block_dims=",".join(dims), block_alphas=",".join(alphas))
    assert recipe.values["lora.block_ranks"] == {
        "down_blocks.1.attentions.0": 4,
        "mid_block.attentions": 16,
        "up_blocks.0.attentions.0": 2,
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"block_dims": "1,2"}, "block_dims must be 25 numbers for this base model, but got '1,2'"),
        ({"block_lr_weight": "x"}, "block_lr_weight must be 25 numbers"),
        ({"up_lr_weight": "wave"}, "up_lr_weight must be numbers or one of cosine, sine"),
    ],
)
def test_wrong_lists_are_told(imported: Callable[..., Recipe], arguments: dict[str, str], told: str) -> None:
    with pytest.raises(StudyError, match=told):
        imported(**arguments)
