"""DoRA's files: every reader sees what the bank computes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.trainer.lora_files.test_formats import LAYOUTS, Case, picture, pipeline
from trainer.adapters.bank import Shape
from trainer.adapters.wrapping import bank_for
from trainer.bases.base_model import BaseModel
from trainer.lora_files import file, formats
from trainer.lora_files.algorithms import difference
from trainer.lora_files.formats import Format
from trainer.lora_files.layers import LoraFileError, from_state, slot_state
from trainer.plan import TrainingPlan
from trainer.training.run import shape_of

PARTS = ("unet", "text_encoder", "text_encoder_2")


@dataclass
class Dora(Case):
    """A base with one strong DoRA, convolutions in it."""

    def read(self, path: Path) -> dict[str, Tensor]:  # type: ignore[override]
        found = formats.trained(path, self.base.kohya_names, self.bank.layers)
        return slot_state(found, self.bank.state(0), self.bank.scales(0))


@pytest.fixture(scope="module", params=["sd1", "sdxl"])
def dora(
    request: pytest.FixtureRequest, load_base: Callable[..., BaseModel], micro_sdxl: Path, assets: Path
) -> Dora:
    folder = assets / "micro-sd" if request.param == "sd1" else micro_sdxl
    base = load_base(folder)
    bank = bank_for(base, 2)
    bank.open(0, Shape(4, 0.35, PARTS, conv_rank=4, conv_scale=0.35, dora=True), seed=0)
    source = torch.Generator().manual_seed(0)
    state = bank.state(0)
    for name, value in state.items():
        noise = torch.randn(value.shape, generator=source) * 0.1
        state[name] = value * (1 + noise) if name.endswith(".magnitude") else noise
    bank.load(0, state)
    return Dora(folder, base, bank, from_state(bank.state(0), bank.scales(0), bank.kernels))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_reading_back_gives_the_slot_again(dora: Dora, layout: Format, tmp_path: Path) -> None:
    found, state = dora.read(dora.write(tmp_path, layout)), dora.bank.state(0)
    assert found.keys() == state.keys()
    for key in state:
        torch.testing.assert_close(found[key], state[key], rtol=1e-6 if layout == "diffusers" else 0, atol=0)


def test_a_trials_file_fills_a_slot_again(dora: Dora) -> None:
    names = dora.base.kohya_names
    dora.bank.open(1, dora.bank.shape(0), seed=1)
    file.load_slot(dora.bank, 1, file.slot_keys(dora.bank, 0, names), names)
    filled, state = dora.bank.state(1), dora.bank.state(0)
    dora.bank.close(1)
    assert all(filled[name].equal(value) for name, value in state.items())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_files_difference_is_the_formulas(dora: Dora, layout: Format, tmp_path: Path) -> None:
    path, state = dora.write(tmp_path, layout), dora.bank.state(0)
    others = formats.content(path, dora.base.kohya_names, dora.bank.layers).others
    assert {*others} == {*dora.bank.layers}
    for name, scale in dora.bank.scales(0).items():
        weight = dora.bank.frozen(name).get_parameter("weight").detach()
        whole = (
            weight.double().flatten(1) + scale * state[f"{name}.up"].double() @ state[f"{name}.down"].double()
        )
        wanted = state[f"{name}.magnitude"][:, None] * whole / whole.norm(dim=1, keepdim=True)
        change, bias = difference(name, others[name], weight)
        assert bias is None
        torch.testing.assert_close(
            change.flatten(1).double(), wanted - weight.flatten(1).double(), atol=1e-5, rtol=1e-5
        )


@torch.no_grad()
def test_diffusers_renders_with_its_own_format_what_the_bank_renders(dora: Dora, tmp_path: Path) -> None:
    path = dora.write(tmp_path, "diffusers")
    pipe = pipeline(dora)
    bare = picture(pipe)
    pipe.load_lora_weights(tmp_path, weight_name=path.name, adapter_name="ours")
    assert_seen(dora, bare, picture(pipe))


@torch.no_grad()
def test_peft_loads_each_folder_and_renders_what_the_bank_renders(dora: Dora, tmp_path: Path) -> None:
    from peft import PeftModel

    pipe = pipeline(dora)
    bare = picture(pipe)
    for folder in sorted(dora.write(tmp_path, "peft").iterdir()):
        loaded = PeftModel.from_pretrained(getattr(pipe, folder.name), str(folder))
        setattr(pipe, folder.name, loaded.base_model.model)
    assert_seen(dora, bare, picture(pipe))


def assert_seen(dora: Dora, bare: Tensor, theirs: Tensor) -> None:
    with dora.bank.rows([0, 0]):
        ours = picture(pipeline(dora, banked=True))
    assert float((theirs - bare).abs().max()) > 0.02
    assert float((theirs - ours).abs().max()) <= 1e-3


def test_norms_have_the_shape_of_lycoris(dora: Dora, tmp_path: Path) -> None:
    tensors, state = file.read(dora.write(tmp_path, "kohya")).tensors, dora.bank.state(0)
    for name in dora.bank.layers:
        stem = dora.base.kohya_names.stem(name)
        sides = tensors[f"{stem}.lora_down.weight"].ndim
        assert tensors[f"{stem}.dora_scale"].shape[1:] == (1,) * (sides - 1)
        assert tensors[f"{stem}.dora_scale"].flatten().equal(state[f"{name}.magnitude"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_norms_are_never_rounded(dora: Dora, layout: Format, tmp_path: Path) -> None:
    formats.write(tmp_path / "half.safetensors", dora.layers, layout, dora.base.kohya_names, {}, "bf16")
    found, state = dora.read(tmp_path / "half.safetensors"), dora.bank.state(0)
    assert all(found[name].equal(value) for name, value in state.items() if name.endswith(".magnitude"))
    assert not all(found[name].equal(value) for name, value in state.items())


def test_a_plain_slot_refuses_a_dora_and_a_dora_a_plain_lora(dora: Dora) -> None:
    dora.bank.open(1, Shape(4, 0.35, PARTS, conv_rank=4), seed=1)
    state, scales = dora.bank.state(1), dora.bank.scales(1)
    with pytest.raises(LoraFileError, match="magnitudes"):
        slot_state(dora.layers, state, scales)
    with pytest.raises(LoraFileError, match="magnitudes"):
        slot_state(from_state(state, scales, {}), dora.bank.state(0), scales)
    dora.bank.close(1)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rslora_gives_every_reader_its_scale(
    load_base: Callable[..., BaseModel],
    make_plan: Callable[..., TrainingPlan],
    assets: Path,
    layout: Format,
    tmp_path: Path,
) -> None:
    base = load_base(assets / "micro-sd")
    bank = bank_for(base, 1)
    plan = make_plan(
        rank=9, conv_rank=4, alpha_over_rank=0.5, conv_alpha_over_rank=0.25, scaling="alpha/sqrt(rank)"
    )
    bank.open(0, shape_of(plan), seed=0)
    bank.load(0, {name: torch.full_like(value, 0.1) for name, value in bank.state(0).items()})
    case = Case(assets, base, bank, from_state(bank.state(0), bank.scales(0), bank.kernels))
    for name, layer in case.read(case.write(tmp_path, layout)).items():
        wide = bank.kernels.get(name, (1, 1)) == (3, 3)
        alpha, rank = (0.25 * 4, 4) if wide else (0.5 * 9, 9)
        wanted = torch.tensor(alpha / math.sqrt(rank) * rank * 0.1 * 0.1)
        torch.testing.assert_close(layer.scale * (layer.up.flatten(1) @ layer.down.flatten(1))[0, 0], wanted)
