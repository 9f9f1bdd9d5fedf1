"""``lorasearch export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from studies.text.terminal import tell

if TYPE_CHECKING:
    from studies.commands.export import Layout


@click.command(name="export")
@click.argument("workspace", type=click.Path(path_type=Path))
@click.argument("dest", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the file in a folder.  [default: the study's name]")
@click.option(
    "--format",
    "layout",
    type=click.Choice(["kohya", "diffusers", "peft"]),
    default="kohya",
    show_default=True,
    help="kohya for A1111, Forge and ComfyUI; diffusers for its pipelines; peft writes a folder.",
)
@click.option("--sd-scripts", is_flag=True, help="Write its recipe as sd-scripts' TOML files instead.")
@click.option("--force", is_flag=True, help="Overwrite another file of that name.")
@click.option("--anyway", is_flag=True, help="Hand over a file that does not beat the base model, too.")
def command(
    workspace: Path,
    dest: Path,
    name: str | None,
    layout: Layout,
    sd_scripts: bool,
    force: bool,
    anyway: bool,
) -> None:
    """Copy the best LoRA file of WORKSPACE to DEST, a folder or a file name.

    \b
    Examples:
      lorasearch export workspaces/quickstart ~/webui/models/Lora
      lorasearch export workspaces/quickstart ~/ComfyUI/models/loras --name my-character
      lorasearch export workspaces/quickstart ./my-character.safetensors
      lorasearch export workspaces/quickstart ./loras --format peft
      lorasearch export workspaces/quickstart ./kohya --sd-scripts
    """
    from studies.commands import export
    from studies.report.readers import of_file
    from studies.report.usage import advice
    from studies.study.open import open_readonly

    study = open_readonly(workspace)
    source, own_name = export.best_file(study, anyway), study.spec.study.name
    places = study.spec.shared_plan
    if sd_scripts:
        for path in export.write_recipe(source, dest.expanduser(), name or own_name, places, force):
            tell(f"Wrote {path}")
        return
    target = export.target_of(dest.expanduser(), name, own_name, layout)
    facts = export.write_lora(source, target, layout, places, force)
    tell(f"Copied to {target}")
    tell(f"Use strength 1 with the base model {study.spec.plan['base']['path']}.")
    tell(advice(facts))
    for note in of_file(facts, layout == "kohya"):
        tell(note)
