"""What keeps a LoRA file from being judged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from studies.selection.base_outline import Outline, outline
from studies.selection.lora_files import examined, fitting
from studies.selection.lora_slots import fill, shape
from tests.bases import build_sd3
from trainer.adapters.wrapping import bank_for
from trainer.bases import find
from trainer.bases.base_model import BaseModel
from trainer.plans.base import BasePlan


@pytest.fixture(scope="module")
def base(assets: Path) -> Outline:
    return outline(find.find(BasePlan(path=assets / "micro-sd")))


def kohya(path: Path, stem: str, inputs: int, outputs: int, rank: int = 2, kernel: int = 1) -> Path:
    down, up = torch.zeros(rank, inputs), torch.zeros(outputs, rank)
    if kernel > 1:
        down, up = torch.zeros(rank, inputs, kernel, kernel), torch.zeros(outputs, rank, 1, 1)
    save_file({f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}, path)
    return path


def told(path: Path, base: Outline | None) -> str:
    layers, found = examined(path, base)
    assert layers is None and found is not None and str(path) in found
    return found


def test_a_missing_file_a_pickle_and_a_base_model_are_told(
    tmp_path: Path, base: Outline, assets: Path
) -> None:
    assert "there is no such file" in told(tmp_path / "gone.safetensors", base)
    pickle = tmp_path / "old.pt"
    pickle.write_bytes(b"\x80")
    assert "can run code and are refused" in told(pickle, None)
    assert "no keys of a LoRA" in told(
        assets / "micro-sd" / "unet" / "diffusion_pytorch_model.safetensors", base
    )
    text = tmp_path / "text.safetensors"
    text.write_text("this is no safetensors file")
    assert "not a readable safetensors file" in told(text, base)


def test_a_lora_of_another_family_is_called_by_its_name(tmp_path: Path, base: Outline) -> None:
    stem = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"
    found = told(kohya(tmp_path / "xl.safetensors", stem, 2048, 640), base)
    assert "2 of its 2 keys name no layer of the base model" in found
    assert "made for SDXL, but --base is SD 1.x" in found and "?." not in found
    text = kohya(tmp_path / "te2.safetensors", "lora_te2_text_model_encoder_layers_0_self_attn_q_proj", 8, 8)
    assert "made for SDXL" in told(text, base)
    stem = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    assert "made for SD 2.x, but --base is SD 1.x" in told(
        kohya(tmp_path / "2.safetensors", stem, 1024, 320), base
    )


def test_loras_of_u_nets_and_transformers_are_told_apart(tmp_path: Path, base: Outline, assets: Path) -> None:
    stem = "transformer.transformer_blocks.0.attn.to_q"
    down, up = torch.zeros(2, 16), torch.zeros(16, 2)
    path = tmp_path / "sd3.safetensors"
    save_file({f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up}, path)
    assert "made for SD 3, but --base is SD 1.x" in told(path, base)
    flow = outline(find.find(BasePlan(path=build_sd3(tmp_path / "base", assets / "micro-sd"))))
    layers, found = examined(path, flow)
    assert found is None and layers is not None and list(layers.layers) == [f"unet.{stem.partition('.')[2]}"]
    stem = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"
    found = told(kohya(tmp_path / "xl.safetensors", stem, 2048, 640), flow)
    assert "made for SDXL, but --base is SD 3" in found


def test_a_layer_of_another_width_does_not_fit(tmp_path: Path, base: Outline) -> None:
    name = next(n for n in base.shapes if n.endswith("attn2.to_k"))
    outputs, inputs = base.shapes[name]
    stem = base.names.stem(name)
    layers, found = examined(kohya(tmp_path / "fits.safetensors", stem, inputs, outputs), base)
    assert found is None and layers is not None and list(layers.layers) == [name]
    found = told(kohya(tmp_path / "wide.safetensors", stem, inputs * 2, outputs), base)
    assert f"goes from {inputs * 2} to {outputs} values" in found


def test_low_rank_factors_do_not_fit_a_norm(tmp_path: Path, base: Outline) -> None:
    name = next(n for n, size in base.shapes.items() if len(size) == 1 and n.startswith("unet."))
    path = kohya(tmp_path / "norm.safetensors", base.names.stem(name), 1, base.shapes[name][0])
    assert "another base" in told(path, base)


def test_a_pointwise_factor_does_not_fit_a_3x3_convolution(tmp_path: Path, base: Outline) -> None:
    name = next(n for n in base.shapes if n.endswith("resnets.0.conv1"))
    outputs, inputs = base.shapes[name][:2]
    found = told(kohya(tmp_path / "thin.safetensors", base.names.stem(name), inputs, outputs), base)
    assert f"goes from {inputs} to {outputs} values, but the base model's layer from {inputs * 9}" in found


def test_a_slot_has_room_for_the_largest_rank_of_each_kind(tmp_path: Path, base: Outline) -> None:
    conv = next(n for n in base.shapes if n.endswith("resnets.0.conv1"))
    outputs, inputs = base.shapes[conv][:2]
    path = kohya(tmp_path / "conv.safetensors", base.names.stem(conv), inputs, outputs, rank=5, kernel=3)
    made = shape(fitting(path, base).low_rank, base)
    assert (made.rank, made.conv_rank, made.prefixes) == (1, 5, ("unet",))
    pointwise = next(n for n in base.beside if n.endswith("time_emb_proj"))
    outputs, inputs = base.shapes[pointwise]
    path = kohya(tmp_path / "time.safetensors", base.names.stem(pointwise), inputs, outputs, rank=3)
    made = shape(fitting(path, base).low_rank, base)
    assert (made.rank, made.conv_rank) == (3, 1), "such layers have a LoRA only beside 3x3 ones"


def test_a_lora_on_sdxls_second_text_encoder_alone_fills_its_layers_only(
    micro_sdxl: Path, load_base: Callable[..., BaseModel], tmp_path: Path
) -> None:
    drawn = outline(find.find(BasePlan(path=micro_sdxl)))
    name = next(n for n in drawn.shapes if n.startswith("text_encoder_2.") and n.endswith("q_proj"))
    outputs, inputs = drawn.shapes[name]
    stem = drawn.names.stem(name)
    down, up = torch.ones(2, inputs), torch.ones(outputs, 2)
    alpha = torch.tensor(1.0)
    path = tmp_path / "te2.safetensors"
    save_file({f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up, f"{stem}.alpha": alpha}, path)
    bank = bank_for(load_base(micro_sdxl), 1)
    layers = fitting(path, drawn)
    fill(bank, 0, layers, drawn)
    assert shape(layers.low_rank, drawn).prefixes == ("text_encoder_2", "text_encoder"), (
        "so that prompts are read anew"
    )
    state = bank.state(0)
    product = state[f"{name}.up"] @ state[f"{name}.down"] * bank.scales(0)[name]
    assert torch.equal(product, up @ down / 2)
    assert not any(value.any() for key, value in state.items() if not key.startswith(name))


LAYER = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"


def test_lycoris_factors_of_another_base_are_told(tmp_path: Path, base: Outline) -> None:
    stem = base.names.stem(LAYER)
    tensors = {name: torch.ones(2, 320) for name in ("hada_w1_b", "hada_w2_b")}
    tensors |= {name: torch.ones(320, 2) for name in ("hada_w1_a", "hada_w2_a")}
    path = tmp_path / "other.safetensors"
    save_file(
        {f"{stem}.{name}": value for name, value in (tensors | {"alpha": torch.tensor(2.0)}).items()}, path
    )
    assert "was it made for another base?" in told(path, base)
