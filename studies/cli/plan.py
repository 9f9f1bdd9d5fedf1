"""``lorasearch plan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from studies.text.terminal import tell

if TYPE_CHECKING:
    from studies.commands.cards import Card
    from studies.commands.plan import Forecast


@click.command(name="plan")
@click.argument("study_file", type=click.Path(path_type=Path), required=False)
@click.option(
    "--images",
    type=click.IntRange(1, 1_000_000),
    help="Calculate for so many training images instead.  [default: those of STUDY_FILE]",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 1024),
    help="With --images: images per optimiser step.  [default: 1 up to 15 images, 2 up to 39, else 4]",
)
@click.option("--measure", is_flag=True, help="Load the base model and time a few real steps.")
@click.option(
    "--card",
    type=click.FloatRange(min=1, max=1024),
    help="Memory of a graphics card in GiB: what of the study fits there.  [default: this machine's, or 8 to 24]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    study_file: Path | None,
    images: int | None,
    batch: int | None,
    measure: bool,
    card: float | None,
    as_json: bool,
) -> None:
    """Say what STUDY_FILE will do, need and cost; or propose repeats, epochs and batch for --images.

    Memory is forecast from the base model's configuration, activations and judging included; no weights are read.
    Time is known with --measure only.

    \b
    Examples:
      lorasearch plan my-character.toml
      lorasearch plan my-character.toml --card 8
      lorasearch plan my-character.toml --measure --json
      lorasearch plan --images 25
    """
    from studies.errors import StudyError

    if (study_file is None) == (images is None):
        raise StudyError("Give either a study file or --images; `lorasearch plan --help` shows both.")
    if study_file is None and images is not None:
        if card is not None:
            raise StudyError("--card needs a study file: without one there is no base model to fit.")
        if measure:
            raise StudyError("--measure needs a study file: without one there is nothing to train.")
        _calculate(images, batch, as_json)
    elif study_file is not None:
        if batch is not None:
            raise StudyError("--batch goes with --images; a study's batch size stands in its file.")
        _study(study_file, measure, card, as_json)


def _calculate(images: int, batch: int | None, as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from studies.commands.rules_of_thumb import IMAGES, propose

    found = propose(images, batch)
    if as_json:
        facts = {**asdict(found), "steps": found.steps, "arithmetic": found.arithmetic}
        click.echo(json.dumps(facts, indent=2))
        return
    tell(f"{images:,} images: repeats {found.repeats}, epochs {found.epochs}, batch size {found.batch_size}.")
    for line in found.arithmetic:
        tell(f"  {line}")
    if images < IMAGES:
        tell(f"advice: the guides want at least {IMAGES} images; more images help more than more steps.")


def _study(study_file: Path, measure: bool, card: float | None, as_json: bool) -> None:
    import json
    import sys

    from studies.commands.cards import SIZES, at_hand
    from studies.commands.plan import forecast
    from studies.errors import in_sentences, quiet
    from studies.study.preflight import examine

    quiet()
    with in_sentences():
        spec, dataset = examine(study_file)
        own = card or at_hand()
        if sys.stderr.isatty():
            tell("counting what fits …", err=True)
        found = forecast(spec, dataset, measure, SIZES if own is None else (own,))
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
        return
    for note in (*dataset.warnings, *found.notes):
        tell(f"note: {note}")
    for line in (*_amounts(found), *_memory(found), *_cards(found), *_time(found), *_advice(found)):
        tell(line)


def _amounts(found: Forecast) -> list[str]:
    from studies.commands.rules_of_thumb import span, written

    def spanned(field: str) -> str:
        return written(span(found.trials, lambda one: int(getattr(one, field))))

    lines = [
        f"{found.name}: {found.training} images train, {found.validation} validate, {found.test} test.",
        f"A trial: {found.training} images, repeats {spanned('repeats')}, {spanned('images_per_epoch')} "
        f"images seen an epoch; batch size {spanned('batch_size')}, {spanned('steps_per_epoch')} steps an epoch.",
        f"  epochs {spanned('epochs')}, a checkpoint each; {spanned('steps')} steps and {spanned('images')} "
        "images seen in all.",
    ]
    if found.trainings > 1:
        lines.append(
            f"  trained {found.trainings} times, once without each fold, and judged on what it left out."
        )
    if found.most_trials is None or found.study_checkpoints is None or found.study_images is None:
        return [*lines, "The study: as many trials as its budget allows."]
    high = found.study_checkpoints[1]
    return [
        *lines,
        f"The study: {found.most_trials} trials, {written(found.study_images)} images seen, "
        f"{written(found.study_checkpoints)} checkpoints, up to {size(high * found.file_bytes)} of LoRA files; "
        "less where trials are pruned.",
    ]


def _memory(found: Forecast) -> list[str]:
    memory = found.memory
    lines = [
        f"Memory: {size(memory.total(found.pack))} with {found.pack} trial{'s' * (found.pack > 1)} at a time, "
        "activations not counted:",
        f"  base model {size(memory.base_bytes)} ({memory.base_parameters:,} parameters), "
        f"autoencoder {size(memory.vae_bytes)}",
        f"  the heaviest trial {size(memory.trial_bytes)}: LoRA {size(memory.weight_bytes)} "
        f"({memory.lora_parameters:,} parameters), gradients {size(memory.gradient_bytes)}, "
        f"optimiser {size(memory.optimiser_bytes)}, average {size(memory.average_bytes)}",
    ]
    if found.readings:
        last = found.readings[-1]
        lines.append(f"  measured with {last.size} at a time: {size(last.peak_bytes)}, everything included")
    return lines


def _cards(found: Forecast) -> list[str]:
    return ["What fits, judging included:", *(f"  {_card(card)}" for card in found.cards)]


def _card(card: Card) -> str:
    if card.fit is None:
        return (
            f"{card.gib:.3g} GiB card: nothing; lower the largest lora.rank or data.batch_size, or take a "
            "smaller base."
        )
    found, setting = card.fit, card.fit.setting
    trials = f"{found.trials} trial{'s' * (found.trials > 1)} at a time"
    ways = [
        f"data.resolution = {setting.resolution}",
        *([] if setting.base_format == "auto" else [f"compute.base_format = '{setting.base_format}'"]),
        f"compute.gradient_checkpointing = {str(setting.checkpointing).lower()}",
        f"compute.offload = '{'all' if found.offload else 'off'}'",
    ]
    return f"{card.gib:.3g} GiB card: {trials}, {', '.join(ways)}; {size(found.peak)} at most ({found.stage})"


def _time(found: Forecast) -> list[str]:
    if not found.readings:
        return ["Time: unknown without --measure."]
    from studies.text.format import duration

    last = found.readings[-1]
    speed = f"{last.images_per_second:.3g} images/s with {last.size} trial{'s' * (last.size > 1)} at a time"
    if found.seconds is None:
        return [f"Time: {speed}; the study's length is not limited by trials or images."]
    low, high = (duration(seconds) for seconds in found.seconds)
    total = low if low == high else f"{low} to {high}"
    return [f"Time: {total} of training at {speed}; judging comes on top, pruning saves some."]


def _advice(found: Forecast) -> list[str]:
    lines = ["The guides' rules of thumb, for the longest trial:"]
    return lines + [f"  {'ok  ' if rule.met else 'look'} {rule.rule}: {rule.planned}" for rule in found.rules]


def size(count: int) -> str:
    """Bytes as people read them."""
    amount, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{count} B" if unit == "B" else f"{amount:.3g} {unit}"
