"""Files of other trainers in a slot: the model says what it says with the weights changed by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from studies.selection.base_outline import Outline, outline
from studies.selection.lora_files import fitting
from studies.selection.lora_slots import fill, shape, values
from trainer.adapters.bank import AdapterBank
from trainer.adapters.wrapping import bank_for_files
from trainer.bases import find
from trainer.bases.base_model import BaseModel
from trainer.plans.base import BasePlan

ATTENTION = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
CONV = "unet.down_blocks.0.downsamplers.0.conv"
NORM = "unet.down_blocks.0.resnets.0.norm1"
TEXT = "text_encoder.encoder.layers.0.mlp.fc1"
OUTSIDE = ("unet.conv_in", "unet.conv_out", "unet.time_embedding.linear_1", "unet.time_embedding.linear_2")
Tensors = dict[str, Tensor]
Changes = dict[str, Tensor]
"""Differences of parameters by name, ``<part>.<path>.weight``."""


class Made:
    """A file under way, and what it must change.

    Args:
        base: the micro base.
        rank: of all factors.
        alpha: of all layers.
    """

    def __init__(self, base: BaseModel, rank: int = 4, alpha: float = 1.0) -> None:
        self.base, self.rank, self.alpha = base, rank, alpha
        self.tensors: Tensors = {}
        self.changes: Changes = {}
        self._source = torch.Generator().manual_seed(1)

    def weight(self, layer: str) -> Tensor:
        part, _, path = layer.partition(".")
        models: dict[str, Any] = {"unet": self.base.unet, **self.base.text_encoders}
        found: Tensor = models[part].get_submodule(path).weight.detach()
        return found

    def draw(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._source) * 0.2

    def put(self, stem: str, **tensors: Tensor) -> None:
        alpha = torch.tensor(self.alpha)
        self.tensors |= {f"{stem}.{name.replace('__', '.')}": value for name, value in tensors.items()}
        self.tensors |= {f"{stem}.alpha": alpha}

    def low_rank(self, layer: str, stem: str) -> Tensor:
        """Plain factors at a layer; the difference that they make."""
        weight = self.weight(layer)
        tail = (1, 1) if weight.ndim == 4 else ()
        down, up = self.draw(self.rank, *weight.shape[1:]), self.draw(len(weight), self.rank, *tail)
        self.put(stem, lora_down__weight=down, lora_up__weight=up)
        return (up.flatten(1) @ down.flatten(1)).view_as(weight) * self.alpha / self.rank

    def change(self, layer: str, difference: Tensor) -> None:
        self.changes[f"{layer}.weight"] = difference


def stem(layer: str, base: BaseModel) -> str:
    return base.kohya_names.stem(layer)


def locon_of_the_full_preset(made: Made) -> None:
    for layer in (ATTENTION, *OUTSIDE):
        made.change(layer, made.low_rank(layer, stem(layer, made.base)))


def outside_attention_in_comfyuis_names(made: Made) -> None:
    names = ("input_blocks.0.0", "out.2", "time_embed.0", "time_embed.2")
    for layer, name in zip(OUTSIDE, names, strict=True):
        made.change(layer, made.low_rank(layer, f"diffusion_model.{name}"))


def loha_below_its_dimension(made: Made) -> None:
    for layer in (ATTENTION, TEXT, "unet.conv_in"):
        weight = made.weight(layer)
        sizes = (len(weight), made.rank), (made.rank, weight[0].numel())
        w1_a, w1_b, w2_a, w2_b = (made.draw(*size) for size in (*sizes, *sizes))
        made.put(stem(layer, made.base), hada_w1_a=w1_a, hada_w1_b=w1_b, hada_w2_a=w2_a, hada_w2_b=w2_b)
        product = (w1_a @ w1_b) * (w2_a @ w2_b)
        made.change(layer, product.view_as(weight) * made.alpha / made.rank)


def lokr_with_tucker_cores(made: Made) -> None:
    weight = made.weight(CONV)
    out, width = len(weight) // 4, weight.shape[1] // 4
    w1, w2_a, w2_b = made.draw(4, 4), made.draw(made.rank, out), made.draw(made.rank, width)
    core = made.draw(made.rank, made.rank, 3, 3)
    made.put(stem(CONV, made.base), lokr_w1=w1, lokr_w2_a=w2_a, lokr_w2_b=w2_b, lokr_t2=core)
    large = torch.einsum("ijhw,ip,jr->prhw", core, w2_a, w2_b)
    product = torch.einsum("ab,cdhw->acbdhw", w1, large).reshape(weight.shape)
    made.change(CONV, product * made.alpha / made.rank)


def locon_with_tucker_cores(made: Made) -> None:
    weight = made.weight(CONV)
    down, core = made.draw(made.rank, weight.shape[1], 1, 1), made.draw(made.rank, made.rank, 3, 3)
    up = made.draw(len(weight), made.rank, 1, 1)
    made.put(stem(CONV, made.base), lora_down__weight=down, lora_mid__weight=core, lora_up__weight=up)
    product = torch.einsum("om,mnhw,ni->oihw", up.flatten(1), core, down.flatten(1))
    made.change(CONV, product * made.alpha / made.rank)
    made.change(ATTENTION, made.low_rank(ATTENTION, stem(ATTENTION, made.base)))


def dora_on_the_input_axis(made: Made) -> None:
    """The second layer is square, so that the shape of its norms alone tells the axis."""
    for layer in (CONV, ATTENTION):
        weight = made.weight(layer)
        merged = weight + made.low_rank(layer, stem(layer, made.base))
        kept = [i for i in range(weight.ndim) if i != 1]
        norms = merged.square().sum(kept, keepdim=True).sqrt()
        wanted = norms * (1 + made.draw(*norms.shape).abs())
        made.put(stem(layer, made.base), dora_scale=wanted)
        made.change(layer, merged * wanted / norms - weight)


def dora_in_diffusers_keys(made: Made) -> None:
    """Alpha is the rank where such a file has no metadata."""
    weight = made.weight(ATTENTION)
    down, up = made.draw(made.rank, weight.shape[1]), made.draw(len(weight), made.rank)
    magnitude = weight.norm(dim=1) * 1.5
    made.tensors = {
        f"{ATTENTION}.lora_A.weight": down,
        f"{ATTENTION}.lora_B.weight": up,
        f"{ATTENTION}.lora_magnitude_vector": magnitude,
    }
    merged = weight + up @ down
    made.change(ATTENTION, merged * (magnitude / merged.norm(dim=1))[:, None] - weight)


def norms_beside_a_lora(made: Made) -> None:
    made.change(ATTENTION, made.low_rank(ATTENTION, stem(ATTENTION, made.base)))
    for layer in (NORM, "unet.down_blocks.1.attentions.0.transformer_blocks.0.norm1"):
        size = len(made.weight(layer))
        weight, bias = made.draw(size), made.draw(size)
        made.tensors |= {f"{stem(layer, made.base)}.w_norm": weight, f"{stem(layer, made.base)}.b_norm": bias}
        made.changes |= {f"{layer}.weight": weight, f"{layer}.bias": bias}


def whole_differences(made: Made) -> None:
    for layer in (ATTENTION, "unet.conv_out", TEXT):
        difference = made.draw(*made.weight(layer).shape)
        made.tensors[f"{stem(layer, made.base)}.diff"] = difference
        made.change(layer, difference)
    bias = made.draw(4)
    made.tensors[f"{stem('unet.conv_out', made.base)}.diff_b"] = bias
    made.changes["unet.conv_out.bias"] = bias


def text_encoder_called_te1(made: Made) -> None:
    made.change(TEXT, made.low_rank(TEXT, "lora_te1_text_model_encoder_layers_0_mlp_fc1"))


def a_bundled_embedding(made: Made) -> None:
    made.tensors["bundle_emb.mycat.clip_l"] = made.draw(2, 128)
    made.change(ATTENTION, made.low_rank(ATTENTION, stem(ATTENTION, made.base)))


def names_of_simpletuner(made: Made) -> None:
    made.change(ATTENTION, made.low_rank(ATTENTION, "lycoris_" + ATTENTION[5:].replace(".", "_")))


def names_of_old_diffusers(made: Made) -> None:
    """Up to 0.13 without ``unet.``, and without an alpha."""
    made.alpha = made.rank
    difference = made.low_rank(ATTENTION, "x")
    path = ATTENTION.removeprefix("unet.").replace("to_q", "processor.to_q_lora")
    made.tensors = {f"{path}.{way}.weight": made.tensors[f"x.lora_{way}.weight"] for way in ("down", "up")}
    made.change(ATTENTION, difference)


def dotted_names(made: Made) -> None:
    made.change(ATTENTION, made.low_rank(ATTENTION, ATTENTION))


CASES = (
    locon_of_the_full_preset,
    outside_attention_in_comfyuis_names,
    loha_below_its_dimension,
    lokr_with_tucker_cores,
    locon_with_tucker_cores,
    dora_on_the_input_axis,
    dora_in_diffusers_keys,
    norms_beside_a_lora,
    whole_differences,
    text_encoder_called_te1,
    a_bundled_embedding,
    names_of_simpletuner,
    names_of_old_diffusers,
    dotted_names,
)


@pytest.fixture(scope="module")
def drawn(assets: Path) -> Outline:
    return outline(find.find(BasePlan(path=assets / "micro-sd")))


@pytest.fixture(scope="module")
def banked(load_base: Callable[..., BaseModel], assets: Path) -> tuple[BaseModel, AdapterBank]:
    base = load_base(assets / "micro-sd")
    return base, bank_for_files(base, 2)


@torch.no_grad()
def said(base: BaseModel) -> tuple[Tensor, Tensor]:
    """What text encoder and U-Net say of a batch of two."""
    tokens = base.tokenizer(["a heart"] * 2, padding="max_length", max_length=77, return_tensors="pt")
    text = base.text_encoder(tokens.input_ids).last_hidden_state
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(4)).repeat(2, 1, 1, 1)
    return text, base.unet(latents, torch.tensor([300, 300]), text).sample


@torch.no_grad()
def changed(base: BaseModel, changes: Mapping[str, Tensor]) -> BaseModel:
    """The base with differences added to its parameters."""
    models: dict[str, Any] = {"unet": base.unet, **base.text_encoders}
    for name, difference in changes.items():
        part, _, path = name.partition(".")
        models[part].get_parameter(path).add_(difference)
    return base


@pytest.mark.parametrize("case", CASES)
def test_a_slot_says_what_changed_weights_say(
    case: Callable[[Made], None],
    drawn: Outline,
    banked: tuple[BaseModel, AdapterBank],
    fresh_base: Callable[..., BaseModel],
    tmp_path: Path,
) -> None:
    made = Made(fresh_base())
    case(made)
    path = tmp_path / "file.safetensors"
    save_file({key: value.contiguous() for key, value in made.tensors.items()}, path)
    content = fitting(path, drawn)
    assert set(content.layers) == {name.rpartition(".")[0] for name in made.changes}
    base, bank = banked
    fill(bank, 0, content, drawn)
    with bank.rows([0, None]):
        ours = said(base)
    bank.close(0)
    bare, theirs = said(made.base), said(changed(made.base, made.changes))
    assert float((theirs[1] - bare[1]).abs().max()) > 1e-3, "the file changes something"
    for found, with_it, without in zip(ours, theirs, bare, strict=True):
        torch.testing.assert_close(found[0], with_it[0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(found[1], without[1], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_diffusers_own_loader_says_the_same_of_first_and_last_convolutions(
    drawn: Outline, banked: tuple[BaseModel, AdapterBank], assets: Path, tmp_path: Path
) -> None:
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig, get_peft_model_state_dict

    pipe = StableDiffusionPipeline.from_pretrained(
        assets / "micro-sd", safety_checker=None, torch_dtype=torch.float32
    )
    targets = ["to_q", "conv_in", "conv_out", "time_embedding.linear_1"]
    config = LoraConfig(r=4, lora_alpha=1.4, target_modules=targets)  # type: ignore[arg-type]
    pipe.unet.add_adapter(config)
    source = torch.Generator().manual_seed(0)
    for name, value in pipe.unet.named_parameters():
        if "lora_" in name:
            value.data = torch.randn(value.shape, generator=source) * 0.1
    StableDiffusionPipeline.save_lora_weights(
        tmp_path,
        unet_lora_layers=get_peft_model_state_dict(pipe.unet),
        unet_lora_adapter_metadata=config.to_dict(),
    )
    (path,) = tmp_path.glob("*.safetensors")
    base, bank = banked
    fill(bank, 0, fitting(path, drawn), drawn)
    with bank.rows([0, None]):
        text, ours = said(base)
    bank.close(0)
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(4))
    theirs = pipe.unet(latents, torch.tensor([300]), text[:1]).sample
    assert float((ours[0] - ours[1]).abs().max()) > 1e-2
    torch.testing.assert_close(ours[:1], theirs, rtol=1e-4, atol=1e-4)


WRITTEN: dict[str, dict[str, Any]] = {
    "LoCon": {"algo": "lora"},
    "LoCon, Tucker": {"algo": "lora", "use_tucker": True},
    "DoRA": {"algo": "lora", "dora_wd": True},
    "DoRA on inputs": {"algo": "lora", "dora_wd": True, "wd_on_output": False},
    "rsLoRA": {"algo": "lora", "rs_lora": True},
    "LoHa": {"algo": "loha"},
    "LoHa, Tucker, DoRA": {"algo": "loha", "use_tucker": True, "dora_wd": True},
    "LoKr": {"algo": "lokr", "factor": 4},
    "LoKr, Tucker, DoRA": {"algo": "lokr", "factor": 4, "use_tucker": True, "dora_wd": True},
    "LoKr, both factored": {"algo": "lokr", "factor": 8, "decompose_both": True, "linear_dim": 2},
    "GLoRA": {"algo": "glora"},
    "IA3": {"algo": "ia3"},
    "OFT": {"algo": "diag-oft", "rescaled": True},
    "with norms": {"algo": "lora", "train_norm": True},
}
"""Arguments of ``lycoris.create_lycoris``."""


@torch.no_grad()
@pytest.mark.parametrize("name", WRITTEN)
def test_a_slot_says_what_lycoris_own_network_says(
    name: str,
    drawn: Outline,
    banked: tuple[BaseModel, AdapterBank],
    fresh_base: Callable[..., BaseModel],
    tmp_path: Path,
) -> None:
    """All Linear, convolution and, if asked for, normalisation layers of the U-Net, in SimpleTuner's names."""
    from lycoris import LycorisNetwork, create_lycoris

    theirs = fresh_base()
    LycorisNetwork.apply_preset({"enable_conv": True, "target_module": ["UNet2DConditionModel"]})
    network = create_lycoris(theirs.unet, 1.0, **{"linear_dim": 4, "linear_alpha": 1.0, **WRITTEN[name]})
    network.apply_to()
    network.eval()
    source = torch.Generator().manual_seed(0)
    for value in network.parameters():
        value.data += torch.randn(value.shape, generator=source) * 0.05
    path = tmp_path / "written.safetensors"
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
    content = fitting(path, drawn)
    assert len(content) == len(network.loras) > 100
    base, bank = banked
    fill(bank, 0, content, drawn)
    with bank.rows([0, None]):
        ours = said(base)[1]
    bank.close(0)
    wanted = said(theirs)[1]
    assert float((wanted[0] - ours[1]).abs().max()) > 1e-2, "the file changes something"
    torch.testing.assert_close(ours[0], wanted[0], rtol=1e-3, atol=1e-3)


def test_plain_files_are_packed_and_others_hold_what_their_layers_weigh(
    drawn: Outline, fresh_base: Callable[..., BaseModel], tmp_path: Path
) -> None:
    plain, mixed = Made(fresh_base()), Made(fresh_base())
    locon_of_the_full_preset(plain)
    norms_beside_a_lora(mixed)
    for made, name in ((plain, "plain"), (mixed, "mixed")):
        save_file(made.tensors, tmp_path / name)
    packed, apart = (fitting(tmp_path / name, drawn) for name in ("plain", "mixed"))
    assert not packed.others
    assert shape(packed.low_rank, drawn).conv_rank == 4, "conv_in is a 3x3 convolution"
    assert values(packed, drawn) == sum(t.numel() for key, t in plain.tensors.items() if "lora" in key[-18:])
    rank_one = sum(t.numel() for key, t in mixed.tensors.items() if "lora_" in key.partition(".")[2])
    assert values(apart, drawn) == rank_one + 64 + 96


@torch.no_grad()
def test_sdxls_own_embeddings_and_text_projection_are_judged(
    micro_sdxl: Path, load_base: Callable[..., BaseModel], tmp_path: Path
) -> None:
    """Under Stability's names, LoRA packed and LoHa beside the pack."""
    stems = {
        "unet.add_embedding.linear_1": "lora_unet_label_emb_0_0",
        "unet.time_embedding.linear_2": "lora_unet_time_embed_2",
        "unet.conv_in": "lora_unet_input_blocks_0_0",
        "text_encoder_2.text_projection": "lora_te2_text_projection",
    }
    sdxl = outline(find.find(BasePlan(path=micro_sdxl)))
    made = Made(load_base(micro_sdxl))
    for layer, name in stems.items():
        made.change(layer, made.low_rank(layer, name))
    save_file(made.tensors, tmp_path / "lora.safetensors")
    whole = {f"{name}.diff": made.changes[f"{layer}.weight"] for layer, name in stems.items()}
    save_file({key: value.contiguous() for key, value in whole.items()}, tmp_path / "full.safetensors")
    base = load_base(micro_sdxl)
    bank = bank_for_files(base, 2)
    for slot, name in enumerate(("lora", "full")):
        content = fitting(tmp_path / f"{name}.safetensors", sdxl)
        assert set(content.layers) == set(stems)
        fill(bank, slot, content, sdxl)
    with bank.rows([0, 1, None]):
        low, full, bare = seen_by_sdxl(base, 3)
    wanted = seen_by_sdxl(changed(made.base, made.changes), 1)[0]
    assert float((wanted - bare).abs().max()) > 1e-3
    torch.testing.assert_close(low, wanted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(full, wanted, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def seen_by_sdxl(base: BaseModel, rows: int) -> Tensor:
    """What the U-Net says of one picture in so many rows, each with its own reading of the text."""
    read = base.encode_text(["a heart"] * rows, [1] * rows)
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(4)).repeat(rows, 1, 1, 1)
    sizes = torch.tensor([[64.0, 64, 0, 0, 64, 64]]).repeat(rows, 1)
    conditions = {"text_embeds": read.pooled, "time_ids": sizes}
    found: Tensor = base.unet(
        latents, torch.tensor([300] * rows), read.embeddings, added_cond_kwargs=conditions
    ).sample
    return found
