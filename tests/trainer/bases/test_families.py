"""The shipped architectures at full size, on the meta device: known parameter counts and key lists."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pytest
from torch import nn

from trainer.adapters.targets import convolution_targets
from trainer.bases import find, skeleton
from trainer.bases.families import Family, misfits
from trainer.bases.find import Source
from trainer.bases.tokenizer import MERGES, clip_tokenizer
from trainer.lora_files.kohya import Names

PARAMETERS = {
    "sd1": {"unet": 859_520_964, "text_encoder": 123_060_480},
    "sd2": {"unet": 865_910_724, "text_encoder": 340_387_840},
    "sdxl": {"unet": 2_567_463_684, "text_encoder": 123_060_480, "text_encoder_2": 694_659_840},
}
MODULES = {
    "sd1": {"lora_unet": 192, "lora_te": 72},
    "sd2": {"lora_unet": 192, "lora_te": 138},
    "sdxl": {"lora_unet": 722, "lora_te1": 72, "lora_te2": 192},
}
CONVOLUTIONS = {"sd1": (50, 14, 22), "sd2": (50, 14, 22), "sdxl": (38, 11, 17)}
"""Layers of the convolution blocks: 3x3 (two a ResNet block, one a resampler), 1x1 shortcuts, time embeddings."""
FAMILIES: tuple[Family, ...] = ("sd1", "sd2", "sdxl")


def source(family: Family) -> Source:
    return Source(family, find.CONFIGS / family, None, None, "epsilon", False)


@pytest.fixture(scope="module")
def full() -> dict[Family, dict[str, nn.Module]]:
    return {family: skeleton.networks(source(family)) for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_parameter_counts_are_the_known_ones(
    family: Family, full: dict[Family, dict[str, nn.Module]]
) -> None:
    counts = {part: sum(p.numel() for p in model.parameters()) for part, model in full[family].items()}
    assert counts == PARAMETERS[family]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_lora_layer_has_its_own_kohya_key_and_there_are_as_many_as_known(
    family: Family, full: dict[Family, dict[str, nn.Module]]
) -> None:
    names = Names.of(family, full[family]["unet"].config)  # type: ignore[arg-type]
    layers = skeleton.layers(full[family])
    stems = [names.stem(layer) for layer in layers]
    assert len(set(stems)) == len(stems)
    assert Counter("_".join(stem.split("_")[:2]) for stem in stems) == MODULES[family]
    assert all(names.layers(layers)[stem] == layer for stem, layer in zip(stems, layers, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_convolution_blocks_have_as_many_layers_as_known_and_each_its_own_kohya_key(
    family: Family, full: dict[Family, dict[str, nn.Module]]
) -> None:
    unet = full[family]["unet"]
    names = Names.of(family, unet.config)  # type: ignore[arg-type]
    layers = [unet.get_submodule(path) for path in convolution_targets(unet)]
    sizes = [layer.kernel_size if isinstance(layer, nn.Conv2d) else None for layer in layers]
    assert tuple(sizes.count(size) for size in ((3, 3), (1, 1), None)) == CONVOLUTIONS[family]
    adaptable = skeleton.adaptable(full[family])
    assert len({names.stem(layer) for layer in adaptable}) == len(adaptable)
    assert len(adaptable) == sum(MODULES[family].values()) + len(layers)


def test_sdxl_keys_are_those_of_stabilitys_blocks(full: dict[Family, dict[str, nn.Module]]) -> None:
    """The blocks with attention of SDXL base: two transformers of depth 2 and of depth 10 each side."""
    names = Names.of("sdxl", full["sdxl"]["unet"].config)  # type: ignore[arg-type]
    stems = [names.stem(layer) for layer in skeleton.layers(full["sdxl"]) if layer.startswith("unet.")]
    wanted = set()
    depths = {f"input_blocks_{i}_1": depth for i, depth in ((4, 2), (5, 2), (7, 10), (8, 10))}
    depths |= {"middle_block_1": 10}
    depths |= {f"output_blocks_{i}_1": 10 if i < 3 else 2 for i in range(6)}
    for place, depth in depths.items():
        wanted |= {f"lora_unet_{place}_proj_in", f"lora_unet_{place}_proj_out"}
        for block in range(depth):
            for attention in ("attn1", "attn2"):
                for layer in ("to_q", "to_k", "to_v", "to_out_0"):
                    wanted.add(f"lora_unet_{place}_transformer_blocks_{block}_{attention}_{layer}")
            for layer in ("ff_net_0_proj", "ff_net_2"):
                wanted.add(f"lora_unet_{place}_transformer_blocks_{block}_{layer}")
    assert len(wanted) == 722
    assert set(stems) == wanted


def test_every_convolution_of_sdxl_has_the_name_that_its_checkpoint_gives_it(
    full: dict[Family, dict[str, nn.Module]],
) -> None:
    """Against the enumeration of blocks in ``tests.ldm``."""
    from tests.ldm import unet

    model = full["sdxl"]["unet"]
    names = Names.of("sdxl", model.config)  # type: ignore[arg-type]
    wanted = dict(zip(model.state_dict(), unet(model), strict=True))
    convolutions = [
        name for name, module in model.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    assert len(convolutions) > 722
    for path in convolutions:
        theirs = wanted[f"{path}.weight"].removesuffix(".weight").replace(".", "_")
        assert names.stem(f"unet.{path}") == f"lora_unet_{theirs}"


def test_the_tokenizer_gives_clips_known_numbers() -> None:
    """Begin and end of text are 49406 and 49407; "a photo of a cat" is a fixture of CLIP's own documentation."""
    tokens = clip_tokenizer("<|endoftext|>")("a photo of a cat", padding="max_length").input_ids
    assert tokens[:7] == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert set(tokens[7:]) == {49407}
    assert len(tokens) == 77
    padded = clip_tokenizer("!")("a", padding="max_length").input_ids
    assert padded[3:] == [0] * 74
    assert len(clip_tokenizer("!")) == 49408


def test_the_shipped_merges_are_few_bytes_and_all_there() -> None:
    assert MERGES.stat().st_size < 250_000
    assert len(gzip.decompress(MERGES.read_bytes()).decode().splitlines()) == 48_894
    assert "OpenAI, MIT License" in (MERGES.parent / "LICENSE.txt").read_text()


def test_everything_in_the_folder_is_package_data() -> None:
    import tomllib

    root = Path(__file__).parents[3]
    packaging = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = packaging["package-data"]["trainer.bases"]
    shipped = [file for file in find.CONFIGS.rglob("*") if file.is_file()]
    reached = {file for pattern in patterns for file in (root / "trainer" / "bases").glob(pattern)}
    assert set(shipped) <= reached
    assert {"trainer.bases", "trainer.lora_files"} <= set(packaging["packages"])


@pytest.mark.parametrize(
    ("family", "clip_skip", "rate", "told"),
    [
        ("sd1", 3, None, []),
        ("sd2", 2, None, []),
        ("sdxl", 1, 0.1, []),
        ("sdxl", 2, 0.1, ["base.clip_skip = 2: SDXL ignores it; leave it out, or set it to 1"]),
        ("sd1", 1, 0.1, ["optimiser.text2_lr_over_unet_lr = 0.1: SD 1.x has one text encoder; leave it out"]),
    ],
)
def test_what_a_family_cannot_do_is_told(
    family: Family, clip_skip: int, rate: float | None, told: list[str]
) -> None:
    assert misfits(clip_skip, rate, family) == told
