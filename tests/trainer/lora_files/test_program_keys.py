"""Every key of the files that are written, at full size, against the keys that programs map (``programs/``)."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from tests.trainer.bases.test_families import source
from tests.trainer.driving import pack
from trainer.bases import skeleton
from trainer.bases.base_model import BaseModel
from trainer.bases.families import FAMILIES
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.lora_files import diffusers, file, kohya
from trainer.lora_files.kohya import Names
from trainer.lora_files.layers import LowRank
from trainer.lora_files.readers import gaps
from trainer.plan import TrainingPlan
from trainer.plans.algorithms import DYLORA_BLOCK
from trainer.plans.network import Algorithm

PROGRAMS = {
    told["program"]: told
    for path in sorted((Path(__file__).parent / "programs").glob("*.toml"))
    for told in [tomllib.loads(path.read_text())]
}
RANK, ALPHA = 4, 0.35
"""Rank, and alpha as its share."""
PHANTOMS = re.compile(
    r"lora_unet_(down_blocks_3_downsamplers_0_conv|up_blocks_3_upsamplers_0_conv"
    r"|down_blocks_\d_resnets_\d_conv_shortcut|mid_block_resnets_\d_conv_shortcut)"
)
"""Layers that ComfyUI names though no base has them."""
Networks = dict[str, nn.Module]


def expanded(pattern: str) -> Iterator[str]:
    """All names that a pattern stands for, innermost braces first."""
    match = re.search(r"\{([^{}]*)\}", pattern)
    if match is None:
        yield pattern
        return
    for choice in match.group(1).split(","):
        ends = re.fullmatch(r"(\d+)-(\d+)", choice)
        chosen = range(int(ends[1]), int(ends[2]) + 1) if ends else [choice]
        for one in chosen:
            yield from expanded(f"{pattern[: match.start()]}{one}{pattern[match.end() :]}")


def known(program: str, family: str) -> set[str]:
    return set(itertools.chain.from_iterable(map(expanded, PROGRAMS[program]["layers"][family])))


@pytest.fixture(scope="module", params=["sd1", "sd2", "sdxl"])
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def full(family: str) -> Networks:
    """The real architecture, without weights."""
    return skeleton.networks(source(FAMILIES[family]))


def stems(family: str, full: Networks, layers: tuple[str, ...]) -> set[str]:
    names = Names.of(FAMILIES[family], full["unet"].config)  # type: ignore[arg-type]
    return {names.stem(layer) for layer in layers}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_layer_that_is_trained_has_a_name_that_the_program_maps(
    program: str, family: str, full: Networks
) -> None:
    trained = stems(family, full, skeleton.adaptable(full))
    assert len(trained) > 250
    assert trained <= known(program, family)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_list_names_the_layers_of_the_architecture_and_no_others(
    program: str, family: str, full: Networks
) -> None:
    """The data themselves, against diffusers' architectures."""
    there = stems(family, full, skeleton.readable(full))
    text = {name for name in known(program, family) if name.startswith("lora_te")}
    strange = {name for name in known(program, family) - text - there if not PHANTOMS.fullmatch(name)}
    assert not strange
    longest = max(int(name.split("_layers_")[1].split("_")[0]) for name in text)
    assert longest - FULL_TEXT[family] in (0, 1), "OpenCLIP's last layer is none of diffusers'"


FULL_TEXT = {"sd1": 11, "sd2": 22, "sdxl": 31}
"""The last layer of the longest text encoder."""


def low_rank(full: Networks, layers: tuple[str, ...]) -> dict[str, LowRank]:
    """A LoRA of every layer, of numbers that tell them apart."""
    found = {}
    for number, layer in enumerate(layers):
        part, _, path = layer.partition(".")
        shape = full[part].get_submodule(path).get_parameter("weight").shape
        tail = (1,) * (len(shape) - 2)
        found[layer] = LowRank(torch.full((1, 1, *tail), float(number)), torch.ones(1, 1, *tail), ALPHA)
    return found


def test_diffusers_own_converter_finds_every_layer_of_kohyas_files(family: str, full: Networks) -> None:
    from diffusers.loaders.lora_conversion_utils import (
        _convert_non_diffusers_lora_to_diffusers,
        _maybe_map_sgm_blocks_to_diffusers,
    )

    layers = low_rank(full, skeleton.adaptable(full))
    tensors = kohya.write(layers, Names.of(FAMILIES[family], full["unet"].config))  # type: ignore[arg-type]
    config: Any = full["unet"].config
    moved = _maybe_map_sgm_blocks_to_diffusers(dict(tensors), config)
    found, alphas = _convert_non_diffusers_lora_to_diffusers(moved)
    assert_same(found, layers)
    assert len(alphas) == len(layers)
    assert list(alphas.values()) == [pytest.approx(ALPHA)] * len(layers)


def test_diffusers_finds_every_layer_of_its_own_format(family: str, full: Networks) -> None:
    layers = low_rank(full, skeleton.adaptable(full))
    assert_same(diffusers.write(layers)[0], layers)


def assert_same(found: dict[str, Tensor], layers: dict[str, LowRank]) -> None:
    """Every layer's A is under the name of that layer, as diffusers and PEFT spell it."""
    read = {}
    for key, value in found.items():
        match = re.fullmatch(r"(.+?)(?:_lora|\.lora_linear_layer|\.lora)?(?:\.down|\.lora_A)\.weight", key)
        if match is not None:
            path = match[1].replace(".processor.", ".").replace(".text_model.", ".")
            read[path] = float(value.flatten()[0])
    wanted = {}
    for name, layer in layers.items():
        path = name.replace(".text_model.", ".")
        wanted[path] = float(layer.down.flatten()[0])
    old = {"to_out": "to_out.0", "self_attn.to_q": "self_attn.q_proj", "self_attn.to_k": "self_attn.k_proj"}
    old |= {"self_attn.to_v": "self_attn.v_proj", "self_attn.to_out": "self_attn.out_proj"}
    assert {_renamed(path, old): number for path, number in read.items()} == wanted


def _renamed(path: str, old: dict[str, str]) -> str:
    for end in sorted(old, key=len, reverse=True):
        if path.endswith(f".{end}"):
            return path.removesuffix(end) + old[end]
    return path


@pytest.fixture(scope="module")
def written(
    fresh_base: Callable[..., BaseModel],
    few_dataset: Dataset,
    encode: Callable[[Dataset, BaseModel], Encoded],
    make_plan: Callable[..., TrainingPlan],
) -> dict[str, dict[str, Tensor]]:
    """What a trial's file holds, algorithm by algorithm: Linear, 1x1 and 3x3 layers."""
    training = pack(encode(few_dataset, fresh_base()), 1)
    found = {}
    for number, algorithm in enumerate((*get_args(Algorithm), "dora")):
        name = "lora" if algorithm == "dora" else algorithm
        rank = 14 if name == "boft" else RANK
        sizes = {} if name in ("full", "ia3") else {"rank": rank, "conv_rank": rank}
        shares = {"alpha_over_rank": ALPHA, "conv_alpha_over_rank": ALPHA, "dora": algorithm == "dora"}
        training.admit(number, make_plan(algorithm=name, **sizes, **shares))
        slot = training.runs[number].slot
        found[algorithm] = file.slot_keys(training.bank, slot, training.base.kohya_names)
        training.evict(number)
    return found


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("algorithm", [*get_args(Algorithm), "dora"])
def test_every_tensor_is_one_that_the_program_takes_or_the_table_of_readers_warns(
    program: str, algorithm: str, written: dict[str, dict[str, Tensor]]
) -> None:
    kind = {"dora": "lora", "dylora": "lora"}.get(algorithm, algorithm)
    ends = {key.partition(".")[2] for key in written[algorithm]}
    taken = ends <= set(PROGRAMS[program]["tensors"].get(kind, ()))
    unread = {reader for gap in gaps(kind, {}, False) if gap.ignored for reader in gap.readers}
    assert taken or program in unread
    assert (kind in PROGRAMS[program]["tensors"]) or program in unread


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("algorithm", ["lora", "dora", "dylora", "loha", "lokr", "glora"])
def test_the_programs_scale_is_alpha_over_rank_of_the_plan(
    program: str, algorithm: str, written: dict[str, dict[str, Tensor]]
) -> None:
    """DyLoRA's is alpha over the number of its blocks, as LyCORIS trains it."""
    kind = {"dora": "lora", "dylora": "lora"}.get(algorithm, algorithm)
    ranked = PROGRAMS[program]["rank"].get(kind)
    if ranked is None:
        assert any(program in gap.readers for gap in gaps(kind, {}, False))
        return
    layers: dict[str, dict[str, Tensor]] = {}
    for key, value in written[algorithm].items():
        stem, _, end = key.partition(".")
        layers.setdefault(stem, {})[end] = value
    scales = []
    for tensors in layers.values():
        ranks = [tensors[name].shape[0] for name in ranked if name in tensors]
        scales += [float(tensors["alpha"]) / ranks[-1]] if ranks else []
    assert len(scales) > 20
    wanted = ALPHA * RANK / (RANK / DYLORA_BLOCK) if algorithm == "dylora" else ALPHA
    assert scales == [pytest.approx(wanted)] * len(scales)
