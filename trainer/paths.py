"""Paths as users write them, those of Windows on any system."""

from __future__ import annotations

import os
import re
from pathlib import Path, PureWindowsPath

_PLACE = re.compile(r"[A-Za-z]:[\\/]|\\")


def elsewhere(text: str) -> bool:
    """Whether a text is a place on Windows, by its drive, server or root, and this is another system."""
    return os.sep == "/" and _PLACE.match(text) is not None


def native(text: str) -> str:
    r"""A path with this system's separators, so that ``.\sets\10_cat`` is read anywhere.

    What is ``elsewhere`` stays as it is, and so does what begins with a slash: there a backslash is part of a name.
    """
    if os.sep != "/" or "\\" not in text or text.startswith("/") or elsewhere(text):
        return text
    return PureWindowsPath(text).as_posix()


def absolute(text: str, folder: Path) -> Path:
    """Where a text leads from ``folder``, with links followed.

    A name that is there as it is written is taken first; what is ``elsewhere`` stays as it is.
    """
    literal = os.path.join(folder, os.path.expanduser(text))
    if os.path.exists(literal):
        return Path(os.path.realpath(literal))
    if elsewhere(text):
        return Path(text)
    return Path(os.path.realpath(os.path.join(folder, os.path.expanduser(native(text)))))
