"""What is in a file is read whole, or named with how much of it there is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from trainer.bases import skeleton
from trainer.bases.base_model import BaseModel
from trainer.lora_files.content import embeddings, gather, parted, plain
from trainer.lora_files.layers import LoraFileError

STEM = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
LAYER = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
CONV = "lora_unet_down_blocks_0_resnets_0_conv1"
PAIR = {f"{STEM}.lora_down.weight": torch.ones(2, 96), f"{STEM}.lora_up.weight": torch.ones(96, 2)}


@pytest.fixture(scope="module")
def read(
    load_base: Callable[..., BaseModel], assets: Path
) -> Callable[[dict[str, Tensor]], dict[str, dict[str, Tensor]]]:
    base = load_base(assets / "micro-sd")
    known = skeleton.readable({"unet": base.unet, **base.text_encoders})
    return lambda tensors: gather(tensors, base.kohya_names, known)  # type: ignore[return-value]


Read = Callable[[dict[str, Tensor]], dict[str, dict[str, Tensor]]]


def test_keys_that_are_not_understood_are_named_and_counted(read: Read) -> None:
    odd = {f"{STEM}.{name}": torch.ones(1) for name in ("q_layer.weight", "p_layer.weight", "lambda_layer")}
    odd[f"{STEM}.lokr_t1"] = torch.ones(1)
    with pytest.raises(LoraFileError) as caught:
        read({**PAIR, **odd})
    said = str(caught.value)
    assert said.startswith("4 of its 6 keys are not understood")
    assert "q_layer.weight'" in said
    assert "and 1 more" in said
    assert "another base" not in said


def test_layers_that_the_base_lacks_are_named_and_counted(read: Read) -> None:
    other = {key.replace("down_blocks_1", "down_blocks_7"): value for key, value in PAIR.items()}
    with pytest.raises(
        LoraFileError, match=r"2 of its 4 keys name no layer of the base model \('lora_unet_dow"
    ):
        read({**PAIR, **other})


def test_one_tensor_under_two_keys_is_told(read: Read) -> None:
    with pytest.raises(LoraFileError, match=r"lora_A\.weight' names a tensor that another key names, too"):
        read({**PAIR, f"{LAYER}.lora_A.weight": torch.ones(2, 96)})


def test_bundled_embeddings_are_left_aside(read: Read) -> None:
    bundled = {
        f"bundle_emb.{name}": torch.ones(2, 128) for name in ("cat.clip_l", "cat.clip_g", "dog.clip_l")
    }
    assert list(read({**PAIR, **bundled})) == [LAYER]
    assert embeddings(bundled) == ("cat", "dog")
    assert embeddings(PAIR) == ()


def test_a_tucker_core_becomes_a_part_of_a(read: Read) -> None:
    source = torch.Generator().manual_seed(0)
    core, up = (torch.randn(2, 2, 3, 3, generator=source), torch.randn(64, 2, 1, 1, generator=source))
    down = torch.randn(2, 64, 1, 1, generator=source)
    held = {
        "lora_down.weight": down,
        "lora_mid.weight": core,
        "lora_up.weight": up,
        "alpha": torch.tensor(1.0),
    }
    (layer,) = plain(read({f"{CONV}.{name}": value for name, value in held.items()})).values()
    assert layer.scale == 0.5
    found = (layer.up.flatten(1) @ layer.down.flatten(1)).view(64, 64, 3, 3)
    for y in range(3):
        for x in range(3):
            wanted = up[..., 0, 0] @ core[..., y, x] @ down[..., 0, 0]
            torch.testing.assert_close(found[..., y, x], wanted, rtol=1e-5, atol=1e-5)
    odd = {**held, "lora_mid.weight": torch.ones(3, 3, 3, 3)}
    with pytest.raises(LoraFileError, match=r"lora_mid of shape \(3, 3, 3, 3\) does not fit lora_down"):
        plain(read({f"{CONV}.{name}": value for name, value in odd.items()}))


def test_plain_layers_stay_low_rank_beside_others(read: Read) -> None:
    norm = {"lora_unet_down_blocks_0_resnets_0_norm1.w_norm": torch.ones(64)}
    found = parted(read({**PAIR, **norm}))
    assert list(found.low_rank) == [LAYER]
    assert list(found.others) == ["unet.down_blocks.0.resnets.0.norm1"]
    assert (len(found), found.rank) == (2, 2)
    with pytest.raises(
        LoraFileError, match=r"norm1 holds differences of a normalisation layer; only LoRA factors"
    ):
        plain(read({**PAIR, **norm}))


def test_half_a_layer_is_told(read: Read) -> None:
    for name, held in (("lora_up", "only its up factor"), ("alpha", "none of its factors")):
        tensors = {key: value for key, value in PAIR.items() if name in key} or {
            f"{STEM}.alpha": torch.ones(())
        }
        with pytest.raises(LoraFileError, match=held):
            plain(read(tensors))
