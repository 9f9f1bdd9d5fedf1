"""The text of a configuration as a table: TOML, JSON, YAML, a shell script's variables or its command line."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from studies.dialects.translation import ENTRIES
from studies.errors import StudyError
from studies.spec.file_text import toml_table

SCRIPT = "script"
"""Key under which a command line's script stands."""
_SHELLS = (".sh", ".ps1", ".bat", ".bash", ".cmd", ".txt")
_COMMAND = re.compile(r"^\s*(#!|accelerate\b|python|!|CUDA_VISIBLE_DEVICES)")
_POWERSHELL = re.compile(r"\$(\w+)\s*=\s*(.*)")
_BASH = re.compile(r"(?:export\s+|set\s+)?([A-Za-z_]\w*)=(.*)")
_COMMENT = re.compile(r"""^((?:[^'"#]|"[^"]*"|'[^']*')*?)(?:(?:^|(?<=\s))#.*)?$""")


def table(text: str, path: str) -> dict[str, Any]:
    """What the file says.

    Args:
        text: of the file.
        path: its name; the suffix tells the kind, or else the beginning of the text.

    Raises:
        StudyError: it cannot be read as what it seems to be.
    """
    suffix = PurePath(path).suffix.lower()
    if suffix == ".json" or (suffix != ".toml" and text.lstrip()[:1] == "{"):
        return _table(_json(text, path), path)
    if suffix in (".yaml", ".yml"):
        return _table(_yaml(text, path), path)
    if suffix in _SHELLS or (suffix != ".toml" and _COMMAND.match(text)):
        return _shell(text, path)
    return toml_table(text, path)


def arguments_of(line: str) -> dict[str, Any]:
    """The arguments on a command line."""
    return dict(_arguments(line, {}))


def _table(found: Any, path: str) -> dict[str, Any]:
    if isinstance(found, list) and found and all(isinstance(entry, dict) for entry in found):
        return {ENTRIES: found}
    if not isinstance(found, dict):
        raise StudyError(f"{path}: a configuration is a table of keys and values, but this is another thing.")
    return {str(key): value for key, value in found.items()}


def _json(text: str, path: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise StudyError(f"{path}:{error.lineno}: this is not valid JSON: {error.msg}.") from error
    except (RecursionError, ValueError) as error:
        raise StudyError(f"{path}: this JSON cannot be read ({error}).") from error


def _yaml(text: str, path: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise StudyError(f"{path}:{line}: this is not valid YAML: {error.problem}.") from error
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, AttributeError) as error:
        raise StudyError(f"{path}: this YAML cannot be read ({type(error).__name__}: {error}).") from error


def _shell(text: str, path: str) -> dict[str, Any]:
    """The arguments of the command that trains, with a script's variables in their places, or else its variables."""
    lines = re.sub(r"[\\`^][ \t]*\r?\n", " ", text).splitlines()
    variables: dict[str, Any] = {}
    arguments: dict[str, Any] = {}
    for line in lines:
        found = _COMMENT.match(line.strip())
        bare = (found[1] if found else line).strip()
        assigned = _POWERSHELL.fullmatch(bare) or _BASH.fullmatch(bare)
        if assigned and not assigned[2].startswith("("):
            variables.setdefault(assigned[1], _unquoted(assigned[2]))
        elif "--" in bare and not bare.startswith(("if", "[", "else")):
            arguments |= dict(_arguments(bare, variables))
    known = variables if {"pretrained_model", "max_train_epoches"} & variables.keys() else arguments
    if not known:
        raise StudyError(
            f"{path}: there is no command with arguments such as --learning_rate, and no variables that set them."
        )
    return known


def _arguments(line: str, variables: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """``--key value``, ``--key=value``, ``--key`` for a switch, several values as a list."""
    filled = re.sub(r"\$\{?(\w+)\}?", lambda found: str(variables.get(found[1], found[0])), line)
    try:
        words = shlex.split(filled)
    except ValueError:
        words = filled.split()
    script = next((word for word in words if word.endswith(".py")), None)
    begin = words.index(script) + 1 if script else 0
    if script:
        yield SCRIPT, PurePath(script).name
    key, values = "", []
    for word in [*words[begin:], "--"]:
        if not word.startswith("--"):
            values.append(word)
            continue
        if key:
            yield key, True if not values else values[0] if len(values) == 1 else values
        key, equals, value = word[2:].partition("=")
        key, values = key.replace("-", "_"), [value] if equals else []


def _unquoted(text: str) -> Any:
    """A variable's value."""
    bare = text.strip().rstrip(";")
    if len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "'\"":
        return bare[1:-1]
    return {"$true": True, "$false": False}.get(bare.lower(), bare)
