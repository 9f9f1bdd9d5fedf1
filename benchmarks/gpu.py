"""Parts of gpu.sh on full-size architectures with random weights: forecast and memory, speed by pack, a short study.

    .venv/bin/python -m benchmarks.gpu memory|speed|study

Prints a JSON line after each figure, so that a run that is cut short has said what it knew.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from benchmarks.memory import Case, ours
from benchmarks.pack import move_of
from studies.selection import document
from studies.workspace import Workspace
from trainer.adapters.bank import AdapterBank, Shape
from trainer.adapters.targets import unet_targets
from trainer.bases.families import FAMILIES

RANK, STEPS, WARM_UP = 16, 8, 3
PACKS = {"sd1": (1, 2, 4, 8, 16, 32), "sdxl": (1, 2, 4, 8)}
SIDE = {"sd1": 512, "sdxl": 1024}
CUDA = torch.device("cuda")
QUICKSTART = Path(__file__).resolve().parents[1] / "studies" / "library" / "quickstart.toml"


@dataclass
class Bench:
    """A full-size U-Net with a bank, and what it is fed."""

    family: str
    unet: Any
    bank: AdapterBank

    @classmethod
    def of(cls, family: str, slots: int, checkpointing: bool) -> Bench:
        """With random weights, in bf16."""
        torch.manual_seed(0)
        config = json.loads((FAMILIES[family].configs / "unet" / "config.json").read_text())
        with CUDA:
            unet = UNet2DConditionModel.from_config(config).to(torch.bfloat16)
        unet = unet.requires_grad_(False).eval().to(memory_format=torch.channels_last)
        if checkpointing:
            unet.enable_gradient_checkpointing()
        bank = AdapterBank({"unet": unet}, {"unet": unet_targets(unet)}, slots)
        bank.reserve(Shape(RANK, 1.0, ("unet",)), slots)
        return cls(family, unet, bank)

    def moves(self, slots: int) -> list[Callable[[], None]]:
        """Opens so many slots; each one's optimiser step."""
        return [self._move(slot) for slot in range(slots)]

    def _move(self, slot: int) -> Callable[[], None]:
        self.bank.discard(slot)
        self.bank.open(slot, Shape(RANK, 1.0, ("unet",)), seed=slot)
        return move_of(self.bank, slot)

    def step(self, moves: list[Callable[[], None]]) -> None:
        """A training step at batch 1 a trial."""
        rows = range(len(moves))
        for slot in rows:
            self.bank.gradients(slot).zero_()
        with self.bank.rows(rows):
            torch.autograd.backward(self.predict(len(moves)).float().square().mean(dim=(1, 2, 3)).sum())
        for move in moves:
            move()

    def predict(self, rows: int, pulled: bool = False) -> Tensor:
        """The U-Net on noise, whose own gradient may be wanted."""
        side, width = SIDE[self.family] // 8, self.unet.config.cross_attention_dim
        latents = torch.randn(rows, 4, side, side, device=CUDA, dtype=torch.bfloat16)
        text = torch.randn(rows, 77, width, device=CUDA, dtype=torch.bfloat16)
        added = None
        if self.family == "sdxl":
            pooled = torch.randn(rows, 1280, device=CUDA, dtype=torch.bfloat16)
            added = {"text_embeds": pooled, "time_ids": torch.zeros(rows, 6, device=CUDA)}
        when = torch.randint(1000, (rows,), device=CUDA)
        latents = latents.to(memory_format=torch.channels_last).requires_grad_(pulled)
        said: Tensor = self.unet(latents, when, encoder_hidden_states=text, added_cond_kwargs=added).sample
        return said


def memory() -> None:
    """The forecast's training stage beside the allocator's peak over two steps."""
    for family, checkpointing in (("sd1", False), ("sd1", True), ("sdxl", True)):
        for size in [pack for pack in PACKS[family] if pack <= 16]:
            case = Case("", family, SIDE[family], size, checkpointing)
            found = ours(case)
            forecast = max(found["training"], found["update"])
            measured = _peak(family, size, checkpointing)
            print(
                json.dumps(
                    {
                        "family": family,
                        "pack": size,
                        "checkpointing": checkpointing,
                        "forecast_gib": round(forecast / 2**30, 2),
                        "measured_gib": round(measured / 2**30, 2),
                        "ratio": round(forecast / measured, 3) if measured else None,
                    }
                ),
                flush=True,
            )


def _peak(family: str, size: int, checkpointing: bool) -> int:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    bench = Bench.of(family, size, checkpointing)
    moves = bench.moves(size)
    try:
        for _ in range(2):
            bench.step(moves)
    except torch.OutOfMemoryError:
        return 0
    return torch.cuda.max_memory_allocated()


def speed() -> None:
    """Samples/s by pack, plain and compiled, beside the base alone and the card's matrix rate."""
    print(json.dumps({"matrix_tflops": round(_matrix_limit() / 1e12, 1)}), flush=True)
    for family, checkpointing in (("sd1", False), ("sdxl", True)):
        for compiled in (False, True):
            bench = Bench.of(family, max(PACKS[family]), checkpointing)
            if compiled:
                bench.bank.compile(bench.unet)
            for size in PACKS[family]:
                try:
                    moves = bench.moves(size)
                    seconds = _median(partial(bench.step, moves))
                    bare = _median(partial(_bare, bench, size))
                except torch.OutOfMemoryError:
                    torch.cuda.empty_cache()
                    break
                facts = {"family": family, "compiled": compiled, "pack": size}
                rates = {
                    "samples_per_second": round(size / seconds, 2),
                    "share_of_base": round(bare / seconds, 3),
                }
                print(json.dumps(facts | rates), flush=True)
            del bench
            torch.cuda.empty_cache()


def _bare(bench: Bench, rows: int) -> None:
    """Forward and backward without any LoRA: the bound."""
    torch.autograd.backward(bench.predict(rows, pulled=True).float().square().mean())


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


def _median(work: Callable[[], None]) -> float:
    times = []
    for turn in range(WARM_UP + STEPS):
        torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        torch.cuda.synchronize()
        if turn >= WARM_UP:
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def study() -> None:
    """A short study of the demonstration on the GPU and on the CPU: winners and their objectives."""
    for device in ("cuda", "cpu"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "study.toml"
            path.write_text(_short(device))
            command = [sys.executable, "-m", "studies.cli.main", "run", str(path)]
            began = time.perf_counter()
            subprocess.run([*command, "--workspace", folder], check=True, stdout=subprocess.DEVNULL)
            seconds = time.perf_counter() - began
            found = document.read(Workspace(Path(folder)))
        assert found is not None
        winner = found.winner
        facts = {"device": device, "seconds": round(seconds, 1), "trial": winner.trial, "epoch": winner.epoch}
        print(
            json.dumps(facts | {"objective": winner.objective and winner.objective.model_dump()}), flush=True
        )


def _short(device: str) -> str:
    text = QUICKSTART.read_text().replace('"assets/', f'"{QUICKSTART.parent}/assets/')
    for before, after in (
        ("trials = 24", "trials = 6"),
        ("images_per_trial = 672", "images_per_trial = 336"),
    ):
        assert before in text, "the quick start is another one"
        text = text.replace(before, after)
    return f'{text}\n[plan.compute]\ndevice = "{device}"\n'


def main() -> None:
    """One part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("memory", "speed", "study"))
    part = parser.parse_args().part
    if not torch.cuda.is_available():
        sys.exit("benchmarks/gpu.py needs a CUDA GPU.")
    {"memory": memory, "speed": speed, "study": study}[part]()


if __name__ == "__main__":
    main()
