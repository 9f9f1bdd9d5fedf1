"""``lorasearch import``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from studies.text.terminal import tell

if TYPE_CHECKING:
    from studies.sd_scripts.importing import Recipe


@click.command(name="import")
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("dataset", type=click.Path(path_type=Path), required=False)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The study file.  [default: CONFIG's name.toml]"
)
@click.option("--base", type=click.Path(path_type=Path), help="Another base model.  [default: CONFIG's]")
@click.option("--images", type=click.Path(path_type=Path), help="Another image folder.  [default: CONFIG's]")
@click.option("--force", is_flag=True, help="Overwrite another file of that name.")
def command(
    config: Path,
    dataset: Path | None,
    output: Path | None,
    base: Path | None,
    images: Path | None,
    force: bool,
) -> None:
    """Turn another trainer's configuration into a study file.

    CONFIG is what sd-scripts takes as --config_file or its command line, a preset of kohya_ss, lora-scripts (also
    train.sh), LoRA_Easy_Training_Scripts, OneTrainer, ai-toolkit, SimpleTuner or musubi-tuner, or the command line of
    a diffusers script; its keys tell which. DATASET is what sd-scripts and musubi-tuner take as --dataset_config, or
    the list of OneTrainer's concepts or SimpleTuner's data backends. The study tries that recipe first and searches
    around it. Every value that means something else here is told, and every key that could not be honoured; both stand
    at the top of the study file. Relative paths are read from the current folder, then from CONFIG's.

    \b
    Examples:
      lorasearch import config.toml
      lorasearch import config.toml dataset.toml -o my-character.toml
      lorasearch import lora.toml --base ~/models/sd15.safetensors --images ./train/aki
      lorasearch import preset.json --images ./train/aki
    """
    from studies.errors import StudyError
    from studies.sd_scripts import importing, study_file
    from studies.spec.paths import study_name

    if dataset is not None and images is not None:
        raise StudyError("DATASET and --images both say where the images are; keep one.")
    recipe = importing.read(config, dataset, base, images)
    target = output or Path(f"{study_name(recipe.name)}.toml")
    listed = target.with_suffix(".concepts.json") if recipe.images.concepts is not None else None
    source = f"{config} and {dataset}" if dataset else str(config)
    text = study_file.text(recipe, source, listed.name if listed else None)
    _write(recipe, target, text, listed, force)
    for line in recipe.converted:
        tell(f"converted: {line}", err=True)
    for unmet in recipe.unmet:
        tell(f"not honoured: {unmet}", err=True)
    tell(f"Wrote {target}; `lorasearch check {target}` looks it over, `lorasearch run {target}` searches.")


def _write(recipe: Recipe, target: Path, text: str, listed: Path | None, force: bool) -> None:
    import json

    from studies.errors import StudyError
    from studies.spec.study_file import parse
    from trainer.files import write_whole

    files = {target: text}
    if listed is not None:
        files[listed] = json.dumps(recipe.images.concepts, ensure_ascii=False, indent=2) + "\n"
    parse(text, target.parent.resolve(), str(target))
    for path, content in files.items():
        if path.exists() and not force and path.read_bytes() != content.encode():
            raise StudyError(f"{path}: another file is there already; choose another -o, or add --force.")
    for path, content in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content.encode())
        except OSError as error:
            raise StudyError(f"{path}: cannot be written ({error.strerror}).") from error
