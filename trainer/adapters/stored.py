"""Frozen weights in fewer bits, made whole for one product at a time and kept by nobody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trainer.plans.compute import BaseFormat

_PLAIN: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_BLOCK, _OUTER = 64, 256
"""Weights that share a scale in nf4, and scales that share one of their own (Dettmers et al. 2023, section 3)."""
_FP8_LARGEST = 448.0
"""The largest number of float8_e4m3fn."""


class Stored(nn.Module):
    """A weight of shape (outputs, inputs) in its format; the parts are buffers and move with the network."""

    def dense(self, dtype: torch.dtype) -> Tensor:
        """The weight itself, shape (outputs, inputs); the caller lets go of it as soon as it can."""
        raise NotImplementedError

    def _hold(self, **parts: Tensor) -> None:
        for name, part in parts.items():
            self.register_buffer(name, part)

    def _part(self, name: str) -> Tensor:
        return self.get_buffer(name)


class Plain(Stored):
    """A weight in another float format than that of the activations."""

    def __init__(self, weight: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self._hold(packed=weight.to(dtype))

    def dense(self, dtype: torch.dtype) -> Tensor:
        """The weight in ``dtype``."""
        return self._part("packed").to(dtype)


class Float8(Stored):
    """float8_e4m3fn (Micikevicius et al. 2022) with a scale for each output."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        scale = weight.float().abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / _FP8_LARGEST
        self._hold(packed=(weight.float() / scale).to(torch.float8_e4m3fn), scale=scale)

    def dense(self, dtype: torch.dtype) -> Tensor:
        """The weight in ``dtype``."""
        return self._part("packed").to(dtype) * self._part("scale").to(dtype)


class Int8(Stored):
    """Whole numbers of 8 bits with a scale for each output (Dettmers et al. 2022), by bitsandbytes."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        from bitsandbytes import functional

        if weight.is_meta:
            packed: Tensor = torch.empty_like(weight, dtype=torch.int8)
            scale: Tensor = torch.empty(len(weight), dtype=torch.float32, device=weight.device)
        else:
            packed, scale, _ = functional.int8_vectorwise_quant(weight.to(torch.float16))
        self._hold(packed=packed, scale=scale)

    def dense(self, dtype: torch.dtype) -> Tensor:
        """The weight in ``dtype``."""
        return self._part("packed").to(dtype) * (self._part("scale") / 127).to(dtype)[:, None]


class NormalFloat4(Stored):
    """nf4 with scales that are quantised themselves (Dettmers et al. 2023, QLoRA), by bitsandbytes."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        from bitsandbytes import functional

        self._shape = weight.shape
        if weight.is_meta:
            self._hold(**_empty(weight))
            return
        packed, state = functional.quantize_4bit(
            _single(weight).contiguous(), blocksize=_BLOCK, quant_type="nf4", compress_statistics=True
        )
        outer: Any = state.state2
        self._hold(
            packed=packed,
            scale=state.absmax,
            code=state.code,
            offset=state.offset,
            outer_scale=outer.absmax,
            outer_code=outer.code,
        )

    def dense(self, dtype: torch.dtype) -> Tensor:
        """The weight in ``dtype``."""
        from bitsandbytes import functional

        outer = functional.QuantState(
            absmax=self._part("outer_scale"),
            code=self._part("outer_code"),
            blocksize=_OUTER,
            dtype=torch.float32,
        )
        state = functional.QuantState(
            absmax=self._part("scale"),
            shape=self._shape,
            dtype=torch.float32 if dtype == torch.float64 else dtype,
            blocksize=_BLOCK,
            quant_type="nf4",
            code=self._part("code"),
            offset=self._part("offset"),
            state2=outer,
        )
        whole: Tensor = functional.dequantize_4bit(self._part("packed"), state)
        return whole.to(dtype)


class StoredLinear(nn.Linear):
    """A frozen Linear whose weight is stored."""

    def __init__(self, inner: nn.Linear, stored: Stored) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = inner.in_features, inner.out_features
        self.bias = inner.bias
        self.stored = stored

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        y: Tensor = _Product.apply(x, self.stored, self.bias)  # type: ignore[no-untyped-call]
        return y


class _Product(torch.autograd.Function):
    """x W^T + bias that makes W whole again for the backward pass instead of saving it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, stored: Stored, bias: Tensor | None) -> Tensor:
        """x: shape (..., inputs)."""
        ctx.stored = stored
        return nn.functional.linear(x, stored.dense(x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """The gradient of x."""
        return grad @ ctx.stored.dense(grad.dtype), None, None


def weight_of(inner: nn.Module) -> Tensor | Stored:
    """A frozen layer's weight, or how it is stored."""
    return inner.stored if isinstance(inner, StoredLinear) else inner.get_parameter("weight")


def whole(weight: Tensor | Stored, dtype: torch.dtype) -> Tensor:
    """A frozen weight as a product needs it."""
    return weight.dense(dtype) if isinstance(weight, Stored) else weight


def store(
    network: nn.Module, layers: Sequence[str], form: BaseFormat, device: torch.device | None = None
) -> None:
    """Puts the weights of Linear layers into another format, in place.

    Args:
        network: frozen; not yet wrapped by a bank.
        layers: names in it; those that are no Linear layers stay as they are.
        form: "auto" changes nothing.
        device: where the work is done, and where the stored weights stay; None where they are.
    """
    if form == "auto":
        return
    for name in layers:
        inner = network.get_submodule(name)
        if isinstance(inner, nn.Linear):
            weight = inner.weight.detach()
            stored = _stored(weight if device is None else weight.to(device), form)
            parent, _, child = name.rpartition(".")
            setattr(network.get_submodule(parent), child, StoredLinear(inner, stored))


def _single(weight: Tensor) -> Tensor:
    """bitsandbytes packs floats of 16 and 32 bits."""
    return weight.float() if weight.dtype == torch.float64 else weight


def _stored(weight: Tensor, form: BaseFormat) -> Stored:
    match form:
        case "int8":
            return Int8(weight)
        case "nf4":
            return NormalFloat4(weight)
        case "fp8":
            return Float8(weight)
        case _:
            return Plain(weight, _PLAIN[form])


def _empty(weight: Tensor) -> dict[str, Tensor]:
    """The parts of an nf4 weight, on the meta device."""
    blocks = -(-weight.numel() // _BLOCK)

    def made(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=weight.device)

    return {
        "packed": made(-(-weight.numel() // 2), 1, dtype=torch.uint8),
        "scale": made(blocks, dtype=torch.uint8),
        "code": made(16),
        "offset": made(),
        "outer_scale": made(-(-blocks // _OUTER)),
        "outer_code": made(256),
    }
