"""A finished study on disk whose score cards are invented: no base model, no training."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file

from search.memory import Memory
from search.samplers import make_sampler
from search.trial import Failed, Finished, Infeasible, Pruned
from studies import sheets, study
from studies.cards import facts, objective
from studies.engine import Exam
from studies.study import SPREADS, Study
from studies.verdict import Verdict, conclude, provisional
from studies.workspace import Workspace, copy_whole, write_json

HOSTILE = "<script>alert('caption')</script>"
STUDY_FILE = """
[study]
name = "{name}"
seed = 7
[plan.base]
path = "base"
[plan.data]
folder = "images"
resolution = 64
[budget]
trials = {trials}
images_per_trial = 480
[search]
sampler = "random"
pruner = {{ name = "asha", min_images = 80 }}
[search.space]
"optimiser.unet_lr" = {{ low = 1e-5, high = 1e-2, log = true }}
"optimiser.name" = {{ choices = ["adamw", "lion"] }}
"lora.rank" = {{ low = 4, high = 32, step = 4 }}
"lora.text_encoder" = {{ choices = [true, false] }}
"optimiser.text_lr_over_unet_lr" = {{ low = 0.1, high = 1.0, when = {{ "lora.text_encoder" = [true] }} }}
[[first]]
"optimiser.unet_lr" = 1e-4
"lora.rank" = 32
[judge]
prompt_count = 3
{judge}
[objective]
{objective}
[confirm]
finalists = 4
"""


@dataclass(frozen=True)
class Invented:
    """A study and the verdict that stands on it."""

    study: Study
    verdict: Verdict

    @property
    def workspace(self) -> Workspace:
        return self.study.workspace


@dataclass(frozen=True)
class Examiner:
    """An engine that only examines, with the truth and a little fresh noise."""

    study: Study
    clip: bool

    def examine(self, checkpoints: Sequence[tuple[int, int]], exam: Exam) -> list[Mapping[str, Any]]:
        records = self.study.memory.records()
        cards = [next(c for c in records[t].cards if c["epoch"] == e) for t, e in checkpoints]
        return [
            scores(r.values, c["images_seen"], random.Random(f"{exam.label}{r.number}"), self.clip, 24, 0.002)
            for r, c in zip((records[t] for t, _ in checkpoints), cards, strict=True)
        ]


def invent(folder: Path, *, trials: int = 5, clip: bool = True, finished: bool = True) -> Invented:
    """Writes images, a study file and a workspace with trials of every kind."""
    write_images(folder / "images" / "10_things")
    path = folder / "study.toml"
    path.write_text(
        STUDY_FILE.format(
            name="invented",
            trials=trials,
            judge='clip = "someone/clip"' if clip else "",
            objective="validation = 1.0\n" + ("clip_image = 0.5" if clip else ""),
        )
    )
    opened = begin(path, folder / "ws")
    memory = opened.memory
    memory.remember(SPREADS, {"validation": 0.01, "clip_image": 0.8, "clip_text": 0.5})
    for recipe in opened.spec.first:
        memory.enqueue(recipe)
    save_strip(opened.workspace.base_renders, 0, opened.prompt_count)
    for number in range(trials):
        run_trial(opened, number, clip, unfinished=not finished and number == trials - 1)
    if finished:
        verdict = conclude(opened, Examiner(opened, clip))  # type: ignore[arg-type]
        memory.remember("seconds_last_run", {"training": 300.0, "judging": 40.0, "wall": 371.0})
        return Invented(opened, verdict)
    return Invented(opened, provisional(opened))


def begin(path: Path, root: Path) -> Study:
    """What `study.begin` leaves behind, without a base model on disk."""
    workspace = Workspace(root)
    workspace.prepare()
    Memory.open(workspace.storage_url, "invented", workspace.artifacts).remember("seed", 7)
    copy_whole(path, workspace.study_file)
    write_json(workspace.source, {"study_file": str(path)})
    return study.reopen(root)


def run_trial(opened: Study, wanted: int, clip: bool, unfinished: bool) -> None:
    """Trial 2 diverges, every third is pruned after two epochs, the rest run to the end."""
    memory, draw = opened.memory, random.Random(wanted)
    number = memory.begin()
    assert number == wanted
    values = memory.suggest(number, opened.spec.space.suggest, make_sampler("random", number, 5))
    if number == 2:
        memory.tell(number, Infeasible("the training loss became NaN at step 17"), None)
        return
    epochs = 2 if unfinished or number % 3 == 1 else 6
    best = -math.inf
    for epoch in range(1, epochs + 1):
        card = card_of(opened, number, epoch, values, draw, clip)
        memory.save_card(number, card)
        save_strip(opened.workspace.renders(number, epoch), epoch, opened.prompt_count)
        save_lora(opened.workspace.lora(number, epoch))
        best = max(best, card["objective"])
        memory.report(number, card["images_seen"], best)
    if unfinished:
        return
    attach_sheet(opened, number, epochs)
    end = Failed("the disk was full") if number == 7 else Finished() if epochs == 6 else Pruned()
    memory.tell(number, end, best)


def card_of(
    opened: Study, number: int, epoch: int, values: Mapping[str, Any], draw: random.Random, clip: bool
) -> dict[str, Any]:
    """A stored card with its objective, as the runner makes it."""
    card = {
        "epoch": epoch,
        "images_seen": 80 * epoch,
        "steps": 80 * epoch,
        "training_loss": 0.2,
        "rank": values["lora.rank"],
        "file": opened.workspace.relative(opened.workspace.lora(number, epoch)),
        "scores": scores(values, 80 * epoch, draw, clip, 8, 0.006),
    }
    found = objective(facts(card), opened.memory.recall(SPREADS), opened.spec.objective)
    return card | {"objective": found.mean, "objective_error": found.standard_error}


def scores(
    values: Mapping[str, Any], images: int, draw: random.Random, clip: bool, timesteps: int, noise: float
) -> dict[str, Any]:
    """A U-shaped curve: higher learning rates fall sooner and rise again."""
    speed = float(values["optimiser.unet_lr"]) * images
    gain = 0.12 * (1 - math.exp(-speed / 0.05)) - 0.02 * (speed / 0.5) ** 1.5
    mean = -gain + draw.gauss(0, noise / 2)
    rise = {"mean": 60 * gain + draw.gauss(0, 0.3), "standard_error": 0.6}
    return {
        "validation": {"mean": mean, "standard_error": noise},
        "validation_by_timestep": [mean * (0.6 + 0.8 * i / timesteps) for i in range(timesteps)],
        "validation_by_image": [mean, mean],
        "training": {"mean": mean - 0.05 * speed, "standard_error": noise},
        "clip_image": rise if clip else None,
        "clip_text": {"mean": draw.gauss(0, 0.3), "standard_error": 0.4} if clip else None,
        "clip_image_value": 61.0 + rise["mean"] if clip else None,
        "clip_text_value": 24.0 if clip else None,
        "broken": 0,
        "renders": 3,
    }


def write_images(folder: Path) -> None:
    """Ten drawings that no one would take for each other; the captions of half of them are hostile."""
    folder.mkdir(parents=True)
    for i in range(10):
        image = Image.new("RGB", (64, 64), f"hsl({i * 36}, 70%, 60%)")
        ImageDraw.Draw(image).ellipse(
            (4 * i, 30 - 3 * i, 20 + 4 * i, 60 - 2 * i), fill=f"hsl({i * 97}, 80%, 30%)"
        )
        image.save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text(f"sks thing, number {i} {HOSTILE}")


def save_strip(path: Path, shade: int, count: int) -> None:
    """Pictures side by side, each of its own colour."""
    images = torch.stack([torch.full((3, 64, 64), 0.1 * shade + 0.1 * i) for i in range(count)])
    images[:, shade % 3, 16:48, 16:48] = 0.9
    sheets.save_png(path, sheets.strip(images))


def save_lora(path: Path) -> None:
    """A file with the metadata that tell its trigger word."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tags = '{"10_things": {"sks thing": 6, "number 1": 1}}'
    metadata = {"ss_tag_frequency": tags, "ss_num_train_images": "6"}
    save_file({"lora_unet_x.alpha": torch.tensor(1.0)}, path, metadata)


def attach_sheet(opened: Study, number: int, epochs: int) -> None:
    """The contact sheet, as the runner attaches it."""
    rows = [("base", opened.workspace.base_renders)]
    rows += [(f"epoch {e}", opened.workspace.renders(number, e)) for e in range(1, epochs + 1)]
    sheets.save_png(opened.workspace.sheet(number), sheets.sheet(rows, opened.prompt_count))
    opened.memory.attach(number, opened.workspace.sheet(number))
