"""``lorasearch judge``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from studies.cli.options import JudgeWords, page_language
from studies.text.i18n import translator
from studies.text.terminal import WIDE, cell, plain, screen, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.table import Table

    from studies.commands.judge_request import JudgeOptions, Subject
    from studies.selection.document import Selection
    from trainer.plans.compute import Precision


@click.command(name="judge")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="FILE...")
@click.option(
    "--base",
    type=click.Path(path_type=Path),
    help="Base model that the files were trained on: a folder, a .safetensors file or a hub name.  "
    "[default: none; files need one]",
)
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of the training images with captions.",
)
@click.option(
    "--held-out",
    type=click.Path(path_type=Path),
    help="Folder of images never trained on, to judge on.  [default: 30 % of --data]",
)
@click.option(
    "--samples",
    type=click.Path(path_type=Path),
    help="Folder of pictures that a trainer rendered while it trained, judged in place of files; needs "
    "--clip.  [default: none]",
)
@click.option("--clip", help="CLIP folder or hub name.  [default: none, validation loss alone decides]")
@click.option(
    "--resolution",
    type=click.IntRange(16, 4096),
    help="Side of images and renders in pixels.  [default: the base model's]",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for report and JSON.  [default: judgements/RUN]"
)
@click.option(
    "--precision",
    type=click.Choice(["no", "fp16", "bf16"]),
    help="Number format of the base model.  [default: no on a CPU, bf16 or fp16 on CUDA]",
)
@click.option(
    "--clip-skip",
    type=click.IntRange(1, 3),
    help="Hidden state of the text encoder, counted from the end, 1 to 3.  [default: each file's own, else 1]",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    help="Number from which split and renders derive.  [default: that of the files' study, else 0]",
)
@click.option(
    "--subject",
    type=click.Choice(["style", "object", "character", "person"]),
    default="style",
    show_default=True,
    help="What the LoRA is of: how much style and likeness count, and which other prompts are tried.",
)
@click.option(
    "--outside",
    type=click.Choice(["auto", "general", "people", "objects"]),
    default="auto",
    show_default=True,
    help="List of prompts outside the data set.",
)
@page_language
@click.option("--json", "as_json", is_flag=True, help="Print judgement.json instead of a table.")
def command(
    files: tuple[Path, ...],
    base: Path | None,
    samples: Path | None,
    precision: Precision | None,
    clip_skip: int | None,
    subject: Subject,
    outside: str,
    language: str,
    as_json: bool,
    **shared: Unpack[JudgeWords],
) -> None:
    """Say which of FILES is best: LoRA files by any trainer, or which of --samples, by images held out of --data.

    FILES are safetensors in the naming of kohya or diffusers, or folders of PEFT. Epochs are read from names
    (mycat-000007, mycat_epoch7) or metadata; the file without a number is the last. The rule is a study's: the
    best by the objective, judged again with fresh seeds.

    \b
    Examples:
      lorasearch judge out/mycat*.safetensors --base ~/models/sd15.safetensors --data train/mycat
      lorasearch judge out/*.safetensors --base sd15 --data train --held-out more --clip openai/clip-vit-large-patch14
      lorasearch judge --samples out/sample --data train --clip openai/clip-vit-large-patch14
      lorasearch judge run-a/*.safetensors run-b/*.safetensors --base sd15 --data train --json | jq .winner
    """
    from studies.cli.judge_samples import judge_samples
    from studies.commands.judge_request import JudgeOptions

    if samples is not None:
        if files:
            raise click.UsageError("--samples takes the place of files; leave FILE... out.")
        judge_samples(samples, shared, language, as_json)
        return
    if not files or base is None:
        raise click.UsageError("Give LoRA files and --base, or --samples with the pictures of a trainer.")
    options = JudgeOptions(
        files, base, precision=precision, clip_skip=clip_skip, subject=subject, outside=outside, **shared
    )
    _judge(options, language, as_json)


def _judge(options: JudgeOptions, language: str, as_json: bool) -> None:
    from studies.commands import judge, judge_request
    from studies.errors import in_sentences, quiet

    quiet()
    with in_sentences():
        request = judge_request.examine(options)
        for note in judge.notes(request):
            tell(f"note: {note}", err=True)
        selection, files = judge.judge(request, _teller(), translator(language))
    if as_json:
        import json

        click.echo(json.dumps(selection.to_json(), indent=2, ensure_ascii=False))
        return
    console = screen()
    console.print(_table(selection, console.width >= WIDE))
    told = f"Report: {files.page}", f"Data:   {files.document}, {files.table.name}"
    for line in (*_lines(selection), *told):
        console.print(plain(line), markup=False, highlight=False, soft_wrap=True)


def _teller() -> Callable[[str], None]:
    """Tells what happens on standard error."""
    import time

    began = time.monotonic()
    return lambda text: tell(f"{time.monotonic() - began:6.1f} s  {text}", err=True)


def _table(selection: Selection, wide: bool) -> Table:
    """CLIP's figures are in it where there is room for them."""
    from rich import box
    from rich.table import Table

    from evaluation.metrics.table import METRICS
    from studies.report.choice import verdict
    from studies.text.format import estimate

    assert selection.files is not None
    several, clip = len(selection.files.runs) > 1, wide and selection.files.clip is not None
    shown = [METRICS[name] for name in ("clip_image", "clip_text", "memorisation")] if clip else []
    table = Table(box=box.SIMPLE_HEAD)
    for name in (["run"] if several else []) + ["epoch", "validation"]:
        table.add_column(name, justify="left" if name == "run" else "right", no_wrap=name != "run")
    for name in [*(metric.short for metric in shown), "objective"]:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", overflow="fold")
    for one in selection.candidates:
        assert one.origin is not None
        cells = [cell(one.origin.run)] if several else []
        cells += [cell(one.origin.label), cell(estimate(one.scores.validation, 4))]
        cells += [cell(estimate(one.scores.difference(metric.name), 2)) for metric in shown]
        cells.append(cell(estimate(one.objective, 2)))
        style = "bold green" if one.key == selection.winner.key else ""
        table.add_row(*cells, cell(verdict(selection, one).partition(":")[0]), style=style)
    return table


def _lines(selection: Selection) -> Iterator[str]:
    from studies.report.choice import answer, diagnoses, named, reason, verdict
    from studies.text.format import estimate

    winner, images = selection.winner, selection.images
    assert images is not None
    yield answer(selection)
    yield f"Best: {named(selection, winner)}: {winner.file}"
    yield f"Why: {reason(selection)}"
    for one in selection.candidates:
        word, _, why = verdict(selection, one).partition(": ")
        if why and one.origin:
            yield f"{one.origin.run}, {one.origin.label} is {word}: {why}"
    yield from (f"{run}: {told}" for run, told in diagnoses(selection).items())
    yield (
        f"Judged on {images.validation} images"
        + ("" if images.never_trained_on else " that may have been trained on")
        + "; validation is the mean of log(loss / base loss), negative is better than without the LoRA."
    )
    if selection.test:
        doubt = "" if images.never_trained_on else ", which may have been trained on"
        loss = estimate(selection.test.validation, 4)
        yield f"On {images.test} test images, by which nothing was chosen{doubt}: validation {loss}."
