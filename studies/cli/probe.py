"""``lorasearch probe``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from studies.text.terminal import tell

if TYPE_CHECKING:
    from studies.spec.planner import Planner
    from studies.spec.study_file import StudySpec
    from studies.study.probe import ProbeResult
    from trainer.training.probe import Probe


@click.command(name="probe")
@click.argument("study_file", type=click.Path(path_type=Path))
@click.option(
    "--write", is_flag=True, help="Centre the study file's range of optimiser.unet_lr on the probe's rate."
)
@click.option(
    "--steps",
    type=click.IntRange(1, 1_000_000),
    help="Most optimiser steps.  [default: the file's probe.steps]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(study_file: Path, write: bool, steps: int | None, as_json: bool) -> None:
    """Find a learning rate for STUDY_FILE: train with D-Adaptation until d * lr stays.

    \b
    Examples:
      lorasearch probe my-character.toml
      lorasearch probe my-character.toml --write
    """
    from studies.errors import in_sentences, quiet
    from studies.spec.planner import Planner
    from studies.study.preflight import examine
    from studies.study.probe import ProbeResult

    quiet()
    with in_sentences():
        spec, dataset = examine(study_file)
        most = steps or spec.probe.steps
        result = ProbeResult.of(_follow(Planner(spec, dataset, max(spec.study.seed, 0)), most))
    _tell(spec, result, most, as_json)
    if write:
        _write(study_file, spec, result)


def _follow(planner: Planner, steps: int) -> Probe:
    from rich.console import Console
    from rich.progress import Progress

    from studies.commands.probe import run_probe

    console = Console(stderr=True)
    repetitions = planner.spec.probe.repetitions
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bars:
        rows = [bars.add_task(f"repetition {i + 1}", total=steps) for i in range(repetitions)]

        def on_step(repetition: int, step: int, rate: float) -> None:
            bars.update(rows[repetition], completed=step, description=f"d * lr {rate:.2e}")

        return run_probe(planner, steps, on_step)


def _tell(spec: StudySpec, result: ProbeResult, steps: int, as_json: bool) -> None:
    import json

    from studies.commands.probe import advice, chart, in_words, rule
    from studies.study.probe import standing
    from trainer.training.probe import conversions

    rate = result.settled
    if as_json:
        facts = {**in_words(result), "learning_rates": conversions(rate) if rate else None}
        click.echo(json.dumps({**facts, "rule": rule()}, indent=2))
        return
    for line in chart(result.courses):
        tell(line)
    tell(f"Rule: {rule()}.")
    if rate is None:
        tell(advice(result, steps))
        return
    rates = conversions(rate)
    tell(f"Plateau: {result.plateau:.3g}, the geometric mean of {len(result.courses)} repetitions.")
    tell(
        f"Learning rates: AdamW and AdamW8bit {rates['adamw8bit']:.3g}; Lion {rates['lion']:.3g}, a third, which "
        "optimiser.unet_lr means by itself, being on AdamW's scale."
    )
    tell(standing(spec, rate))


def _write(study_file: Path, spec: StudySpec, result: ProbeResult) -> None:
    from studies.commands.probe import line, rewrite
    from studies.errors import StudyError
    from studies.study.probe import FIELD, range_around, recipe_rates

    if result.settled is None:
        raise StudyError(f"{study_file}: nothing was written, because there is no plateau to centre on.")
    found = range_around(spec.space.parameters.get(FIELD), result.settled, recipe_rates(spec))
    rewrite(study_file, found)
    tell(f"{study_file}: {line(found)}")
