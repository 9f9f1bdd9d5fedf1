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

from evaluation.scorecard import ScoreCard
from search.memory import Memory
from search.samplers import Draw, make_sampler
from search.trial import End, Failed, Finished, Infeasible, Proposal, Pruned, Reason
from studies.images import save_png, sheet, strip
from studies.report.choice import explained
from studies.report.notes import short
from studies.selection import document
from studies.selection.document import Selection
from studies.selection.rule import Rule
from studies.selection.verdict import conclude, provisional
from studies.study import beginning
from studies.study.exam import Exam
from studies.study.open import PROMPTS
from studies.study.study import UNITS, Study
from studies.study.trial import Trial
from studies.workspace import Workspace, copy_whole, write_json

HOSTILE = "<script>alert('caption')</script>"
TRAP = "[click](javascript:alert(1)) ![x](javascript:alert(2)) | **bold**"
OVERFIT, MEMORISING = 3, 4
"""Trials of a rich study that suffer from something."""
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
[split]
folds = 0
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
    """A study and the choice that stands on it."""

    study: Study
    selection: Selection

    @property
    def workspace(self) -> Workspace:
        return self.study.workspace


@dataclass(frozen=True)
class ExaminingEngine:
    """An engine that only examines, with the truth and a little fresh noise."""

    study: Study
    clip: bool
    rich: bool = False

    def retrain_on_all(self, proposal: Proposal, epoch: int) -> None:
        """The files are there."""

    def examine(self, checkpoints: Sequence[tuple[int, int]], exam: Exam) -> list[ScoreCard]:
        records = self.study.memory.records()
        cards = [next(c for c in records[t].cards if c["epoch"] == e) for t, e in checkpoints]
        found = [
            scores(r.values, c["images_seen"], random.Random(f"{exam.label}{r.number}"), self.clip, 24, 0.002)
            for r, c in zip((records[t] for t, _ in checkpoints), cards, strict=True)
        ]
        if self.rich:
            found = [enriched(self.study, s, t, e) for s, (t, e) in zip(found, checkpoints, strict=True)]
        return [ScoreCard.model_validate(one) for one in found]


def invent(
    folder: Path,
    *,
    trials: int = 5,
    clip: bool = True,
    finished: bool = True,
    rich: bool = False,
    storage: str = "",
    share: float = 0.15,
) -> Invented:
    """Writes images, a study file and a workspace with trials of every kind.

    Args:
        folder: where to.
        trials: how many.
        clip: whether CLIP's figures were measured.
        finished: whether there is a verdict.
        rich: whether there are more images, every figure, and an overfit and a memorising trial.
        storage: the database's URL; the workspace's own file if there is none.
        share: of the training that judging may cost.
    """
    write_images(folder / "images" / "10_things", 30 if rich else 10)
    path = folder / "study.toml"
    path.write_text(
        STUDY_FILE.format(
            name="invented",
            trials=trials,
            judge=f"share = {share}\n" + ('clip = "someone/clip"' if clip else ""),
            objective="validation = 1.0\n" + ("clip_image = 0.5" if clip else ""),
        )
    )
    opened = begin(path, folder / "ws", storage)
    memory = opened.memory
    memory.remember(PROMPTS, opened.prompts)
    memory.remember(UNITS, {"validation": 0.01, "clip_image": 0.8, "clip_text": 0.5})
    for recipe in opened.spec.first:
        memory.enqueue(recipe)
    save_strip(opened.workspace.base_renders, 0, opened.prompt_count)
    for number in range(trials):
        run_trial(opened, number, clip, unfinished=not finished and number == trials - 1, rich=rich)
    if finished:
        selection = explained(conclude(opened, ExaminingEngine(opened, clip, rich)))  # type: ignore[arg-type]
        document.write(opened.workspace, selection)
        memory.remember("seconds_last_run", {"training": 300.0, "judging": 40.0, "wall": 371.0})
        return Invented(opened, selection)
    return Invented(opened, explained(provisional(opened)))


def begin(path: Path, root: Path, storage: str) -> Study:
    """What `beginning.begin` leaves behind, without a base model on disk."""
    workspace = Workspace(root)
    workspace.prepare()
    Memory.open(storage or workspace.storage_url, "invented", workspace.artifacts).remember("seed", 7)
    copy_whole(path, workspace.study_file)
    write_json(workspace.source, {"study_file": str(path), "storage": storage})
    return beginning.reopen(root)


def run_trial(opened: Study, wanted: int, clip: bool, unfinished: bool, rich: bool = False) -> None:
    """Trial 2 diverges, every third is pruned after two epochs (but the memorising one), the rest run to the end."""
    memory, draw = opened.memory, random.Random(wanted)
    number = memory.begin()
    assert number == wanted
    values = memory.suggest(number, opened.spec.space.suggest, make_sampler("random", Draw(0, number, 5)))
    if number == 2:
        finish(opened, number, Infeasible(Reason("loss_not_finite", {"value": "nan", "images": 17})), None)
        return
    cut = number % 3 == 1 and not (rich and number == MEMORISING)
    epochs = 2 if unfinished or cut else 6
    best = -math.inf
    for epoch in range(1, epochs + 1):
        card = card_of(opened, number, epoch, values, draw, clip, rich)
        memory.save_card(number, card)
        save_strip(opened.workspace.renders(number, epoch), epoch, opened.prompt_count)
        save_lora(opened.workspace.lora(number, epoch))
        best = max(best, card["objective"])
        memory.report(number, card["images_seen"], best)
    if unfinished:
        return
    attach_sheet(opened, number, epochs)
    end = Failed(Reason.told("the disk was full")) if number == 7 else Finished() if epochs == 6 else Pruned()
    barred = Rule.of(opened.spec).all_barred(Trial.of(memory.record(number)).checkpoints)
    finish(opened, number, Infeasible(barred) if barred else end, best)


def finish(opened: Study, number: int, end: End, value: float | None) -> None:
    """Tells a trial with its short attributes, as the runner does."""
    for key, text in short(Trial.of(opened.memory.record(number)), end).items():
        opened.memory.annotate(number, key, text)
    opened.memory.tell(number, end, value)


def card_of(
    opened: Study,
    number: int,
    epoch: int,
    values: Mapping[str, Any],
    draw: random.Random,
    clip: bool,
    rich: bool,
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
    if rich:
        card["scores"] = enriched(opened, card["scores"], number, epoch)
    rule = Rule.of(opened.spec, opened.memory.recall(UNITS))
    found = rule.objective(ScoreCard.model_validate(card["scores"]))
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


def enriched(opened: Study, found: dict[str, Any], trial: int, epoch: int) -> dict[str, Any]:
    """All figures that a judge can measure; one trial overfits from epoch 2, another copies its images."""
    draw, count, split = random.Random(f"{trial}-{epoch}"), opened.prompt_count, opened.dataset.split
    mean = found["validation"]["mean"]
    if trial == OVERFIT:
        mean = -0.06 + 0.02 * abs(epoch - 2)
        found["training"] = {"mean": -0.05 * epoch, "standard_error": 0.004}
        found["validation"] = {"mean": mean, "standard_error": 0.006}
    copied = [(1.0 + 3.0 * epoch if trial == MEMORISING else -1.0) + draw.gauss(0, 0.4) for _ in range(count)]
    rise = {"mean": sum(copied) / count, "standard_error": 0.5}
    return found | {
        "validation_by_image": [mean + 0.01 * (-1) ** i for i in range(len(split.validation))],
        "clip_text_value": 24.0 + found["clip_text"]["mean"],
        "memorisation": rise,
        "memorisation_by_prompt": copied,
        "memorisation_value": rise["mean"] - 1.5,
        "memorisation_level": {"mean": rise["mean"] - 1.5, "standard_error": 0.6},
        "diversity": {"mean": -0.4 * epoch, "standard_error": 0.7},
        "diversity_value": 31.0 - 0.4 * epoch,
        "flexibility": {"mean": -0.2 * epoch, "standard_error": 0.5} if epoch == 6 else None,
        "flexibility_value": 26.0 - 0.2 * epoch if epoch == 6 else None,
        "base_values": {
            "clip_image": 61.0,
            "clip_text": 24.0,
            "memorisation": -1.5,
            "diversity": 31.0,
            "flexibility": 26.0,
        },
        "nearest_training": [draw.choice(split.train) for _ in range(count)],
        "renders": count,
    }


def write_images(folder: Path, count: int = 10) -> None:
    """Drawings that no one would take for each other, with hostile captions."""
    folder.mkdir(parents=True)
    for i in range(count):
        image = Image.new("RGB", (64, 64), f"hsl({i * 36}, 70%, {60 - 8 * (i // 10)}%)")
        box = (4 * i, 30 - 3 * i, 20 + 4 * i, 60 - 2 * i) if i < 10 else _box(i)
        ImageDraw.Draw(image).ellipse(box, fill=f"hsl({i * 97}, 80%, 30%)")
        image.save(folder / f"{i}.png")
        trap = HOSTILE if count == 10 or i % 2 else TRAP
        (folder / f"{i}.txt").write_text(f"sks thing, number {i} {trap}")


def _box(i: int) -> tuple[int, int, int, int]:
    draw = random.Random(i)
    left, top = draw.randrange(40), draw.randrange(40)
    return left, top, left + draw.randrange(8, 24), top + draw.randrange(8, 24)


def save_strip(path: Path, shade: int, count: int) -> None:
    """Pictures side by side, each of its own colour."""
    images = torch.stack([torch.full((3, 64, 64), 0.1 * shade + 0.1 * i) for i in range(count)])
    images[:, shade % 3, 16:48, 16:48] = 0.9
    save_png(path, strip(images))


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
    save_png(opened.workspace.sheet(number), sheet(rows, opened.prompt_count))
    opened.memory.board.attach(number, opened.workspace.sheet(number))
