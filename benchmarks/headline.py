"""Wall time until the best of 24 full random trials is reached: our search against those trials as one process each.

For each seed, 24 trials drawn at random over the guides' space are trained to their horizon (`efficiency.py`; packed,
since a packed trial is the trial alone); the best validation figure of all their checkpoints is the target. Ours is
what `init` writes on the same space and images, in a process of its own, timed from its start until a checkpoint
reaches the target, probe and judging included. The other side is the same 24 trials with plain peft + diffusers, a
process each (`solo_trial.py`: load, encode, train, save and judge every epoch). With --solo, only so many of them are
run, evenly spread, and the time of all follows from their images.

    .venv/bin/python -m benchmarks.headline
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.efficiency import DEFAULT, RANDOM, TRIALS, Counter, _search
from benchmarks.study import ROOT, solo
from studies.errors import quiet
from studies.study.beginning import reopen


def main() -> None:
    """Prints a table and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--solo", type=int, default=TRIALS, help="how many of the random trials are run alone"
    )
    parser.add_argument(
        "--reach", nargs=4, metavar=("FOLDER", "SEED", "TARGET", "LIMIT"), help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    quiet()
    if arguments.reach:
        folder, seed, target, limit = arguments.reach
        print(_search(Path(folder), DEFAULT, int(seed), Counter(float(target), float(limit))).best)
        return
    ratios = []
    table = Table(title=f"seconds until the best of {TRIALS} full random trials is reached")
    for column in ("seed", "one process a trial", "ours", "ratio"):
        table.add_column(column, justify="right")
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            theirs, ours = _compared(Path(folder), seed, arguments.solo)
        ratios.append(theirs / ours)
        table.add_row(str(seed), f"{theirs:.0f}", f"{ours:.0f}", f"{ratios[-1]:.1f}")
    Console().print(table)
    print(json.dumps({"ratio": round(statistics.median(ratios), 2), "ratios": [round(r, 2) for r in ratios]}))


def _compared(folder: Path, seed: int, count: int) -> tuple[float, float]:
    """Seconds of all random trials alone, and of our search; infinite where it reached nothing."""
    (folder / "random").mkdir()
    random = _search(folder / "random", RANDOM, seed, Counter(-math.inf, math.inf))
    ours = _ours(folder / "ours", seed, random)
    study = reopen(folder / "random" / "workspace")
    records = study.memory.records()
    some = records[:: max(1, len(records) // count)][:count]
    seconds = sum(solo(study, record, folder / f"solo-{record.number}") for record in some)
    images = (sum(record.images_seen for record in which) for which in (records, some))
    return seconds * next(images) / next(images), ours


def _ours(folder: Path, seed: int, random: Counter) -> float:
    folder.mkdir()
    reach = [str(folder), str(seed), str(random.best), str(random.images)]
    command = [sys.executable, "-m", "benchmarks.headline", "--reach", *reach]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    return seconds if float(done.stdout.split()[-1]) <= random.best else math.inf


if __name__ == "__main__":
    main()
