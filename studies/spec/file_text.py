"""The text of a file that a user wrote, and the lines at which its problems are told."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studies.errors import StudyError
from studies.spec import toml
from studies.spec.paths import BACKSLASHES

MOST_BYTES = 4 * 2**20
"""Of a study file; the longest known has 20,000."""


def read_text(path: Path, what: str, command: str) -> str:
    """The text of a file that a user wrote.

    Args:
        path: where it lies.
        what: what errors call it.
        command: whose help shows how to start.

    Raises:
        StudyError: it is missing or is no UTF-8.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise StudyError(f"{path}: the {what} is larger than {MOST_BYTES} bytes, so it is another file.")
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise StudyError(
            f"{path}: there is no such {what}; `lorasearch {command} --help` shows how to start."
        ) from None
    except UnicodeDecodeError as error:
        raise StudyError(
            f"{path}: the {what} is not UTF-8 (byte {error.start}); save it as UTF-8 in your editor."
        ) from error
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: the {what} cannot be read ({error}).") from error


def toml_table(text: str, name: str) -> dict[str, Any]:
    """The table that TOML text says; ``name`` is what errors call the file.

    Raises:
        StudyError: it is no TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(_no_toml(text, name, str(error))) from error
    except RecursionError as error:
        raise StudyError(
            f"{name}: its tables are nested too deeply; a study file needs four levels."
        ) from error


def _no_toml(text: str, name: str, told: str) -> str:
    """What the reader told, at its line; where that holds a backslash, what to do about it."""
    if not (found := re.search(r"at line (\d+)", told)):
        return f"{name}: this is not valid TOML: {told}."
    line = text.split("\n")[int(found[1]) - 1]
    advice = f"; {BACKSLASHES}" if "\\" in line else ""
    return f"{name}:{found[1]}: this is not valid TOML: {told}{advice}."


class Lines:
    """At which line of a TOML file everything stands.

    Args:
        text: of the file.
        name: what errors call it.
    """

    def __init__(self, text: str, name: str) -> None:
        self._lines, self._name = toml.lines(text), name

    def located(self, path: Sequence[str | int], problem: str) -> str:
        """A problem with the line at which it is."""
        line = toml.line_of(self._lines, path)
        place = f"{self._name}:{line}" if line else self._name
        dotted = ".".join(f'"{part}"' if "." in str(part) else str(part) for part in path)
        ended = problem if problem.endswith("?") else f"{problem.rstrip('.')}."
        return f"{place}: {dotted}: {ended}" if dotted else f"{place}: {ended}"
