"""The SD 1.5 architecture with random weights on a CUDA GPU; called by ``pack.py --full-size``."""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch
from pack import Case, measure
from rich.console import Console
from rich.table import Table

LATENT = 64
"""512 pixels."""
WARM_UP = 2


def measure_full_size(sizes: Sequence[int]) -> dict[str, Any]:
    """Samples/s, share of the measured matrix limit and peak memory by pack size.

    Four settings: with and without gradient checkpointing, with and without torch.compile.
    """
    if not torch.cuda.is_available():
        sys.exit("--full-size needs a CUDA GPU; without the flag this benchmark runs on the CPU.")
    limit = _matrix_limit()
    figures: dict[str, Any] = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "matrix_limit_tflops": round(limit / 1e12, 1),
    }
    for checkpointing, compiled in itertools.product((False, True), repeat=2):
        name = f"checkpointing={checkpointing} compile={compiled}"
        figures[name] = _setting(name, checkpointing, compiled, sizes, limit)
    return figures


def _setting(
    name: str, checkpointing: bool, compiled: bool, sizes: Sequence[int], limit: float
) -> dict[str, dict[str, float]]:
    rows: dict[str, dict[str, float]] = {}
    table = Table(title=name)
    for column in ("pack", "samples/s", "speed-up", "share of limit", "peak GiB"):
        table.add_column(column, justify="right")
    alone: float | None = None
    for size in sizes:
        case, flops = _case(checkpointing, compiled)
        torch.cuda.reset_peak_memory_stats()
        try:
            seconds = statistics.median(measure(case, (size,))[size][WARM_UP:])
        except torch.OutOfMemoryError:
            table.add_row(str(size), "out of memory", "", "", "")
            break
        peak = torch.cuda.max_memory_allocated() / 2**30
        rate = size / seconds
        alone = alone or rate
        share = rate * flops * 2 / limit  # forward, and backward to the inputs alone: the base is frozen
        rows[str(size)] = {
            "samples_per_second": round(rate, 2),
            "speedup": round(rate / alone, 2),
            "share_of_limit": round(share, 3),
            "peak_gib": round(peak, 2),
        }
        table.add_row(str(size), f"{rate:.2f}", f"{rate / alone:.2f}x", f"{share:.0%}", f"{peak:.1f}")
        del case
        torch.cuda.empty_cache()
    Console().print(table)
    return rows


def _case(checkpointing: bool, compiled: bool) -> tuple[Case, float]:
    """The U-Net of SD 1.5 and the floating-point operations of its forward pass for one sample."""
    from diffusers import UNet2DConditionModel
    from torch.utils.flop_counter import FlopCounterMode

    torch.manual_seed(0)
    unet: Any = UNet2DConditionModel(sample_size=LATENT, cross_attention_dim=768, attention_head_dim=8)
    unet = unet.requires_grad_(False).to("cuda", torch.bfloat16, memory_format=torch.channels_last)
    case = Case(unet, LATENT, 77, torch.bfloat16, torch.device("cuda"))
    inputs = torch.randn(1, 4, LATENT, LATENT, device="cuda", dtype=torch.bfloat16)
    text = torch.randn(1, 77, 768, device="cuda", dtype=torch.bfloat16)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        unet(inputs, torch.tensor([1], device="cuda"), encoder_hidden_states=text)
    if checkpointing:
        unet.enable_gradient_checkpointing()
    if compiled:
        unet.compile()
    return case, float(counter.get_total_flops())


def _matrix_limit() -> float:
    """Floating-point operations per second of a large bf16 matrix product."""
    side, rounds = 8192, 20
    left = torch.randn(side, side, device="cuda", dtype=torch.bfloat16)
    for _ in range(3):
        left @ left
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(rounds):
        left @ left
    torch.cuda.synchronize()
    return 2 * side**3 * rounds / (time.perf_counter() - began)
