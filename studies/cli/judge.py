"""``lorasearch judge``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from studies.cli.options import page_language
from studies.text.i18n import translator
from studies.text.terminal import WIDE, cell, plain, screen, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rich.table import Table

    from trainer.plans.compute import Precision


@click.command(name="judge")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option(
    "--base",
    required=True,
    type=click.Path(path_type=Path),
    help="Base model that the files were trained on: a folder, a .safetensors file or a hub name.",
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
    "--outside",
    type=click.Choice(["general", "objects"]),
    default="general",
    show_default=True,
    help="List of prompts outside the data set.",
)
@page_language
@click.option("--json", "as_json", is_flag=True, help="Print judgement.json instead of a table.")
def command(
    files: tuple[Path, ...],
    base: Path,
    data: Path,
    held_out: Path | None,
    clip: str | None,
    resolution: int | None,
    out: Path | None,
    precision: str | None,
    clip_skip: int | None,
    seed: int | None,
    outside: str,
    language: str,
    as_json: bool,
) -> None:
    """Say which of FILES is best: LoRA files by any trainer, scored on images held out of --data.

    FILES are safetensors in the naming of kohya or diffusers, or folders of PEFT. Epochs are read from names
    (mycat-000007, mycat_epoch7) or metadata; the file without a number is the last. The rule is a study's: the
    earliest within half a standard error of the best, judged again with fresh seeds.

    \b
    Examples:
      lorasearch judge out/mycat*.safetensors --base ~/models/sd15.safetensors --data train/mycat
      lorasearch judge out/*.safetensors --base sd15 --data train --held-out more --clip openai/clip-vit-large-patch14
      lorasearch judge run-a/*.safetensors run-b/*.safetensors --base sd15 --data train --json | jq .winner
    """
    from studies.commands.judge import Request

    request = Request(
        files, base, data, out, held_out, clip, resolution, cast("Precision | None", precision), clip_skip, seed,
        outside,
    )  # fmt: skip
    _judge(request, language, as_json)


def _judge(request: Any, language: str, as_json: bool) -> None:
    from studies.commands import judge
    from studies.errors import in_sentences, quiet
    from studies.report import judged_page
    from studies.report.explanation import sentence
    from studies.selection import judgement
    from studies.workspace import write_json
    from trainer.files import write_whole

    quiet()
    with in_sentences():
        asked = judge.examine(request)
        for warning in asked.case.images.warnings:
            tell(f"note: {sentence(warning)}", err=True)
        found = judgement.reach(asked.case, _teller())
        record, page, table = judgement.files_in(asked.out)
        write_json(record, found.document)
        write_whole(table, judgement.csv(found.document))
        judged_page.write(page, found, asked.case, translator(language))
    if as_json:
        import json

        click.echo(json.dumps(found.document, indent=2, ensure_ascii=False))
        return
    console = screen()
    console.print(_table(found.document, console.width >= WIDE))
    for line in (*_lines(found.document), f"Report: {page}", f"Data:   {record}, {table.name}"):
        console.print(plain(line), markup=False, highlight=False, soft_wrap=True)


def _teller() -> Callable[[str], None]:
    """Tells what happens on standard error."""
    import time

    began = time.monotonic()
    return lambda text: tell(f"{time.monotonic() - began:6.1f} s  {text}", err=True)


def _table(document: Mapping[str, Any], wide: bool) -> Table:
    """CLIP's figures are in it where there is room for them."""
    from rich import box
    from rich.table import Table

    from studies.text.format import estimate

    several, clip = len(document["runs"]) > 1, wide and document["clip"] is not None
    table = Table(box=box.SIMPLE_HEAD)
    for name in (["run"] if several else []) + ["epoch", "validation"]:
        table.add_column(name, justify="left" if name == "run" else "right", no_wrap=name != "run")
    for name in ["CLIP image", "CLIP text", "memorisation"] * clip + ["objective"]:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", overflow="fold")
    for entry in document["files"]:
        scores = entry["scores"]
        cells = [cell(entry["run"])] if several else []
        cells += [cell(entry["label"]), cell(estimate(scores["validation"], 4))]
        if clip:
            cells += [cell(estimate(scores[name], 2)) for name in ("clip_image", "clip_text", "memorisation")]
        cells.append(cell(estimate(entry["objective"], 2)))
        style = "bold green" if entry["verdict"] == "best" else ""
        table.add_row(*cells, cell(entry["verdict"].partition(":")[0]), style=style)
    return table


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    from studies.text.format import estimate

    winner, images = document["winner"], document["images"]
    yield f"Best: {winner['label']}: {winner['file']}"
    yield f"Why: {winner['reason']}"
    for entry in document["files"]:
        word, _, why = entry["verdict"].partition(": ")
        if why:
            yield f"{entry['run']}, {entry['label']} is {word}: {why}"
    for entry in document["runs"]:
        if entry["diagnosis"]:
            yield f"{entry['run']}: {entry['diagnosis']}"
    yield (
        f"Judged on {images['validation']} images"
        + ("" if images["never_trained_on"] else " that may have been trained on")
        + "; validation is the mean of log(loss / base loss), negative is better than without the LoRA."
    )
    if document["test"]:
        found = estimate(document["test"]["validation"], 4)
        doubt = "" if images["never_trained_on"] else ", which may have been trained on"
        yield f"On {images['test']} test images, by which nothing was chosen{doubt}: validation {found}."
