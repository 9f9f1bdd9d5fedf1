"""Attention kinds and devices: what is missing is told before any training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from trainer.bases import attention, base_model
from trainer.bases.base_model import BaseModel, BaseModelError
from trainer.plans.compute import Attention, ComputePlan

KINDS: tuple[Attention, ...] = ("xformers", "flash")


class Pretended:
    """A U-Net that says it is on CUDA."""

    device = torch.device("cuda")
    dtype = torch.bfloat16

    def __init__(self) -> None:
        self.asked: list[object] = []

    def enable_xformers_memory_efficient_attention(self) -> None:
        self.asked.append("xformers")

    def set_attn_processor(self, processor: object) -> None:
        self.asked.append(processor)


@pytest.mark.parametrize("kind", KINDS)
def test_without_cuda_other_kinds_than_sdpa_are_refused(kind: Attention, pristine_base: BaseModel) -> None:
    with pytest.raises(BaseModelError, match=f"'{kind}' needs CUDA"):
        attention.use(pristine_base.unet, kind)


def test_sdpa_leaves_the_unet_as_it_is(pristine_base: BaseModel) -> None:
    before = dict(pristine_base.unet.attn_processors)
    attention.use(pristine_base.unet, "sdpa")
    assert pristine_base.unet.attn_processors == before


def test_xformers_is_switched_on_by_diffusers_and_its_absence_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unet = Pretended()
    attention.use(unet, "xformers")
    assert unet.asked == ["xformers"]

    def absent(self: object) -> None:
        raise ModuleNotFoundError("Refer to https://github.com/facebookresearch/xformers")

    monkeypatch.setattr(Pretended, "enable_xformers_memory_efficient_attention", absent)
    with pytest.raises(BaseModelError, match=r"needs the package xformers.*pip install xformers"):
        attention.use(unet, "xformers")


def test_flash_allows_pytorch_no_other_kernel(
    monkeypatch: pytest.MonkeyPatch, pristine_base: BaseModel
) -> None:
    """On the CPU the only FlashAttention kernel is PyTorch's own, so the context alone can be seen."""
    allowed: list[Any] = []
    unet = Pretended()
    attention.use(unet, "flash")
    (processor,) = unet.asked
    layer = next(m for m in pristine_base.unet.modules() if type(m).__name__ == "Attention")
    hidden = torch.randn(1, 4, layer.to_q.in_features)
    context = torch.randn(1, 4, layer.to_k.in_features)
    real = torch.nn.functional.scaled_dot_product_attention

    def spying(*args: Any, **kwargs: Any) -> Any:
        allowed.append((torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.math_sdp_enabled()))
        return real(*args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spying)
    processor(layer, hidden, encoder_hidden_states=context)  # type: ignore[operator]
    assert allowed == [(True, False)]
    assert torch.backends.cuda.math_sdp_enabled()


def test_flash_wants_half_precision() -> None:
    unet = Pretended()
    unet.dtype = torch.float32
    with pytest.raises(BaseModelError, match=r"needs compute\.mixed_precision fp16 or bf16"):
        attention.use(unet, "flash")
    with pytest.raises(ValueError, match="'flash' needs mixed_precision"):
        ComputePlan(attention="flash")


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_for_the_cpu_takes_sdpa_only(kind: Attention) -> None:
    with pytest.raises(ValueError, match="needs CUDA; choose 'sdpa'"):
        ComputePlan(attention=kind, device="cpu", mixed_precision="bf16")


def test_devices_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert base_model.device_for("auto") == base_model.device_for("cpu") == torch.device("cpu")
    with pytest.raises(BaseModelError, match="finds no CUDA device"):
        base_model.device_for("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert base_model.device_for("auto") == base_model.device_for("cuda") == torch.device("cuda")
    assert base_model.device_for("cpu") == torch.device("cpu")


def test_eight_bit_optimisers_are_allowed_on_the_cpu_of_a_machine_with_cuda(
    monkeypatch: pytest.MonkeyPatch, make_plan: Any
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    make_plan(optimiser="adamw8bit", device="cpu")
    with pytest.raises(ValueError, match=r"needs compute\.mixed_precision"):
        make_plan(optimiser="adamw8bit")


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_flash_says_what_sdpa_says_on_cuda(precision: Any, assets: Path) -> None:
    said = []
    kinds: tuple[Attention, ...] = ("sdpa", "flash")
    for kind in kinds:
        base = base_model.load(assets / "micro-sd", precision, torch.device("cuda"), kind)
        text = base.encode_text(["a red heart"], [1])
        noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            said.append(base.predict(noise.to("cuda", base.dtype), torch.tensor(500).cuda(), text, None))
    torch.testing.assert_close(said[0], said[1], rtol=0.05, atol=0.05)
