"""LoRAs of transformers in the names of sd-scripts, Black Forest Labs and ai-toolkit, read layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from diffusers.loaders.single_file_utils import swap_scale_shift
from safetensors.torch import save_file
from torch import Tensor

from trainer.bases import skeleton
from trainer.bases.families import FAMILIES
from trainer.bases.family import DENOISER
from trainer.bases.find import Source
from trainer.lora_files import formats
from trainer.lora_files.kohya import Names
from trainer.lora_files.layers import Layers, LoraFileError

RANK, ALPHA, WIDTH = 2, 0.5, 3072
"""Of FLUX.1: 24 heads of 128."""


def drawn(stem: str, inputs: int, outputs: int, seed: int) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(seed)
    return {
        f"{stem}.lora_down.weight": torch.randn(RANK, inputs, generator=source),
        f"{stem}.lora_up.weight": torch.randn(outputs, RANK, generator=source),
        f"{stem}.alpha": torch.tensor(ALPHA),
    }


def delta(tensors: dict[str, Tensor], stem: str) -> Tensor:
    return ALPHA / RANK * tensors[f"{stem}.lora_up.weight"] @ tensors[f"{stem}.lora_down.weight"]


@dataclass
class Outline:
    """A base model's names at full size, without weights."""

    names: Names
    known: tuple[str, ...]

    def read(self, tensors: dict[str, Tensor], folder: Path) -> Layers:
        path = folder / "lora.safetensors"
        save_file(tensors, path)
        return formats.read(path, self.names, self.known)


def outline(family: str) -> Outline:
    own = FAMILIES[family]
    made = skeleton.networks(Source(own, own.configs, None, None, "flow", False))
    return Outline(Names.of(own, made[DENOISER].config), skeleton.readable(made))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def flux() -> Outline:
    return outline("flux")


def test_sd_scripts_fused_layers_of_flux_become_a_layer_each(flux: Outline, tmp_path: Path) -> None:
    both, linear = "lora_unet_double_blocks_0_img_attn_qkv", "lora_unet_single_blocks_0_linear1"
    feed = "lora_unet_double_blocks_0_txt_mlp_0"
    tensors = drawn(both, WIDTH, 3 * WIDTH, 0) | drawn(linear, WIDTH, 7 * WIDTH, 1)
    tensors |= drawn(feed, WIDTH, 4 * WIDTH, 2)
    found = flux.read(tensors, tmp_path)
    wanted: dict[str, Tensor] = {"unet.transformer_blocks.0.ff_context.net.0.proj": delta(tensors, feed)}
    for name, part in zip(("to_q", "to_k", "to_v"), delta(tensors, both).chunk(3), strict=True):
        wanted[f"unet.transformer_blocks.0.attn.{name}"] = part
    *three, rest = delta(tensors, linear).split([WIDTH] * 3 + [4 * WIDTH])
    for name, part in zip(("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"), (*three, rest), strict=True):
        wanted[f"unet.single_transformer_blocks.0.{name}"] = part
    assert found.keys() == wanted.keys()
    for name, layer in found.items():
        torch.testing.assert_close(layer.scale * layer.up @ layer.down, wanted[name])


@pytest.mark.parametrize("prefix", ["diffusion_model.", "transformer.", "lora_unet_", "lycoris_"])
def test_every_programs_prefix_of_z_image_is_read(tmp_path: Path, prefix: str) -> None:
    path = "layers.1.attention.to_q"
    stem = prefix + (path if prefix.endswith(".") else path.replace(".", "_"))
    tensors = drawn(stem, WIDTH, WIDTH, 3)
    found = outline("zimage").read(tensors, tmp_path)
    assert list(found) == [f"unet.{path}"]
    (layer,) = found.values()
    torch.testing.assert_close(layer.scale * layer.up @ layer.down, delta(tensors, stem))


def test_sd_scripts_fused_layers_of_sd_3_become_a_layer_each(tmp_path: Path) -> None:
    width = 1536
    block = "lora_unet_joint_blocks_3_"
    own, text, feed = (
        block + end for end in ("x_block_attn_qkv", "context_block_attn_qkv", "x_block_mlp_fc2")
    )
    tensors = drawn(own, width, 3 * width, 0) | drawn(text, width, 3 * width, 1)
    tensors |= drawn(feed, 4 * width, width, 2)
    found = outline("sd3").read(tensors, tmp_path)
    wanted: dict[str, Tensor] = {"unet.transformer_blocks.3.ff.net.2": delta(tensors, feed)}
    for stem, names in ((own, ("to_q", "to_k", "to_v")), (text, ("add_q_proj", "add_k_proj", "add_v_proj"))):
        for name, part in zip(names, delta(tensors, stem).chunk(3), strict=True):
            wanted[f"unet.transformer_blocks.3.attn.{name}"] = part
    assert found.keys() == wanted.keys()
    for name, layer in found.items():
        torch.testing.assert_close(layer.scale * layer.up @ layer.down, wanted[name])


def test_modulations_of_sd_3_are_read_the_last_one_of_text_the_other_way_about(tmp_path: Path) -> None:
    """As diffusers' own converter of the base has them, beside a text encoder's layers."""
    width, block = 1536, "lora_unet_joint_blocks_{}_{}_block_adaLN_modulation_1"
    picture, text, last = block.format(3, "x"), block.format(3, "context"), block.format(23, "context")
    final = "lora_unet_final_layer_adaLN_modulation_1"
    reader = "lora_te1_text_model_encoder_layers_0_self_attn_q_proj"
    tensors = drawn(picture, width, 6 * width, 0) | drawn(text, width, 6 * width, 1)
    tensors |= (
        drawn(last, width, 2 * width, 2) | drawn(final, width, 2 * width, 3) | drawn(reader, 768, 768, 4)
    )
    found = outline("sd3").read(tensors, tmp_path)
    wanted = {
        "unet.transformer_blocks.3.norm1.linear": delta(tensors, picture),
        "unet.transformer_blocks.3.norm1_context.linear": delta(tensors, text),
        "unet.transformer_blocks.23.norm1_context.linear": swap_scale_shift(delta(tensors, last), width),
        "unet.norm_out.linear": swap_scale_shift(delta(tensors, final), width),
        "text_encoder.text_model.encoder.layers.0.self_attn.q_proj": delta(tensors, reader),
    }
    assert found.keys() == wanted.keys()
    for name, layer in found.items():
        torch.testing.assert_close(layer.scale * layer.up @ layer.down, wanted[name])


@pytest.mark.parametrize(
    ("end", "tensor"),
    [
        ("alpha", torch.ones(2)),
        ("lora_down.weight", torch.tensor(1.0)),
        ("lora_down.weight", torch.zeros(0, 1536)),
        ("lora_up.weight", torch.zeros(2, RANK)),
        ("lora_up.weight", torch.tensor(1.0)),
    ],
)
def test_what_is_no_pair_of_factors_is_told(tmp_path: Path, end: str, tensor: Tensor) -> None:
    stem = "lora_unet_joint_blocks_3_x_block_attn_qkv"
    with pytest.raises(LoraFileError):
        outline("sd3").read(drawn(stem, 1536, 3 * 1536, 0) | {f"{stem}.{end}": tensor}, tmp_path)


@pytest.mark.parametrize("prefix", ["lora_unet_", "diffusion_model."])
def test_kreas_own_names_are_read(tmp_path: Path, prefix: str) -> None:
    """As musubi-tuner and ComfyUI write them."""
    paths = {
        "blocks.5.attn.wq": "transformer_blocks.5.attn.to_q",
        "txtfusion.layerwise_blocks.0.mlp.up": "text_fusion.layerwise_blocks.0.ff.up",
        "tproj.1": "time_mod_proj",
    }
    sizes = {"blocks.5.attn.wq": (6144, 6144), "txtfusion.layerwise_blocks.0.mlp.up": (2560, 6912)}
    tensors: dict[str, Tensor] = {}
    for seed, path in enumerate(paths):
        stem = prefix + (path if prefix.endswith(".") else path.replace(".", "_"))
        tensors |= drawn(stem, *sizes.get(path, (6144, 6 * 6144)), seed)
    found = outline("krea2").read(tensors, tmp_path)
    assert set(found) == {f"unet.{ours}" for ours in paths.values()}


def test_what_nobody_can_convert_is_told_with_its_keys(flux: Outline, tmp_path: Path) -> None:
    with pytest.raises(LoraFileError, match="name no layer of the base model"):
        flux.read(drawn("lora_unet_down_blocks_0_attentions_0_proj_in", 8, 8, 0), tmp_path)
