"""Operators that a training step dispatches: on a GPU each is a launch, which small packs wait for.

The topology of SD 1.5 with narrow layers, whose count of operators is that of the full width; bf16, whole steps of the
real pack, optimisers included. Operators that compute are counted: views and empty allocations cost no launch.
Groups are made as on a GPU.
PEFT's row is diffusers' U-Net with PEFT's adapter and one AdamW, for one trial.

    .venv/bin/python -m benchmarks.launches
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig
from rich.console import Console
from rich.table import Table
from torch.utils._python_dispatch import TorchDispatchMode

from studies.errors import quiet
from trainer.adapters.targets import unet_targets
from trainer.data.dataset import read
from trainer.plan import TrainingPlan
from trainer.training import session

ASSETS = Path(__file__).resolve().parents[1] / "studies" / "library" / "assets"
WIDTHS = (32, 64, 128, 128)
"""A tenth of SD 1.5's."""
RANK = 16
IMAGES, WARM_UP = 4, 8
MIXED = tuple((rank, batch) for rank in (8, 16, 32) for batch in (1, 2, 4))[:8]
"""Ranks and batch sizes as `init` offers them for SD 1.5."""
_FREE = {"aten::empty", "aten::empty_strided", "aten::empty_like", "aten::detach", "aten::_unsafe_view"}


class Counted(TorchDispatchMode):
    """Counts the operators that compute."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs and counts one."""
        name = func._schema.name
        if not func.is_view and name not in _FREE:
            self.found[name] += 1
        return func(*args, **(kwargs or {}))

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.found.values())


def main() -> None:
    """Prints a table and, last, one JSON object."""
    quiet()
    with TemporaryDirectory() as folder:
        base = _narrow_base(Path(folder) / "base")
        _images(Path(folder) / "images")
        counted = {
            "sd15_pack1": packed(base, Path(folder), [(RANK, 1)]),
            "sd15_pack8": packed(base, Path(folder), [(RANK, 1)] * 8),
            "sd15_mixed": packed(base, Path(folder), MIXED),
            "peft": peft(base),
        }
    _table(counted)
    print(json.dumps({name: found.total for name, found in counted.items()}))


def packed(base: Path, folder: Path, trials: Sequence[tuple[int, int]]) -> Counted:
    """A step of trials of these ranks and batch sizes."""
    plans = [_plan(base, rank, batch, seed) for seed, (rank, batch) in enumerate(trials)]
    pack = session.open(plans[0], read(plans[0].data, (0.0, 0.0), 0), folder / "cache", len(plans))
    pack.bank.ragged = True
    for trial, plan in enumerate(plans):
        pack.admit(trial, plan)
    return _warm(pack.step)


def peft(base: Path) -> Counted:
    """A step of one trial as diffusers' example scripts train it."""
    unet = _unet(base)
    unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=unet_targets(unet)))
    trained = [p for p in unet.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.data = parameter.data.float()
    optimiser = torch.optim.AdamW(trained, fused=True)

    def step() -> None:
        latents, when = torch.randn(1, 4, 8, 8, dtype=torch.bfloat16), torch.tensor([500])
        text = torch.randn(1, 77, unet.config.cross_attention_dim, dtype=torch.bfloat16)
        with torch.autocast("cpu", torch.bfloat16):
            said = unet(latents, when, encoder_hidden_states=text).sample
        torch.nn.functional.mse_loss(said.float(), torch.randn(1, 4, 8, 8)).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad()

    return _warm(step)


def _warm(step: Any) -> Counted:
    """A step after all images and captions have been encoded."""
    for _ in range(WARM_UP):
        step()
    with Counted() as counted:
        step()
    return counted


def _images(folder: Path) -> Path:
    place = folder / "1_few"
    place.mkdir(parents=True)
    for path in sorted((ASSETS / "demo").rglob("*.png"))[:IMAGES]:
        for file in (path, path.with_suffix(".txt")):
            shutil.copy(file, place)
    return folder


def _plan(base: Path, rank: int, batch: int, seed: int) -> TrainingPlan:
    return TrainingPlan.model_validate(
        {
            "seed": seed,
            "base": {"path": str(base)},
            "data": {"folder": str(base.parent / "images"), "resolution": 64, "batch_size": batch},
            "lora": {"rank": rank, "text_encoder": False},
            "compute": {"mixed_precision": "bf16"},
        }
    )


def _narrow_base(folder: Path) -> Path:
    """The micro base around a U-Net of SD 1.5's topology."""
    shutil.copytree(ASSETS / "micro-sd", folder)
    torch.manual_seed(0)
    text = json.loads((folder / "text_encoder" / "config.json").read_text())["hidden_size"]
    narrow = UNet2DConditionModel(
        sample_size=8, block_out_channels=WIDTHS, cross_attention_dim=text, attention_head_dim=8
    )
    shutil.rmtree(folder / "unet")
    narrow.save_pretrained(folder / "unet")
    return folder


def _unet(base: Path) -> Any:
    found = UNet2DConditionModel.from_pretrained(base / "unet", torch_dtype=torch.bfloat16)
    return found.requires_grad_(False)


def _table(counted: dict[str, Counted]) -> None:
    table = Table(title="operators dispatched in a training step, SD 1.5's topology, bf16")
    for column in ("", "all", "the commonest"):
        table.add_column(column, justify="left" if column != "all" else "right")
    for name, found in counted.items():
        commonest = ", ".join(
            f"{op.removeprefix('aten::')} {count}" for op, count in found.found.most_common(9)
        )
        table.add_row(name, str(found.total), commonest)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
