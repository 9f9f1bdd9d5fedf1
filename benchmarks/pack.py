"""Time per trial-step against pack size, at batch 1 a trial.

The micro base and a 35 M-parameter U-Net on this machine, or with --family a transformer of some 35 M parameters in
that family's layout; full-size architectures on a GPU are `gpu.py`'s.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from trainer.adapters.bank import AdapterBank, Shape
from trainer.bases.conditioning import Conditioning
from trainer.bases.families import FAMILIES, functions_of
from trainer.bases.family import DENOISER
from trainer.plans.optimiser import OptimiserPlan
from trainer.training import optimisers
from trainer.training.joined import Joined

MICRO = Path(__file__).resolve().parents[1] / "studies" / "library" / "assets" / "micro-sd" / "unet"
RANK = 8
SIZES = (1, 2, 4, 8, 16)
CHANNELS, LATENT, TOKENS = 4, 16, 77
ROUNDS = 7


@dataclass(frozen=True, slots=True)
class Case:
    """A network that removes noise, and the sizes of its inputs."""

    network: Any
    latent: int
    """Side of the latents."""
    tokens: int
    width: int
    """Of the text."""
    pooled: int
    """Width of the pooled text; 0 for none."""
    dtype: torch.dtype
    device: torch.device

    def predict(self, inputs: Tensor, when: Tensor, text: Conditioning) -> Tensor:
        """What the network says."""
        return functions_of(self.network).predict(self.network, inputs, when, text, None)


LAYOUTS: Mapping[str, tuple[Mapping[str, Any], int, int]] = {
    "sd3": (
        {
            "sample_size": LATENT,
            "in_channels": CHANNELS,
            "out_channels": CHANNELS,
            "num_layers": 6,
            "num_attention_heads": 6,
            "attention_head_dim": 64,
            "caption_projection_dim": 384,
            "joint_attention_dim": 512,
            "pooled_projection_dim": 256,
            "pos_embed_max_size": LATENT,
        },
        512,
        256,
    ),
    "flux": (
        {
            "in_channels": 4 * CHANNELS,
            "num_layers": 3,
            "num_single_layers": 8,
            "num_attention_heads": 6,
            "attention_head_dim": 64,
            "axes_dims_rope": (8, 28, 28),
            "joint_attention_dim": 512,
            "pooled_projection_dim": 256,
            "guidance_embeds": False,
        },
        512,
        256,
    ),
    "zimage": (
        {
            "in_channels": CHANNELS,
            "dim": 384,
            "n_layers": 12,
            "n_refiner_layers": 1,
            "n_heads": 6,
            "n_kv_heads": 6,
            "cap_feat_dim": 512,
            "axes_dims": (16, 24, 24),
            "axes_lens": (640, 64, 64),
        },
        512,
        0,
    ),
}
"""What differs from the real base's configuration, and the widths of text and pooled text."""


def main() -> None:
    """Prints a table and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", choices=LAYOUTS, action="append", default=[])
    families = parser.parse_args().family
    figures = {}
    for name, case in map(_transformer, families) if families else _cpu_cases():
        seconds = measure(case, SIZES)
        figures[name] = _table(name, case, seconds, statistics.median(base_alone(case, max(SIZES))))
    print(json.dumps(figures))


def measure(case: Case, sizes: Sequence[int]) -> dict[int, list[float]]:
    """Seconds of whole training steps by pack size, the sizes taking turns so that noise meets all alike."""
    layers = functions_of(case.network).targets(case.network)
    bank = AdapterBank({DENOISER: case.network}, {DENOISER: layers}, max(sizes))
    for slot in range(max(sizes)):
        bank.open(slot, Shape(RANK, 1.0, (DENOISER,)), seed=slot)
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
        case.predict(inputs, when, text).square().mean().backward()
        if turn:
            times.append(time.perf_counter() - began)
    return times


def move_of(bank: AdapterBank, slot: int) -> Callable[[], None]:
    """A slot's optimiser step, as its trial takes it."""
    joined = Joined([{"params": bank.parameters(slot, DENOISER), "lr": 1e-4}])
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
        said = case.predict(inputs, when, text)
        (said.float() - 1).square().mean(dim=(1, 2, 3)).sum().backward()
    for move in moves:
        move()
    if case.device.type == "cuda":
        torch.cuda.synchronize()


def _inputs(case: Case, size: int) -> tuple[Tensor, Tensor, Conditioning]:
    kind: dict[str, Any] = {"device": case.device, "dtype": case.dtype}
    inputs = torch.randn(size, CHANNELS, case.latent, case.latent, **kind)
    when = torch.randint(1000, (size,), device=case.device)
    pooled = torch.randn(size, case.pooled, **kind) if case.pooled else None
    mask = None if case.pooled else torch.ones(size, case.tokens, dtype=torch.bool, device=case.device)
    text = Conditioning(torch.randn(size, case.tokens, case.width, **kind), pooled, mask)
    return inputs.to(memory_format=torch.channels_last), when, text


def _transformer(family: str) -> tuple[str, Case]:
    import diffusers

    changes, width, pooled = LAYOUTS[family]
    facts = FAMILIES[family]
    kind: Any = getattr(diffusers, facts.denoiser.architecture)
    config = kind.load_config(facts.configs / facts.denoiser.part)
    network = _ready(kind.from_config({**config, **changes}), _device())
    return family, Case(network, LATENT, TOKENS, width, pooled, torch.float32, _device())


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _cpu_cases() -> Iterator[tuple[str, Case]]:
    from diffusers import UNet2DConditionModel

    device = _device()
    micro = UNet2DConditionModel.from_pretrained(MICRO, torch_dtype=torch.float32)
    yield "micro", _unet(micro, device)
    larger = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(128, 256, 320),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        attention_head_dim=8,
        cross_attention_dim=256,
    )
    yield "unet35m", _unet(larger, device)


def _unet(network: Any, device: torch.device) -> Case:
    width: int = network.config.cross_attention_dim
    return Case(_ready(network, device), LATENT, TOKENS, width, 0, torch.float32, device)


def _ready(network: nn.Module, device: torch.device) -> nn.Module:
    return network.requires_grad_(False).eval().to(device, memory_format=torch.channels_last)


def _table(name: str, case: Case, seconds: dict[int, list[float]], bare: float) -> dict[str, float]:
    millions = sum(p.numel() for p in case.network.parameters()) / 1e6
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
