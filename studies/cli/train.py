"""``lorasearch train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from studies.text.terminal import tell

if TYPE_CHECKING:
    from studies.commands.training import Training
    from studies.spec.plan_file import PlanFile


@click.command(name="train")
@click.argument("plan_file", type=click.Path(path_type=Path))
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Set a field of the plan; repeatable.  [default: as in the file]",
)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder for everything that is written."
)
@click.option(
    "--hold-out", is_flag=True, help="Leave out validation and test images, as the trials of a search do."
)
def command(plan_file: Path, settings: tuple[str, ...], out: Path, hold_out: bool) -> None:
    """Train the one plan of PLAN_FILE, without a search; started again, it goes on.

    PLAN_FILE is a study file, or a TOML file with [plan] sections alone. What a study searches takes the value of
    --set, or else the plan's default. Every epoch leaves a LoRA file and a state to go on from; [save] and
    [samples] say how often, in which precision, and which pictures to render. No image is held out.

    \b
    Examples:
      lorasearch train my-character.toml --out loras/my-character
      lorasearch train study.toml --set optimiser.unet_lr=1e-4 --set lora.rank=32 --out loras/by-hand
    """
    from studies.commands.training import open_training
    from studies.errors import in_sentences, quiet
    from studies.spec.plan_file import load

    quiet()
    with in_sentences():
        file = load(plan_file, settings)
        training = open_training(file, out, hold_out)
        for note in (*training.dataset.warnings, *_notes(file, training)):
            tell(f"note: {note}")
        last = _train(training)
    tell(f"Trained: {last}")


def _train(training: Training) -> Path:
    from rich.console import Console
    from rich.progress import Progress

    from studies.commands.train import train
    from trainer.outcome import EpochEnd

    console = Console()
    epochs = training.plan.data.epochs

    def on_epoch(end: EpochEnd, path: Path | None) -> None:
        written = "" if path is None else f", {path.name}"
        text = f"epoch {end.epoch}/{epochs}: {end.images_seen} images seen, {end.steps} steps, training loss "
        console.print(
            f"{text}{end.training_loss:.4f}{written}", markup=False, highlight=False, soft_wrap=True
        )

    with Progress(console=console, disable=not console.is_terminal) as bars:
        bar = bars.add_task("steps", total=None)

        def on_step(steps: int, total: int, loss: float | None) -> None:
            description = "steps" if loss is None else f"loss {loss:.3f}"
            bars.update(bar, completed=steps, total=total, description=description)

        return train(training, on_step, on_epoch)


def _notes(file: PlanFile, training: Training) -> list[str]:
    from studies.text.format import value

    notes = []
    if file.unset:
        sections = training.plan.model_dump()
        taken = ", ".join(
            f"{name} = {value(sections[name.partition('.')[0]][name.partition('.')[2]])}"
            for name in file.unset
        )
        notes.append(f"what the study searches takes the plan's defaults: {taken}; fix it with --set.")
    drawn = {
        "seed": (file.seed, training.plan.seed),
        "samples.seed": (file.samples.seed, training.samples_seed),
    }
    return notes + [f"{name} is {seed}, drawn." for name, (asked, seed) in drawn.items() if asked == -1]
