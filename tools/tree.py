"""Every module with what its docstring says first: ``python -m tools.tree [ROOM]``, such as ``studies/selection``."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.house import PACKAGES, ROOT


def lines(root: Path, room: str) -> Iterator[str]:
    """A line for each folder and each module of a room, folders first named and then entered."""
    folder = root / room
    yield f"{room}/"
    modules = sorted(file for file in folder.glob("*.py") if file.stem != "__init__")
    width = max((len(file.stem) for file in modules), default=0)
    for file in modules:
        yield f"  {file.stem:{width}}  {said(file)}"
    for inner in sorted(file.parent for file in folder.glob("*/__init__.py")):
        yield from lines(root, inner.relative_to(root).as_posix())


def said(file: Path) -> str:
    """The first line of a module's docstring."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


if __name__ == "__main__":
    for chosen in sys.argv[1:] or PACKAGES:
        print(*lines(ROOT, chosen.strip("/")), sep="\n")
