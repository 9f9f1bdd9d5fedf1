"""Every sentence that the page can say, read out of the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from jinja2 import nodes

from studies.report import page

STUDIES = Path(page.__file__).parents[1]
CALLS = ("say", "marked", "_", "self.say")


def of_template() -> set[str]:
    """First arguments of ``_`` in the pages' templates."""
    environment = page.environment()
    sources = [
        path.read_text(encoding="utf-8") for path in (STUDIES / "report" / "templates").glob("*.html.j2")
    ]
    return {
        call.args[0].value
        for source in sources
        for call in environment.parse(source).find_all(nodes.Call)
        if isinstance(call.node, nodes.Name)
        and call.node.name == "_"
        and isinstance(call.args[0], nodes.Const)
    }


def of_code() -> dict[str, str]:
    """First arguments of ``say`` and ``marked`` in all modules, with the module that says them."""
    paths = sorted([*STUDIES.rglob("*.py"), *(STUDIES.parent / "evaluation").rglob("*.py")])
    return {text: path.name for path in paths for text in _of(path)}


def _of(path: Path) -> Iterator[str]:
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and ast.unparse(call.func) in CALLS and call.args:
            first = call.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


def codes() -> set[str]:
    """First arguments of ``Reason`` and ``Trouble`` in the four packages."""
    packages = [STUDIES, *(STUDIES.parent / name for name in ("search", "trainer", "evaluation"))]
    return {code for package in packages for path in package.rglob("*.py") for code in _codes(path)}


def answers() -> set[str]:
    """Those of what a choice comes to."""
    return set(_codes(STUDIES / "selection" / "answer.py"))


def _codes(path: Path) -> Iterator[str]:
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and ast.unparse(call.func) in ("Reason", "Trouble"):
            first = call.args[0]
            choices = (first.body, first.orelse) if isinstance(first, ast.IfExp) else (first,)
            yield from (str(choice.value) for choice in choices if isinstance(choice, ast.Constant))
