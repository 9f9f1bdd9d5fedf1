"""``lorasearch report``."""

from __future__ import annotations

from pathlib import Path

import click

from studies.cli.options import page_language
from studies.text.i18n import translator
from studies.text.terminal import tell


@click.command(name="report")
@click.argument("workspace", type=click.Path(path_type=Path))
@page_language
def command(workspace: Path, language: str) -> None:
    """Write the report of WORKSPACE as one HTML page, with a table of all checkpoints beside it.

    Works while the study runs, too: the report then says that its choice is provisional.

    \b
    Examples:
      lorasearch report workspaces/quickstart
      lorasearch report workspaces/quickstart --lang zh
      xdg-open "$(lorasearch report workspaces/quickstart)"
    """
    from studies.report import study_page
    from studies.selection import document
    from studies.selection.verdict import provisional
    from studies.study.beginning import reopen
    from studies.study.open import reading

    with reading():
        study = reopen(workspace)
        selection = document.read(study.workspace) or provisional(study)
        path = study_page.write(study, selection, translator(language))
    tell(str(path))
