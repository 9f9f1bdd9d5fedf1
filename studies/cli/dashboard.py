"""``lorasearch dashboard``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="dashboard")
@click.argument("workspace", type=click.Path(path_type=Path))
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="TCP port number; 0 takes a free one.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; any other opens it, delete buttons included, to whoever reaches it.",
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def command(workspace: Path, port: int, host: str, no_browser: bool) -> None:
    """Look at WORKSPACE in optuna-dashboard, on this machine only unless --host opens it; Ctrl-C ends it.

    It has no log-in and can delete studies and trials, so it listens on 127.0.0.1. From another machine:
    ssh -L 8080:127.0.0.1:8080 HOST

    \b
    Examples:
      lorasearch dashboard workspaces/quickstart
      lorasearch dashboard workspaces/quickstart --port 8090 --no-browser
    """
    from studies.commands import dashboard
    from studies.commands.dashboard import local
    from studies.selection import document
    from studies.study.open import open_readonly, reading
    from studies.text.terminal import tell

    with reading():
        study = open_readonly(workspace)
        server = dashboard.serve(study.workspace, port, host)
        dashboard.annotate(study, document.read(study.workspace))
    if not local(host):
        tell(
            f"warning: on {host} the dashboard is open to everyone who reaches this machine; it has no log-in and can "
            "delete studies. `ssh -L 8080:127.0.0.1:8080 HOST` is safer.",
            err=True,
        )
    address = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{server.server_port}/"
    tell(f"{study.spec.study.name}: {address}  (Ctrl-C ends it)")
    if not no_browser and dashboard.has_display():
        import webbrowser

        webbrowser.open(address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        tell("ended")
    finally:
        server.server_close()
