"""Time per trial-step against pack size, at batch 1 a trial.

The micro base and a 35 M-parameter U-Net on this machine; full-size architectures on a GPU are `gpu.py`'s.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from trainer.adapters.bank import AdapterBank, Shape
from trainer.adapters.targets import unet_targets
from trainer.plans.optimiser import OptimiserPlan
from trainer.training import optimisers
from trainer.training.joined import Joined

MICRO = Path(__file__).resolve().parents[1] / "studies" / "library" / "assets" / "micro-sd" / "unet"
RANK = 8
SIZES = (1, 2, 4, 8, 16)
ROUNDS = 7


@dataclass(frozen=True, slots=True)
class Case:
    """A U-Net, its inputs and one slot's optimiser after another."""

    unet: Any
    latent: int
    """Side of the latents."""
    tokens: int
    dtype: torch.dtype
    device: torch.device


def main() -> None:
    """Prints a table and, last, one JSON object."""
    figures = {}
    for name, case in _cpu_cases():
        seconds = measure(case, SIZES)
        figures[name] = _table(name, case, seconds, statistics.median(base_alone(case, max(SIZES))))
    print(json.dumps(figures))


def measure(case: Case, sizes: Sequence[int]) -> dict[int, list[float]]:
    """Seconds of whole training steps by pack size, the sizes taking turns so that noise meets all alike."""
    bank = AdapterBank({"unet": case.unet}, {"unet": unet_targets(case.unet)}, max(sizes))
    for slot in range(max(sizes)):
        bank.open(slot, Shape(RANK, 1.0, ("unet",)), seed=slot)
    moves = [move_of(bank, slot) for slot in range(max(sizes))]
    seconds: dict[int, list[float]] = {size: [] for size in sizes}
    for turn in range(ROUNDS + 1):
        for size in sizes:
            began = time.perf_counter()
            _step(case, bank, moves[:size])
            if turn:
                seconds[size].append(time.perf_counter() - began)
    return seconds


def base_alone(case: Case, size: int) -> list[float]:
    """Seconds of forward and backward passes without any LoRA: the bound on what packing can reach."""
    times = []
    for turn in range(ROUNDS + 1):
        inputs, when, text = _inputs(case, size)
        inputs.requires_grad_()
        began = time.perf_counter()
        case.unet(inputs, when, encoder_hidden_states=text).sample.square().mean().backward()
        if turn:
            times.append(time.perf_counter() - began)
    return times


def move_of(bank: AdapterBank, slot: int) -> Callable[[], None]:
    """A slot's optimiser step, as its trial takes it."""
    joined = Joined([{"params": bank.parameters(slot, "unet"), "lr": 1e-4}])
    optimiser = optimisers.build(OptimiserPlan(), joined.groups)

    def move() -> None:
        with joined.gathered():
            optimiser.step()

    return move


def _step(case: Case, bank: AdapterBank, moves: Sequence[Callable[[], None]]) -> None:
    inputs, when, text = _inputs(case, len(moves))
    for slot in range(len(moves)):
        bank.gradients(slot).zero_()
    with bank.rows(range(len(moves))):
        said = case.unet(inputs, when, encoder_hidden_states=text).sample
        (said.float() - 1).square().mean(dim=(1, 2, 3)).sum().backward()
    for move in moves:
        move()
    if case.device.type == "cuda":
        torch.cuda.synchronize()


def _inputs(case: Case, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    channels, width = case.unet.config.in_channels, case.unet.config.cross_attention_dim
    inputs = torch.randn(size, channels, case.latent, case.latent, device=case.device, dtype=case.dtype)
    when = torch.randint(1000, (size,), device=case.device)
    text = torch.randn(size, case.tokens, width, device=case.device, dtype=case.dtype)
    return inputs.to(memory_format=torch.channels_last), when, text


def _cpu_cases() -> Iterator[tuple[str, Case]]:
    from diffusers import UNet2DConditionModel

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    micro = UNet2DConditionModel.from_pretrained(MICRO, torch_dtype=torch.float32)
    yield "micro", Case(_ready(micro, device), 16, 77, torch.float32, device)
    larger = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(128, 256, 320),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        attention_head_dim=8,
        cross_attention_dim=256,
    )
    yield "unet35m", Case(_ready(larger, device), 16, 77, torch.float32, device)


def _ready(unet: nn.Module, device: torch.device) -> nn.Module:
    return unet.requires_grad_(False).eval().to(device, memory_format=torch.channels_last)


def _table(name: str, case: Case, seconds: dict[int, list[float]], bare: float) -> dict[str, float]:
    millions = sum(p.numel() for p in case.unet.parameters()) / 1e6
    table = Table(
        title=f"{name}: {millions:.1f} M parameters, rank {RANK}, batch 1 a trial, {case.device.type}"
    )
    for column in ("pack", "ms a step", "ms a trial-step", "speed-up"):
        table.add_column(column, justify="right")
    alone = statistics.median(seconds[1])
    figures: dict[str, float] = {"parameters_millions": round(millions, 1)}
    for size, times in seconds.items():
        middle = statistics.median(times)
        speedup = alone * size / middle
        figures[f"speedup_{size}"] = round(speedup, 2)
        table.add_row(str(size), f"{middle * 1e3:.1f}", f"{middle / size * 1e3:.2f}", f"{speedup:.2f}x")
    Console().print(table)
    figures["bound"] = round(alone * max(SIZES) / bare, 2)
    for size in (8, 16):
        figures[f"share_{size}"] = round(figures[f"speedup_{size}"] / figures["bound"], 3)
    Console().print(
        f"The base alone, forward and backward at {max(SIZES)}: the bound is {figures['bound']}x.\n"
    )
    return figures


if __name__ == "__main__":
    main()
