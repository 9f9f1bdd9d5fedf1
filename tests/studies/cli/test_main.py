from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import click
import pytest

from studies.cli.main import COMMANDS, cli, main
from tests.studies.cli.conftest import Run

READERS = ("status", "select", "report", "dashboard")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, click\n"
        "from studies.cli.main import cli\n"
        "context = click.Context(cli)\n"
        "cli.get_help(context)\n"
        "for name in cli.list_commands(context):\n"
        "    cli.get_command(context, name).get_help(context)\n"
        "print([m for m in ('torch', 'scipy', 'optuna', 'pandas', 'plotly', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_page_has_examples(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert f"lorasearch {name} " in command.get_help(click.Context(command, info_name=name))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_page_answers_in_half_a_second(name: str) -> None:
    """Processor time of a whole process, so that a busy machine does not matter."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "studies.cli.main", name, "--help"], capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "Examples:" in done.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


UNITS = ("gib", "pixels", "minutes", "seconds", "images", "steps", "counted", "number")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_its_default_and_every_number_its_unit(name: str) -> None:
    context = click.Context(cli)
    command = cli.get_command(context, name)
    assert command is not None
    for option in command.params:
        if not isinstance(option, click.Option):
            continue
        words = option.help or ""
        assert option.required or option.show_default or "[default: " in words, (
            f"{name} {option.name}: {words}"
        )
        if isinstance(option.type, (click.types.IntParamType, click.types.FloatParamType)):
            assert any(unit in words.lower() for unit in UNITS), f"{name} {option.name}: {words}"


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (("statsu", "x"), "Did you mean status"),
        (("chek", "x"), "Did you mean check?"),
        (("RUN", "x"), "Did you mean run?"),
        (("dash", "x"), "Did you mean dashboard?"),
        (("frobnicate",), "Choose among: "),
        (("status", "--jsn", "x"), "Did you mean '--json'?"),
        (("judge", "x", "--heldout", "y"), "'--held-out'"),
    ],
)
def test_what_there_is_not_leads_to_the_nearest_name(words: tuple[str, ...], near: str, run: Run) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert near in err and "lorasearch" in err


@pytest.mark.parametrize("name", READERS)
def test_a_folder_without_a_study_is_told_in_a_sentence(name: str, tmp_path: Path, run: Run) -> None:
    code, out, err = run(name, tmp_path)
    assert code == 2
    assert out == ""
    assert err == f"error: {tmp_path}: there is no study here; `lorasearch run STUDY.toml` makes one.\n"


@pytest.mark.parametrize("name", READERS)
def test_a_file_is_no_workspace(name: str, tmp_path: Path, run: Run) -> None:
    path = tmp_path / "file"
    path.write_text("")
    assert run(name, path)[0] == 2


@pytest.mark.parametrize("name", READERS)
def test_a_workspace_that_lost_its_study_file_is_told_in_a_sentence(
    name: str, tmp_path: Path, run: Run
) -> None:
    (tmp_path / "study.sqlite3").write_bytes(b"")
    code, _, err = run(name, tmp_path)
    assert code == 2
    assert "study.toml" in err


@pytest.mark.parametrize("name", READERS)
def test_a_broken_database_is_told_in_a_sentence(
    name: str, tmp_path: Path, run: Run, finished: object
) -> None:
    import shutil

    root = finished.workspace.root  # type: ignore[attr-defined]
    for file in ("study.toml", "source.json"):
        shutil.copy(root / file, tmp_path / file)
    (tmp_path / "study.sqlite3").write_bytes(b"this is no database" * 100)
    code, _, err = run(name, tmp_path)
    assert code == 2
    assert err.startswith("error: Cannot use the study database")


@pytest.mark.parametrize(("platform", "set_to"), [("linux", "expandable_segments:True"), ("win32", None)])
def test_cuda_may_grow_what_it_holds_where_it_can(
    platform: str, set_to: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {**os.environ}
    environment.pop("PYTORCH_CUDA_ALLOC_CONF", None)
    monkeypatch.setattr("os.environ", environment)
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr("sys.argv", ["lorasearch", "--help"])
    monkeypatch.setattr("studies.cli.main.as_interrupts", lambda: None)
    main()
    assert environment.get("PYTORCH_CUDA_ALLOC_CONF") == set_to
