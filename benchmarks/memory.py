"""What full-size bases need of a card, beside a plain PEFT and diffusers loop counted by the same tracker.

No weights and no GPU: every step runs on tensors without bytes (``trainer.footprint``). GiB of tensors alone; a card
also holds CUDA's context and workspaces (``forecast.CONTEXT_BYTES``). Batch 1, rank 16, AdamW, bf16, every attention
and feed-forward layer, judged by CLIP ViT-L/14; networks that idle are off the device.

    python benchmarks/memory.py
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from evaluation.footprint import eyes
from trainer.adapters.targets import unet_targets
from trainer.bases.families import FAMILIES
from trainer.bases.find import Source
from trainer.footprint import fakes
from trainer.footprint.forecast import GIB, Use, peak, stages
from trainer.footprint.needs import Forecaster
from trainer.footprint.tracker import Tracker
from trainer.plan import TrainingPlan
from trainer.plans.compute import BaseFormat

RANK = 16
CLIP = "openai/clip-vit-large-patch14"


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    key: str
    family: str
    resolution: int
    trials: int
    checkpointing: bool
    form: BaseFormat = "auto"


CASES = (
    Case("sd15_alone_gb", "sd1", 512, 1, False),
    Case("sd15_pack8_gb", "sd1", 512, 8, True),
    Case("sdxl_alone_gb", "sdxl", 1024, 1, True),
    Case("sdxl_nf4_gb", "sdxl", 1024, 1, True, "nf4"),
    Case("sdxl_pack4_gb", "sdxl", 1024, 4, True),
)
PLAIN = (
    Case("peft_sd15_gb", "sd1", 512, 1, False),
    Case("peft_sdxl_gb", "sdxl", 1024, 1, True),
)


def main() -> None:
    """Prints the table, and its last line as JSON."""
    figures: dict[str, float] = {}
    table = Table("", "training", "judging", "encoding", "peak GiB")
    for case in CASES:
        found = ours(case)
        judging = max(found[stage] for stage in ("rendering", "decoding", "looking"))
        training = max(found["training"], found["update"])
        encoding = max(found["latents"], found["captions"])
        figures[case.key] = max(found.values()) / GIB
        table.add_row(
            label(case), *(f"{b / GIB:.2f}" for b in (training, judging, encoding, max(found.values())))
        )
    for case in PLAIN:
        training, encoding = plain(case)
        figures[case.key] = max(training, encoding) / GIB
        table.add_row(
            f"PEFT: {label(case)}",
            f"{training / GIB:.2f}",
            "–",
            f"{encoding / GIB:.2f}",
            f"{figures[case.key]:.2f}",
        )
    Console(width=110).print(table)
    print(json.dumps({key: round(value, 2) for key, value in figures.items()}))


def label(case: Case) -> str:
    """What a row is of."""
    pack = "alone" if case.trials == 1 else f"pack of {case.trials}"
    ways = [
        pack,
        *(["checkpointing"] if case.checkpointing else []),
        *([case.form] if case.form != "auto" else []),
    ]
    return f"{FAMILIES[case.family].title} {case.resolution} px, {', '.join(ways)}"


def source(family: str) -> Source:
    """A full-size architecture; there are no weights."""
    return Source(FAMILIES[family], FAMILIES[family].configs, None, None, "epsilon", False)


def ours(case: Case) -> dict[str, int]:
    """Bytes at each stage of a study."""
    plan = TrainingPlan.model_validate(
        {
            "seed": 0,
            "base": {"path": "no-weights"},
            "data": {"folder": "no-images", "resolution": case.resolution},
            "lora": {"rank": RANK},
            "optimiser": {"name": "adamw"},
            "compute": {
                "mixed_precision": "bf16",
                "gradient_checkpointing": case.checkpointing,
                "base_format": case.form,
            },
        }
    )
    found = Forecaster(plan, eyes=eyes([CLIP]), source=source(case.family)).needs()
    use = Use(case.trials, 1, offload=True)
    assert peak(found, use) == max(stages(found, use).values())
    return stages(found, use)


def plain(case: Case) -> tuple[int, int]:
    """Bytes of one step of PEFT's LoRA on diffusers' U-Net, and of encoding its picture, as the training scripts do.

    Everything is resident. Low-rank factors compute in bf16, as they do under autocast; they, their gradients
    and AdamW's states are counted in float32.
    """
    from peft import LoraConfig

    base = fakes.base_model(source(case.family), "bf16")
    unet: Any = base.unet
    with fakes.META, fakes.blockwise_attention(), Tracker() as tracker:
        for network in (unet, base.vae, *base.text_encoders.values()):
            tracker.adopt_network(network)
        frozen = tracker.live
        unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=unet_targets(unet)))
        trained = [p.to(torch.bfloat16) for p in unet.parameters() if p.requires_grad]
        for _, parameter in unet.named_parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(torch.bfloat16)
        kept = 4 * 4 * sum(p.numel() for p in trained)
        del trained
        unet.enable_gradient_checkpointing() if case.checkpointing else None
        unet.train()
        side = case.resolution // 8
        latents = torch.zeros(1, 4, side, side, dtype=torch.bfloat16)
        text = torch.zeros(1, 77, unet.config.cross_attention_dim, dtype=torch.bfloat16)
        added = {"text_embeds": torch.zeros(1, 1280), "time_ids": torch.zeros(1, 6)}
        tracker.rewind()
        before = tracker.live
        said = unet(latents, torch.zeros(1), encoder_hidden_states=text, added_cond_kwargs=added).sample
        (said.float() - latents.float()).square().mean().backward()
        step = tracker.peak - before
        tracker.rewind()
        before = tracker.live
        base.encode_image(torch.zeros(1, 3, case.resolution, case.resolution))
        encoding = tracker.peak - before
    return frozen + kept + step, frozen + kept + encoding


if __name__ == "__main__":
    main()
