"""``lorasearch report``."""

from __future__ import annotations

from pathlib import Path

import click

from studies.cli.options import page_language
from studies.language import translator
from studies.terminal import tell


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
    from studies import report
    from studies.glance import standing, told
    from studies.study import reopen
    from studies.verdict import provisional

    with told():
        study = reopen(workspace)
        verdict = standing(study.workspace) or provisional(study)
        path = report.write(study, verdict, translator(language))
    tell(str(path))
