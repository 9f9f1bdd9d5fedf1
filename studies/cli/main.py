"""``lorasearch``: commands are imported when they are called, so that help answers at once."""

from __future__ import annotations

import difflib
import importlib
import keyword
import os
import sys

import click

from studies.errors import StudyError, quiet_imports
from studies.runner.signals import as_interrupts
from studies.text.terminal import tell

COMMANDS = {
    "doctor": "What this machine can do, and what is missing or in the way.",
    "init": "Look at images and captions, and write a study file that fits them.",
    "import": "Turn another trainer's configuration into a study.",
    "caption": "Write missing captions with an image-to-text model.",
    "check": "What is wrong with a study and its images, before anything starts.",
    "plan": "Steps, checkpoints, memory and time of a study, and what the guides advise.",
    "probe": "Find a learning rate with D-Adaptation, and centre a study's range on it.",
    "run": "Search: train, score, prune and choose; started again, it goes on.",
    "train": "One plan, no search: a LoRA file every epoch; started again, it goes on.",
    "status": "How far a study is, and what is best so far.",
    "select": "Which checkpoint wins, and why.",
    "export": "Copy the best LoRA file to where a WebUI looks for it.",
    "judge": "Which of some LoRA files is best, whoever trained them; needs no study.",
    "compare": "Studies side by side: settings, winners, test scores, cost.",
    "report": "Write the study's report as one HTML page.",
    "dashboard": "Look at a study in optuna-dashboard.",
}


class _Lazy(click.Group):
    """Knows its commands by name and imports only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports ``studies.cli.<name>``."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(_module(cmd_name)).command
        for option in command.params:
            _say_off(option)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command, or names those that are written much like it."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            begun = [command for command in COMMANDS if command.startswith(name.lower())]
            near = begun or difflib.get_close_matches(name.lower(), COMMANDS, 3, 0.6)
            said = f"Did you mean {' or '.join(near)}?" if near else f"Choose among: {', '.join(COMMANDS)}."
            ctx.fail(f"No such command {name!r}. {said}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _say_off(option: click.Parameter) -> None:
    """Lets the help of a switch say that it is off, as the help of every option says its default."""
    if isinstance(option, click.Option) and option.is_flag and "[default" not in (option.help or ""):
        option.help = f"{option.help}  [default: off]"


def _module(command: str) -> str:
    """Python's own words take an underscore."""
    return f"studies.cli.{command}{'_' if keyword.iskeyword(command) else ''}"


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="lorasearch")
def cli() -> None:
    """Find the best LoRA: search hyperparameters, score every checkpoint, hand over the best file.

    \b
    Examples:
      lorasearch run studies/library/quickstart.toml
      lorasearch status workspaces/quickstart
      lorasearch export workspaces/quickstart ~/webui/models/Lora
    """


def main() -> None:
    """Runs the command line; trouble that a user can mend is told in sentences, with exit code 2."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if sys.platform == "linux":  # elsewhere CUDA's allocator has no such segments, and warns
        os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    quiet_imports()
    as_interrupts()
    try:
        cli(standalone_mode=False)
    except StudyError as error:
        for problem in error.problems:
            tell(f"error: {problem}", err=True)
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        tell(f"error: {place}{error.strerror or error}.", err=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        tell("interrupted; run the same command again to go on", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
