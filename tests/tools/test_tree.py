"""The list of modules, and the rooms that ``docs/architecture.md`` shows."""

from __future__ import annotations

import re

from tools import tree
from tools.house import PACKAGES, ROOT

ARCHITECTURE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
ROOM = re.compile(r"^( *)(\w+)/ +\S", re.MULTILINE)


def modules() -> list[str]:
    found = (file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    return [file.relative_to(ROOT).as_posix() for file in found if file.name != "__init__.py"]


def test_every_module_has_a_line_that_says_what_it_is() -> None:
    listed = [line for package in PACKAGES for line in tree.lines(ROOT, package)]
    told = [line for line in listed if line.startswith("  ")]
    assert len(told) == len(modules())
    assert all(re.fullmatch(r"  \w+ +\S.+[.,:;)\w]", line) for line in told)


def test_the_architecture_draws_every_room_and_no_other() -> None:
    drawn, package = set(), ""
    for indent, name in ROOM.findall(ARCHITECTURE.partition("## Rooms")[2]):
        package = package if indent else name
        drawn.add(f"{package}/{name}" if indent else name)
    rooms = {module.rpartition("/")[0] for module in modules()}
    families = {room for room in rooms if room.startswith("trainer/bases/families/")}
    assert "`families/`, a folder each" in ARCHITECTURE
    assert rooms - families <= drawn
    assert all((ROOT / room).is_dir() for room in drawn)


def test_the_architecture_fits_two_screens_and_names_files_that_exist() -> None:
    assert len(ARCHITECTURE.splitlines()) <= 120
    named = re.findall(
        r"`((?:search|trainer|evaluation|studies|docs|tools|benchmarks)/[\w./]+)`", ARCHITECTURE
    )
    assert [name for name in named if not (ROOT / name).exists()] == []
