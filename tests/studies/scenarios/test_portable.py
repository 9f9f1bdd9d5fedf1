"""Where Python has no POSIX: no module, call or signal of POSIX alone is needed to begin and to run a study."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.studies.conftest import write_study

HIDE = """
import builtins, importlib, os, pkgutil, signal, sys, types

OURS = ("search", "trainer", "evaluation", "studies")
MODULES = {"fcntl", "grp", "nis", "posix", "pty", "pwd", "resource", "spwd", "syslog", "termios", "tty"}
CALLS = {"chown", "fchmod", "fork", "forkpty", "getgid", "getloadavg", "getuid", "killpg", "mkfifo", "nice", "setsid"}
CALLS |= {"O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "sched_getaffinity", "statvfs", "sysconf", "uname", "wait"}
SIGNALS = {"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM"}
SIGNALS = {signal.name for signal in signal.Signals} - SIGNALS

def without(module, names):
    smaller = types.ModuleType(module.__name__)
    smaller.__dict__.update({name: value for name, value in vars(module).items() if name not in names})
    return smaller

SMALLER = {"os": without(os, CALLS), "signal": without(signal, SIGNALS)}
whole = builtins.__import__

def limited(name, globals=None, *rest, **named):
    if (globals or {}).get("__name__", "").partition(".")[0] not in OURS:
        return whole(name, globals, *rest, **named)
    if name in MODULES:
        raise ModuleNotFoundError(f"No module named {name!r}")
    return SMALLER.get(name) or whole(name, globals, *rest, **named)

builtins.__import__ = limited
"""
"""Hides from our packages alone what only POSIX has: libraries, which look at the platform, have their own branches."""

IMPORT = """
for package in OURS:
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        if not module.name.startswith("studies.engines.ray"):  # imports ray, which is an extra
            importlib.import_module(module.name)
"""

COMMANDS = """
import json
from studies.cli.main import main

for words in json.loads(sys.argv[1]):
    sys.argv = ["lorasearch", *words]
    main()
"""


def commands(*commands: Sequence[object]) -> str:
    """What the command line says to one command after the other, in one process."""
    return without_posix(COMMANDS, json.dumps([list(map(str, words)) for words in commands]))


def without_posix(code: str, *words: object) -> str:
    """What Python says that runs ``code`` after hiding what POSIX alone has."""
    done = subprocess.run(
        [sys.executable, "-c", HIDE + code, *map(str, words)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "code",
    ["import fcntl", "from os import fork", "import os; os.getloadavg()", "import signal; signal.SIGHUP"],
)
def test_what_is_hidden_is_missed(code: str) -> None:
    with pytest.raises(AssertionError, match=r"No module named|cannot import name|has no attribute"):
        without_posix(f"exec({code!r}, {{'__name__': 'studies.study.lock'}})")


def test_every_module_can_be_imported() -> None:
    without_posix(IMPORT)


def test_help_is_given() -> None:
    said = commands(*([*name, "--help"] for name in [(), ("init",), ("plan",), ("run",)]))
    assert said.count("Examples:") == 4


def test_a_study_is_written_planned_and_run(assets: Path, demo_folder: Path, tmp_path: Path) -> None:
    written, workspace = tmp_path / "new.toml", tmp_path / "workspace"
    commands(
        ["init", demo_folder, "--base", assets / "micro-sd", "--out", written],
        ["plan", written],
        ["run", write_study(tmp_path, trials=1, images=16), "--workspace", workspace],
    )
    assert (workspace / "best.safetensors").exists()
