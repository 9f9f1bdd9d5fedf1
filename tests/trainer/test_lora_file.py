"""LoRA files as diffusers reads them, and their metadata."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainer.driving import pack
from trainer import lora_file
from trainer.adapters import AdapterBank
from trainer.base_model import BaseModel
from trainer.data.dataset import Dataset, Encoded
from trainer.outcome import EpochEnd
from trainer.pack import Pack
from trainer.plan import Precision, TrainingPlan

Encode = Callable[[Dataset, BaseModel], Encoded]


@pytest.fixture(scope="module")
def plan(make_plan: Callable[..., TrainingPlan]) -> TrainingPlan:
    return make_plan(rank=4, alpha_over_rank=0.7, text_encoder=True, unet_lr=2e-4, epochs=3)


@pytest.fixture(scope="module")
def training(
    fresh_base: Callable[..., BaseModel], few_dataset: Dataset, encode: Encode, plan: TrainingPlan
) -> Pack:
    """One slot on the micro Stable Diffusion, with strong random weights."""
    made = pack(encode(few_dataset, fresh_base()), 2)
    made.admit(0, plan)
    fill(made.bank, 0)
    return made


def fill(bank: AdapterBank, slot: int) -> None:
    source = torch.Generator().manual_seed(0)
    state = bank.state(slot)
    bank.load(slot, {name: torch.randn(value.shape, generator=source) * 0.1 for name, value in state.items()})


def keys_of(training: Pack, alpha: float) -> dict[str, Tensor]:
    scales = dict.fromkeys(training.bank.scales(0), alpha / 4)
    return lora_file.kohya_keys(training.bank.state(0), scales, training.bank.kernels)


def outputs(unet: Any, text_encoder: Any, tokens: Tensor) -> tuple[Tensor, Tensor]:
    text = text_encoder(tokens).last_hidden_state
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(4))
    return text, unet(latents, torch.tensor([300]), text).sample


@torch.no_grad()
def test_diffusers_loads_the_file_and_says_what_the_bank_says(
    training: Pack, plan: TrainingPlan, assets: Path, tmp_path: Path
) -> None:
    from diffusers import StableDiffusionPipeline

    path = tmp_path / "trial.safetensors"
    lora_file.write(path, keys_of(training, plan.lora.alpha), {}, "no")
    base = training.base
    pipe = StableDiffusionPipeline.from_pretrained(
        assets / "micro-sd", safety_checker=None, feature_extractor=None, torch_dtype=torch.float32
    )
    tokens = base.tokenizer(
        ["a red heart"], padding="max_length", max_length=77, return_tensors="pt"
    ).input_ids
    bare = outputs(pipe.unet, pipe.text_encoder, tokens)
    pipe.load_lora_weights(tmp_path, weight_name=path.name, adapter_name="ours")
    theirs = outputs(pipe.unet, pipe.text_encoder, tokens)
    with training.bank.rows([0]):
        ours = outputs(base.unet, base.text_encoder, tokens)
    for found, expected, without in zip(ours, theirs, bare, strict=True):
        assert float((expected - without).abs().max()) > 0.01
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5)


def test_keys_are_those_of_kohya(training: Pack, plan: TrainingPlan) -> None:
    keys = keys_of(training, plan.lora.alpha)
    pattern = re.compile(
        r"lora_(unet_(down|mid|up)_blocks?(_\d+)?_attentions_\d+_\w+"
        r"|te_text_model_encoder_layers_\d+_(self_attn_[qkv]_proj|self_attn_out_proj|mlp_fc[12]))"
        r"\.(alpha|lora_(up|down)\.weight)"
    )
    assert [key for key in keys if not pattern.fullmatch(key)] == []
    stem = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_out_0"
    assert keys[f"{stem}.lora_down.weight"].shape[0] == 4
    assert keys[f"{stem}.lora_up.weight"].shape[1] == 4
    assert float(keys[f"{stem}.alpha"]) == pytest.approx(2.8)
    assert keys["lora_unet_mid_block_attentions_0_proj_in.lora_down.weight"].dim() == 4


def test_reading_back_gives_the_slot_again(training: Pack, plan: TrainingPlan, tmp_path: Path) -> None:
    path = tmp_path / "trial.safetensors"
    lora_file.write(path, keys_of(training, plan.lora.alpha), {"ss_output_name": "x"}, "no")
    lora = lora_file.read(path)
    assert lora.metadata["ss_output_name"] == "x"
    state = lora_file.slot_state(lora.tensors, lora_file.stems(training.bank.layers))
    expected = training.bank.state(0)
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in state)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("no", torch.float32), ("fp16", torch.float16), ("bf16", torch.bfloat16)]
)
def test_weights_are_stored_in_the_wanted_precision_and_alphas_exactly(
    training: Pack, tmp_path: Path, precision: Precision, dtype: torch.dtype
) -> None:
    path = tmp_path / "trial.safetensors"
    lora_file.write(path, keys_of(training, 2.1), {}, precision)
    for key, value in lora_file.read(path).tensors.items():
        assert value.dtype == (torch.float32 if key.endswith(".alpha") else dtype)
        if key.endswith(".alpha"):
            assert float(value) == pytest.approx(2.1, rel=1e-6)


def test_the_model_hash_is_that_of_everything_after_the_header(training: Pack, tmp_path: Path) -> None:
    path = tmp_path / "trial.safetensors"
    lora_file.write(path, keys_of(training, 1.0), {"ss_network_dim": "4"}, "fp16")
    data = path.read_bytes()
    header = int.from_bytes(data[:8], "little")
    wanted = hashlib.sha256(data[8 + header :]).hexdigest()
    assert json.loads(data[8 : 8 + header])["__metadata__"]["sshs_model_hash"] == wanted


def test_the_metadata_tell_what_was_trained(plan: TrainingPlan, few_dataset: Dataset) -> None:
    end = EpochEnd(trial=0, epoch=2, images_seen=10, steps=10, training_loss=0.5, last=False)
    facts = lora_file.metadata(plan, few_dataset, "abc", "heart-2", end)
    assert all(isinstance(value, str) for value in facts.values())
    wanted = {
        "ss_network_module": "networks.lora",
        "ss_network_dim": "4",
        "ss_base_model_version": "sd_v1",
        "ss_v2": "False",
        "ss_output_name": "heart-2",
        "ss_unet_lr": "0.0002",
        "ss_text_encoder_lr": "0.0001",
        "ss_num_train_images": "5",
        "ss_num_epochs": "3",
        "ss_epoch": "2",
        "ss_steps": "10",
        "ss_max_train_steps": "15",
        "ss_new_sd_model_hash": "abc",
        "ss_seed": "0",
    }
    assert {key: facts[key] for key in wanted} == wanted
    assert float(facts["ss_network_alpha"]) == pytest.approx(2.8)
    tags = json.loads(facts["ss_tag_frequency"])["1_fluent"]
    assert sum(tags.values()) == sum(
        len(few_dataset.examples[i].caption.split(",")) for i in few_dataset.split.train
    )


def test_a_lora_of_another_base_is_refused() -> None:
    with pytest.raises(lora_file.LoraFileError, match="no layer 'lora_unet_x'"):
        lora_file.slot_state({"lora_unet_x.lora_up.weight": torch.zeros(1, 1)}, {})


@pytest.mark.parametrize("content", [None, b"", b"not safetensors at all"])
def test_an_unreadable_file_is_told_in_a_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(lora_file.LoraFileError, match=r"x\.safetensors"):
        lora_file.read(path)
