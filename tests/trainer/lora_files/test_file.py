"""LoRA files as diffusers reads them, and their metadata."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainer.driving import pack
from trainer.adapters.bank import AdapterBank
from trainer.bases.base_model import BaseModel
from trainer.bases.families import FAMILIES
from trainer.bases.family import Identity
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.lora_files import file, kohya
from trainer.lora_files import metadata as metadata_
from trainer.lora_files.layers import from_state
from trainer.outcome import EpochEnd
from trainer.plan import TrainingPlan
from trainer.plans.compute import Precision
from trainer.training.pack import Pack

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
    layers = from_state(training.bank.state(0), scales, training.bank.kernels)
    return kohya.write(layers, training.base.kohya_names)


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
    file.write(path, keys_of(training, plan.lora.file_alpha), {}, "no")
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
    keys = keys_of(training, plan.lora.file_alpha)
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


def test_metadata_are_read_back(training: Pack, plan: TrainingPlan, tmp_path: Path) -> None:
    path = tmp_path / "trial.safetensors"
    file.write(path, keys_of(training, plan.lora.file_alpha), {"ss_output_name": "x"}, "no")
    lora = file.read(path)
    assert lora.metadata["ss_output_name"] == "x"
    assert set(lora.tensors) == set(file.names(path))


@pytest.mark.parametrize(
    ("precision", "dtype"), [("no", torch.float32), ("fp16", torch.float16), ("bf16", torch.bfloat16)]
)
def test_weights_are_stored_in_the_wanted_precision_and_alphas_exactly(
    training: Pack, tmp_path: Path, precision: Precision, dtype: torch.dtype
) -> None:
    path = tmp_path / "trial.safetensors"
    file.write(path, keys_of(training, 2.1), {}, precision)
    for key, value in file.read(path).tensors.items():
        assert value.dtype == (torch.float32 if key.endswith(".alpha") else dtype)
        if key.endswith(".alpha"):
            assert float(value) == pytest.approx(2.1, rel=1e-6)


def test_the_hashes_are_those_that_webuis_compute(tmp_path: Path) -> None:
    """The whole tensor area, and the old short one: 64 KiB from the first MiB of the file with ``ss_*`` alone."""
    from safetensors.torch import load, save

    path = tmp_path / "trial.safetensors"
    big = {"x.lora_up.weight": torch.rand(600, 1024, generator=torch.Generator().manual_seed(0))}
    file.write(path, big, {"ss_network_dim": "4", "modelspec.title": "x"}, "no")
    data = path.read_bytes()
    header = int.from_bytes(data[:8], "little")
    found = json.loads(data[8 : 8 + header])["__metadata__"]
    assert found["sshs_model_hash"] == hashlib.sha256(data[8 + header :]).hexdigest()
    bare = save(big, {"ss_network_dim": "4"})
    assert load(data)["x.lora_up.weight"].equal(big["x.lora_up.weight"])
    assert found["sshs_legacy_hash"] == hashlib.sha256(bare[0x100000:0x110000]).hexdigest()[:8]


def test_equal_loras_are_equal_files(training: Pack, tmp_path: Path) -> None:
    facts = {f"ss_{i}": str(i) for i in range(20)}
    paths = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for path, metadata in zip(paths, (facts, dict(reversed(facts.items()))), strict=True):
        file.write(path, keys_of(training, 1.0), metadata, "fp16")
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert file.read(paths[0]).metadata["ss_7"] == "7"


IDENTITIES = {
    "sd1": (
        Identity(FAMILIES["sd1"], "epsilon", False, "abc"),
        {"ss_base_model_version": "sd_v1", "ss_v2": "False"},
        "stable-diffusion-v1/lora",
    ),
    "sd2": (
        Identity(FAMILIES["sd2"], "epsilon", False, "abc"),
        {"ss_base_model_version": "sd_v2", "ss_v2": "True"},
        "stable-diffusion-v2-512/lora",
    ),
    "sd2 v": (
        Identity(FAMILIES["sd2"], "v_prediction", True, "abc", "def"),
        {"ss_base_model_version": "sd_v2_v", "ss_zero_terminal_snr": "True", "ss_new_vae_hash": "def"},
        "stable-diffusion-v2-768-v/lora",
    ),
    "sdxl": (
        Identity(FAMILIES["sdxl"], "epsilon", False, "abc"),
        {"ss_base_model_version": "sdxl_base_v1-0", "ss_v2": "False"},
        "stable-diffusion-xl-v1-base/lora",
    ),
    "sdxl v": (
        Identity(FAMILIES["sdxl"], "v_prediction", True, "abc"),
        {"ss_base_model_version": "sdxl_base_v1-0", "ss_v2": "False", "ss_zero_terminal_snr": "True"},
        "stable-diffusion-xl-v1-base/lora",
    ),
    "sd1 v": (
        Identity(FAMILIES["sd1"], "v_prediction", False, "abc"),
        {"ss_base_model_version": "sd_v1_v", "ss_v2": "False"},
        "stable-diffusion-v1/lora",
    ),
}
END = EpochEnd(trial=0, epoch=2, images_seen=10, steps=10, training_loss=0.5, last=False)


@pytest.mark.parametrize("name", IDENTITIES)
def test_the_metadata_tell_the_family(name: str, plan: TrainingPlan, few_dataset: Dataset) -> None:
    identity, wanted, architecture = IDENTITIES[name]
    facts = metadata_.metadata(plan, few_dataset, identity, "heart-2", END)
    assert {key: facts[key] for key in wanted} == wanted
    assert facts["modelspec.architecture"] == architecture
    sgm = "https://github.com/Stability-AI/generative-models"
    assert facts["modelspec.implementation"] == (sgm if identity.family.name == "sdxl" else "diffusers")
    assert facts["modelspec.prediction_type"] == ("v" if identity.prediction_type != "epsilon" else "epsilon")
    rates = facts["ss_text_encoder_lr"]
    assert rates == ("[0.0001, 0.0001]" if identity.family.name == "sdxl" else "0.0001")


def test_buckets_are_counted_with_their_repeats(
    make_plan: Callable[..., TrainingPlan], few_dataset: Dataset
) -> None:
    sizes = tuple((96, 48) if i % 2 else (64, 64) for i in range(len(few_dataset.examples)))
    bucketed = replace(few_dataset, sizes=sizes)
    plan = make_plan(enable_bucket=True, min_bucket_reso=32, max_bucket_reso=96, bucket_reso_steps=16)
    facts = metadata_.metadata(plan, bucketed, Identity(FAMILIES["sd1"], "epsilon", False, "abc"), "x", END)
    buckets = json.loads(facts["ss_bucket_info"])["buckets"]
    odd = sum(i % 2 for i in few_dataset.split.train)
    assert buckets == {
        "0": {"resolution": [64, 64], "count": len(few_dataset.split.train) - odd},
        "1": {"resolution": [96, 48], "count": odd},
    }


def test_the_metadata_tell_what_was_trained(plan: TrainingPlan, few_dataset: Dataset) -> None:
    facts = metadata_.metadata(plan, few_dataset, IDENTITIES["sd1"][0], "heart-2", END)
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


SD1 = Identity(FAMILIES["sd1"], "epsilon", False, "abc")


def test_the_metadata_tell_the_recipe_in_the_words_of_sd_scripts(
    make_plan: Callable[..., TrainingPlan], few_dataset: Dataset
) -> None:
    plan = make_plan(
        optimiser="adamw8bit", args={"betas": [0.9, 0.95]}, weight_decay=0.1, batch_size=2, epochs=4,
        gradient_accumulation=2, max_weight_norm=1.5, adaptive_scale=0.05, offset=0.1, multires_iterations=6,
        multires_discount=0.4, ip_gamma=0.1, debiased=True, loss="huber", huber_c=0.2, schedule="cosine",
        warmup_steps=3,
    )  # fmt: skip
    end = EpochEnd(trial=0, epoch=4, images_seen=20, steps=8, training_loss=0.5, last=True)
    facts = metadata_.metadata(plan, few_dataset, SD1, "heart-4", end)
    wanted = {
        "ss_optimizer": "bitsandbytes.optim.adamw.AdamW8bit(betas=(0.9, 0.95),weight_decay=0.1)",
        "ss_lr_scheduler": "cosine",
        "ss_lr_warmup_steps": "3",
        "ss_max_train_steps": "8",
        "ss_gradient_accumulation_steps": "2",
        "ss_max_grad_norm": "1.0",
        "ss_scale_weight_norms": "1.5",
        "ss_noise_offset": "0.1",
        "ss_adaptive_noise_scale": "0.05",
        "ss_multires_noise_iterations": "6",
        "ss_multires_noise_discount": "0.4",
        "ss_ip_noise_gamma": "0.1",
        "ss_min_snr_gamma": "None",
        "ss_debiased_estimation": "True",
        "ss_loss_type": "huber",
        "ss_huber_schedule": "constant",
        "ss_huber_c": "0.2",
    }
    assert {key: facts[key] for key in wanted} == wanted
    plain = metadata_.metadata(make_plan(), few_dataset, SD1, "heart", end)
    off = (
        "ss_multires_noise_iterations",
        "ss_multires_noise_discount",
        "ss_ip_noise_gamma",
        "ss_scale_weight_norms",
    )
    assert [plain[key] for key in off] == ["None"] * 4


@pytest.mark.parametrize("content", [None, b"", b"not safetensors at all"])
def test_an_unreadable_file_is_told_in_a_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(file.LoraFileError, match=r"x\.safetensors"):
        file.read(path)
