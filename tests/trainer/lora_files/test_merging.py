"""Merged and starting LoRAs against diffusers' own fusing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainer.driving import pack, state, steps
from trainer.adapters.bank import Shape
from trainer.adapters.wrapping import bank_for
from trainer.bases.base_model import BaseModel, BaseModelError
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.lora_files import file as lora_file
from trainer.lora_files import formats, merging
from trainer.lora_files.file import LoraFileError, read, slot_keys
from trainer.lora_files.formats import Format
from trainer.plan import TrainingPlan
from trainer.plans.algorithms import module_class
from trainer.plans.base import MergedLora
from trainer.training.pack import Pack

Bases = Callable[..., BaseModel]
Encode = Callable[[Dataset, BaseModel], Encoded]
Plans = Callable[..., TrainingPlan]


FIELDS: dict[str, Any] = {
    "rank": 4,
    "conv_rank": 2,
    "text_encoder": True,
    "freeze": ["down_blocks.0"],
}


def write(training: Pack, path: Path, strength: float = 0.1) -> None:
    """Slot 0, with strong random weights, as a file."""
    bank, source = training.bank, torch.Generator().manual_seed(0)
    bank.load(
        0, {name: torch.randn(v.shape, generator=source) * strength for name, v in bank.state(0).items()}
    )
    tensors = slot_keys(bank, 0, training.base.kohya_names)
    lora_file.write(path, tensors, {}, "no")


@pytest.fixture(scope="module")
def trained(
    fresh_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, tmp_path_factory: Any
) -> tuple[Pack, Path]:
    """A LoRA on every kind of layer, in a slot and in a file."""
    training = pack(encode(few_dataset, fresh_base()), 2)
    training.admit(0, make_plan(alpha_over_rank=0.7, **FIELDS))
    path = tmp_path_factory.mktemp("loras") / "other.safetensors"
    write(training, path)
    return training, path


def outputs(unet: Any, text_encoder: Any) -> tuple[Tensor, Tensor]:
    text = text_encoder(torch.arange(77).view(1, 77) + 300).last_hidden_state
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(4))
    return text, unet(latents, torch.tensor([300]), text).sample


@torch.no_grad()
def test_a_merged_base_says_what_diffusers_fused_says(
    trained: tuple[Pack, Path], fresh_base: Bases, assets: Path
) -> None:
    from diffusers import StableDiffusionPipeline

    path = trained[1]
    pipe = StableDiffusionPipeline.from_pretrained(
        assets / "micro-sd", safety_checker=None, feature_extractor=None, torch_dtype=torch.float32
    )
    bare = outputs(pipe.unet, pipe.text_encoder)
    pipe.load_lora_weights(path.parent, weight_name=path.name, adapter_name="other")
    pipe.fuse_lora(components=["unet", "text_encoder"], lora_scale=0.6)
    pipe.unload_lora_weights()
    theirs = outputs(pipe.unet, pipe.text_encoder)
    base = merging.merged(fresh_base(), (MergedLora(file=path, weight=0.6),))
    for found, expected, without in zip(outputs(base.unet, base.text_encoder), theirs, bare, strict=True):
        assert float((expected - without).abs().max()) > 0.01
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_lora_of_both_of_sdxls_text_encoders_is_merged_as_diffusers_fuses_it(
    load_base: Bases, micro_sdxl: Path, tmp_path: Path
) -> None:
    from diffusers import StableDiffusionXLPipeline

    base = load_base(micro_sdxl)
    bank, source = bank_for(base, 1), torch.Generator().manual_seed(0)
    bank.open(0, Shape(3, 0.7, ("unet", "text_encoder", "text_encoder_2")), 0)
    bank.load(0, {name: torch.randn(v.shape, generator=source) * 0.1 for name, v in bank.state(0).items()})
    path = tmp_path / "other.safetensors"
    lora_file.write(path, slot_keys(bank, 0, base.kohya_names), {}, "no")
    pipe = StableDiffusionXLPipeline.from_pretrained(micro_sdxl, add_watermarker=False)
    pipe.load_lora_weights(tmp_path, weight_name=path.name, adapter_name="other")
    pipe.fuse_lora(components=["unet", "text_encoder", "text_encoder_2"], lora_scale=0.6)
    pipe.unload_lora_weights()
    bare = load_base(micro_sdxl)
    merged = merging.merged(load_base(micro_sdxl), (MergedLora(file=path, weight=0.6),))
    assert {name.partition(".")[0] for name in bank.layers} == {"unet", "text_encoder", "text_encoder_2"}
    for part in ("unet", "text_encoder", "text_encoder_2"):
        ours, theirs, plain = (
            dict(getattr(model, part).named_parameters()) for model in (merged, pipe, bare)
        )
        touched = {name.removeprefix(f"{part}.") for name in bank.scales(0) if name.startswith(f"{part}.")}
        for name, value in ours.items():
            torch.testing.assert_close(value, theirs[name], rtol=1e-4, atol=1e-5)
            assert torch.equal(value, plain[name]) != (name.removesuffix(".weight") in touched), name


def test_two_merged_loras_are_the_sum_of_their_deltas(trained: tuple[Pack, Path], fresh_base: Bases) -> None:
    file, name = trained[1], "mid_block.attentions.0.proj_in.weight"
    plain = fresh_base().unet.get_parameter(name)
    once = merging.merged(fresh_base(), (MergedLora(file=file, weight=0.5),)).unet.get_parameter(name)
    both = (MergedLora(file=file, weight=0.25), MergedLora(file=file, weight=0.25))
    twice = merging.merged(fresh_base(), both).unet.get_parameter(name)
    assert not torch.allclose(once, plain)
    torch.testing.assert_close(twice, once)
    state = trained[0].bank.state(0)
    delta = (
        0.7 * state["unet." + name.replace("weight", "up")] @ state["unet." + name.replace("weight", "down")]
    )
    torch.testing.assert_close(once - plain, 0.5 * delta.view(plain.shape), rtol=1e-4, atol=1e-6)


def test_merged_files_and_their_weights_are_part_of_the_fingerprint(trained: tuple[Pack, Path]) -> None:
    file = trained[1]
    assert merging.fingerprint("abc", ()) == "abc"
    stamps = [
        merging.fingerprint("abc", (MergedLora(file=file, weight=weight),)) for weight in (0.5, 0.5, 0.6)
    ]
    assert stamps[0] == stamps[1] != stamps[2]
    assert "abc" not in stamps


def test_a_file_of_another_family_is_refused_by_name(
    trained: tuple[Pack, Path], fresh_base: Bases, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger.safetensors"
    stem = "lora_unet_input_blocks_4_1_proj_in"
    tensors = {f"{stem}.lora_down.weight": torch.ones(2, 4), f"{stem}.lora_up.weight": torch.ones(4, 2)}
    lora_file.write(stranger, tensors, {}, "no")
    with pytest.raises(
        BaseModelError, match=r"stranger.safetensors: 2 of its 2 keys name no layer .*input_blocks_4_1_pro"
    ):
        merging.merged(fresh_base(), (MergedLora(file=stranger),))
    wide = tmp_path / "wide.safetensors"
    tensors = {
        key: torch.cat([value] * 2, dim=1) if "lora_down" in key else value
        for key, value in read(trained[1]).tensors.items()
    }
    lora_file.write(wide, tensors, {}, "no")
    with pytest.raises(BaseModelError, match=r"wide.safetensors: .* delta of shape .* another family"):
        merging.merged(fresh_base(), (MergedLora(file=wide),))
    with pytest.raises(BaseModelError, match=r"base.loras: .*nowhere.safetensors"):
        merging.merged(fresh_base(), (MergedLora(file=tmp_path / "nowhere.safetensors"),))


def test_a_trial_starts_at_a_files_weights_and_trains_on_from_there(
    trained: tuple[Pack, Path], fresh_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    earlier, file = trained
    training = pack(encode(few_dataset, fresh_base()), 2)
    fields = {**FIELDS, "start": file}
    training.admit(0, make_plan(alpha_over_rank=0.7, **fields))
    for name, value in earlier.bank.state(0).items():
        assert torch.equal(state(training, 0)[name], value)
    training.admit(1, make_plan(alpha_over_rank=0.35, **fields))
    name = "unet.mid_block.attentions.0.proj_in"
    torch.testing.assert_close(state(training, 1)[f"{name}.up"], 2 * state(training, 0)[f"{name}.up"])
    before = state(training, 0)
    steps(training, 1)
    assert not torch.equal(state(training, 0)[f"{name}.up"], before[f"{name}.up"])


def test_a_start_of_another_rank_or_with_other_layers_is_refused_and_leaves_the_slot_free(
    trained: tuple[Pack, Path], fresh_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    training = pack(encode(few_dataset, fresh_base()), 1)
    fields = {**FIELDS, "start": trained[1]}
    with pytest.raises(
        LoraFileError, match=r"no LoRA of the plan's rank: .* with rank 2; rank 4 would hold it"
    ):
        training.admit(0, make_plan(**{**fields, "rank": 2}))
    with pytest.raises(LoraFileError, match="which the plan does not adapt"):
        training.admit(0, make_plan(**{**fields, "text_encoder": False}))
    training.admit(0, make_plan(**fields))


def test_a_file_that_is_no_lora_is_told_with_its_field_before_training(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("no tensors")
    found = list(
        merging.problems((MergedLora(file=tmp_path / "nowhere.safetensors"),), tmp_path / "text.safetensors")
    )
    assert [sentence.partition(": ")[0] for sentence in found] == ["base.loras", "lora.start"]
    assert "nowhere.safetensors" in found[0]
    assert not list(merging.problems((), None))


@pytest.mark.parametrize("layout", ["diffusers", "peft"])
def test_loras_of_other_layouts_are_merged_alike(
    trained: tuple[Pack, Path], fresh_base: Bases, tmp_path: Path, layout: Format
) -> None:
    names = trained[0].base.kohya_names
    layers = formats.read(trained[1], names, trained[0].bank.layers)
    other = tmp_path / ("lora" if layout == "peft" else "lora.safetensors")
    formats.write(other, layers, layout, names, {}, "no")
    one, two = (merging.merged(fresh_base(), (MergedLora(file=file),)) for file in (trained[1], other))
    assert one.fingerprint != two.fingerprint != fresh_base().fingerprint
    for part in ("unet", "text_encoder"):
        for found, expected in zip(
            getattr(two, part).parameters(), getattr(one, part).parameters(), strict=True
        ):
            torch.testing.assert_close(found, expected)


def test_a_start_of_a_smaller_rank_goes_on_with_new_dimensions(
    trained: tuple[Pack, Path], fresh_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans
) -> None:
    earlier, file = trained
    training = pack(encode(few_dataset, fresh_base()), 2)
    training.admit(0, make_plan(alpha_over_rank=0.7, **{**FIELDS, "rank": 6}))
    training.admit(1, make_plan(alpha_over_rank=0.7, **{**FIELDS, "rank": 6, "start": file}))
    fresh, begun = state(training, 0), state(training, 1)
    name = "unet.mid_block.attentions.0.proj_in"
    assert torch.equal(begun[f"{name}.down"][:4], earlier.bank.state(0)[f"{name}.down"])
    assert torch.equal(begun[f"{name}.down"][4:], fresh[f"{name}.down"][4:])
    assert not begun[f"{name}.up"][:, 4:].any()
    assert fresh[f"{name}.down"][4:].any()


def test_a_larger_rank_that_is_filled_up_with_zeros_is_no_larger_rank(
    trained: tuple[Pack, Path],
    fresh_base: Bases,
    few_dataset: Dataset,
    encode: Encode,
    make_plan: Plans,
    tmp_path: Path,
) -> None:
    """As diffusers' files have it, whose layers all have one rank."""
    earlier, file = trained
    other = tmp_path / "lora.safetensors"
    names = earlier.base.kohya_names
    formats.write(other, formats.read(file, names, earlier.bank.layers), "diffusers", names, {}, "no")
    training = pack(encode(few_dataset, fresh_base()), 1)
    training.admit(0, make_plan(alpha_over_rank=0.7, **{**FIELDS, "start": other}))
    before, after = earlier.bank.state(0), state(training, 0)
    for name in earlier.bank.scales(0):
        products = (one[f"{name}.up"] @ one[f"{name}.down"] for one in (before, after))
        torch.testing.assert_close(*products, rtol=1e-5, atol=1e-5)


LAYERS = ("mid_block.attentions.0.proj_in", "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q")
KINDS: dict[str, dict[str, Any]] = {
    "loha": {},
    "lokr": {"factor": 4},
    "glora": {},
    "diag-oft": {},
    "ia3": {},
    "full": {},
    "locon": {"weight_decompose": True},
    "lokr, DoRA": {"factor": 4, "weight_decompose": True},
}


def made_by_lycoris(unet: Any, kind: str, path: Path, names: Any) -> dict[str, Any]:
    """A file of LyCORIS' modules on some layers, and copies of the layers on which they act."""
    classes = {"locon": ("locon", "LoConModule")}
    name = kind.partition(",")[0]
    module, cls = classes.get(name, (None, None))
    made: Any = (
        getattr(import_module(f"lycoris.modules.{module}"), cls) if module and cls else module_class(name)
    )
    source, changed, tensors = torch.Generator().manual_seed(3), {}, {}
    for layer in LAYERS:
        changed[layer] = copy.deepcopy(unet.get_submodule(layer))
        acting = made("", changed[layer], lora_dim=2, alpha=1, **KINDS[kind])
        acting.apply_to()
        for key, value in acting.named_parameters():
            if "dora_scale" not in key:
                value.data += torch.randn(value.shape, generator=source) * 0.05
        for key, value in acting.state_dict().items():
            tensors[f"{names.stem(f'unet.{layer}')}.{key}"] = value.clone()
    lora_file.write(path, tensors, {}, "no")
    return changed


@torch.no_grad()
def response(layer: Any) -> tuple[Tensor, Tensor]:
    """What a layer makes of each input, shape (outputs, inputs), and of none, shape (outputs,)."""
    wide = isinstance(layer, torch.nn.Conv2d)
    width, tail = (layer.in_channels, (1, 1)) if wide else (layer.in_features, ())
    unit, zero = torch.eye(width).view(width, width, *tail), torch.zeros(1, width, *tail)
    bias = layer(zero).view(-1)
    return layer(unit).view(width, -1).T - bias[:, None], bias


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_every_algorithm_is_merged_as_lycoris_merges_it(kind: str, fresh_base: Bases, tmp_path: Path) -> None:
    base, path = fresh_base(), tmp_path / "x.safetensors"
    changed = made_by_lycoris(base.unet, kind, path, base.kohya_names)
    found = merging.merged(fresh_base(), (MergedLora(file=path),)).unet
    for layer, theirs in changed.items():
        ours, plain = response(found.get_submodule(layer)), response(base.unet.get_submodule(layer))
        assert not torch.allclose(ours[0], plain[0], atol=1e-4)
        for one, other in zip(ours, response(theirs), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_bias_is_merged_into_layers_that_have_none(fresh_base: Bases, tmp_path: Path) -> None:
    base, path, layer = fresh_base(), tmp_path / "x.safetensors", LAYERS[1]
    assert base.unet.get_submodule(layer).bias is None
    stem, width = base.kohya_names.stem(f"unet.{layer}"), len(base.unet.get_submodule(layer).weight)
    lora_file.write(path, {f"{stem}.diff_b": torch.arange(width).float()}, {}, "no")
    inner: Any = merging.merged(base, (MergedLora(file=path, weight=0.5),)).unet.get_submodule(layer)
    assert torch.equal(inner.bias, torch.arange(width) / 2)
    assert not inner.bias.requires_grad
    assert torch.equal(inner(torch.zeros(1, inner.in_features))[0], inner.bias)


def test_a_loha_is_the_start_of_a_lora_that_holds_it_and_of_no_smaller_one(
    fresh_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, tmp_path: Path
) -> None:
    """Its product of two factors of rank 2 has rank 4."""
    base, path = fresh_base(), tmp_path / "x.safetensors"
    plain = {layer: response(base.unet.get_submodule(layer))[0] for layer in LAYERS}
    changed = made_by_lycoris(base.unet, "loha", path, base.kohya_names)
    training = pack(encode(few_dataset, base), 2)
    training.admit(0, make_plan(rank=5, alpha_over_rank=0.5, start=path))
    for layer, theirs in changed.items():
        wanted = response(theirs)[0] - plain[layer]
        begun = state(training, 0)
        found = 0.5 * begun[f"unet.{layer}.up"] @ begun[f"unet.{layer}.down"]
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
        assert begun[f"unet.{layer}.down"][4].any(), "a dimension of its own goes on"
    with pytest.raises(
        LoraFileError, match=r"at 2 of 2 layers more than 0\.1% .* rank 3; rank 4 would hold it"
    ):
        training.admit(1, make_plan(rank=3, start=path))


def test_biases_and_foreign_layers_are_no_start_of_a_lora(
    fresh_base: Bases, few_dataset: Dataset, encode: Encode, make_plan: Plans, tmp_path: Path
) -> None:
    base, path = fresh_base(), tmp_path / "x.safetensors"
    made_by_lycoris(base.unet, "full", path, base.kohya_names)
    training = pack(encode(few_dataset, base), 1)
    with pytest.raises(LoraFileError, match=r"changes the bias of unet\.mid_block"):
        training.admit(0, make_plan(rank=4, start=path))
    made_by_lycoris(fresh_base().unet, "diag-oft", path, base.kohya_names)
    with pytest.raises(LoraFileError, match=r"no LoRA of the plan's rank"):
        training.admit(0, make_plan(rank=4, start=path))
