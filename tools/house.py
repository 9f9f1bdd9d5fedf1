"""Measures the house and says where it breaks its own rules: ``python -m tools.house``, part of ``make check``."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("search", "trainer", "evaluation", "studies")

LIMIT = 141
"""How many string-key look-ups ``studies`` may hold; lower it whenever there are fewer."""
FLAT = 5
"""How many modules may stand in ``studies/`` itself."""
FAN_OUT = 12
"""How many of our own modules one module may import."""

WIDE: Mapping[str, str] = {}
"""Modules that may import more than ``FAN_OUT``, and why."""
UNMIRRORED = {
    "tests/bad_input/test_bad_input.py": "every command, given broken files",
    "tests/bad_input/test_fuzz.py": "every reader, given arbitrary bytes",
    "tests/evaluation/test_families.py": "the judge on every family of base models",
    "tests/studies/engines/test_contract.py": "what every engine keeps",
    "tests/studies/sd_scripts/test_configurations.py": "configurations of all trainers, each with its plan",
    "tests/studies/sd_scripts/test_bad_input.py": "import, given broken files",
    "tests/studies/sd_scripts/test_round_trip.py": "import of what export wrote",
    "tests/test_contributing.py": "the examples of CONTRIBUTING.md against the source",
    "tests/test_readme.py": "README against the program",
    "tests/trainer/bases/test_families.py": "the families' folders: full-size architectures, and one more folder",
    "tests/trainer/bases/test_sdxl.py": "SDXL through loading, encoding and prompts",
    "tests/trainer/bases/test_single_file.py": "bases in one file, through finding and loading",
    "tests/trainer/data/test_no_leak.py": "held-out images, through the whole data set",
    "tests/trainer/lora_files/test_dora.py": "every format, given magnitudes and another scaling",
    "tests/trainer/lora_files/test_mixed_alphas.py": "every format, given layers of several alphas",
    "tests/trainer/lora_files/test_program_keys.py": "every format, against the keys that programs map",
}
"""Tests of no one source, and why."""
SCENARIOS = "scenarios"
"""The name of folders whose tests follow users, not sources."""


@dataclass(frozen=True)
class Source:
    """One of our modules, parsed.

    Attributes:
        path: its file, below the root.
        text: what stands in it.
    """

    path: Path
    text: str

    @property
    def module(self) -> str:
        """The dotted name that it is imported by."""
        parts = self.path.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def package(self) -> str:
        """The top-level package."""
        return self.path.parts[0]

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax."""
        return ast.parse(self.text)


@dataclass(frozen=True)
class Breach:
    """A rule that a file breaks."""

    file: str
    what: str
    limit: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}; {self.limit}: {self.remedy}."


@dataclass(frozen=True)
class Measures:
    """What a package is like; of each list of figures the 90th percentile and the highest are shown."""

    package: str
    lines: Sequence[int]
    functions: Sequence[int]
    fan_outs: Sequence[int]
    lookups: int
    private: int


def sources(root: Path, packages: Sequence[str] = PACKAGES) -> list[Source]:
    """Every module of the packages, in order."""
    files = sorted(file for package in packages for file in (root / package).rglob("*.py"))
    return [Source(file.relative_to(root), file.read_text(encoding="utf-8")) for file in files]


def imports(tree: ast.AST, known: set[str]) -> set[str]:
    """Which of the known modules are imported, at the top, inside functions or for annotations alone."""
    named: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named |= {_known(alias.name, known) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            named |= {_known(f"{node.module}.{alias.name}", known) for alias in node.names}
    return named - {""}


def _known(name: str, known: set[str]) -> str:
    """The longest beginning of a dotted name that is a module of ours; "" if there is none."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name


def graph(modules: Sequence[Source]) -> dict[str, set[str]]:
    """What every module imports of the others."""
    known = {source.module for source in modules}
    return {source.module: imports(source.tree, known) - {source.module} for source in modules}


def function_lengths(tree: ast.AST) -> list[int]:
    """Lines of every function, its signature and docstring left out."""
    return [
        _length(node) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def lookups(tree: ast.AST) -> int:
    """Reads of ``x["literal"]`` and ``x.get("literal")``."""
    return sum(_is_item(node) or _is_get(node) for node in ast.walk(tree))


def _is_item(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Subscript)
        and isinstance(node.ctx, ast.Load)
        and _is_text(node.slice)
        and not (isinstance(node.value, ast.Name) and node.value.id in ("Literal", "type"))
    )


def _is_get(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "get"
        and bool(node.args)
        and _is_text(node.args[0])
    )


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def private_imports(tree: ast.AST) -> int:
    """Names with a leading underscore that are imported from elsewhere."""
    froms = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return sum(
        alias.name.startswith("_") and not alias.name.endswith("__") for node in froms for alias in node.names
    )


def measures(modules: Sequence[Source]) -> list[Measures]:
    """One row a package."""
    arrows = graph(modules)
    rows = []
    for package in dict.fromkeys(source.package for source in modules):
        own = [source for source in modules if source.package == package]
        rows.append(
            Measures(
                package,
                [len(source.text.splitlines()) for source in own],
                [length for source in own for length in function_lengths(source.tree)],
                [len(arrows[source.module]) for source in own],
                sum(lookups(source.tree) for source in own),
                sum(private_imports(source.tree) for source in own),
            )
        )
    return rows


def table(rows: Sequence[Measures]) -> str:
    """The measures for people."""
    head = (
        "",
        "files",
        "lines",
        "file p90/max",
        "function p90/max",
        "fan-out mean/p90/max",
        "keys",
        "private",
    )
    cells = [head, *(_cells(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.rjust(width) if at else cell.ljust(width) for at, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in cells)
    )


def _cells(row: Measures) -> tuple[str, ...]:
    mean = sum(row.fan_outs) / max(1, len(row.fan_outs))
    return (
        row.package,
        str(len(row.lines)),
        str(sum(row.lines)),
        _spread(row.lines),
        _spread(row.functions),
        f"{mean:.1f}/{_spread(row.fan_outs)}",
        str(row.lookups),
        str(row.private),
    )


def _spread(figures: Sequence[int]) -> str:
    ordered = sorted(figures) or [0]
    return f"{ordered[(len(ordered) - 1) * 9 // 10]}/{ordered[-1]}"


def flat_modules(modules: Sequence[Source]) -> Iterator[Breach]:
    """Too many modules in ``studies/`` itself."""
    flat = [source.path.stem for source in modules if source.path.parent == Path("studies")]
    flat = [name for name in flat if name != "__init__"]
    if len(flat) > FLAT:
        yield Breach(
            "studies/",
            f"{len(flat)} modules stand flat ({', '.join(flat)})",
            f"at most {FLAT} may",
            "move one into the room it belongs to",
        )


def class_names(modules: Sequence[Source]) -> Iterator[Breach]:
    """A name that two classes have."""
    places: dict[str, list[str]] = {}
    for source in modules:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(f"{source.path.as_posix()}:{node.lineno}")
    for name, where in places.items():
        for place in where[1:]:
            yield Breach(
                place,
                f"class {name} has the name of the one at {where[0]}",
                "a name stands for one class",
                "rename the less central one to the field's word",
            )


def fan_outs(modules: Sequence[Source], exceptions: Mapping[str, str]) -> Iterator[Breach]:
    """Modules that know too many others."""
    arrows = graph(modules)
    for source in modules:
        count = len(arrows[source.module])
        if count > FAN_OUT and source.module not in exceptions:
            yield Breach(
                source.path.as_posix(),
                f"imports {count} of our modules",
                f"at most {FAN_OUT} may be",
                "give the file one job, or pass a narrower thing",
            )


def circles(modules: Sequence[Source]) -> Iterator[Breach]:
    """Modules that import each other, directly or through others."""
    arrows = graph(modules)
    paths = {source.module: source.path.as_posix() for source in modules}
    reach = {module: _reachable(module, arrows) for module in arrows}
    seen: set[str] = set()
    for module in arrows:
        circle = sorted(other for other in reach[module] if module in reach[other])
        if circle and module not in seen:
            seen |= set(circle)
            yield Breach(
                paths[module],
                f"stands in an import circle ({', '.join(circle)})",
                "imports run one way",
                "move what both need below them",
            )


def _reachable(start: str, arrows: Mapping[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = list(arrows[start])
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += arrows[module]
    return reached


def unmirrored_tests(root: Path, exceptions: Mapping[str, str]) -> Iterator[Breach]:
    """Tests without a source of the same place and name."""
    for test in sorted((root / "tests").rglob("test_*.py")):
        file = test.relative_to(root)
        if SCENARIOS in file.parts or file.as_posix() in exceptions:
            continue
        if not any((root / source).exists() for source in _sources_of(file)):
            yield Breach(
                file.as_posix(),
                f"there is no {_sources_of(file)[0].as_posix()}",
                "tests mirror the source",
                "name it after what it tests, or list it with its reason",
            )


def _sources_of(test: Path) -> tuple[Path, Path]:
    """Where a test's source may be: by its name, or with the underscore that keeps Python's words apart."""
    folder, name = Path(*test.parts[1:-1]), test.stem.removeprefix("test_")
    return folder / f"{name}.py", folder / f"{name}_.py"


def string_keys(modules: Sequence[Source], limit: int) -> Iterator[Breach]:
    """Too many untyped documents in ``studies``."""
    counts = {
        source.path.as_posix(): lookups(source.tree) for source in modules if source.package == "studies"
    }
    total = sum(counts.values())
    if total > limit:
        worst = max(counts, key=lambda path: counts[path])
        yield Breach(
            worst,
            f"{total} string-key look-ups in studies, {counts[worst]} of them here",
            f"at most {limit} may be",
            "give the document a type",
        )


def stale(
    root: Path, modules: Sequence[Source], wide: Iterable[str], unmirrored: Iterable[str]
) -> Iterator[Breach]:
    """Exceptions that nothing needs any more."""
    arrows = graph(modules)
    names = [module for module in wide if len(arrows.get(module, ())) <= FAN_OUT]
    names += [test for test in unmirrored if not (root / test).exists()]
    for name in names:
        yield Breach(
            "tools/house.py", f"{name} is no exception", "a table holds what is needed", "strike it out"
        )


def breaches(root: Path, modules: Sequence[Source]) -> list[Breach]:
    """Every breach of the project's rules."""
    rules: tuple[Iterable[Breach], ...] = (
        flat_modules(modules),
        class_names(modules),
        fan_outs(modules, WIDE),
        circles(modules),
        unmirrored_tests(root, UNMIRRORED),
        string_keys(modules, LIMIT),
        stale(root, modules, WIDE, UNMIRRORED),
    )
    return [breach for rule in rules for breach in rule]


def main(root: Path = ROOT) -> int:
    """Prints the table and every breach.

    Returns:
        1 if there is a breach, else 0.
    """
    modules = sources(root)
    print(table(measures(modules)))
    broken = breaches(root, modules)
    for breach in broken:
        print(breach)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
