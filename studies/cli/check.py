"""``lorasearch check``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="check")
@click.argument("study_file", type=click.Path(path_type=Path))
@click.option("--trigger", default="", help="Words that should stand in every caption.")
def command(study_file: Path, trigger: str) -> None:
    """Check STUDY_FILE, its base model and its images; nothing is written.

    Exit code 0 when training could start, 2 when something must be mended first.

    \b
    Examples:
      lorasearch check studies/library/quickstart.toml
      lorasearch check my-character.toml --trigger "sks girl"
    """
    from studies.study import examine
    from trainer.data.quality import covered

    spec, dataset = examine(study_file)
    for note in dataset.warnings:
        click.echo(f"note: {note}")
    split = dataset.split
    own = dataset.examples[: len(split.train) + len(split.validation) + len(split.test)]
    click.echo(
        f"{spec.study.name}: {len(own)} images, of which {len(split.train)} train, "
        f"{len(split.validation)} validate and {len(split.test)} test."
    )
    if dataset.regularisation:
        click.echo(f"{len(dataset.regularisation)} regularisation images.")
    sizes = sorted({dataset.sizes[i] for i in split.train})
    click.echo(f"Training sizes: {', '.join(f'{width} x {height}' for width, height in sizes)}.")
    if trigger:
        there = covered([example.caption for example in own], trigger)
        click.echo(f"'{trigger}' stands in {there} of {len(own)} captions.")
    click.echo("Nothing stands in the way of training.")
