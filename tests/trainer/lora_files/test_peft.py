"""Adapters that PEFT itself makes and saves: the same weights as PEFT merges."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trainer.bases import skeleton
from trainer.bases.base_model import BaseModel
from trainer.lora_files import formats
from trainer.lora_files.algorithms import difference
from trainer.lora_files.content import Content

ATTENTION = ["to_q", "to_k", "to_out.0"]
CONVOLUTIONS = [*ATTENTION, "proj_in", "conv1", "conv_in", "time_embedding.linear_1"]
ADAPTERS: dict[str, tuple[str, dict[str, Any]]] = {
    "LoRA": ("LoraConfig", {"target_modules": CONVOLUTIONS, "rank_pattern": {"to_k": 2}}),
    "rsLoRA": ("LoraConfig", {"target_modules": ATTENTION, "use_rslora": True}),
    "rsLoRA of several ranks": (
        "LoraConfig",
        {"target_modules": ATTENTION, "use_rslora": True, "rank_pattern": {"to_k": 2}},
    ),
    "DoRA": ("LoraConfig", {"target_modules": ATTENTION, "use_dora": True}),
    "DoRA of convolutions": ("LoraConfig", {"target_modules": CONVOLUTIONS, "use_dora": True}),
    "DoRA and rsLoRA": ("LoraConfig", {"target_modules": ATTENTION, "use_dora": True, "use_rslora": True}),
    "LoRA with biases": ("LoraConfig", {"target_modules": ["to_out.0", "conv1"], "lora_bias": True}),
    "LoHa": ("LoHaConfig", {"target_modules": CONVOLUTIONS}),
    "LoHa, Tucker": ("LoHaConfig", {"target_modules": CONVOLUTIONS, "use_effective_conv2d": True}),
    "LoHa of several alphas": (
        "LoHaConfig",
        {"target_modules": ATTENTION, "alpha_pattern": {"to_k": 3.0}},
    ),
    "LoKr": ("LoKrConfig", {"target_modules": CONVOLUTIONS}),
    "LoKr, Tucker": ("LoKrConfig", {"target_modules": CONVOLUTIONS, "use_effective_conv2d": True}),
    "LoKr, whole": ("LoKrConfig", {"target_modules": ATTENTION, "r": 64}),
    "IA3": ("IA3Config", {"target_modules": CONVOLUTIONS, "feedforward_modules": ["to_k", "conv1"]}),
    "OFT": ("OFTConfig", {"target_modules": CONVOLUTIONS, "oft_block_size": 4}),
    "OFT by Cayley": (
        "OFTConfig",
        {"target_modules": ATTENTION, "oft_block_size": 8, "use_cayley_neumann": False},
    ),
    "OFT, constrained": ("OFTConfig", {"target_modules": ATTENTION, "r": 4, "coft": True, "eps": 1e-2}),
    "OFT of shared blocks": (
        "OFTConfig",
        {"target_modules": ATTENTION, "oft_block_size": 8, "block_share": True},
    ),
    "BOFT": ("BOFTConfig", {"target_modules": CONVOLUTIONS, "boft_block_size": 4}),
}


def strong(model: Any) -> None:
    """Draws every weight of an adapter anew, so that none is without effect."""
    source = torch.Generator().manual_seed(2)
    for name, value in model.named_parameters():
        if any(mark in name for mark in ("lora_A", "lora_B", "hada_", "lokr_", "oft_R")):
            value.data = torch.randn(value.shape, generator=source) * 0.2
        if "ia3_l" in name or "boft_s" in name:
            value.data = 1 + torch.randn(value.shape, generator=source) * 0.2
        if "magnitude" in name:
            value.data += torch.rand(value.shape, generator=source)


def applied(content: Content, model: Any) -> dict[str, torch.Tensor]:
    """A model's weights with a file's differences."""
    weights = {name: value.detach().clone() for name, value in model.named_parameters()}
    for layer, low in content.low_rank.items():
        name = f"{layer.removeprefix('unet.')}.weight"
        product = low.scale * low.up.flatten(1) @ low.down.flatten(1)
        weights[name] += product.view_as(weights[name])
    for layer, tensors in content.others.items():
        path = layer.removeprefix("unet.")
        weight, bias = difference(layer, tensors, weights[f"{path}.weight"], weights.get(f"{path}.bias"))
        weights[f"{path}.weight"] += weight
        if bias is not None:
            weights[f"{path}.bias"] += bias
    return weights


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
@pytest.mark.parametrize("name", ADAPTERS)
def test_what_peft_saves_is_what_it_merges(
    name: str,
    family: str,
    load_base: Callable[..., BaseModel],
    assets: Path,
    micro_sdxl: Path,
    tmp_path: Path,
) -> None:
    import peft

    base = load_base(assets / "micro-sd" if family == "sd1" else micro_sdxl)
    kind, arguments = ADAPTERS[name]
    shape = {
        "LoraConfig": {"r": 4, "lora_alpha": 1.4},
        "LoHaConfig": {"r": 4, "alpha": 1.4},
        "LoKrConfig": {"r": 4, "alpha": 1.4},
        "OFTConfig": {"oft_block_size": 0} if "r" in arguments else {},
    }
    config = getattr(peft, kind)(**{**shape.get(kind, {}), **arguments})
    plain = copy.deepcopy(base.unet).to(memory_format=torch.contiguous_format)  # for PEFT's OFT and BOFT
    model = peft.get_peft_model(plain, config)
    strong(model)
    model.save_pretrained(str(tmp_path))
    content = formats.content(tmp_path, base.kohya_names, known(base))
    ours = applied(content, base.unet)
    theirs = dict(model.merge_and_unload().named_parameters())
    assert ours.keys() == theirs.keys()
    changed = {name for name, value in base.unet.named_parameters() if not torch.equal(value, theirs[name])}
    assert {f"{layer.removeprefix('unet.')}.weight" for layer in content.layers} <= changed
    for key, value in ours.items():
        torch.testing.assert_close(value, theirs[key], rtol=1e-5, atol=1e-5)


def known(base: BaseModel) -> tuple[str, ...]:
    return skeleton.readable({"unet": base.unet, **base.text_encoders})


def test_one_file_of_the_folder_stands_for_the_folder(
    load_base: Callable[..., BaseModel], assets: Path, tmp_path: Path
) -> None:
    """Its settings lie beside it."""
    import peft

    base = load_base(assets / "micro-sd")
    config = peft.LoraConfig(r=2, lora_alpha=5, target_modules=["q_proj"])
    model: Any = peft.get_peft_model(copy.deepcopy(base.text_encoder), config)  # type: ignore[arg-type]
    strong(model)
    folder = tmp_path / "text_encoder"
    model.save_pretrained(str(folder))
    file = folder / "adapter_model.safetensors"
    whole, one = (formats.content(path, base.kohya_names, known(base)) for path in (folder, file))
    assert whole.layers == one.layers
    assert {layer.alpha for layer in one.low_rank.values()} == {5.0}
    assert all(name.startswith("text_encoder.") for name in one.layers)
