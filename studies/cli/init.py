"""``lorasearch init``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from studies.text.terminal import tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from studies.commands.init import Started


@click.command(name="init")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--base",
    default="stable-diffusion-v1-5/stable-diffusion-v1-5",
    show_default=True,
    help="Base model: a folder, a .safetensors file or a hub name.",
)
@click.option(
    "--clip",
    default="openai/clip-vit-large-patch14",
    show_default=True,
    help="CLIP that judges pictures: a folder or a hub name.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="The study file.  [default: the folder's name.toml]"
)
@click.option(
    "--gpu-minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="Working time of the search, in minutes.  [default: 40 trials, however long]",
)
def command(folder: Path, base: str, clip: str, out: Path | None, gpu_minutes: float | None) -> None:
    """Look at the images and captions in DIR and write a study file that fits them.

    DIR holds sub-folders N_name (N repeats) with images and a .txt each, or the images just so. Every line of the
    file says why it is as it is; nothing is overwritten.

    \b
    Examples:
      lorasearch init images/mycat
      lorasearch init images/mycat --base ~/models/sdxl.safetensors --gpu-minutes 240
      lorasearch init images/mycat --base ./micro-sd --clip ./micro-clip --out studies/mycat.toml
    """
    from studies.commands.init import start
    from studies.errors import in_sentences, quiet

    quiet()
    with in_sentences():
        started = start(folder, base, clip, out, gpu_minutes)
    for line in _lines(started, base):
        tell(line)


def _lines(started: Started, base: str) -> Iterator[str]:

    found, ground = started.survey, started.ground
    for warning in found.warnings:
        yield f"note: {warning}"
    if started.guessed:
        yield f"note: {base} is taken for {ground.family.title} by its name; it is fetched when the study is checked."
    low, high = found.ratios
    yield f"{found.images} images, {found.captioned} with captions; width over height {low:.2f} to {high:.2f}."
    if words := found.trigger:
        where = {"first": "the first tag", "last": "the last tag", "inside": "inside the text"}[words.place]
        yield f"Trigger word: {words.words} ({where}; in {words.captions} of {len(found.captions)} captions)."
    elif found.captioned:
        yield "The captions share no tag or word that could be a trigger."
    yield f"Wrote {started.study} for {ground.family.title} at {started.resolution} pixels. Next:"
    if found.captioned < found.images:
        trigger = f" --trigger '{found.trigger.words}'" if found.trigger else ""
        yield f"  lorasearch caption {found.folder}{trigger}"
    yield f"  lorasearch check {started.study}"
    yield f"  lorasearch plan {started.study} --measure"
    yield f"  lorasearch run {started.study}"
