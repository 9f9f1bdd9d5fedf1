"""How much sooner a search ends with two Ray workers than with one, on two cores with one thread each.

The same study, with random sampling, no pruning and trials of one length, is searched by one worker and by two on a Ray
cluster of this machine's own. Only the search is timed: not the start of Ray, the loading of the base model, nor what
comes after the search. In each round both run once, in turns of who comes first; the figure is the median of the
rounds' ratios.

    .venv/bin/python benchmarks/scaling.py --rounds 3
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

from rich.console import Console
from rich.table import Table

from studies.engines.choice import EngineChoice, opened
from studies.errors import quiet
from studies.runner.progress import LineLog
from studies.runner.runner import Runner
from studies.spec import toml
from studies.study import beginning
from studies.study.study import UNITS

LIBRARY = Path(__file__).resolve().parents[1] / "studies" / "library"


def main() -> None:
    """Prints a table and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1, help="both run so often")
    parser.add_argument("--trials", type=int, default=24, help="of the study")
    parser.add_argument("--images", type=int, default=672, help="of each trial")
    parser.add_argument("--pack", type=int, default=4, help="trials that a worker trains at a time")
    arguments = parser.parse_args()
    quiet()
    cores = len(os.sched_getaffinity(0))
    if cores < 2:
        sys.exit(
            f"this compares two workers with one, each with a core of its own, but there is {cores} core"
        )
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for number in range(arguments.rounds):
        for workers in (1, 2) if number % 2 == 0 else (2, 1):
            seconds[workers].append(_searched(workers, arguments))
            print(f"round {number + 1}: {workers} worker(s), {seconds[workers][-1]:.1f} s", flush=True)
    _print(seconds, arguments)


def _searched(workers: int, arguments: argparse.Namespace) -> float:
    """Seconds of the search alone."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        begun = beginning.begin(_study(folder, arguments), folder / "workspace")
        silent = LineLog(Console(quiet=True))
        with opened(EngineChoice("ray", workers=workers), begun, silent.stepped, silent.phase) as engine:
            engine.limit_pack(arguments.pack)
            begun.memory.remember(UNITS, engine.measure_units())
            runner = Runner(begun, engine, silent)
            began = time.perf_counter()
            runner.search()
            seconds = time.perf_counter() - began
        ended = [record for record in begun.memory.records() if record.state == "finished"]
    if len(ended) != arguments.trials:
        sys.exit(f"{len(ended)} of {arguments.trials} trials finished with {workers} worker(s)")
    return seconds


def _study(folder: Path, arguments: argparse.Namespace) -> Path:
    """The demonstration's study with trials of one length and nothing that time could change."""
    table = tomllib.loads((LIBRARY / "quickstart.toml").read_text())
    for place, key in (("base", "path"), ("data", "folder")):
        table["plan"][place][key] = str(LIBRARY / table["plan"][place][key])
    table["judge"]["clip"] = str(LIBRARY / table["judge"]["clip"])
    for name in ("repeats", "batch_size"):
        table["plan"]["data"][name] = min(table["search"]["space"].pop(f"data.{name}")["choices"])
    table["search"] |= {"sampler": "random", "pruner": {"name": "none"}}
    table["budget"] = {"trials": arguments.trials, "images_per_trial": arguments.images}
    table["pack"] = {"size": arguments.pack}
    table.pop("first", None)
    path = folder / "study.toml"
    path.write_text("".join(toml.section(f"[{name}]", entries) for name, entries in table.items()))
    return path


def _print(seconds: Mapping[int, list[float]], arguments: argparse.Namespace) -> None:
    ratios = [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]
    table = Table(title="the same search with one and with two Ray workers")
    for column in ("workers", "trials", "seconds (median)"):
        table.add_column(column, justify="right")
    for workers, found in seconds.items():
        table.add_row(str(workers), str(arguments.trials), f"{statistics.median(found):.1f}")
    Console().print(table)
    figures: dict[str, Any] = {
        "speedup_2": round(statistics.median(ratios), 2),
        "rounds": [round(ratio, 2) for ratio in ratios],
        "seconds_1": round(statistics.median(seconds[1]), 1),
        "seconds_2": round(statistics.median(seconds[2]), 1),
        "trials": arguments.trials,
        "images": arguments.images,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
