"""LoRAs of every layout: written, read back, loaded by diffusers and PEFT, with the same pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.evaluation.conftest import fill
from trainer.adapters.bank import AdapterBank, Shape
from trainer.adapters.wrapping import bank_for
from trainer.bases.base_model import BaseModel
from trainer.bases.families import FAMILIES
from trainer.lora_files import file as lora_file
from trainer.lora_files import formats, kohya, layers
from trainer.lora_files.content import gather, plain
from trainer.lora_files.formats import Format
from trainer.lora_files.layers import Layers, LoraFileError, LowRank

PARTS = ("unet", "text_encoder", "text_encoder_2")
LAYOUTS: tuple[Format, ...] = ("kohya", "diffusers", "peft")
SCALE = 0.35


@dataclass
class Case:
    """A base with one strong LoRA of rank 4, alpha 1.4."""

    folder: Path
    base: BaseModel
    bank: AdapterBank
    layers: Layers

    def write(self, folder: Path, layout: Format) -> Path:
        path = folder / ("lora" if layout == "peft" else "lora.safetensors")
        formats.write(path, self.layers, layout, self.base.kohya_names, {"ss_output_name": "x"}, "no")
        return path

    def read(self, path: Path) -> Layers:
        return formats.read(path, self.base.kohya_names, self.bank.layers)


def case(folder: Path, base: BaseModel, parts: tuple[str, ...] = PARTS) -> Case:
    bank = bank_for(base, 2)
    bank.open(0, Shape(4, SCALE, parts), seed=0)
    fill(bank, 0)
    return Case(folder, base, bank, layers.from_state(bank.state(0), bank.scales(0), bank.kernels))


@pytest.fixture(scope="module")
def cases(
    load_base: Callable[..., BaseModel], micro_sdxl: Path, micro_sd2: Path, assets: Path
) -> dict[str, Case]:
    folders = {"sd1": assets / "micro-sd", "sd2": micro_sd2, "sdxl": micro_sdxl}
    found = {family: case(folder, load_base(folder)) for family, folder in folders.items()}
    return found | {"sdxl, U-Net only": case(micro_sdxl, load_base(micro_sdxl), ("unet",))}


CASES = ("sd1", "sd2", "sdxl", "sdxl, U-Net only")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", CASES)
def test_reading_back_gives_the_slot_again(
    name: str, layout: Format, cases: dict[str, Case], tmp_path: Path
) -> None:
    chosen = cases[name]
    path = chosen.write(tmp_path, layout)
    formats.check(path)
    state = chosen.bank.state(0)
    found = layers.slot_state(chosen.read(path), state, chosen.bank.scales(0))
    assert found.keys() == state.keys()
    for key in state:
        torch.testing.assert_close(found[key], state[key], rtol=1e-6 if layout == "diffusers" else 0, atol=0)


@torch.no_grad()
@pytest.mark.parametrize("layout", ["kohya", "diffusers"])
@pytest.mark.parametrize("name", CASES)
def test_diffusers_renders_with_the_file_what_the_bank_renders(
    name: str, layout: Format, cases: dict[str, Case], tmp_path: Path
) -> None:
    chosen = cases[name]
    path = chosen.write(tmp_path, layout)
    pipe = pipeline(chosen)
    bare = picture(pipe)
    pipe.load_lora_weights(tmp_path, weight_name=path.name, adapter_name="ours")
    theirs = picture(pipe)
    assert float((theirs - bare).abs().max()) > 0.02
    with chosen.bank.rows([0, 0]):
        ours = picture(pipeline(chosen, banked=True))
    assert float((theirs - ours).abs().max()) <= 1e-3


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_peft_loads_each_folder_and_says_what_the_bank_says(
    name: str, cases: dict[str, Case], tmp_path: Path
) -> None:
    from peft import PeftModel

    chosen = cases[name]
    path = chosen.write(tmp_path, "peft")
    pipe = pipeline(chosen)
    bare = picture(pipe)
    for folder in sorted(path.iterdir()):
        loaded = PeftModel.from_pretrained(getattr(pipe, folder.name), str(folder))
        setattr(pipe, folder.name, loaded.base_model.model)
    theirs = picture(pipe)
    assert float((theirs - bare).abs().max()) > 0.02
    with chosen.bank.rows([0, 0]):
        ours = picture(pipeline(chosen, banked=True))
    assert float((theirs - ours).abs().max()) <= 1e-3


def pipeline(chosen: Case, banked: bool = False) -> Any:
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline

    if chosen.base.family.name == "sdxl":
        pipe = StableDiffusionXLPipeline.from_pretrained(chosen.folder, add_watermarker=False)
    else:
        pipe = StableDiffusionPipeline.from_pretrained(
            chosen.folder, safety_checker=None, feature_extractor=None, torch_dtype=torch.float32
        )
    if banked:
        pipe.unet = chosen.base.unet
        for part, encoder in chosen.base.text_encoders.items():
            setattr(pipe, part, encoder)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def picture(pipe: Any) -> Tensor:
    """One picture without guidance, so that every forward pass has as many rows as the bank was told."""
    noise = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(4))
    found: Tensor = pipe(
        ["a red heart", "a drum"],
        latents=noise,
        num_inference_steps=3,
        guidance_scale=1.0,
        height=64,
        width=64,
        output_type="pt",
    ).images
    return found


RESNET_LAYERS = (
    "down_blocks.0.resnets.0.conv1",
    "down_blocks.1.resnets.0.conv_shortcut",
    "down_blocks.0.downsamplers.0.conv",
    "mid_block.resnets.1.conv2",
    "mid_block.resnets.0.time_emb_proj",
    "up_blocks.0.upsamplers.0.conv",
    "up_blocks.1.upsamplers.0.conv",
    "up_blocks.2.resnets.0.conv2",
)


def outside_attention(unet: Any) -> Layers:
    """A strong LoRA on layers that only some users train, 3x3 convolutions among them."""
    source, layers = torch.Generator().manual_seed(1), {}
    for path in RESNET_LAYERS:
        weight = unet.get_submodule(path).weight
        tail = (1, 1) if weight.dim() == 4 else ()
        down = torch.randn(3, *weight.shape[1:], generator=source) * 0.2
        layers[f"unet.{path}"] = LowRank(
            down, torch.randn(len(weight), 3, *tail, generator=source) * 0.2, 1.5
        )
    return layers


@torch.no_grad()
@pytest.mark.parametrize("layout", ["kohya", "diffusers"])
@pytest.mark.parametrize("name", ["sd1", "sdxl"])
def test_convolutions_are_written_so_that_diffusers_applies_them(
    name: str, layout: Format, cases: dict[str, Case], tmp_path: Path
) -> None:
    chosen = cases[name]
    merged = pipeline(chosen)
    bare = picture(merged)
    only = replace(chosen, layers=outside_attention(merged.unet))
    file = only.write(tmp_path, layout)
    pipe = pipeline(chosen)
    pipe.load_lora_weights(tmp_path, weight_name=file.name, adapter_name="ours")
    theirs = picture(pipe)
    for layer, factors in only.layers.items():
        weight = merged.unet.get_submodule(layer.removeprefix("unet.")).weight
        delta = factors.up.flatten(1) @ factors.down.flatten(1)
        weight += 0.5 * delta.view(weight.shape)
    assert float((theirs - bare).abs().max()) > 0.02
    assert float((theirs - picture(merged)).abs().max()) <= 1e-3
    back = formats.read(file, chosen.base.kohya_names, only.layers)
    assert back.keys() == only.layers.keys()
    for layer, factors in only.layers.items():
        assert torch.equal(back[layer].down, factors.down)
        torch.testing.assert_close(back[layer].up * back[layer].scale, factors.up * 0.5)
        assert back[layer].alpha == (1.5 if layout == "kohya" else 3)
    if layout == "kohya" and name == "sdxl":
        stems = {key.partition(".")[0] for key in lora_file.names(file)}
        assert {"lora_unet_input_blocks_1_0_in_layers_2", "lora_unet_output_blocks_2_2_conv"} <= stems


@torch.no_grad()
@pytest.mark.parametrize("layout", LAYOUTS)
def test_ranks_and_alphas_may_differ_between_layers(
    layout: Format, cases: dict[str, Case], tmp_path: Path
) -> None:
    chosen = cases["sdxl"]
    names = list(chosen.layers)
    odd = {names[0]: replace(chosen.layers[names[0]], alpha=3.0)}
    slim = chosen.layers[names[-1]]
    odd[names[-1]] = LowRank(slim.down[:2].contiguous(), slim.up[:, :2].contiguous(), 1.0)
    mixed = replace(chosen, layers={**chosen.layers, **odd})
    found = mixed.read(mixed.write(tmp_path, layout))
    wanted_ranks = {name: layer.rank for name, layer in mixed.layers.items()}
    if layout == "diffusers":
        wanted_ranks |= dict.fromkeys(odd, 4)
    assert {name: layer.rank for name, layer in found.items()} == wanted_ranks
    alphas = {name: layer.alpha for name, layer in found.items()}
    if layout == "diffusers":
        assert alphas == wanted_ranks
    elif layout == "kohya":
        assert len({alpha for name, alpha in alphas.items() if name.startswith("unet.")}) == 1
    else:
        assert alphas == {name: pytest.approx(layer.alpha) for name, layer in mixed.layers.items()}
    state = layers.slot_state(found, chosen.bank.state(0), chosen.bank.scales(0))
    for name in odd:
        wanted = odd[name].scale * odd[name].up.flatten(1) @ odd[name].down.flatten(1)
        merged = SCALE * state[f"{name}.up"] @ state[f"{name}.down"]
        torch.testing.assert_close(merged, wanted, rtol=1e-5, atol=1e-6)


def test_layers_that_a_file_lacks_are_without_effect(cases: dict[str, Case]) -> None:
    chosen = cases["sdxl"]
    unet = {name: layer for name, layer in chosen.layers.items() if name.startswith("unet.")}
    state = layers.slot_state(unet, chosen.bank.state(0), chosen.bank.scales(0))
    assert all(not value.any() for name, value in state.items() if name.startswith("text"))


def test_sdxl_files_with_diffusers_block_names_are_read_too(cases: dict[str, Case]) -> None:
    chosen = cases["sdxl"]
    unet = {name: layer for name, layer in chosen.layers.items() if name.startswith("unet.")}
    tensors = kohya.write(unet, kohya.Names(FAMILIES["sd1"]))
    found = plain(gather(tensors, chosen.base.kohya_names, chosen.bank.layers))
    assert found.keys() == unet.keys()


def test_older_diffusers_files_are_read(cases: dict[str, Case]) -> None:
    chosen = cases["sd1"]
    place = "mid_block.attentions.0.transformer_blocks.0.attn1"
    text = "encoder.layers.0.self_attn"
    down, up = torch.ones(2, 3), torch.ones(3, 2)
    tensors = {
        f"unet.{place}.processor.to_out_lora.down.weight": down,
        f"unet.{place}.processor.to_out_lora.up.weight": up,
        f"unet.{place}.to_q.lora.down.weight": down,
        f"unet.{place}.to_q.lora.up.weight": up,
        f"unet.{place}.to_q.alpha": torch.tensor(5.0),
        f"text_encoder.text_model.{text}.q_proj.lora_linear_layer.down.weight": down,
        f"text_encoder.text_model.{text}.q_proj.lora_linear_layer.up.weight": up,
        f"text_encoder.text_model.{text}.to_out_lora.down.weight": down,
        f"text_encoder.text_model.{text}.to_out_lora.up.weight": up,
    }
    found = plain(gather(tensors, chosen.base.kohya_names, chosen.bank.layers))
    assert {name: layer.alpha for name, layer in found.items()} == {
        f"unet.{place}.to_out.0": 2,
        f"unet.{place}.to_q": 5,
        f"text_encoder.{text}.q_proj": 2,
        f"text_encoder.{text}.out_proj": 2,
    }


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        (
            {"lora_unet_x.lora_up.weight": (1, 1)},
            r"1 of its 1 keys name no layer of the base model \('lora_unet_x",
        ),
        ({"lora_unet_mid_block_attentions_0_proj_in.hada_w1_a": (1, 1)}, "proj_in holds LoHa; only LoRA"),
        ({"lora_unet_mid_block_attentions_0_proj_in.lokr_w1": (1, 1)}, "proj_in holds LoKr; only LoRA"),
        ({"lora_unet_mid_block_attentions_0_proj_in.dora_scale": (1, 1)}, "proj_in holds DoRA; only LoRA"),
        ({"lora_unet_mid_block_attentions_0_proj_in.lora_up.weight": (1, 1)}, "only its up factor"),
        ({"unet.x.lora_A.weight": (1, 1)}, "name no layer of the base model"),
        ({"base_model.model.x.lora_A.weight": (1, 1)}, "name the folder that holds adapter_config.json"),
        ({"conv.weight": (1, 1)}, "no keys of a LoRA"),
    ],
)
def test_what_cannot_be_read_is_told_with_the_file(
    tensors: dict[str, tuple[int, ...]], told: str, cases: dict[str, Case], tmp_path: Path
) -> None:
    path = tmp_path / "odd.safetensors"
    lora_file.write(path, {name: torch.ones(shape) for name, shape in tensors.items()}, {}, "no")
    with pytest.raises(LoraFileError, match=told) as caught:
        cases["sd1"].read(path)
    assert str(path) in str(caught.value)


def test_a_folder_that_is_no_peft_lora_is_told(cases: dict[str, Case], tmp_path: Path) -> None:
    with pytest.raises(LoraFileError, match=r"there is no adapter_config\.json in this folder"):
        cases["sd1"].read(tmp_path)


def test_a_lora_of_another_width_is_told(cases: dict[str, Case]) -> None:
    chosen = cases["sd1"]
    name = next(iter(chosen.layers))
    wrong = {name: LowRank(torch.ones(2, 5), torch.ones(7, 2), 1.0)}
    with pytest.raises(LoraFileError, match="made for another base"):
        layers.slot_state(wrong, chosen.bank.state(0), chosen.bank.scales(0))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"use_dora": True}, "say use_dora, but it has no lora_magnitude_vector"),
        (
            {"peft_type": "VERA"},
            r"made with peft_type 'VERA' \(its \d+ tensors are such as .*\); only LoRA, LoHa, LoKr, IA3, OFT and BOFT",
        ),
        (
            {"of_tomorrow": 3},
            "settings hold 'of_tomorrow', which LoraConfig of the installed PEFT does not know",
        ),
        ({"use_qalora": True}, "made with use_qalora"),
        ({"init_lora_weights": "pissa_niter_4"}, "'pissa_niter_4', which changes the base model"),
    ],
)
def test_variants_of_peft_whose_weights_do_not_say_all_are_refused(
    change: dict[str, Any], told: str, cases: dict[str, Case], tmp_path: Path
) -> None:
    path = cases["sd1"].write(tmp_path, "peft")
    config = path / "unet" / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    with pytest.raises(LoraFileError, match=told):
        cases["sd1"].read(path)


def test_peft_names_the_exact_layers(cases: dict[str, Case], tmp_path: Path) -> None:
    path = cases["sdxl"].write(tmp_path, "peft")
    settings = json.loads((path / "text_encoder_2" / "adapter_config.json").read_text())
    assert settings["r"] == 4
    assert settings["lora_alpha"] == pytest.approx(1.4)
    assert len(settings["target_modules"]) == 18
