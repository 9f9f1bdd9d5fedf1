"""``lorasearch doctor``."""

from __future__ import annotations

from pathlib import Path

import click

from studies.text.terminal import plain, tell


@click.command(name="doctor")
@click.option(
    "--storage",
    metavar="URL",
    help="Also reach this database, e.g. postgresql://user@host/name.  [default: none]",
)
@click.option(
    "--workspace",
    type=click.Path(path_type=Path),
    default=Path("workspaces"),
    show_default=True,
    help="Folder under which studies write.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object for scripts.")
def command(storage: str | None, workspace: Path, as_json: bool) -> None:
    """Look at Python, PyTorch, GPU, libraries, disk and database; nothing is changed.

    Every line is ok, a note, or a problem with its remedy. Exit code 1 if there is a problem. Passwords in URLs are
    not shown.

    \b
    Examples:
      lorasearch doctor
      lorasearch doctor --storage postgresql://me:secret@db/studies
      lorasearch doctor --json | jq '.checks[] | select(.state == "problem")'
    """
    import warnings

    from studies.commands.doctor import checks

    warnings.filterwarnings("ignore")
    found = list(checks(workspace, storage))
    problems = sum(check.state == "problem" for check in found)
    if as_json:
        import json

        facts = {"healthy": not problems, "checks": [check.to_json() for check in found]}
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        colours = {"ok": "green", "note": "yellow", "problem": "red"}
        for check in found:
            state = click.style(f"{check.state:<8}", fg=colours[check.state])
            click.echo(f"{state} {check.topic:<13} {plain(check.said)}")
            if check.remedy:
                tell(f"{'':<22} {check.remedy}")
        notes = sum(check.state == "note" for check in found)
        tell(f"{problems} problem{'s' * (problems != 1)}, {notes} note{'s' * (notes != 1)}.")
    if problems:
        raise SystemExit(1)
